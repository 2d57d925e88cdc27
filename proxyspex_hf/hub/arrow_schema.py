"""Which columns were dictionaries when the file was written: Arrow's note beside the schema.

The note is a message in the Flatbuffers format. Arrow would copy every text in it as often as it is
referred to, so only what is asked here is looked up, in the bytes themselves.
"""

from __future__ import annotations

import base64
import binascii
import struct

from proxyspex_hf.errors import SchemaError

#: Positions of fields in the tables of Arrow's Schema.fbs and Message.fbs.
_HEADER, _FIELDS, _NAME, _DICTIONARY = 2, 1, 0, 4
_MOST_COLUMNS = 10_000


def dictionary_columns(note: bytes) -> set[str]:
    """Names of the top columns that Arrow notes as dictionary-encoded.

    Raises:
        SchemaError: the note is damaged.
    """
    try:
        data = base64.b64decode(note, validate=True)
        # The message begins after a marker and its length, or after the length alone.
        begin = 8 if data[:4] == b"\xff\xff\xff\xff" else 4
        schema = _field(data, _at(data, begin), _HEADER)
        fields = None if schema is None else _field(data, _at(data, schema), _FIELDS)
        if fields is None:
            return set()
        vector = _at(data, fields)
        (count,) = struct.unpack_from("<I", data, vector)
        if count > _MOST_COLUMNS:
            raise SchemaError(f"it notes {count} columns")
        found = set()
        for i in range(count):
            table = _at(data, vector + 4 + 4 * i)
            name = _field(data, table, _NAME)
            if name is not None and _field(data, table, _DICTIONARY) is not None:
                start = _at(data, name)
                (length,) = struct.unpack_from("<I", data, start)
                found.add(data[start + 4 : start + 4 + min(length, 200)].decode(errors="replace"))
    except (struct.error, binascii.Error) as error:
        raise SchemaError(f"Arrow's note of its schema is damaged: {error}") from error
    return found


def _at(data: bytes, position: int) -> int:
    """Where an offset leads."""
    return int(position + struct.unpack_from("<I", data, position)[0])


def _field(data: bytes, table: int, field: int) -> int | None:
    """Where a field of a table lies; None where it is absent."""
    (back,) = struct.unpack_from("<i", data, table)
    if not 0 <= table - back < len(data):
        raise SchemaError("Arrow's note of its schema is damaged")
    (size,) = struct.unpack_from("<H", data, table - back)
    place = 4 + 2 * field
    if place + 2 > size:
        return None
    (offset,) = struct.unpack_from("<H", data, table - back + place)
    return table + offset if offset else None
