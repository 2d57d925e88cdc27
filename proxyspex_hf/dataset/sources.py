"""The rows of a data set, one after the other, whatever holds them."""

from __future__ import annotations

import codecs
import errno
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
from PIL import Image

from proxyspex_hf.checks import quoted
from proxyspex_hf.errors import InputError
from proxyspex_hf.hf.failures import first_line, is_transient

_Item = TypeVar("_Item")
#: Rows of a Parquet file that are in memory at a time: convention.
_READ_AT_ONCE = 256
#: Characters of one line of JSON: what one row of a data set has, pictures included. Convention.
_LONGEST_LINE = 64 * 2**20
_JSON_ENDS = (".jsonl", ".ndjson", ".json")
#: How the names of files end that are read.
FILE_ENDS = (".parquet", *_JSON_ENDS)
#: Rows at the beginning of which one must have the columns: else these are misspelled. Convention.
_FIRST = 8
#: Formats of a data set that give tables for rows.
_TABLES = ("arrow", "pandas", "polars")
#: What decoders of pictures and sounds raise where there is none.
_UNREADABLE = (ValueError, SyntaxError, RuntimeError, OSError, Image.DecompressionBombError)


@dataclass(frozen=True)
class Row:
    """One row: where it stands, and its input, or what is wrong with it."""

    number: int
    value: Any = None
    error: str | None = None


@dataclass(frozen=True)
class Columns:
    """Which columns make an input: one, or several by the name that the task gives them.

    Raises:
        InputError: no name, or no names.
    """

    named: str | Mapping[str, str]

    def __post_init__(self) -> None:
        names = self.names
        if not names or not all(isinstance(name, str) and name for name in names):
            raise InputError(
                "column must be the name of a column, or a mapping such as {'context': 'story', "
                f"'question': 'query'}}; got {quoted(self.named)}."
            )

    @property
    def names(self) -> list[str]:
        """The columns, in order."""
        if isinstance(self.named, Mapping):
            return list(self.named.values())
        return [self.named]

    def input_of(self, number: int, row: Mapping[str, Any]) -> Row:
        """The input of one row."""
        missing = [name for name in self.names if name not in row]
        if missing:
            return Row(number, error=f"the row has no column {missing[0]!r}.")
        if isinstance(self.named, Mapping):
            return Row(number, {key: _as_lists(row[name]) for key, name in self.named.items()})
        return Row(number, _as_lists(row[self.named]))

    def check(self, known: Iterable[str] | None) -> None:
        """Refuse columns that a data set does not have.

        Raises:
            InputError: one of them.
        """
        if known is None:
            return
        known = [str(name) for name in known]
        for name in self.names:
            if name not in known:
                listed = ", ".join(map(repr, known[:12]))
                raise InputError(f"the data set has no column {name!r}; it has {listed}.")
            if known.count(name) > 1:
                raise InputError(f"the data set has {known.count(name)} columns named {name!r}.")


def opened(dataset: Any) -> Any:
    """A data set as something to go through: a path is opened, anything else is what it is.

    Raises:
        InputError: a path to nothing that can be read.
    """
    if not isinstance(dataset, (str, Path)):
        return dataset
    place = Path(dataset)
    if place.is_dir():
        tables = sorted(place.glob("*.parquet"))
        lines = sorted(each for end in _JSON_ENDS[:2] for each in place.glob(f"*{end}"))
        if tables and lines:
            raise InputError(
                f"{quoted(str(dataset))} holds Parquet ({tables[0].name}) and JSON Lines "
                f"({lines[0].name}): give one of the files, or a folder with files of one kind."
            )
        files = tables or lines
    else:
        files = [place] if place.is_file() else []
    if not files and place.suffix in FILE_ENDS and not place.exists():
        raise InputError(f"no such file: {quoted(str(dataset))}.")
    if not files:
        raise InputError(
            f"{quoted(str(dataset))} is not a file or folder with Parquet or JSON Lines: give one, "
            "or a data set that datasets.load_dataset has loaded."
        )
    for file in files:
        if file.suffix not in FILE_ENDS:
            raise InputError(f"{file.name} is neither .parquet nor JSON Lines (.jsonl, .ndjson).")
    return files


