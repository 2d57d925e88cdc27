"""The rows of a data set, one after the other, whatever holds them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from proxyspex_hf.checks import quoted
from proxyspex_hf.errors import InputError

#: Rows of a Parquet file that are in memory at a time: convention.
_READ_AT_ONCE = 256
#: Characters of one line of JSON: what one row of a data set has, pictures included. Convention.
_LONGEST_LINE = 64 * 2**20
_JSON_ENDS = (".jsonl", ".ndjson", ".json")


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
        known = list(known)
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
        files = sorted(place.glob("*.parquet")) or sorted(place.glob("*.jsonl"))
    else:
        files = [place] if place.is_file() else []
    if not files:
        raise InputError(
            f"{quoted(str(dataset))} is not a file or folder with Parquet or JSON Lines: give one, "
            "or a data set that datasets.load_dataset has loaded."
        )
    for file in files:
        if file.suffix not in (".parquet", *_JSON_ENDS):
            raise InputError(f"{file.name} is neither .parquet nor JSON Lines (.jsonl, .ndjson).")
    return files


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
    columns.check(getattr(dataset, "column_names", None))
    if hasattr(dataset, "select_columns") and getattr(dataset, "column_names", None):
        dataset = dataset.select_columns(list(dict.fromkeys(columns.names)))
    return _numbered(dataset, columns)


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
    for number, row in enumerate(rows):
        if isinstance(row, Row):
            yield Row(number, row.value, row.error)
        elif isinstance(row, Mapping):
            yield columns.input_of(number, row)
        else:
            yield Row(number, error=f"the row is a {type(row).__name__}, no mapping of columns.")


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
            if lines.read(1) == b"[":
                raise InputError(
                    f"{file.name} holds one JSON list, not JSON Lines (one object a line): give "
                    "datasets.load_dataset('json', data_files=...), which reads both."
                )
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
