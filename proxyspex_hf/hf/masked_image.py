"""Dividing an image into regions and masking them in pixel space.

The image is taken as the model reads it: resized and cropped by the pipeline's own processor, so
that a masked image goes through the processor unchanged, and the pixels of every mask can be put
together from those of a few processed images. Where the processor does more than that (several
crops, its own sizes), each masked image is processed on its own.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from proxyspex_hf.core.masks import BoolArray
from proxyspex_hf.errors import InputError
from proxyspex_hf.inputs import Features, ImageMasking, Picture, Region, RegionKind

__all__ = ["MaskedImage", "open_image"]

#: The paper's number of patches an image (appendix B.1.5).
_PATCHES = 48
#: Where an image cannot be taken as the processor leaves it, it is shrunk to this edge.
_LONGEST_EDGE = 512

Processed = Callable[[list[Image.Image]], torch.Tensor]


def open_image(value: Any) -> Image.Image:
    """An image as RGB: a PIL image, a path, or an array (height, width[, 3]) of 0 to 255.

    Raises:
        InputError: none of these, or a file that is no image.
    """
    if isinstance(value, Image.Image):
        return value.convert("RGB")
    if isinstance(value, np.ndarray) and value.dtype == np.uint8:
        return Image.fromarray(value).convert("RGB")
    if isinstance(value, str) and not value.startswith(("http://", "https://")):
        try:
            with Image.open(value) as opened:
                return opened.convert("RGB")
        except OSError as error:
            raise InputError(f"cannot read the image {value!r}: {error}.") from error
    raise InputError(
        "expected an image: a PIL image, the path of a file, or an array of uint8 (height, width, "
        f"3); got {type(value).__name__}."
    )


class MaskedImage:
    """One image, its regions, and how they are masked.

    Args:
        image: the image as the user gave it.
        processed: the pipeline's processor: images -> pixels (b, …).
        processor: the same processor, for the mean and the scale of its normalisation.
        patches: see :class:`proxyspex_hf.options.ExplainerOptions`.
        masking: what a region becomes.

    Attributes:
        image: the image as the model reads it.
        labels: (n,) the regions' names.
        composes: whether masks are applied to processed pixels directly.
    """

    def __init__(
        self,
        image: Image.Image,
        processed: Processed,
        processor: Any,
        patches: int | tuple[int, int] | str | None,
        masking: ImageMasking,
    ) -> None:
        self._processed = processed
        self.image, self._same = _as_read(image, processed, processor)
        width, height = self.image.size
        self.region_kind: RegionKind = "superpixels" if isinstance(patches, str) else "patches"
        if isinstance(patches, str):
            self._map = _superpixels(self.image, patches)
            self.labels = tuple(f"region {i + 1}" for i in range(int(self._map.max()) + 1))
        else:
            rows, columns = _grid(width, height, patches)
            self._map = _grid_map(width, height, rows, columns)
            self.labels = tuple(
                f"row {r + 1}, column {c + 1}" for r in range(rows) for c in range(columns)
            )
        self._fill = _filled(self.image, masking)
        self._pixels: tuple[torch.Tensor, torch.Tensor] | None = None
        self.composes = self._same and self._agrees()

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def picture(self) -> Picture:
        """The image for the record."""
        stream = io.BytesIO()
        self.image.save(stream, "PNG")
        return Picture(stream.getvalue(), *self.image.size)

    def features(self) -> Features:
        """The regions alone as features."""
        regions = regions_of(self._map)
        return Features(self.labels, (), self.region_kind, regions, self.region_kind)

    def masked_image(self, mask: NDArray[np.bool_]) -> Image.Image:
        """The image under one mask, shape (n,)."""
        keep = mask[self._map][..., None]
        return Image.fromarray(np.where(keep, np.asarray(self.image), self._fill))

    def pixels(self, masks: BoolArray) -> torch.Tensor:
        """Processed pixels of each masked image: (b, n) -> (b, …)."""
        if not self.composes:
            return self._processed([self.masked_image(mask) for mask in masks])
        kept, filled = self._ends()
        keep = torch.from_numpy(masks[:, self._map])[:, None]
        return torch.where(keep, kept, filled)

    def _ends(self) -> tuple[torch.Tensor, torch.Tensor]:
        if self._pixels is None:
            both = self._processed([self.image, Image.fromarray(self._fill)])
            self._pixels = (both[0], both[1])
        return self._pixels

    def _agrees(self) -> bool:
        """Whether pixels put together are the processor's, on a few masks."""
        rng = np.random.default_rng(0)
        masks = rng.random((3, len(self))) < 0.5
        actual = self._processed([self.masked_image(mask) for mask in masks])
        kept, filled = self._ends()
        size = (self.image.height, self.image.width)
        if kept.ndim != 3 or kept.shape[-2:] != size or actual.shape[1:] != kept.shape:
            return False
        made = torch.where(torch.from_numpy(masks[:, self._map])[:, None], kept, filled)
        return bool(torch.allclose(made, actual, atol=1e-5))


def _as_read(image: Image.Image, processed: Processed, processor: Any) -> tuple[Image.Image, bool]:
    """The image as the processor leaves it, and whether that goes through it unchanged."""
    pixels = processed([image])
    if pixels.ndim == 4 and pixels.shape[1] == 3:
        channels = (1, 1, 3)
        mean = np.reshape(getattr(processor, "image_mean", None) or [0.0] * 3, channels)
        std = np.reshape(getattr(processor, "image_std", None) or [1.0] * 3, channels)
        raw = pixels[0].permute(1, 2, 0).double().cpu().numpy()
        if getattr(processor, "do_normalize", True):
            raw = raw * std + mean
        scale = getattr(processor, "rescale_factor", None) or 1 / 255
        raw = raw / scale if getattr(processor, "do_rescale", True) else raw
        read = Image.fromarray(np.clip(np.rint(raw), 0, 255).astype(np.uint8))
        again = processed([read])
        # Half a step of 8 bits, in the processor's own unit.
        step = scale / float(std.min()) * (0.5 + 1e-3)
        if again.shape == pixels.shape and bool((again - pixels).abs().max() <= step):
            return read, True
    shrunk = image.copy()
    shrunk.thumbnail((_LONGEST_EDGE, _LONGEST_EDGE))
    return shrunk, False


def _grid(width: int, height: int, patches: int | tuple[int, int] | None) -> tuple[int, int]:
    if isinstance(patches, (tuple, list)):
        rows, columns = patches
    else:
        wanted = _PATCHES if patches is None else patches
        rows = max(1, round(math.sqrt(max(wanted, 0) * height / width)))
        columns = max(1, round(wanted / rows)) if wanted >= 1 else 0
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


def _filled(image: Image.Image, masking: ImageMasking) -> NDArray[np.uint8]:
    """The image with everything masked."""
    pixels = np.asarray(image)
    if masking == "zero":
        return np.zeros_like(pixels)
    if masking == "mean":
        mean = np.rint(pixels.reshape(-1, 3).mean(axis=0)).astype(np.uint8)
        return np.broadcast_to(mean, pixels.shape).copy()
    if masking == "blur":
        radius = max(image.size) / 12
        return np.asarray(image.filter(ImageFilter.GaussianBlur(radius)))
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
