"""Parquet files: written so that one row can be read alone, read as the strangers' files they are.

Rows stand in row groups of about a megabyte, and the index says where: one row costs the footer and
one group. Reading checks types and sizes before it decodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from proxyspex_hf.errors import InputError, SchemaError
from proxyspex_hf.hub.rows import Row
from proxyspex_hf.hub.schema import Column, arrow_schema

__all__ = ["Table", "batch_of", "write_table"]

GROUP_BYTES = 2**20
#: A stranger's file may have at most …
MAX_ROWS = 1_000_000
MAX_GROUP_BYTES = 512 * 2**20
MAX_FOOTER_TEXT = 64 * 2**20
_ROWS_AT_ONCE = 32


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
    """Write one file of rows that are already in the order of their ids."""
    schema = batches[0].schema
    # Numbers of single precision leave four empty bytes in eight: split apart, they compress away.
    split = {n: "BYTE_STREAM_SPLIT" for n in ("values.list.element",) if "values" in schema.names}
    options: dict[str, Any] = {
        "compression": "zstd",
        "write_statistics": False,
        "use_dictionary": not split,
        "column_encoding": split or None,
    }
    with pq.ParquetWriter(path, schema, **options) as writer:
        for group in _groups(batches):
            writer.write_table(pa.Table.from_batches(group), row_group_size=len(group))


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


class Table:
    """One Parquet file of strangers' rows.

    Args:
        source: a path, or a seekable file; of a remote one only what is needed is read.
        columns: those to read; others are ignored.
        name: how messages call the file.

    Raises:
        SchemaError: not Parquet, a column of another type, or larger than any explanation can be.
    """

    def __init__(self, source: Path | BinaryIO, columns: tuple[Column, ...], name: str) -> None:
        self.name = name
        with self._decoding():
            self._file = pq.ParquetFile(
                source,
                pre_buffer=True,
                thrift_string_size_limit=MAX_FOOTER_TEXT,
                thrift_container_size_limit=10_000_000,
            )
            schema = self._file.schema_arrow
            self._file = self._with_texts_as_stored(source)
        if self._file.metadata.num_rows > MAX_ROWS:
            raise SchemaError(f"{name} has more than {MAX_ROWS} rows.")
        self._columns = []
        for column in columns:
            places = schema.get_all_field_indices(column.name)
            if len(places) > 1:
                raise SchemaError(f"{name} has the column {column.name} more than once.")
            if places:  # what is missing is told by the validation of the rows
                _check_type(schema.field(places[0]).type, column.type, f"{name}: {column.name}")
                self._columns.append(column.name)
        if "id" not in self._columns:
            raise SchemaError(f"{name} has no column 'id'.")

    def _with_texts_as_stored(self, source: Path | BinaryIO) -> pq.ParquetFile:
        """The file, read so that a text that repeats stays one text until it is measured."""
        metadata = self._file.metadata
        leaves = [metadata.schema.column(i) for i in range(metadata.num_columns)]
        texts = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
        return pq.ParquetFile(source, metadata=metadata, read_dictionary=texts, pre_buffer=True)

    def __len__(self) -> int:
        return int(self._file.metadata.num_rows)

    def rows(self) -> Iterator[Row]:
        """Every row, a few in memory at a time."""
        for group in range(self._file.metadata.num_row_groups):
            yield from self._group(group)

    def row(self, identity: str, position: int) -> Row:
        """The row of one id.

        Args:
            position: where it should be. Only its row group is read if it is there, else all.

        Raises:
            SchemaError: it is not there, or the file is damaged.
        """
        likely = self._group_at(position)
        groups = range(self._file.metadata.num_row_groups)
        for group in sorted(groups, key=lambda group: group != likely):
            for row in self._group(group):
                if row["id"] == identity:
                    return row
        raise SchemaError(f"{self.name} does not hold {identity}.")

    def _group_at(self, position: int) -> int:
        """The row group that holds a row; the last one beyond the end."""
        group = 0
        for group in range(self._file.metadata.num_row_groups):
            position -= self._file.metadata.row_group(group).num_rows
            if position < 0:
                break
        return group

    def _group(self, group: int) -> Iterator[Row]:
        # Not more closely than by groups: Arrow ends the process over some damaged columns when
        # it is asked about them, though not when it reads them.
        size = self._file.metadata.row_group(group).total_byte_size
        if size > MAX_GROUP_BYTES:
            raise SchemaError(
                f"{self.name} has a row group of {size} bytes; at most {MAX_GROUP_BYTES} are read."
            )
        with self._decoding():
            batches = self._file.iter_batches(
                _ROWS_AT_ONCE, row_groups=[group], columns=self._columns, use_threads=False
            )
        for _ in count():
            with self._decoding():
                batch = next(batches, None)
                size = 0 if batch is None else sum(map(_text_bytes, batch.columns))
            if batch is None:
                return
            if size > MAX_GROUP_BYTES:
                raise SchemaError(
                    f"{self.name} has {size} bytes of text in {len(batch)} rows; at most "
                    f"{MAX_GROUP_BYTES} are read."
                )
            with self._decoding():
                rows = batch.to_pylist()
            yield from rows

    @contextmanager
    def _decoding(self) -> Iterator[None]:
        """Every way in which Arrow says that a file is damaged, as one error of our own."""
        try:
            yield
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
            raise SchemaError(f"{self.name} is damaged or no Parquet file: {error}") from error
        except OSError as error:
            # Arrow's own have neither a number nor a type; others come from the disk or the net.
            if type(error) is not OSError or error.errno is not None:
                raise
            raise SchemaError(f"{self.name} is damaged: {error}") from error


def _text_bytes(array: pa.Array) -> int:
    """Bytes of all texts in ``array`` once each stands for itself: a small file can repeat a long
    one a million times."""
    if pa.types.is_dictionary(array.type):
        lengths = pc.take(pc.binary_length(array.dictionary), array.indices.drop_null())
        return int(pc.sum(lengths).as_py() or 0)
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        return _text_bytes(array.flatten())
    if pa.types.is_struct(array.type):
        return sum(map(_text_bytes, array.flatten()))
    return 0


def _check_type(found: pa.DataType, expected: pa.DataType, where: str) -> None:
    if not _fits(found, expected):
        raise SchemaError(f"{where} has the type {found}, expected {expected}.")


def _fits(found: pa.DataType, expected: pa.DataType) -> bool:
    """Whether ``found`` holds the same kind of values, whatever the width of its numbers."""
    kinds = pa.types
    if kinds.is_null(found):
        return True
    if kinds.is_list(expected):
        nested = kinds.is_list(found) or kinds.is_large_list(found)
        return nested and _fits(found.value_type, expected.value_type)
    if kinds.is_struct(expected):
        return kinds.is_struct(found) and all(
            len(found.get_all_field_indices(part.name)) == 1
            and _fits(found.field(part.name).type, part.type)
            for part in expected
        )
    if kinds.is_string(expected):
        return bool(kinds.is_string(found) or kinds.is_large_string(found))
    if kinds.is_binary(expected):
        return bool(kinds.is_binary(found) or kinds.is_large_binary(found))
    if kinds.is_integer(expected):
        return bool(kinds.is_integer(found))
    return bool(kinds.is_floating(found))
