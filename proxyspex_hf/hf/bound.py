"""One input under one model as a set function: what every task implements.

A task turns masks into *items* (bytes; equal items are equal model inputs), a batch of items into
the model's outputs, and outputs into one number an item. The engine does the rest: it asks each
distinct item once, in batches of similar size.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from proxyspex_hf.core.masks import BoolArray, as_masks
from proxyspex_hf.core.spectrum import FloatArray
from proxyspex_hf.hf.engine import ask
from proxyspex_hf.inputs import Features, ImageMasking, Part, Picture
from proxyspex_hf.record import Target

__all__ = ["BoundInput", "packed", "unpacked"]


class BoundInput(ABC):
    """The set function of one input: masks (b, n), 1 = kept, in; (b,) float64 out.

    Attributes:
        text: the text explained, cut where the model takes less (then ``notes`` say so).
        features: what the masks switch.
        target: the number that is explained.
        mask_token: the text that replaces a feature; None where features are deleted.
        picture, parts, image_masking, arguments: see :class:`proxyspex_hf.record`.
        notes: what a reader must know of this input.
        model: the module that answers; None where it is no torch model.
        batch_size: items in one forward pass; None lets the engine choose.
    """

    features: Features
    target: Target
    text: str = ""
    mask_token: str | None = None
    picture: Picture | None = None
    parts: tuple[Part, ...] = ()
    notes: tuple[str, ...] = ()
    image_masking: ImageMasking | None = None
    arguments: Mapping[str, Any] = {}
    model: Any = None
    batch_size: int | None = None

    @property
    def n_features(self) -> int:
        return len(self.features)

    @abstractmethod
    def items(self, masks: BoolArray) -> list[bytes]:
        """The model input of each mask: (b, n) -> b items."""

    @abstractmethod
    def outputs(self, items: Sequence[bytes]) -> torch.Tensor | FloatArray:
        """The model's outputs for one batch, (b, …); only the rows count, not their place."""

    @abstractmethod
    def score(self, outputs: FloatArray) -> FloatArray:
        """The explained number of each row of outputs: (b, …) float64 -> (b,) float64."""

    @abstractmethod
    def masked_input(self, mask: NDArray[np.bool_]) -> Any:
        """What one would give the pipeline to get the value of one mask, shape (n,)."""

    def size(self, _item: bytes) -> int:
        """How large an item is for the model, in tokens or the like."""
        return 1

    def may_mix(self) -> bool:
        """Whether items of different size may share a batch without changing their values."""
        return True

    @property
    def sharing(self) -> Hashable:
        """Inputs with equal ``sharing`` may be asked in one batch, by the outputs of either."""
        return id(self)

    def fingerprint(self) -> dict[str, Any]:
        """All of the input that decides its values, as JSON data; the target not among it."""
        n = self.n_features
        ends = np.stack([np.ones(n, np.bool_), np.zeros(n, np.bool_), np.arange(n) % 2 == 0])
        return {
            "text": self.text,
            "spans": self.features.spans,
            "regions": self.features.regions,
            "mask_token": self.mask_token,
            "image_masking": self.image_masking,
            "arguments": dict(self.arguments),
            "picture": None
            if self.picture is None
            else hashlib.sha256(self.picture.png).hexdigest(),
            "read_as": [hashlib.sha256(item).hexdigest() for item in self.items(ends)],
        }

    def masked_text(self, mask: NDArray[np.bool_]) -> str:
        """The text that the model reads under one mask, shape (n,)."""
        return str(self.masked_input(mask))

    def __call__(self, masks: BoolArray) -> FloatArray:
        return ask(self, as_masks(masks, self.n_features))


def packed(masks: BoolArray) -> list[bytes]:
    """Each mask as an item of its own."""
    return [row.tobytes() for row in np.packbits(masks, axis=1)]


def unpacked(items: Sequence[bytes], n_features: int) -> BoolArray:
    """The masks that :func:`packed` packed, (b, n)."""
    rows = np.stack([np.frombuffer(item, dtype=np.uint8) for item in items])
    return np.unpackbits(rows, axis=1)[:, :n_features].astype(np.bool_)
