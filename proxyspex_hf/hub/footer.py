"""What a Parquet file says of itself, and a file that says only as much of it as was measured.

An untrusted footer may promise a billion values in a run of a few bytes, describe a page twice, or
carry a schema in which one text stands a million times. So Arrow gets none of it: the sizes of the
footer and of every page header are read here, and the pages of the wanted columns are put behind
headers and a footer of our own.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from proxyspex_hf.errors import SchemaError
from proxyspex_hf.hub.thrift import I64, PLACE, RAW, STRUCT, Each, ThriftReader, encoded

MAGIC = b"PAR1"
_MOST_ELEMENTS = 10_000
#: We write at most a thousand rows a file, and no row group without one.
_MOST_GROUPS = 1000
_DEEPEST = 16

_BYTE_ARRAY = 6
_REQUIRED, _OPTIONAL, _REPEATED = range(3)
_DATA, _INDEX, _DICTIONARY, _DATA_V2 = range(4)
#: By their numbers in the format, all that Arrow can undo but LZO.
_CODECS = {0: "none", 1: "snappy", 2: "gzip", 4: "brotli", 5: "lz4", 6: "zstd", 7: "lz4_raw"}
_PLAIN, _PLAIN_DICTIONARY, _RLE, _BIT_PACKED, _RLE_DICTIONARY, _SPLIT = 0, 2, 3, 4, 8, 9
#: In the others one byte can stand for any number of values, or a value for all before it.
_ENCODINGS = (_PLAIN, _PLAIN_DICTIONARY, _RLE_DICTIONARY, _SPLIT)

_SCHEMA = Each({1: None, 2: None, 3: None, 4: None, 5: None, 6: None, 7: None, 8: None, 10: RAW},
               _MOST_ELEMENTS)  # fmt: skip
_TOP = {2: _SCHEMA, 3: None, 4: Each({1: PLACE, 3: None}, _MOST_GROUPS), 5: Each({1: None, 2: None},
        1000)}  # fmt: skip
_HISTOGRAMS = {2: None, 3: None}
_META = {1: None, 4: None, 5: None, 6: None, 7: None, 9: None, 11: None, 16: _HISTOGRAMS}
_CHUNKS = Each({1: RAW, 3: _META, 8: RAW}, _MOST_ELEMENTS)
_PAGE = {1: None, 2: None, 3: None, 5: {1: None, 2: None, 3: None, 4: None}, 7: {1: None, 2: None},
         8: {1: None, 2: None, 3: None, 4: None, 5: None, 6: None, 7: None}}  # fmt: skip


@dataclass(frozen=True)
class Leaf:
    """A column as it is stored: one leaf of the schema.

    Attributes:
        index: which of the file's.
        path: names from the top.
        type: physical type, by its number in the format.
        levels: largest definition and repetition level.
        sound: everything on its path is required, optional or repeated.
    """

    index: int
    path: tuple[bytes, ...]
    type: int
    levels: tuple[int, int]
    sound: bool

    @property
    def is_bytes(self) -> bool:
        return self.type == _BYTE_ARRAY


@dataclass(frozen=True)
class TopColumn:
    """A column as a reader calls it, with what is below it."""

    name: str
    elements: tuple[tuple[int, bytes], ...]
    leaves: tuple[Leaf, ...]


@dataclass(frozen=True)
class Chunk:
    """Where a leaf's values of one row group lie."""

    leaf: Leaf
    codec: int
    values: int
    start: int
    stop: int


@dataclass(frozen=True)
class Pages:
    """The pages of a chunk behind our own headers.

    Attributes:
        content: the bytes, the dictionary first where there is one.
        size: bytes once they are decompressed.
        values: how many there are, those of the dictionary included.
        count: how many pages.
        dictionary: size of the dictionary's page in ``content``, 0 without one.
    """

    chunk: Chunk
    content: bytes
    size: int
    values: int
    count: int
    dictionary: int


