"""Dividing an image into regions and masking them in pixel space.

The image is taken as the pipeline's own processor resizes it, so that a masked image goes through
the processor unchanged, and the pixels of every mask can be put together from those of a few
processed images. Where the processor crops, only what the crop leaves is divided; the margin stays
in the picture, for the reader. Where the image does not go through unchanged (tokens are made of
it), it is masked as it was given, and each masked image is processed on its own.
"""

from __future__ import annotations

import hashlib
import io
import math
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from transformers.image_utils import load_image

from proxyspex_hf.checks import BoolArray, as_integer
from proxyspex_hf.errors import InputError
from proxyspex_hf.hf.as_read import Box, Processed, as_read_by
from proxyspex_hf.hf.failures import first_line
from proxyspex_hf.record.inputs import Features, ImageMasking, Picture, Region, RegionKind

#: The paper's number of patches an image (appendix B.1.5).
_PATCHES = 48
#: The longest edge in the record of a picture that is masked at its own size: a photo's PNG would
#: weigh tens of megabytes.
_LONGEST_EDGE = 512


def open_image(value: Any, *, timeout: float | None = None) -> Image.Image:
    """An image as RGB, upright, opened as the pipelines open it.

    Args:
        value: a PIL image, a path, a URL, a base64 text, or an array (a picture's 0 to 255, or
            0.0 to 1.0; height, width[, channels], or channels first).
        timeout: seconds to wait for a URL.

    Raises:
        InputError: none of these, or a file that is not an image.
    """
    if isinstance(value, (np.ndarray, torch.Tensor)):
        return _of_array(value)
    if isinstance(value, PurePath):
        value = str(value)
    if not isinstance(value, (str, Image.Image)):
        raise InputError(
            "expected an image: a PIL image, the path of a file, a URL, a base64 text, or an array "
            f"of uint8 (height, width, 3); got {type(value).__name__}."
        )
    try:
        return load_image(value, timeout=timeout)
    except Exception as error:  # PIL's, the network's, the decoder's own
        what = "the image"
        if isinstance(value, str):  # base64 texts are long
            what += f" {value!r}" if len(value) <= 300 else f" {value[:40]!r}…"
        hint = ""
        if isinstance(value, str) and isinstance(error, ValueError):
            hint = "there is no such file, and it is neither a URL nor the base64 text of an image"
        raise InputError(
            f"cannot read {what}: {hint or f'{type(error).__name__}: {first_line(error)}'}."
        ) from error


def pixels_digest(image: Image.Image) -> str:
    """What tells an image that :func:`open_image` gave from others."""
    named = f"{image.mode} {image.width} {image.height} ".encode()
    return hashlib.sha256(named + image.tobytes()).hexdigest()


def _of_array(value: Any) -> Image.Image:
    pixels = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value
    shape = tuple(pixels.shape)
    if pixels.ndim == 3 and shape[0] in (1, 3):  # channels first, as the processors guess
        pixels = np.moveaxis(pixels, 0, -1)
    if pixels.ndim == 3 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    fits = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[-1] == 3)
    if not fits or not pixels.size or pixels.dtype.kind not in "uif":
        raise InputError(
            "expected an image's array: numbers of the shape (height, width, 3), (3, height, "
            f"width) or (height, width); got {value.dtype} of shape {shape}."
        )
    numbers = pixels.astype(np.float64)
    if pixels.dtype.kind == "f" and numbers.max() <= 1.0:
        numbers = numbers * 255
    if not (np.isfinite(numbers).all() and numbers.min() >= 0 and numbers.max() <= 255):
        raise InputError(
            "expected an image's array of 0 to 255 (or 0.0 to 1.0); got values from "
            f"{pixels.min():.4g} to {pixels.max():.4g}."
        )
    return Image.fromarray(np.rint(numbers).astype(np.uint8)).convert("RGB")


