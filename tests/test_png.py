"""What is refused of a picture before anything decodes it."""

from __future__ import annotations

import io
import zlib

import numpy as np
import pytest
from PIL import Image

from proxyspex_hf.errors import SchemaError
from proxyspex_hf.record.png import MAX_PIXELS, check_png

#: As the module has it: bytes of one compressed text.
MOST_TEXT = 2**20


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def png(width: int, height: int, *chunks: bytes) -> bytes:
    """A file's frame: nothing here looks at the pixels."""
    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    head = chunk(b"IHDR", size + bytes([8, 2, 0, 0, 0]))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IEND")


def test_what_pillow_writes_passes_and_no_part_of_it_does() -> None:
    stream = io.BytesIO()
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3)).save(stream, "PNG")
    whole = stream.getvalue()
    check_png(whole)
    for length in range(len(whole)):
        with pytest.raises(SchemaError, match=r"not a PNG file|PNG is damaged"):
            check_png(whole[:length])


def test_as_many_pixels_as_decode_to_128_megabytes() -> None:
    assert MAX_PIXELS * 4 == 128 * 2**20
    check_png(png(2**13, 2**12))
    for size in ((2**13 + 1, 2**12), (2**13, 2**12 + 1), (2**31, 2**31)):
        with pytest.raises(SchemaError, match=f"{size[0]} x {size[1]} pixels"):
            check_png(png(*size))


def compressed(kind: bytes, data: bytes) -> bytes:
    """A chunk with a compressed text."""
    before = b"\0\1\0en\0name\0" if kind == b"iTXt" else b"\0\0"
    return chunk(kind, b"Comment" + before + data)


def packed(length: int) -> bytes:
    return zlib.compress(b"a" * length, 9)


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP", b"iTXt"])
def test_compressed_texts_grow_to_a_megabyte_and_no_further(kind: bytes) -> None:
    check_png(png(2, 2, compressed(kind, packed(MOST_TEXT))))
    with pytest.raises(SchemaError, match="more than 1048576 bytes"):
        check_png(png(2, 2, compressed(kind, packed(10)), compressed(kind, packed(MOST_TEXT + 1))))
    with pytest.raises(SchemaError, match="PNG is damaged"):
        check_png(png(2, 2, compressed(kind, b"not what zlib writes")))


def test_a_text_that_is_not_compressed_is_as_long_as_it_says() -> None:
    check_png(png(2, 2, chunk(b"iTXt", b"Comment\0\0\0en\0name\0" + b"a" * (MOST_TEXT + 1))))
    check_png(png(2, 2, chunk(b"tEXt", b"Comment\0" + b"a" * (MOST_TEXT + 1))))


def test_chunks_follow_each_other_to_the_end_and_are_not_too_many() -> None:
    with pytest.raises(SchemaError, match="does not end as one does"):
        check_png(png(2, 2, chunk(b"IDAT", b"x"))[:-12])
    with pytest.raises(SchemaError, match="does not end as one does"):
        check_png(png(2, 2, chunk(b"\0\1\2\3")))
    with pytest.raises(SchemaError, match="not a PNG file"):
        check_png(b"\x89PNG\r\n\x1a\n" + chunk(b"sRGB", b"\0") + chunk(b"IEND"))
    check_png(png(2, 2, chunk(b"IDAT") * 99_998))
    with pytest.raises(SchemaError, match="does not end as one does"):
        check_png(png(2, 2, chunk(b"IDAT") * 99_999))
