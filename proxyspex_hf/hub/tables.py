"""Parquet files: written so that one row can be read alone, read as the untrusted files they are.

Rows stand in row groups of about a megabyte, and the index says where: one row costs the footer and
one group. Reading checks types and sizes before it decodes (:mod:`.footer`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import accumulate, count
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from proxyspex_hf.errors import InputError, SchemaError
from proxyspex_hf.hub.arrow_schema import dictionary_columns
from proxyspex_hf.hub.arrow_values import fits, text_bytes, values_of, weight
from proxyspex_hf.hub.footer import Footer, Pages, TopColumn, assembled, pages_of
from proxyspex_hf.hub.ranges import footer_bytes, ranges
from proxyspex_hf.hub.rows import Row
from proxyspex_hf.hub.schema import Column, arrow_schema

GROUP_BYTES = 2**20
#: An untrusted file, or a listing, may have at most so many rows (a listing takes a second for
#: 15,000) …
MAX_ROWS = 50_000
#: … and a row group so many bytes, decompressed, and values in the columns that are read.
#: Arrow holds each byte about three times, and each value with its levels; the largest explanation
#: (:mod:`proxyspex_hf.record.serialize`) has its masks or its picture, and 2^18 combinations.
MAX_GROUP_BYTES = 48 * 2**20
MAX_GROUP_VALUES = 4_000_000
#: A row's values as Python objects, where a number counts once, a text twice, a list three times
#: and a structure eight times: by the 30 bytes that each takes.
MAX_ROW_VALUES = 4_000_000
#: Bytes of text that are read for one listing …
MAX_LISTED_BYTES = 2**29
#: … and row groups, which take 12 ms each, however little is in them: six seconds for a click …
MAX_LISTED_GROUPS = 512
#: … and two minutes where a collection without an index is gathered, or thousands are summarized.
#: Each push of one explanation makes a file with one; the Hub takes 10,000 files in a folder.
MAX_GATHERED_GROUPS = 10_000
_MOST_PAGES = 10_000
#: Parts of one column; ours have at most four.
_MOST_LEAVES = 64
_ROWS_AT_ONCE = 1024


def batch_of(row: Row, columns: tuple[Column, ...]) -> pa.RecordBatch:
    """One row in Arrow's compact form.

    Raises:
        InputError: a value that no column can hold, such as a text with half a character.
    """
    try:
        return pa.RecordBatch.from_pylist([row], schema=arrow_schema(columns))
    except (pa.ArrowException, OverflowError, UnicodeEncodeError) as error:
        raise InputError(f"the explanation cannot be stored as a row: {error}.") from error


def write_table(path: Path, batches: Sequence[pa.RecordBatch]) -> None:
    """Write one file of rows that are already in the order of their ids, whole or not at all: a
    folder with a piece of a file in it could not be read any more.

    Raises:
        OSError: the place cannot be written.
    """
    schema = batches[0].schema
    # Numbers of single precision leave four empty bytes in eight: split apart, they compress away.
    split = {n: "BYTE_STREAM_SPLIT" for n in ("values.list.element",) if "values" in schema.names}
    options: dict[str, Any] = {
        "compression": "zstd",
        "write_statistics": False,
        "use_dictionary": not split,
        "column_encoding": split or None,
    }
    temporary = path.with_name(f".{uuid4().hex}.part")
    try:
        with pq.ParquetWriter(temporary, schema, **options) as writer:
            for group in _groups(batches):
                writer.write_table(pa.Table.from_batches(group), row_group_size=len(group))
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _groups(batches: Iterable[pa.RecordBatch]) -> Iterator[list[pa.RecordBatch]]:
    group: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        group.append(batch)
        size += batch.nbytes
        if size >= GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


class TooManyRowsError(SchemaError):
    """A table is whole, but longer than any that is read."""


#: Row groups of one gathering; None is as many as there may be.
_gathered: ContextVar[int | None] = ContextVar("row groups of one gathering", default=None)


@contextmanager
def within_a_click() -> Iterator[None]:
    """Gather no more while inside than a click may take: where who asks is not who runs this."""
    token = _gathered.set(MAX_LISTED_GROUPS)
    try:
        yield
    finally:
        _gathered.reset(token)


class Allowance:
    """What may still be read for one listing. Of what was read, only the beginnings of texts stay
    in memory: this bounds the time.

    Args:
        left: bytes, decompressed, a text that repeats as often as it does.
        groups: row groups; default those of a click.
    """

    def __init__(self, left: int = MAX_LISTED_BYTES, groups: int | None = None) -> None:
        self._left, self._groups = left, MAX_LISTED_GROUPS if groups is None else groups

    @classmethod
    def gathering(cls) -> Allowance:
        """Of a collection without an index, or of a summary."""
        most = _gathered.get()
        return cls(groups=MAX_GATHERED_GROUPS if most is None else most)

    def spend(self, size: int, name: str) -> None:
        """Take ``size`` from it.

        Raises:
            SchemaError: it is used up.
        """
        self._left -= size
        if self._left < 0:
            raise SchemaError(f"{name} has more text than is read for a listing.")

    def enter(self, groups: int, name: str) -> None:
        """Take row groups from it.

        Raises:
            SchemaError: it is used up.
        """
        self._groups -= groups
        if self._groups < 0:
            raise SchemaError(f"{name} has more row groups than are read for a listing.")


class Table:
    """One Parquet file of untrusted rows.

    Args:
        source: a path, or a seekable file; of a remote one only what is needed is read.
        columns: those to read; others are ignored.
        name: how messages call the file.
        allowance: shared with other files; default one of its own, for columns of a listing.

    Raises:
        SchemaError: not Parquet, a column of another type, or larger than any explanation can be.
    """

    def __init__(
        self,
        source: str | Path | BinaryIO,
        columns: tuple[Column, ...],
        name: str,
        allowance: Allowance | None = None,
    ) -> None:
        self.name = name
        self._first = {column.name: column.first for column in columns if column.first}
        self._source = source
        if allowance is None and self._first:
            allowance = Allowance()
        self._allowance = allowance
        with self._decoding(), self._open() as stream:
            self._footer = Footer(footer_bytes(stream))
            note = self._footer.metadata.get(b"ARROW:schema")
            dictionaries = set() if note is None else dictionary_columns(note)
        if len(self) > MAX_ROWS:
            raise TooManyRowsError(f"{name} has more than {MAX_ROWS} rows.")
        self._columns: list[TopColumn] = []
        for column in columns:
            found = [top for top in self._footer.columns if top.name == column.name]
            if len(found) > 1:
                raise SchemaError(f"{name} has the column {column.name} more than once.")
            if not found:  # what is missing is told by the validation of the rows
                continue
            with self._decoding():
                if len(found[0].leaves) > _MOST_LEAVES:
                    raise SchemaError(f"the column {column.name} has {len(found[0].leaves)} parts")
                stored = _opened(assembled(found, 0, []), ()).schema_arrow.field(0).type
            if column.name in dictionaries:
                stored = pa.dictionary(pa.int32(), stored)
            _check_type(stored, column.type, f"{name}: {column.name}")
            self._columns.append(found[0])
        if not any(top.name == "id" for top in self._columns):
            raise SchemaError(f"{name} has no column 'id'.")

    def __len__(self) -> int:
        return sum(self._footer.rows)

    def rows(self) -> Iterator[Row]:
        """Every row, a few in memory at a time."""
        if self._allowance is not None:
            self._allowance.enter(len(self._footer.rows), self.name)
        for group in range(len(self._footer.rows)):
            for batch in self._batches(group, self._columns):
                yield from self._plain(batch)

    def row(self, identity: str, position: int) -> Row:
        """The row of one id.

        Args:
            position: where it should be. Only its row group is read if it is there, else all.

        Raises:
            SchemaError: it is not there, or the file is damaged.
        """
        likely = self._group_at(position)
        for group in sorted(range(len(self._footer.rows)), key=lambda group: group != likely):
            if group == likely or self._mentions(group, identity):
                for row in self._group(group):
                    if row.column("id")[0].as_py() == identity:
                        return next(self._plain(row))
        raise SchemaError(f"{self.name} does not hold {identity}.")

    def _group_at(self, position: int) -> int:
        """The row group that holds a row; the last one beyond the end."""
        rows = self._footer.rows
        return next((i for i, end in enumerate(accumulate(rows)) if position < end), len(rows) - 1)

    def _mentions(self, group: int, identity: str) -> bool:
        """Whether an id is in a row group, by that column alone."""
        only = [column for column in self._columns if column.name == "id"]
        return any(identity in batch.column(0).to_pylist() for batch in self._batches(group, only))

    def _group(self, group: int) -> Iterator[pa.RecordBatch]:
        """The rows of a row group, one by one and still in Arrow's form."""
        for batch in self._batches(group, self._columns):
            for place in range(len(batch)):
                yield batch.slice(place, 1)

    def _batches(self, group: int, columns: Sequence[TopColumn]) -> Iterator[pa.RecordBatch]:
        pages = self._pages(group, columns)
        size = sum(part.size for part in pages)
        if size > MAX_GROUP_BYTES:
            raise SchemaError(
                f"{self.name} has a row group of {size} bytes; at most {MAX_GROUP_BYTES} are read."
            )
        if self._allowance is not None:
            self._allowance.spend(size, self.name)
        values = sum(part.values for part in pages)
        if values > MAX_GROUP_VALUES:
            raise SchemaError(
                f"{self.name} has a row group of {values} values; at most {MAX_GROUP_VALUES} are "
                "read."
            )
        rows = self._footer.rows[group]
        # A text that repeats stays one text until it is measured.
        texts = [
            b".".join(part.chunk.leaf.path).decode(errors="replace")
            for part in pages
            if part.chunk.leaf.is_bytes and part.dictionary
        ]
        at_once = max(1, min(_ROWS_AT_ONCE, rows * MAX_ROW_VALUES // (8 * values + 1)))
        read = 0
        with self._decoding():
            file = _opened(assembled(columns, rows, pages), texts)
            batches = file.iter_batches(at_once, use_threads=False)
        del pages
        for _ in count():
            with self._decoding():
                batch = next(batches, None)
            if batch is None:
                break
            read += len(batch)
            yield batch
        if read != rows:
            raise SchemaError(f"{self.name} is damaged: a row group of {rows} rows has {read}.")

    def _pages(self, group: int, columns: Sequence[TopColumn]) -> list[Pages]:
        """What Arrow will be given of a row group, read in as few pieces as it lies in."""
        with self._decoding():
            chunks = self._footer.chunks(group, columns)
        stored = sum(chunk.stop - chunk.start for chunk in chunks)
        if stored > MAX_GROUP_BYTES:
            raise SchemaError(
                f"{self.name} has a row group of {stored} bytes; at most {MAX_GROUP_BYTES} are "
                "read."
            )
        out: list[Pages] = []
        left = _MOST_PAGES
        with self._decoding(), self._open() as stream:
            raw = ranges(stream, [(chunk.start, chunk.stop) for chunk in chunks])
            for chunk in chunks:
                out.append(pages_of(raw[chunk.start, chunk.stop], chunk, left))
                left -= out[-1].count
        return out

    def _plain(self, batch: pa.RecordBatch) -> Iterator[Row]:
        """Rows as Python has them; lists of numbers stay arrays."""
        with self._decoding():
            for name in self._first.keys() & set(batch.schema.names):
                place = batch.schema.get_field_index(name)
                short = pc.list_slice(batch.column(place), 0, self._first[name])
                batch = batch.set_column(place, name, short)
            size = sum(map(text_bytes, batch.columns))
            heavy = sum(map(weight, batch.columns)) > MAX_ROW_VALUES
        if self._allowance is not None:
            self._allowance.spend(size, self.name)
        if size > MAX_GROUP_BYTES or heavy:
            if len(batch) > 1:
                for place in range(len(batch)):
                    yield from self._plain(batch.slice(place, 1))
                return
            if size > MAX_GROUP_BYTES:
                raise SchemaError(
                    f"{self.name} has {size} bytes of text in 1 rows; at most {MAX_GROUP_BYTES} "
                    "are read."
                )
            raise SchemaError(
                f"{self.name} has more values in one row than any explanation ({MAX_ROW_VALUES})."
            )
        with self._decoding():
            names, columns = batch.schema.names, [values_of(column) for column in batch.columns]
        for values in zip(*columns, strict=True):
            yield dict(zip(names, values, strict=True))

    @contextmanager
    def _open(self) -> Iterator[BinaryIO]:
        if isinstance(self._source, (str, Path)):
            with Path(self._source).open("rb") as stream:
                yield stream
        else:
            yield self._source

    @contextmanager
    def _decoding(self) -> Iterator[None]:
        """Every way in which Arrow says that a file is damaged, as one error of our own."""
        try:
            yield
        except SchemaError as error:
            raise SchemaError(f"{self.name} is damaged or not a Parquet file: {error}.") from error
        except (
            pa.ArrowException,
            UnicodeDecodeError,
            OverflowError,
            MemoryError,
            IndexError,
            KeyError,
            TypeError,
            ValueError,
        ) as error:
            raise SchemaError(f"{self.name} is damaged or not a Parquet file: {error}") from error
        except OSError as error:
            # Arrow's own have neither a number nor a type; others come from the disk or the net.
            if type(error) is not OSError or error.errno is not None:
                raise
            raise SchemaError(f"{self.name} is damaged: {error}") from error


def pairs(table: Table, queries: Table) -> Iterator[tuple[Row, Row]]:
    """The rows of explanations beside those of their queries.

    Raises:
        SchemaError: there are more of one than of the other, or a file is damaged.
    """
    if len(table) != len(queries):
        raise SchemaError(f"{table.name} has {len(table)} rows, {queries.name} {len(queries)}.")
    yield from zip(table.rows(), queries.rows(), strict=True)


def _opened(content: bytes, texts: Sequence[str]) -> pq.ParquetFile:
    return pq.ParquetFile(pa.BufferReader(content), read_dictionary=list(texts))


def _check_type(found: pa.DataType, expected: pa.DataType, where: str) -> None:
    if not fits(found, expected):
        raise SchemaError(f"{where} has the type {found}, expected {expected}.")
