"""The image as a processor reads it: which picture can be masked in place of the one given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image

from proxyspex_hf.hf.cropped import crop_of

#: How far processed pixels may lie apart, in 8-bit steps, to be the same: float32's rounding.
_SAME = 1e-3

#: Times the area that is read: of a longer image, the margin that a picture shows would only make
#: what is read small.
_MOST_CUT = 4

#: The pipeline's processor: images -> pixels (b, …).
Processed = Callable[[list[Image.Image]], torch.Tensor]
#: Left, top, right, bottom.
Box = tuple[int, int, int, int]


def as_read_by(
    processor: Any, processed: Processed, image: Image.Image
) -> tuple[Image.Image, Box, bool]:
    """The image to mask, the box of it that is read, and whether masks of that box may be applied
    to processed pixels: what the processor crops, so that a reader sees what was cut away, or what
    it left, where that is processed to the same pixels as the image itself; else the image itself.
    """
    whole = image, (0, 0, *image.size), False
    step = _step(processor)
    if step is None:
        return whole
    pixels = processed([image])
    crop = crop_of(processor, image)
    found = None if crop is None else crop.found()
    if found is not None and not _same(processed([found[0]]), pixels, step):
        found = None
    if found is not None and not _is_long(*found):
        return *found, _composes(pixels, found[1])
    read = _unprocessed(pixels, processor)
    if read is not None and _same(processed([read]), pixels, step):
        return read, (0, 0, *read.size), True
    return whole if found is None else (*found, _composes(pixels, found[1]))


def _is_long(image: Image.Image, box: Box) -> bool:
    """Whether what is read is a small part of what is cropped, as of a panorama."""
    left, top, right, bottom = box
    return image.width * image.height > _MOST_CUT * (right - left) * (bottom - top)


def _composes(pixels: torch.Tensor, box: Box) -> bool:
    left, top, right, bottom = box
    return pixels.ndim == 4 and tuple(pixels.shape[-2:]) == (bottom - top, right - left)


def _same(some: torch.Tensor, others: torch.Tensor, step: float) -> bool:
    return some.shape == others.shape and bool((some - others).abs().max() <= _SAME * step)


def _step(processor: Any) -> float | None:
    """One step of 8 bits in the processor's own unit; None where it has a unit of its own."""
    try:
        scale = float(processor.rescale_factor) if getattr(processor, "do_rescale", True) else 1.0
        normalizes = getattr(processor, "do_normalize", True)
        return scale / float(np.min(processor.image_std)) if normalizes else scale
    except (AttributeError, TypeError, ValueError):
        return None


def _unprocessed(pixels: torch.Tensor, processor: Any) -> Image.Image | None:
    """The image of which the processor made these pixels, (1, 3, h, w), without its sizes."""
    if pixels.ndim != 4 or pixels.shape[1] != 3:
        return None
    raw = pixels[0].permute(1, 2, 0).double().cpu().numpy()
    try:
        if getattr(processor, "do_normalize", True):
            mean, std = (
                np.broadcast_to(np.asarray(given, dtype=np.float64), (3,))
                for given in (processor.image_mean, processor.image_std)
            )
            raw = raw * std + mean
        if getattr(processor, "do_rescale", True):
            raw = raw / float(processor.rescale_factor)
    except (AttributeError, TypeError, ValueError):
        return None  # a processor that normalises in a way of its own
    if getattr(processor, "do_flip_channel_order", False):
        raw = raw[..., ::-1]
    return Image.fromarray(np.clip(np.rint(raw), 0, 255).astype(np.uint8))
