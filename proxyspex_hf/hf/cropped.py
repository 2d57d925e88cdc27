"""What a processor crops away of an image, by watching it do so: each has a way of its own."""

from __future__ import annotations

import copy
from typing import Any

from PIL import Image

__all__ = ["crop_notes"]

_Size = tuple[int, int]


def crop_notes(processor: Any, image: Image.Image) -> tuple[str, ...]:
    """A note where the processor reads only the middle of an image; none where it reads all."""
    for (height, width), (new_height, new_width) in _crops(processor, image):
        if new_height < height or new_width < width:
            return (
                f"The processor reads the middle {min(width, new_width)} x "
                f"{min(height, new_height)} of {width} x {height} pixels: what lies outside is not "
                "read and not explained.",
            )
    return ()


def _crops(processor: Any, image: Image.Image) -> list[tuple[_Size, _Size]]:
    """The sizes, (height, width), before and after each crop of one image."""
    own = type(processor)
    beneath = next((c for c in own.__mro__[1:] if "center_crop" in vars(c)), None)
    if beneath is None:
        return []
    seen: list[tuple[_Size, _Size]] = []

    def watching(name: str, *bases: type) -> type:
        def center_crop(self: Any, image: Any, *args: Any, **kwargs: Any) -> Any:
            cropped = super(made, self).center_crop(image, *args, **kwargs)
            if image.shape[-3] in (1, 3):  # channels first, as the processors work
                seen.append((tuple(image.shape[-2:]), tuple(cropped.shape[-2:])))
            return cropped

        made: Any = type(name, bases, {"center_crop": center_crop})
        return made  # type: ignore[no-any-return]

    # Above the processor's class and beneath it: some call the inherited method past their own.
    watched = copy.copy(processor)  # the user's own stays as it is
    watched.__class__ = watching(own.__name__, own, watching("Watching", beneath))
    watched(images=[image], return_tensors="pt")
    return seen