def length_of(dataset: Any) -> int:
    """How many rows there are; 0 where that is not known before they are read."""
    if isinstance(dataset, list) and dataset and all(isinstance(each, Path) for each in dataset):
        return sum(map(_length_of_file, dataset))
    try:
        return len(dataset)
    except (TypeError, AttributeError):  # the latter is Ray's
        return 0


def _length_of_file(file: Path) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if file.suffix == ".parquet":
            return int(pq.read_metadata(file).num_rows)
        with file.open("rb") as lines:
            return sum(
                bool(line.strip()) for line in iter(lambda: lines.readline(_LONGEST_LINE), b"")
            )
    except (pa.ArrowException, OSError):
        return 0  # told where it is read


def rows_of(dataset: Any, columns: Columns) -> Iterator[Row]:
    """The inputs of all rows, in order.

    Args:
        dataset: a ``datasets.Dataset`` or ``IterableDataset``, a Ray data set, rows (mappings) of
            any iterable, or what :func:`opened` has made of a path.

    Raises:
        InputError: no such thing, or a column that it does not have.
    """
    if isinstance(dataset, list) and dataset and all(isinstance(each, Path) for each in dataset):
        return _numbered(_of_files(dataset, columns), columns)
    if hasattr(dataset, "iter_rows"):  # Ray
        return _numbered(dataset.iter_rows(), columns)
    if isinstance(dataset, Mapping) or not hasattr(dataset, "__iter__"):
        hint = " Choose one of its splits." if isinstance(dataset, Mapping) else ""
        raise InputError(
            "dataset must be a datasets.Dataset, a Ray data set, rows, or a path to Parquet or "
            f"JSON Lines; got {quoted(dataset)}.{hint}"
        )
    if hasattr(dataset, "columns") and hasattr(dataset, "shape"):
        raise InputError(
            f"a {type(dataset).__name__} gives columns, not rows: give "
            "datasets.Dataset.from_pandas(table), or the rows as a list of mappings."
        )
    names = getattr(dataset, "column_names", None)
    columns.check(names)
    loaded = sys.modules.get("datasets")
    if loaded is None or not isinstance(dataset, (loaded.Dataset, loaded.IterableDataset)):
        return _numbered(dataset, columns)
    if names:  # of a stream they are not always known
        dataset = dataset.select_columns(list(dict.fromkeys(columns.names)))
    if isinstance(dataset, loaded.IterableDataset):
        return _numbered(_streamed(dataset.with_format(None)), columns)
    if dataset.format["type"] in _TABLES:
        dataset = dataset.with_format(None)
    return _numbered(_one_by_one(dataset), columns)


def begun(rows: Iterator[Row]) -> Iterator[Row]:
    """The same rows, the first of which is read by now: what is wrong with their source or its
    columns has been raised.

    Raises:
        InputError: as :func:`rows_of`.
    """
    return chain(list(islice(rows, 1)), rows)


def _one_by_one(dataset: Any) -> Iterator[Any]:
    """The rows of a ``datasets.Dataset``. One that cannot be decoded ends its own iterator, so each
    is asked for by its place."""
    for place in range(len(dataset)):
        try:
            yield dataset[place]
        except _UNREADABLE as error:
            yield _unreadable(error)


def _streamed(dataset: Any) -> Iterator[Any]:
    """The rows of a ``datasets.IterableDataset``. One that cannot be decoded ends its iterator,
    too, so each is decoded here, where its features say how."""
    features = dataset.features
    for row in dataset if features is None else dataset.decode(enable=False):
        try:
            yield row if features is None else features.decode_example(row)
        except _UNREADABLE as error:
            yield _unreadable(error)


def _unreadable(error: BaseException) -> Row:
    """A row that cannot be read; where that is the disk's or the network's fault, its error is
    raised."""
    known = getattr(error, "errno", None) in (None, errno.ENOENT)
    if not known or is_transient(error, None):
        raise error
    return Row(0, error=f"the row cannot be read: {type(error).__name__}: {_said(error)}.")


