"""What a processor crops away of an image, by watching it do so: each has a way of its own."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Crop:
    """What a processor crops.

    Attributes:
        before: the image that is cropped, (channels, height, width), mostly resized already.
        after: what is left of it.
    """

    before: Any
    after: Any

    @property
    def takes_away(self) -> bool:
        return bool(np.less(self.after.shape[-2:], self.before.shape[-2:]).any())

    def found(self) -> tuple[Image.Image, tuple[int, int, int, int]] | None:
        """The image that is cropped, and the box (left, top, right, bottom) of it that is left;
        None where these are not colours, or not a part of it as it is."""
        before, after = np.asarray(self.before), np.asarray(self.after)
        if before.dtype != np.uint8 or before.ndim != 3 or len(before) != 3:
            return None
        height, width = after.shape[-2:]
        top, left = (before.shape[-2] - height) // 2, (before.shape[-1] - width) // 2
        if min(top, left) < 0:  # padded too
            return None
        if not np.array_equal(before[:, top : top + height, left : left + width], after):
            return None
        image = Image.fromarray(np.ascontiguousarray(np.moveaxis(before, 0, -1)))
        return image, (left, top, left + width, top + height)


def crop_notes(processor: Any, image: Image.Image) -> tuple[str, ...]:
    """A note where the processor reads only the middle of an image; none where it reads all."""
    crop = crop_of(processor, image)
    if crop is None:
        return ()
    height, width = crop.before.shape[-2:]
    new_height, new_width = crop.after.shape[-2:]
    return (
        f"The processor reads the middle {min(width, new_width)} x {min(height, new_height)} of "
        f"{width} x {height} pixels: what lies outside is not read and not explained.",
    )


def crop_of(processor: Any, image: Image.Image) -> Crop | None:
    """The first crop of one image that takes something away; None where it is read whole."""
    return next((crop for crop in _crops(processor, image) if crop.takes_away), None)


def _crops(processor: Any, image: Image.Image) -> list[Crop]:
    """Each crop of one image, in order."""
    own = type(processor)
    beneath = next((c for c in own.__mro__[1:] if "center_crop" in vars(c)), None)
    if beneath is None:
        return []
    seen: list[Crop] = []

    def watching(name: str, *bases: type) -> type:
        def center_crop(self: Any, image: Any, *args: Any, **kwargs: Any) -> Any:
            cropped = super(made, self).center_crop(image, *args, **kwargs)
            if image.shape[-3] in (1, 3):  # channels first, as the processors work
                seen.append(Crop(image, cropped))
            return cropped

        made: Any = type(name, bases, {"center_crop": center_crop})
        return made  # type: ignore[no-any-return]

    # Above the processor's class and beneath it: some call the inherited method past their own.
    watched = copy.copy(processor)  # the user's own stays as it is
    watched.__class__ = watching(own.__name__, own, watching("Watching", beneath))
    watched(images=[image], return_tensors="pt")
    return seen