class Footer:
    """The footer of an untrusted file.

    Attributes:
        columns: the top columns, in order.
        rows: of each row group.
        metadata: the file's own words, by key.

    Raises:
        SchemaError: it is not a footer, or one of more parts than any file of explanations has.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        top = ThriftReader(data).struct(_TOP)
        if not all(field in top for field in (2, 3, 4)):
            raise SchemaError("its footer lacks the schema or the row groups")
        self.columns = _columns(top[2])
        self._groups = top[4]
        self.rows = [_size(group.get(3), "rows of a row group") for group in self._groups]
        if sum(self.rows) != top[3]:
            raise SchemaError(f"it claims {_shown(top[3])} rows, its row groups {sum(self.rows)}")
        self.metadata = {
            pair[1]: pair[2]
            for pair in top.get(5, [])
            if isinstance(pair.get(1), bytes) and isinstance(pair.get(2), bytes)
        }
        self._leaves = sum(len(column.leaves) for column in self.columns)

    def chunks(self, group: int, columns: Sequence[TopColumn]) -> list[Chunk]:
        """Where the leaves of ``columns`` lie in a row group."""
        place = self._groups[group].get(1)
        if place is None:
            raise SchemaError("a row group has no columns")
        leaves = [leaf for column in columns for leaf in column.leaves]
        only = {leaf.index for leaf in leaves}
        found = ThriftReader(self._data, place).each(_CHUNKS, only=only)
        if len(found) != self._leaves:
            raise SchemaError(f"a row group has {len(found)} columns, the schema {self._leaves}")
        return [_chunk(leaf, found[leaf.index], self.rows[group]) for leaf in leaves]


def _columns(elements: list[dict[int, Any]]) -> list[TopColumn]:
    """The schema, which lies there as a list in the order of a walk from the top."""
    leaves: list[Leaf] = []

    def walk(
        position: int, path: tuple[bytes, ...], levels: tuple[int, int], *, sound: bool
    ) -> int:
        """Take the element at ``position`` and all below it; gives where the next one lies."""
        if position >= len(elements) or len(path) > _DEEPEST:
            raise SchemaError("its schema does not end")
        element = elements[position]
        name = element.get(4)
        if not isinstance(name, bytes):
            raise SchemaError("a column has no name")
        kind = element.get(3, _REQUIRED)
        levels = (levels[0] + (kind in (_OPTIONAL, _REPEATED)), levels[1] + (kind == _REPEATED))
        sound = sound and kind in (_REQUIRED, _OPTIONAL, _REPEATED)
        children = element.get(5)
        if children is None:
            leaves.append(Leaf(len(leaves), (*path, name), element.get(1, -1), levels, sound))
            return position + 1
        position += 1
        for _ in range(_size(children, "children")):
            position = walk(position, (*path, name), levels, sound=sound)
        return position

    if not elements:
        raise SchemaError("its schema is empty")
    out = []
    position = 1
    for _ in range(_size(elements[0].get(5, 0), "columns")):
        start, first = position, len(leaves)
        position = walk(position, (), (0, 0), sound=True)
        name = elements[start][4].decode("utf-8", errors="replace")
        below = tuple((STRUCT, encoded(element)) for element in elements[start:position])
        out.append(TopColumn(name, below, tuple(leaves[first:])))
    if position != len(elements):
        raise SchemaError("its schema has parts that belong to no column")
    return out


def _chunk(leaf: Leaf, found: dict[int, Any], rows: int) -> Chunk:
    meta = found.get(3)
    if meta is None or 1 in found or 8 in found:
        raise SchemaError("a column is encrypted, or lies in another file")
    if meta.get(1) != leaf.type or meta.get(4) not in _CODECS:
        raise SchemaError(
            "a column is of another type than the schema says, or in an unknown codec"
        )
    histograms = meta.get(16, {})
    for field, level in ((3, leaf.levels[0]), (2, leaf.levels[1])):
        if len(histograms.get(field) or ()) not in (0, level + 1):
            raise SchemaError("a column has a level histogram size mismatch")
    if not leaf.sound:
        raise SchemaError("a column is neither required nor optional nor repeated")
    values = _size(meta.get(5), "values of a column")
    if not leaf.levels[1] and values != rows:
        raise SchemaError(f"a column has {values} values in a row group of {rows} rows")
    start = _size(meta.get(9), "place of a column")
    if 0 < meta.get(11, 0) < start:
        start = meta[11]
    return Chunk(leaf, meta[4], values, start, start + _size(meta.get(7), "size of a column"))


def pages_of(raw: bytes, chunk: Chunk, most: int) -> Pages:
    """The chunk's bytes, each page behind a header that says what was checked and no more.

    Args:
        most: at most how many pages are read.

    Raises:
        SchemaError: they are damaged, or encoded in a way whose size cannot be foreseen.
    """
    out: list[bytes] = []
    position = seen = total = size = count = dictionary = 0
    while seen < chunk.values:
        count += 1
        if count > most:
            raise SchemaError(f"a row group has more than {most} pages")
        reader = ThriftReader(raw, position, values=1000)
        page = reader.struct(_PAGE)
        packed = _size(page.get(3), "bytes of a page")
        unpacked = _size(page.get(2), "bytes of a page")
        position = reader.position + packed
        if position > len(raw):
            raise SchemaError("a page extends beyond the end of its column")
        if page.get(1) == _INDEX:
            continue
        size += unpacked
        fields, values = _page(page, chunk, first=not out)
        total += values
        content = (
            encoded({1: page[1], 2: unpacked, 3: packed, **fields})
            + raw[position - packed : position]
        )
        if page[1] == _DICTIONARY:
            dictionary = len(content)
        else:
            seen += values
        out.append(content)
    if seen != chunk.values:
        raise SchemaError(f"a column has {seen} values, its footer says {chunk.values}")
    return Pages(chunk, b"".join(out), size, total, count, dictionary)


def _page(page: dict[int, Any], chunk: Chunk, *, first: bool) -> tuple[dict[int, Any], int]:
    """The part of a header that depends on its kind, and how many values the page has."""
    kind, unpacked = page.get(1), page[2]
    plain_size = chunk.codec == 0
    if kind == _DATA and 5 in page:
        head = page[5]
        levels = (head.get(3), head.get(4))
        if any(level not in (_RLE, _BIT_PACKED) for level in levels):
            raise SchemaError("a page has levels in an unknown encoding")
        values = _size(head.get(1), "values of a page")
        fields = {5: {1: values, 2: _encoding(head.get(2)), 3: levels[0], 4: levels[1]}}
    elif kind == _DATA_V2 and 8 in page:
        head = page[8]
        values, nulls, rows = (_size(head.get(i), "values of a page") for i in (1, 2, 3))
        lengths = [_size(head.get(i), "levels of a page") for i in (5, 6)]
        if sum(lengths) > min(unpacked, page[3]) or nulls > values or rows > values:
            raise SchemaError("a page has more levels, nulls or rows than it has room for")
        packed = head.get(7, True) is True
        plain_size = plain_size or not packed
        fields = {8: {1: values, 2: nulls, 3: rows, 4: _encoding(head.get(4)), 5: lengths[0],
                      6: lengths[1], 7: packed}}  # fmt: skip
    elif kind == _DICTIONARY and 7 in page:
        values = _size(page[7].get(1), "values of a dictionary")
        # Arrow makes room for as many as it says; each takes a byte at least.
        if not first or values > unpacked:
            raise SchemaError("a dictionary has more values than bytes, or is not the first page")
        if page[7].get(2) not in (_PLAIN, _PLAIN_DICTIONARY):
            raise SchemaError("a dictionary is in an unknown encoding")
        fields = {7: {1: values, 2: _PLAIN}}
    else:
        raise SchemaError("a page is of an unknown kind")
    if plain_size and page[3] != unpacked:
        raise SchemaError("a page that is not compressed has two sizes")
    return fields, values


def _encoding(found: Any) -> int:
    if found not in _ENCODINGS:
        raise SchemaError(
            f"a column has the encoding {_shown(found)}, whose size cannot be foreseen: write it "
            "plain or with a dictionary, as Arrow does by default"
        )
    return int(found)


def _size(value: Any, what: str) -> int:
    """A number that can be a size."""
    if type(value) is not int or not 0 <= value < 2**62:
        raise SchemaError(f"the {what} are {_shown(value)}")
    return value


def _shown(value: Any) -> str:
    return str(value) if type(value) is int else "missing"


def assembled(columns: Sequence[TopColumn], rows: int, pages: Sequence[Pages]) -> bytes:
    """A Parquet file of ``columns`` with one row group, or with none where there are no pages."""
    out = [MAGIC]
    position = len(MAGIC)
    chunks = []
    for part in pages:
        meta: dict[int, Any] = {
            1: part.chunk.leaf.type,
            2: [_RLE, _PLAIN, _RLE_DICTIONARY] if part.dictionary else [_RLE, _PLAIN],
            3: list(part.chunk.leaf.path),
            4: part.chunk.codec,
            5: I64(part.chunk.values),
            6: I64(part.size),
            7: I64(len(part.content)),
            9: I64(position + part.dictionary),
        }
        if part.dictionary:
            meta[11] = I64(position)
        chunks.append({2: I64(position), 3: meta})
        out.append(part.content)
        position += len(part.content)
    group = {1: chunks, 2: I64(sum(part.size for part in pages)), 3: I64(rows)}
    elements = [element for column in columns for element in column.elements]
    schema = [{4: b"schema", 5: len(columns)}, *elements]
    footer = encoded({1: 2, 2: schema, 3: I64(rows), 4: [group] if pages else []})
    return b"".join([*out, footer, struct.pack("<I", len(footer)), MAGIC])
