"""What a processor crops away of an image, found by asking it: each crops in a way of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from proxyspex_hf.hf.model_inputs import differ

__all__ = ["crop_notes"]

#: Less than this share of an edge goes unread by resampling alone.
_RESAMPLING = 0.01


def crop_notes(inputs: Callable[[Image.Image], Any], size: tuple[int, int]) -> tuple[str, ...]:
    """A note where not all of an image is read; none where all is.

    Args:
        inputs: what the pipeline makes of an image.
        size: the image's width and height.
    """
    black = inputs(Image.new("RGB", size))

    def unread(axis: int, *, from_end: bool) -> int:
        """How many rows or columns can turn white at one edge without any change."""

        def changes(count: int) -> bool:
            pixels = np.zeros((size[1], size[0], 3), dtype=np.uint8)
            edge = np.flip(pixels, axis) if from_end else pixels
            np.moveaxis(edge, axis, 0)[:count] = 255
            return differ(black, inputs(Image.fromarray(pixels)))

        total = size[1 - axis]
        low = max(1, int(_RESAMPLING * total))
        if changes(low):
            return 0
        high = total
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if changes(middle) else (middle, high)
        return low

    left, right = (unread(1, from_end=end) for end in (False, True))
    top, bottom = (unread(0, from_end=end) for end in (False, True))
    width, height = size[0] - left - right, size[1] - top - bottom
    if (width, height) == size or min(width, height) < 1:
        return ()
    off = max(abs(left - right) / size[0], abs(top - bottom) / size[1])
    place = "the middle" if off <= 2 * _RESAMPLING else "only"
    return (
        f"The processor reads {place} {width} x {height} of {size[0]} x {size[1]} pixels: what "
        "lies outside is not read and not explained.",
    )
