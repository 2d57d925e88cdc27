"""Parts of a file that may lie far away: its footer, and ranges in few requests."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import BinaryIO

from proxyspex_hf.errors import SchemaError

#: Ours have 11 kB a row group.
MAX_FOOTER = 16 * 2**20
#: Bytes read at once from the end, and apart at which two ranges are asked for as one.
_TAIL = 64 * 2**10
_CLOSE = 64 * 2**10


def footer_bytes(stream: BinaryIO) -> bytes:
    """The footer, which a Parquet file ends with, its length and four letters."""
    size = stream.seek(0, os.SEEK_END)
    tail = _read(stream, max(0, size - _TAIL), min(size, _TAIL))
    if len(tail) < 12 or tail[-4:] != b"PAR1":
        raise SchemaError("it does not end as one does")
    length = int.from_bytes(tail[-8:-4], "little")
    if length > min(size - 12, MAX_FOOTER):
        raise SchemaError(f"its footer claims {length} bytes; at most {MAX_FOOTER} are read")
    if length + 8 > len(tail):
        tail = _read(stream, size - 8 - length, length + 8)
    return tail[-8 - length : -8]


def _read(stream: BinaryIO, start: int, length: int) -> bytes:
    stream.seek(start)
    found = stream.read(length)
    if len(found) != length:
        raise SchemaError("it ends too early")
    return found


def ranges(stream: BinaryIO, wanted: Sequence[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
    """The bytes of every range; those that lie close together are asked for at once."""
    out: dict[tuple[int, int], bytes] = {}
    together: list[tuple[int, int]] = []

    def fetch() -> None:
        start, stop = together[0][0], max(stop for _, stop in together)
        found = _read(stream, start, stop - start)
        out.update({(a, b): found[a - start : b - start] for a, b in together})

    for start, stop in sorted(set(wanted)):
        if together and start > max(b for _, b in together) + _CLOSE:
            fetch()
            together = []
        together.append((start, stop))
    if together:
        fetch()
    return out
