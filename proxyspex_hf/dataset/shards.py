"""Where explanations go: shards of one commit each on the Hub, or the same files in a folder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from proxyspex_hf.checks import quoted
from proxyspex_hf.dataset.finished import Done, lines_of, read_lines
from proxyspex_hf.errors import InputError
from proxyspex_hf.files import as_path
from proxyspex_hf.record.record import ExplanationRecord

if TYPE_CHECKING:
    from proxyspex_hf.hub.repository import Snapshot


class Shards(Protocol):
    """A place for shards."""

    @property
    def place(self) -> str:
        """What it is called: the same place has the same name."""
        ...

    def finished(self) -> list[Done]:
        """What became of the rows that its shards list.

        Raises:
            HubError: the data set cannot be read, or no shard could be added to it.
            InputError: the folder cannot be read.
        """
        ...

    def add(self, records: Sequence[ExplanationRecord], done: Sequence[Done]) -> str:
        """Add a shard, whole or not at all; gives where it is."""
        ...


def _list_name(config: str, done: Sequence[Done]) -> str:
    """The name follows from the rows: sent twice, the same shard is the same file."""
    keys = "".join(f"{each.row}:{each.input}" for each in done)
    return f"rows/{config}/{hashlib.sha256(keys.encode()).hexdigest()[:16]}.jsonl"


@dataclass(frozen=True)
class HubShards:
    """A data set on the Hub; arguments as :meth:`InteractionExplanation.push_to_hub`."""

    repo_id: str
    config: str
    private: bool | None = None
    revision: str | None = None
    token: str | bool | None = None

    @property
    def place(self) -> str:
        return f"hub:{self.repo_id}/{self.config}@{self.revision}"

    def finished(self) -> list[Done]:
        from proxyspex_hf.hub.faults import patiently
        from proxyspex_hf.hub.push import ready_for_writing
        from proxyspex_hf.hub.repository import hub_api

        def read() -> list[Done]:
            api = hub_api(self.token)
            return self._listed(
                ready_for_writing(api, self.repo_id, self.revision, private=self.private)
            )

        return patiently(read, self.repo_id, "push to")

    def _listed(self, snapshot: Snapshot) -> list[Done]:
        folder = f"rows/{self.config}/"
        names = [
            path for path in snapshot.sizes if path.startswith(folder) and path.endswith(".jsonl")
        ]
        return [
            done
            for path in names
            for done in read_lines(snapshot.download(path).read_bytes(), path)
        ]

    def add(self, records: Sequence[ExplanationRecord], done: Sequence[Done]) -> str:
        from proxyspex_hf.hub.push import push

        result = push(
            records,
            self.repo_id,
            config_name=self.config,
            private=self.private,
            revision=self.revision,
            token=self.token,
            more={_list_name(self.config, done): lines_of(done)},
        )
        return result.url


@dataclass(frozen=True)
class Folder:
    """A folder with a repository's layout: ``proxyspex-hf push FOLDER owner/name`` sends it."""

    folder: Path
    config: str

    @property
    def place(self) -> str:
        return f"folder:{self.folder.absolute()}/{self.config}"

    def finished(self) -> list[Done]:
        lists = sorted(self.folder.glob(f"rows/{self.config}/*.jsonl"))
        try:
            return [d for path in lists for d in read_lines(path.read_bytes(), str(path))]
        except OSError as error:
            raise InputError(f"cannot read {self.folder}: {error.strerror or error}.") from error

    def add(self, records: Sequence[ExplanationRecord], done: Sequence[Done]) -> str:
        from proxyspex_hf.files import write_whole
        from proxyspex_hf.hub.outbox import pack, write_files

        path = self.folder / _list_name(self.config, done)
        try:
            if records:
                write_files(self.folder, self.config, pack(records))
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot write {self.folder}: {error.strerror or error}.") from error
        # Last: what it does not name is explained again and makes the same files.
        write_whole(path, lines_of(done).decode())
        return str(path)


def shards_of(push_to: str | None, out: Any, config: str, **hub: Any) -> Shards:
    """The place that the arguments of :func:`explain_dataset` name.

    Raises:
        InputError: none or both, or an argument that cannot be used.
    """
    if (push_to is None) == (out is None):
        raise InputError(
            "say where the explanations go: push_to='owner/name' on the Hub, or out='a folder'."
        )
    from proxyspex_hf.hub.repository import check_config, check_place, hub_api

    check_config(config)
    if out is not None:
        folder = as_path(out)
        try:
            folder.stat()
        except (FileNotFoundError, NotADirectoryError):
            pass  # made later, or refused below
        except (OSError, ValueError) as error:  # such as a null byte, or a name that is too long
            said = getattr(error, "strerror", None) or error
            raise InputError(f"out={quoted(str(folder))} cannot be a folder: {said}.") from error
        if folder.exists() and not folder.is_dir():
            raise InputError(f"out={str(folder)!r} is a file: give a folder.")
        # Before the first explanation, not after as many as a shard has.
        there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
        if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            raise InputError(f"cannot write {folder}: {there} is not a directory, or not writable.")
        return Folder(folder, config)
    if not isinstance(push_to, str) or push_to.count("/") != 1:
        raise InputError(f"push_to must be 'owner/name', got {push_to!r:.100}.")
    shards = HubShards(push_to, config, **hub)
    check_place(push_to, config, shards.revision)
    hub_api(shards.token)  # refuses what cannot be a token
    return shards
