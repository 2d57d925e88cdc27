"""Thrift's compact protocol, as far as Parquet's footers and page headers need it.

Arrow's own reader makes room for as many elements as a list says it has, at hundreds of bytes each,
before it looks for them: eleven bytes cost gigabytes. So the structure of an untrusted file is read
here, where every element is paid for by a byte of the file, and only what is asked for is kept.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from proxyspex_hf.errors import SchemaError

#: What to keep of a struct, by the number of the field: ``None`` its value, ``RAW`` its type and
#: bytes, ``PLACE`` where it begins, a mapping a struct's fields, :class:`Each` those of a list.
Fields = Mapping[int, Any]
RAW, PLACE = "raw", "place"


class Each(NamedTuple):
    """A list of at most ``most`` structs, and what to keep of each."""

    fields: Fields
    most: int


class I64(int):
    """An integer that is written as one of 64 bits: readers pass over one of another width."""


_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, STRUCT, _UUID = range(
    1, 14
)
_INTEGERS = (_I16, _I32, _I64)
_FIXED = {_TRUE: 1, _FALSE: 1, _BYTE: 1, _DOUBLE: 8, _UUID: 16}
#: Parquet's own structures are six deep.
_DEEPEST = 24


class ThriftReader:
    """Reads one buffer from a position on.

    Args:
        values: how many values may be read; more do not occur in our own files.

    Raises:
        SchemaError: from every method: the buffer ends too early, or is not such a structure.
    """

    def __init__(self, data: bytes, position: int = 0, values: int = 2_000_000) -> None:
        self.data = data
        self.position = position
        self._left = values

    def struct(self, wanted: Fields, depth: int = 0) -> dict[int, Any]:
        """The wanted fields of the struct that begins here; all others are passed over."""
        out: dict[int, Any] = {}
        field = 0
        while True:
            head = self._byte()
            if head == 0:
                return out
            kind = head & 15
            field = field + (head >> 4) if head >> 4 else self._integer()
            if field in wanted:
                out[field] = self._kept(kind, wanted[field], depth)
            else:
                self._skip(kind, depth, alone=True)

    def each(
        self, wanted: Each, depth: int = 0, only: Collection[int] | None = None
    ) -> list[dict[int, Any]]:
        """The wanted fields of each struct of the list that begins here, or of ``only`` some."""
        kind, size = self._list_head()
        if size and kind != STRUCT:
            raise SchemaError("a list holds other values than it should")
        if size > wanted.most:
            raise SchemaError(f"a list has {size} elements, at most {wanted.most} are read")
        if only is None:
            return [self.struct(wanted.fields, depth) for _ in range(size)]
        out = []
        for place in range(size):
            out.append(self.struct(wanted.fields, depth) if place in only else {})
            if place not in only:
                self._skip_struct(depth)
        return out

    def _kept(self, kind: int, wanted: Any, depth: int) -> Any:
        start = self.position
        if wanted == PLACE:
            self._skip(kind, depth, alone=True)
            return start
        if wanted == RAW:
            self._skip(kind, depth, alone=True)
            return kind, self.data[start : self.position]
        if isinstance(wanted, (Mapping, Each)):
            if kind != (_LIST if isinstance(wanted, Each) else STRUCT):
                raise SchemaError("a field is of another type than it should be")
            if isinstance(wanted, Each):
                return self.each(wanted, self._deeper(depth))
            return self.struct(wanted, self._deeper(depth))
        return self._value(kind, alone=True)

    def _value(self, kind: int, *, alone: bool = False) -> Any:
        """A number, a truth value, bytes or a list of these."""
        self._pay()
        if kind in (_TRUE, _FALSE):
            return kind == _TRUE if alone else self._byte() == _TRUE
        if kind in _INTEGERS:
            return self._integer()
        if kind == _BINARY:
            start = self._pass(self._varint())
            return bytes(self.data[start : self.position])
        if kind == _LIST:
            inner, size = self._list_head()
            if inner == _LIST or size > len(self.data) - self.position:
                raise SchemaError("a list is longer than the file")
            return [self._value(inner) for _ in range(size)]
        raise SchemaError(f"a field has the type {kind}, which is not expected there")

    def _skip(self, kind: int, depth: int, *, alone: bool = False) -> None:
        self._pay()
        if kind in _INTEGERS:
            self._varint()
        elif kind == _BINARY:
            self._pass(self._varint())
        elif kind in (_TRUE, _FALSE) and alone:
            return  # a field's type is its value
        elif kind in _FIXED:
            self._pass(_FIXED[kind])
        elif kind == STRUCT:
            self._skip_struct(self._deeper(depth))
        elif kind in (_LIST, _SET):
            inner, size = self._list_head()
            self._skip_each([inner], size, self._deeper(depth))
        elif kind == _MAP:
            size = self._varint()
            if size:
                kinds = self._byte()
                self._skip_each([kinds >> 4, kinds & 15], size, self._deeper(depth))
        else:
            raise SchemaError(f"a field has the unknown type {kind}")

    def _skip_struct(self, depth: int) -> None:
        """The same as reading it with nothing wanted; written out, since nearly all of a footer is
        passed over."""
        data, position, left = self.data, self.position, self._left
        try:
            while head := data[position]:
                position += 1
                left -= 1
                if not head >> 4:
                    while data[position] > 127:
                        position += 1
                    position += 1
                kind = head & 15
                if kind in _INTEGERS:
                    while data[position] > 127:
                        position += 1
                    position += 1
                elif kind > _FALSE:
                    self.position, self._left = position, left + 1
                    self._skip(kind, depth, alone=True)
                    position, left = self.position, self._left
        except IndexError:
            raise SchemaError("its structure extends beyond its end") from None
        self.position, self._left = position + 1, left
        if left < 0:
            raise SchemaError("its structure has more parts than any file of explanations")

    def _skip_each(self, kinds: Sequence[int], size: int, depth: int) -> None:
        if size > len(self.data) - self.position:  # each takes a byte at least
            raise SchemaError("a list is longer than the file")
        if all(kind in _FIXED for kind in kinds):
            self._pass(size * sum(_FIXED[kind] for kind in kinds))
            return
        for _ in range(size):
            for kind in kinds:
                self._skip(kind, depth)

    def _deeper(self, depth: int) -> int:
        if depth >= _DEEPEST:
            raise SchemaError(f"its structure is deeper than {_DEEPEST}")
        return depth + 1

    def _pay(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise SchemaError("its structure has more parts than any file of explanations")

    def _list_head(self) -> tuple[int, int]:
        head = self._byte()
        size = head >> 4
        return head & 15, self._varint() if size == 15 else size

    def _byte(self) -> int:
        try:
            value = self.data[self.position]
        except IndexError:
            raise SchemaError("its structure extends beyond its end") from None
        self.position += 1
        return value

    def _pass(self, size: int) -> int:
        if size > len(self.data) - self.position:
            raise SchemaError("its structure extends beyond its end")
        self.position += size
        return self.position - size

    def _varint(self) -> int:
        value = self._byte()
        if value < 128:
            return value
        value, shift = value & 127, 7
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise SchemaError("a number has more than 64 bits")

    def _integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)


def encoded(fields: Mapping[int, Any]) -> bytes:
    """A struct in the compact protocol, its fields numbered 1 to 15. Values: int, I64, bytes, bool,
    a nested mapping, a list of one of these, or a type and bytes as ``RAW`` gives them."""
    out = bytearray()
    before = 0
    for field, value in sorted(fields.items()):
        out.append((field - before) << 4 | _kind(value))
        before = field
        if not isinstance(value, bool):
            out += _encoded_value(value)
    return bytes(out + b"\0")


def _kind(value: Any) -> int:
    if isinstance(value, bool):
        return _TRUE if value else _FALSE
    if isinstance(value, int):
        return _I64 if isinstance(value, I64) else _I32
    if isinstance(value, bytes):
        return _BINARY
    if isinstance(value, tuple):
        return int(value[0])
    return STRUCT if isinstance(value, Mapping) else _LIST


def _encoded_value(value: Any) -> bytes:
    if isinstance(value, int):
        return _varint(value << 1 if value >= 0 else (-value << 1) - 1)
    if isinstance(value, bytes):
        return _varint(len(value)) + value
    if isinstance(value, tuple):
        return bytes(value[1])
    if isinstance(value, Mapping):
        return encoded(value)
    kind = _kind(value[0]) if value else STRUCT
    head = bytes([len(value) << 4 | kind]) if len(value) < 15 else bytes([0xF0 | kind])
    return b"".join(
        [head, _varint(len(value)) if len(value) >= 15 else b"", *map(_encoded_value, value)]
    )


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
