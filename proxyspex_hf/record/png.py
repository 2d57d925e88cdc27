"""What a PNG file says of itself, before anything decodes it."""

from __future__ import annotations

import zlib

from proxyspex_hf.errors import SchemaError

#: As many as decode to 128 MB of colour.
MAX_PIXELS = 2**25
#: Colour profiles and texts are compressed on their own; Pillow refuses more of one as well.
_MOST_TEXT = 2**20
_MOST_CHUNKS = 100_000
_COMPRESSED = (b"iCCP", b"zTXt", b"iTXt")


def check_png(png: bytes) -> None:
    """Refuse a picture that is not a PNG file, or one that grows when it is decoded.

    Raises:
        SchemaError: so it is.
    """
    if png[:8] != b"\x89PNG\r\n\x1a\n" or png[12:16] != b"IHDR":
        raise SchemaError("the picture is not a PNG file.")
    width, height = int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")
    if width * height > MAX_PIXELS:
        raise SchemaError(
            f"the picture has {width} x {height} pixels; at most {MAX_PIXELS} are read."
        )
    position = 8
    for _ in range(_MOST_CHUNKS):
        length = int.from_bytes(png[position : position + 4], "big")
        kind = png[position + 4 : position + 8]
        start, position = position + 8, position + 12 + length
        if not kind.isalpha() or position > len(png):
            break
        if kind in _COMPRESSED:
            _check_compressed(png[start : position - 4], kind)
        if kind == b"IEND":
            return
    raise SchemaError("the picture's PNG is damaged: it does not end as one does.")


def _check_compressed(chunk: bytes, kind: bytes) -> None:
    data = chunk.partition(b"\0")[2][1:]
    if kind == b"iTXt":  # a flag, then a language and a translated name, each up to a null byte
        if chunk.partition(b"\0")[2][:1] == b"\0":
            return  # it is as long as it says
        data = chunk.partition(b"\0")[2][2:].partition(b"\0")[2].partition(b"\0")[2]
    try:
        grown = zlib.decompressobj().decompress(data, _MOST_TEXT + 1)
    except zlib.error as error:
        raise SchemaError(f"the picture's PNG is damaged: {error}.") from error
    if len(grown) > _MOST_TEXT:
        raise SchemaError(
            f"the picture's PNG has a text or colour profile of more than {_MOST_TEXT} bytes."
        )