def _said(error: BaseException) -> str:
    # Pillow names the buffer, which lies elsewhere each time: the same error is the same text.
    return re.sub(r" at 0x[0-9a-fA-F]+", "", first_line(error)).rstrip(".")


def _as_lists(value: Any) -> Any:
    """A value with its lists as lists, which Ray gives as arrays of objects. Arrays of numbers,
    such as sounds, stay what they are."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "OUT":
        return [_as_lists(entry) for entry in value.tolist()]
    if isinstance(value, dict):
        return {name: _as_lists(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_as_lists(entry) for entry in value)
    return str(value) if isinstance(value, np.str_) else value


def _numbered(rows: Iterable[Any], columns: Columns) -> Iterator[Row]:
    source = iter(rows)
    first, failed = taken(source, _FIRST)
    _check_first(first, columns)
    for number, row in enumerate(chain(first, _raising(failed), source)):
        if isinstance(row, Row):
            yield Row(number, row.value, row.error)
        elif isinstance(row, Mapping):
            yield columns.input_of(number, row)
        else:
            yield Row(number, error=f"the row is a {type(row).__name__}, no mapping of columns.")


def taken(source: Iterator[_Item], count: int) -> tuple[list[_Item], Exception | None]:
    """The next items, at most ``count``, and what ended them if it was an error: those before it
    are not lost."""
    items: list[_Item] = []
    try:
        items.extend(islice(source, count))
    except Exception as error:  # noqa: BLE001 - raised by whoever has used the items
        return items, error
    return items, None


def _raising(error: Exception | None) -> Iterator[Any]:
    if error is not None:
        raise error
    yield from ()


def _check_first(rows: Sequence[Any], columns: Columns) -> None:
    """Refuse columns that none of the first rows has, before each row is told so.

    Raises:
        InputError: one of them.
    """
    with_columns = [row for row in rows if isinstance(row, Mapping)]
    known = list(dict.fromkeys(name for row in with_columns for name in row))
    if known:
        columns.check(known)


def _of_files(files: Iterable[Path], columns: Columns) -> Iterator[Any]:
    for file in files:
        if file.suffix == ".parquet":
            yield from _of_parquet(file, columns)
        else:
            yield from _of_json_lines(file)


def _of_parquet(file: Path, columns: Columns) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as table:
            columns.check(table.schema_arrow.names)
            wanted = list(dict.fromkeys(columns.names))
            for batch in table.iter_batches(batch_size=_READ_AT_ONCE, columns=wanted):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"cannot read {file}: {str(error).splitlines()[0][:200]}") from error


def _of_json_lines(file: Path) -> Iterator[Any]:
    from proxyspex_hf.errors import SchemaError
    from proxyspex_hf.record.json_reader import parsed

    try:
        with file.open("rb") as lines:
            _check_beginning(file.name, lines)
            lines.seek(0)
            if lines.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
                lines.seek(0)
            while line := lines.readline(_LONGEST_LINE + 1):
                if len(line) > _LONGEST_LINE:
                    raise InputError(
                        f"{file} has a line of more than {_LONGEST_LINE >> 20} MB: it is not JSON "
                        "Lines."
                    )
                if not line.strip():
                    continue
                try:
                    yield parsed(line, "the line is not JSON")
                except SchemaError as error:
                    yield Row(0, error=str(error))
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror or error}.") from error


def _check_beginning(name: str, lines: BinaryIO) -> None:
    """Refuse JSON that is not in lines, and lines in another encoding, by how the file begins."""
    pieces = iter(lambda: lines.readline(_LONGEST_LINE + 1).removeprefix(codecs.BOM_UTF8), b"")
    line = next((piece for piece in pieces if piece.strip()), b"")
    if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InputError(f"{name} is encoded in UTF-16: JSON Lines are in UTF-8.")
    begins = line.strip()
    if begins.startswith(b"[") or begins == b"{":
        what = "list" if begins.startswith(b"[") else "object over several lines"
        raise InputError(
            f"{name} holds one JSON {what}, not JSON Lines (one object a line): give "
            "datasets.load_dataset('json', data_files=...), which reads both."
        )
