"""One data set repository at one commit: which files it has, and how to read them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from huggingface_hub import HfApi, HfFileSystem
from huggingface_hub.errors import HFValidationError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from proxyspex_hf.checks import quoted
from proxyspex_hf.errors import InputError, SchemaError
from proxyspex_hf.hub.entries import INDEX, LISTED_COLUMNS, HubEntry
from proxyspex_hf.hub.schema import Column
from proxyspex_hf.hub.tables import (
    MAX_ROWS,
    Allowance,
    Table,
    TooManyRowsError,
)
from proxyspex_hf.record.json_reader import Reader
from proxyspex_hf.versions import __version__

DEFAULT_CONFIG = "explanations"
#: Files up to this size are downloaded and kept in the cache; of larger ones, ranges are read.
_WHOLE = 2 * 2**20
_MOST_README = 10 * 2**20
_CONFIG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}\.parquet")
#: Beyond these, git allows no branch or tag; of ".." a server would make another address.
_REVISION = re.compile(r"(?!.*\.\.)(?!\.$)[^\x00-\x20\x7f~^:?*\[\\]+")
#: As a header can carry it.
_TOKEN = re.compile(r"[!-~]+")
#: What helps where the index is wrong.
ANEW = "It follows from the other files: delete it on the Hub, and the next push makes it anew."
#: Folders and files of a repository that hold something else.
_TAKEN = ("queries", "index", "README.md")


def check_place(repo_id: str, config: str, revision: str | None) -> None:
    """Find out before anything is computed or asked whether there can be such a place.

    Raises:
        InputError: there cannot.
    """
    if not isinstance(repo_id, str) or repo_id.count("/") != 1:
        raise InputError(f"repo_id must be 'owner/name', got {quoted(repo_id)}.")
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise InputError(
            f"repo_id={quoted(repo_id)} is not a name on the Hub: each side of the slash has up to "
            "96 letters, digits, '-', '_' and '.', without '--' or '..'; neither begins or ends "
            "with '-' or '.', and the name does not end with '.git'."
        ) from error
    check_config(config)
    named = revision is None or (isinstance(revision, str) and _REVISION.fullmatch(revision))
    if not named:
        raise InputError(
            f"revision must be a branch, tag or commit, or None for main; got {quoted(revision)}."
        )


def check_config(name: str) -> None:
    """Find out whether a collection may be called that.

    Raises:
        InputError: it may not.
    """
    taken = name in _TAKEN or str(name).endswith("_queries")
    if not isinstance(name, str) or not _CONFIG.fullmatch(name) or taken:
        raise InputError(
            "config_name must be letters, digits, '_', '.' and '-', at most 64, the first a letter "
            f"or digit, not {', '.join(map(repr, _TAKEN))}, and not end with '_queries'; got "
            f"{quoted(name)}."
        )


def queries_config(config: str) -> str:
    """The configuration with the queries that belong to ``config``."""
    return "queries" if config == DEFAULT_CONFIG else f"{config}_queries"


def paths_of(config: str, file: str) -> tuple[str, str]:
    """Where a file of explanations and its twin of queries lie in the repository."""
    return f"{config}/{file}", f"{queries_config(config)}/{file}"


def hub_api(token: str | bool | None) -> HfApi:
    """The Hub's client, as this package.

    Raises:
        InputError: a token that none can be, which the message does not tell.
    """
    if token is not None and not isinstance(token, bool):
        if not isinstance(token, str):
            raise InputError(
                f"token must be a text, True, False or None, got {type(token).__name__}."
            )
        if not _TOKEN.fullmatch(token):
            held = "has spaces, line breaks or letters that none has" if token else "is empty"
            raise InputError(
                f"the token {held}. Pass it as the Hub shows it, or leave token= out to use that "
                "of `hf auth login` or HF_TOKEN."
            )
    return HfApi(token=token, library_name="proxyspex_hf", library_version=__version__)


class Snapshot:
    """A repository as it was at one commit. Paths come from the Hub's own list of files, never
    from what a file says.

    Attributes:
        sha: the commit.
        sizes: bytes of each file, by path.
    """

    def __init__(self, api: HfApi, repo_id: str, revision: str | None) -> None:
        self._api = api
        self.repo_id = repo_id
        info = api.repo_info(repo_id, repo_type="dataset", revision=revision)
        self.private = bool(info.private)
        self.sha = str(info.sha)
        tree = api.list_repo_tree(repo_id, repo_type="dataset", revision=self.sha, recursive=True)
        self.sizes = {item.path: int(item.size) for item in tree if isinstance(item, RepoFile)}

    def files(self, config: str) -> list[str]:
        """Names of the Parquet files of a collection that have their twin of queries."""
        folder = f"{config}/"
        names = [path[len(folder) :] for path in self.sizes if path.startswith(folder)]
        return sorted(
            name
            for name in names
            if _FILE.fullmatch(name) and paths_of(config, name)[1] in self.sizes
        )

    def configs(self) -> list[str]:
        """The collections in the repository."""
        found = {
            config
            for path in self.sizes
            if (config := path.split("/")[0]) not in ("queries", "index")
            and "/" in path
            and _CONFIG.fullmatch(config)
            and not config.endswith("_queries")
        }
        return sorted(config for config in found if self.files(config))

    def download(self, path: str) -> Path:
        """The file in the local cache."""
        return Path(
            self._api.hf_hub_download(self.repo_id, path, repo_type="dataset", revision=self.sha)
        )

    @contextmanager
    def table(
        self,
        path: str,
        columns: tuple[Column, ...],
        *,
        whole: bool = False,
        allowance: Allowance | None = None,
    ) -> Iterator[Table]:
        """Read a Parquet file; of a large one, only the ranges that are needed.

        Args:
            whole: all of it is needed, so download it.
            allowance: what may still be read of several files.

        Raises:
            SchemaError: it is not a Parquet file of such columns.
        """
        if whole or self.sizes[path] <= _WHOLE:
            yield Table(self.download(path), columns, path, allowance)
            return
        files = HfFileSystem(
            endpoint=self._api.endpoint, token=self._api.token, skip_instance_cache=True
        )
        place = f"datasets/{self.repo_id}@{self.sha}/{path}"
        with files.open(place, "rb", cache_type="none") as stream:
            yield Table(cast(BinaryIO, stream), columns, path, allowance)

    def readme(self) -> str | None:
        """The card, None if there is none.

        Raises:
            SchemaError: it is not a text, or larger than any card.
        """
        if "README.md" not in self.sizes:
            return None
        if self.sizes["README.md"] > _MOST_README:
            raise SchemaError(f"README.md of {self.repo_id} is larger than {_MOST_README} bytes.")
        try:
            # Not as text: its line endings stay what they are.
            return self.download("README.md").read_bytes().decode("utf-8")
        except UnicodeDecodeError as error:
            raise SchemaError(f"README.md of {self.repo_id} is not UTF-8: {error}.") from error

    def entries(self, config: str, allowance: Allowance | None = None) -> list[HubEntry]:
        """Every explanation of a collection, the newest first.

        Taken from the index; what stands in no index is gathered from the files themselves, so a
        repository without one, or one that was changed by hand, is listed all the same.

        Args:
            allowance: what may be read; default as much as gathers what pushes of one explanation
                each have left.

        Raises:
            SchemaError: a file is not a table of explanations, or there are too many.
        """
        files = set(self.files(config))
        found: dict[str, HubEntry] = {}
        allowance = allowance or Allowance.gathering()
        index = index_path(config)
        if files and index in self.sizes:
            for entry in self._index(index, files, allowance):
                found.setdefault(entry.id, entry)
        listed = {entry.file for entry in found.values()}
        for file in sorted(files - listed):
            path = paths_of(config, file)[0]
            with self.table(path, LISTED_COLUMNS, allowance=allowance) as table:
                if len(found) + len(table) > MAX_ROWS:
                    raise SchemaError(self._too_many(config))
                for position, row in enumerate(table.rows()):
                    entry = HubEntry.from_row(row, file, position)
                    found.setdefault(entry.id, entry)
        return newest_first(found.values())

    def _index(self, path: str, files: set[str], allowance: Allowance) -> Iterator[HubEntry]:
        """What the index says of ``files``."""
        try:
            with self.table(path, INDEX, allowance=allowance) as table:
                for row in table.rows():
                    # A list cannot be looked up in a set.
                    if str(row.get("file")) in files:
                        position = Reader(row, "").integer("row", 0, 10**9)
                        yield HubEntry.from_row(row, str(row["file"]), position)
        except TooManyRowsError as error:
            raise SchemaError(
                self._too_many(path.split("/")[1].removesuffix(".parquet"))
            ) from error
        except SchemaError as error:
            said = str(error) if path in str(error) else f"{path}: {error}"
            raise SchemaError(f"{said} {ANEW}") from error

    def _too_many(self, config: str) -> str:
        return (
            f"{self.repo_id} has more than {MAX_ROWS:,} explanations in {config!r}, which is as "
            "many as are read of one collection. Push others with another config_name=; these are "
            f"read again once some of the files of {config}/, and those of the same names in "
            f"{queries_config(config)}/, lie in the folders of another collection and "
            f"{index_path(config)} is deleted."
        )


def index_path(config: str) -> str:
    """Where the index of a collection lies."""
    return f"index/{config}.parquet"


def newest_first(entries: Iterable[HubEntry]) -> list[HubEntry]:
    """In the order of a listing."""
    return sorted(entries, key=lambda entry: (entry.created, entry.id), reverse=True)
