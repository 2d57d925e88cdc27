"""What is to be pushed, on disk before the first byte leaves: nothing computed is lost.

A folder with the repository's own layout, so what could not be sent is read and sent again as it
is. It lies in the Hub's home (``HF_HOME``) and is removed when the push has succeeded.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
from huggingface_hub import constants

from proxyspex_hf.errors import HubError, InputError
from proxyspex_hf.hub.entries import HubEntry
from proxyspex_hf.hub.repository import paths_of
from proxyspex_hf.hub.rows import record_from_rows, rows_of
from proxyspex_hf.hub.schema import EXPLANATIONS, QUERIES
from proxyspex_hf.hub.tables import Table, batch_of, pairs, write_table
from proxyspex_hf.progress_bar import hub_bar
from proxyspex_hf.record.record import ExplanationRecord

#: Explanations in one file; a reader who wants one does not pay for more.
_MOST_IN_A_FILE = 1000


@dataclass(frozen=True)
class Packed:
    """One explanation as the rows that will be stored, and how a listing shows it."""

    record: ExplanationRecord
    entry: HubEntry
    explanation: pa.RecordBatch
    queries: pa.RecordBatch


def pack(records: Sequence[ExplanationRecord]) -> tuple[Packed, ...]:
    """The records as rows, in their order.

    Raises:
        InputError: a value that no column can hold.
        SchemaError: a record that could not be read back.
    """
    out: list[Packed] = []
    with hub_bar(len(records), "packing") as bar:
        for record in records:
            row, queries = rows_of(record)
            entry = HubEntry.from_row(row, "", 0)
            out.append(
                Packed(record, entry, batch_of(row, EXPLANATIONS), batch_of(queries, QUERIES))
            )
            bar.update()
    return tuple(out)


def write_files(folder: Path, config: str, packed: Sequence[Packed]) -> list[HubEntry]:
    """Write the rows under ``folder`` as they will lie in the repository, each id once.

    Returns:
        What was written, with the names of the files.
    """
    by_id = {item.entry.id: item for item in packed}
    rows = [by_id[identity] for identity in sorted(by_id)]
    written: list[HubEntry] = []
    for start in range(0, len(rows), _MOST_IN_A_FILE):
        part = rows[start : start + _MOST_IN_A_FILE]
        # The name follows from the ids: sent twice, the same rows are the same file.
        name = f"{_digest(part)}.parquet"
        places = [folder / path for path in paths_of(config, name)]
        for place in places:
            place.parent.mkdir(parents=True, exist_ok=True)
        write_table(places[0], [item.explanation for item in part])
        write_table(places[1], [item.queries for item in part])
        written += [replace(item.entry, file=name, row=i) for i, item in enumerate(part)]
    return written


def _digest(packed: Sequence[Packed]) -> str:
    ids = sorted({item.entry.id for item in packed})
    return hashlib.sha256("".join(ids).encode()).hexdigest()[:16]


class Outbox:
    """The files of one push.

    Attributes:
        folder: where they lie while they are sent.
        entries: what they hold.

    Raises:
        HubError: the disk is full or cannot be written.
    """

    def __init__(self, packed: Sequence[Packed], config: str) -> None:
        # The same explanations wait in the same place, however often they are tried; while they
        # are sent, in one of their own, since somebody else may be sending them, too.
        self._kept = outbox_home() / f"{config}-{_digest(packed)}"
        self.folder = self._kept.with_name(f"{self._kept.name}.sending-{uuid4().hex[:8]}")
        try:
            self.entries = write_files(self.folder, config, packed)
        except BaseException as error:
            shutil.rmtree(self.folder, ignore_errors=True)
            if not isinstance(error, OSError):
                raise
            raise HubError(
                f"cannot write {self.folder}: {error.strerror or error}. Nothing was pushed, the "
                "explanations are still in memory: free some space, or set HF_HOME to a directory "
                "on another disk, and push again."
            ) from error

    def keep(self) -> Path:
        """Leave the files for another push; gives the folder."""
        with suppress(OSError):  # it waits there already, or stays where it is
            self.folder.rename(self._kept)
        if self._kept.is_dir() and self.folder.is_dir():
            shutil.rmtree(self.folder, ignore_errors=True)
        return self._kept if self._kept.is_dir() else self.folder

    def discard(self) -> None:
        """Delete the files of this push alone."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def remove(self) -> None:
        """Delete the files, those of an earlier try included; what cannot be deleted stays."""
        for folder in (self.folder, self._kept):
            shutil.rmtree(folder, ignore_errors=True)


def outbox_home() -> Path:
    """Where what is to be pushed lies."""
    return Path(constants.HF_HOME) / "proxyspex_hf" / "outbox"


def read_folder(folder: str | Path) -> Iterator[tuple[str, ExplanationRecord]]:
    """The explanations of a folder with a repository's layout, such as an outbox, each with the
    name of its collection.

    Raises:
        InputError: no such folder, or nothing in it.
        SchemaError: a file is damaged.
    """
    places = sorted(Path(folder).glob("*/*.parquet"))
    found = False
    for place in places:
        config = place.parent.name
        if config in ("queries", "index") or config.endswith("_queries"):
            continue
        twin = Path(folder) / paths_of(config, place.name)[1]
        if not twin.is_file():
            continue
        found = True
        table = Table(place, EXPLANATIONS, str(place))
        for row, asked in pairs(table, Table(twin, QUERIES, str(twin))):
            yield config, record_from_rows(row, asked)
    if not found:
        raise InputError(f"there are no explanations in {folder}.")
