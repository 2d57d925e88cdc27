"""A picture that somebody uploaded: looked at before it is decoded, and kept as one PNG."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

from PIL import Image, ImageOps

from proxyspex_hf.app.settings import Limits
from proxyspex_hf.errors import InputError

#: File endings, and the formats that are read: only those of photos and drawings.
KINDS = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp")
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
#: No model of the app reads more than this edge.
_EDGE = 1024


def read_picture(path: str | Path, limits: Limits) -> bytes:
    """The picture of a file as PNG, turned upright and no larger than a model can use.

    Raises:
        InputError: not a picture, a damaged one, or one beyond a limit.
    """
    file = Path(path)
    size = file.stat().st_size
    if size > limits.upload_bytes:
        raise InputError(
            f"the file has {size / 2**20:.1f} MB, this app takes {limits.upload_bytes / 2**20:g}: "
            "save the picture smaller."
        )
    try:
        with warnings.catch_warnings(), Image.open(file, formats=_FORMATS) as opened:
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # we count ourselves
            width, height = opened.size
            if width * height > limits.pixels:
                raise InputError(
                    f"the picture has {width} × {height} pixels, this app takes "
                    f"{limits.pixels / 1e6:g} million: save it smaller."
                )
            upright = ImageOps.exif_transpose(opened).convert("RGB")
    except InputError:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(
            f"this file is not a picture that the app can read: take one of {', '.join(KINDS)}."
        ) from error
    upright.thumbnail((_EDGE, _EDGE))
    stream = io.BytesIO()
    upright.save(stream, "PNG")
    return stream.getvalue()