class MaskedImage:
    """One image, its regions, and how they are masked.

    Args:
        image: the image as the user gave it.
        processed: the pipeline's processor: images -> pixels (b, …).
        processor: the same processor, for the mean and the scale of its normalisation.
        patches: see :class:`proxyspex_hf.options.ExplainerOptions`.
        masking: what a region becomes.
        as_read: whether the image may be masked as the processor leaves it.

    Attributes:
        image: the image that is masked: as the model reads it, or as it is before the processor
            crops it, where that goes through the processor unchanged, else as it was given.
        labels: (n,) the regions' names.
        composes: whether masks are applied to processed pixels directly.
        held: whether :attr:`picture` is :attr:`image`, not a smaller drawing of it.
    """

    def __init__(
        self,
        image: Image.Image,
        processed: Processed,
        processor: Any,
        patches: int | tuple[int, int] | str | None,
        masking: ImageMasking,
        *,
        as_read: bool = True,
    ) -> None:
        self._processed = processed
        self.image, self._box, self.composes = image, (0, 0, *image.size), False
        if as_read:
            self.image, self._box, self.composes = as_read_by(processor, processed, image)
        self._drawn = self.image.copy()
        if not self.composes:
            self._drawn.thumbnail((_LONGEST_EDGE, _LONGEST_EDGE))
        self.held = self._drawn.size == self.image.size
        place = _scaled(self._box, self.image.size, self._drawn.size)
        drawn = self._drawn.crop(place)
        self.region_kind: RegionKind = "superpixels" if isinstance(patches, str) else "patches"
        if isinstance(patches, str):
            inside = _superpixels(drawn, patches)
            self.labels = tuple(f"region {i + 1}" for i in range(int(inside.max()) + 1))
        else:
            rows, columns = _grid(*drawn.size, patches)
            inside = _grid_map(*drawn.size, rows, columns)
            self.labels = tuple(
                f"row {r + 1}, column {c + 1}" for r in range(rows) for c in range(columns)
            )
        left, top, right, bottom = self._box
        self._read_map = _enlarged(inside, (right - left, bottom - top))
        self._map = _placed(self._read_map, (left, top), self.image.size)
        self._drawn_map = _placed(inside, place[:2], self._drawn.size)
        self._pixels = np.asarray(self.image)
        self._fill = _filled(self.image, masking, self._box)
        self._processed_ends: tuple[torch.Tensor, torch.Tensor] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def picture(self) -> Picture:
        """The image for the record; a large one, masked at its own size, is drawn smaller."""
        stream = io.BytesIO()
        self._drawn.save(stream, "PNG")
        return Picture(stream.getvalue(), *self._drawn.size)

    def features(self) -> Features:
        """The regions alone as features."""
        regions = regions_of(self._drawn_map)
        return Features(self.labels, (), self.region_kind, regions, self.region_kind)

    def masked_image(self, mask: NDArray[np.bool_]) -> Image.Image:
        """The image under one mask, shape (n,)."""
        keep = np.append(mask, True)[self._map][..., None]
        return Image.fromarray(np.where(keep, self._pixels, self._fill))

    def pixels(self, masks: BoolArray) -> torch.Tensor:
        """Processed pixels of each masked image: (b, n) -> (b, …)."""
        if not self.composes:
            return self._processed([self.masked_image(mask) for mask in masks])
        if self._processed_ends is None:
            both = self._processed([self.image, Image.fromarray(self._fill)])
            self._processed_ends = (both[0], both[1])
        keep = torch.from_numpy(masks[:, self._read_map])[:, None]
        return torch.where(keep, *self._processed_ends)


def _scaled(box: Box, size: tuple[int, int], new: tuple[int, int]) -> Box:
    """A box of an image in the same image of another size."""
    (x, y), (left, top, right, bottom) = (new[0] / size[0], new[1] / size[1]), box
    return round(left * x), round(top * y), round(right * x), round(bottom * y)


def _placed(
    label_map: NDArray[np.int64], corner: tuple[int, ...], size: tuple[int, int]
) -> NDArray[np.int64]:
    """The map of a box in that of the whole image, (height, width); outside lies region -1."""
    out = np.full(size[::-1], -1, dtype=np.int64)
    (left, top), (height, width) = corner, label_map.shape
    out[top : top + height, left : left + width] = label_map
    return out


def _enlarged(label_map: NDArray[np.int64], size: tuple[int, int]) -> NDArray[np.int64]:
    """The map of a smaller drawing for the image itself, (height, width)."""
    width, height = size
    if label_map.shape == (height, width):
        return label_map
    row = np.arange(height) * label_map.shape[0] // height
    column = np.arange(width) * label_map.shape[1] // width
    enlarged: NDArray[np.int64] = label_map[row[:, None], column[None, :]]
    return enlarged


def _grid(width: int, height: int, patches: int | tuple[int, int] | None) -> tuple[int, int]:
    if isinstance(patches, (tuple, list)):
        if len(patches) != 2:
            raise InputError(f"patches must be a number or (rows, columns), got {patches!r:.60}.")
        rows, columns = (as_integer("each of patches", each, 0) for each in patches)
    else:
        wanted = _PATCHES if patches is None else as_integer("patches", patches, 1)
        rows = min(wanted, max(1, round(math.sqrt(wanted * height / width))))
        columns = max(1, round(wanted / rows))
        if patches is None:
            rows, columns = min(rows, height), min(columns, width)
    if not (1 <= rows <= height and 1 <= columns <= width):
        raise InputError(
            f"patches={patches!r} cannot divide an image of {width} x {height} pixels: give a "
            "number of patches, or (rows, columns)."
        )
    return int(rows), int(columns)


def _grid_map(width: int, height: int, rows: int, columns: int) -> NDArray[np.int64]:
    """Which patch each pixel lies in, (height, width)."""
    row = np.arange(height) * rows // height
    column = np.arange(width) * columns // width
    return row[:, None] * columns + column[None, :]


def _superpixels(image: Image.Image, patches: str) -> NDArray[np.int64]:
    if patches != "superpixels":
        raise InputError(
            f"patches must be a number, (rows, columns) or 'superpixels', got {patches!r}."
        )
    try:
        from skimage.segmentation import slic
    except ImportError as error:
        raise InputError(
            "patches='superpixels' needs scikit-image: pip install 'proxyspex-hf[images]'."
        ) from error
    labels = slic(np.asarray(image), n_segments=_PATCHES, start_label=0)
    _, compact = np.unique(labels, return_inverse=True)
    return compact.reshape(labels.shape).astype(np.int64)


def _filled(image: Image.Image, masking: ImageMasking, box: Box) -> NDArray[np.uint8]:
    """The image with everything masked; ``box`` is what is read of it."""
    pixels = np.asarray(image)
    if masking == "zero":
        return np.zeros_like(pixels)
    if masking == "mean":
        read = np.asarray(image.crop(box))
        mean = np.rint(read.reshape(-1, 3).mean(axis=0)).astype(np.uint8)
        return np.broadcast_to(mean, pixels.shape).copy()
    if masking == "blur":
        part, blurred = image.crop(box), image.copy()
        radius = max(part.size) / 12
        blurred.paste(part.filter(ImageFilter.GaussianBlur(radius)), box[:2])
        return np.asarray(blurred)
    raise InputError(f"image_masking must be 'zero', 'mean' or 'blur', got {masking!r}.")


def regions_of(label_map: NDArray[np.int64]) -> tuple[Region, ...]:
    """The outlines of each label, along pixel edges."""
    return tuple(_outline(label_map == label) for label in range(int(label_map.max()) + 1))


def _outline(inside: BoolArray) -> Region:
    """The rings around a set of pixels, each from corner to corner."""
    height, width = inside.shape
    framed = np.zeros((height + 2, width + 2), dtype=np.bool_)
    framed[1:-1, 1:-1] = inside
    # Steps with the inside on their right hand; each begins at a corner of the pixel grid.
    steps: dict[tuple[int, int], list[tuple[int, int]]] = {}
    above, below = framed[:-1, :], framed[1:, :]
    for y, x in zip(*np.nonzero(above != below), strict=True):
        here, there = ((x - 1, y), (x, y)) if below[y, x] else ((x, y), (x - 1, y))
        steps.setdefault((int(here[0]), int(here[1])), []).append((int(there[0]), int(there[1])))
    left, right = framed[:, :-1], framed[:, 1:]
    for y, x in zip(*np.nonzero(left != right), strict=True):
        here, there = ((x, y), (x, y - 1)) if right[y, x] else ((x, y - 1), (x, y))
        steps.setdefault((int(here[0]), int(here[1])), []).append((int(there[0]), int(there[1])))
    rings = []
    while steps:
        start = next(iter(steps))
        ring = [start]
        while True:
            here = ring[-1]
            there = steps[here].pop()
            if not steps[here]:
                del steps[here]
            if there == start:
                break
            ring.append(there)
        rings.append(_corners(ring))
    return tuple(rings)


def _corners(ring: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """A ring without the points in the middle of its straight edges."""
    points = zip(ring[-1:] + ring[:-1], ring, ring[1:] + ring[:1], strict=True)
    return tuple(b for a, b, c in points if (a[0] == b[0]) != (b[0] == c[0]))
