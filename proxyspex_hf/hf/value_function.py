"""One input under one model as a set function: what every task implements, and how it is asked.

A task turns masks into *items* (bytes; equal items are equal model inputs), a batch of items into
the model's outputs, and outputs into one number an item. The rest is the same for all: each
distinct item is asked once, in batches by size, halved where memory ends. Batches are formed from
the items alone, never from a clock: the same items make the same batches, so that values repeat bit
for bit, in one process or in several.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from proxyspex_hf.core.masks import BoolArray, as_masks
from proxyspex_hf.core.spectrum import FloatArray
from proxyspex_hf.errors import InputError, ModelError
from proxyspex_hf.inputs import Features, ImageMasking, Part, Picture
from proxyspex_hf.record import Target

__all__ = [
    "Batch",
    "BoundInput",
    "answer",
    "ask",
    "batches",
    "evaluating",
    "model_device",
    "packed",
    "unpacked",
]


class BoundInput(ABC):
    """The set function of one input: masks (b, n), 1 = kept, in; (b,) float64 out.

    Attributes:
        text: the text explained, cut where the model takes less (then ``notes`` say so).
        features: what the masks switch.
        target: the number that is explained.
        targets: all of them by key, where several labels were asked for.
        mask_token: the text that replaces a feature; None where features are deleted.
        picture, parts, image_masking, arguments: see :class:`proxyspex_hf.record`.
        notes: what a reader must know of this input.
        model: the module that answers; None where it is no torch model.
        batch_size: items in one forward pass; None lets the engine choose.
    """

    features: Features
    target: Target
    targets: Mapping[str | int, Target] = {}
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


#: Tokens (or the like) in one forward pass where no batch size is given: enough to keep the
#: machine busy, little enough to stay in its caches.
_CPU_TOKENS, _GPU_TOKENS = 2048, 16_384
_MOST_ROWS = 256


@dataclass(frozen=True)
class Batch:
    """Distinct items of one input for one forward pass; ``rows`` are their places in the list."""

    rows: tuple[int, ...]
    items: tuple[bytes, ...]


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Dropout off and no gradients while inside; every module's mode is put back afterwards."""
    modules = model.modules() if isinstance(model, torch.nn.Module) else ()
    training = [module for module in modules if module.training]
    try:
        for module in training:
            module.training = False
        with torch.inference_mode():
            yield
    finally:
        for module in training:
            module.training = True


def batches(bound: BoundInput, items: Sequence[bytes]) -> list[Batch]:
    """Divide distinct items into batches, the smallest items first.

    Raises:
        ModelError: an item is empty.
    """
    sizes = [bound.size(item) for item in items]
    if any(size < 1 for size in sizes):
        raise ModelError(
            "a masked input has no tokens at all, which the model cannot take: this tokenizer adds "
            "none of its own. Use masking='mask' instead of 'delete'."
        )
    order = sorted(range(len(items)), key=sizes.__getitem__)
    mixing: bool | None = None
    out: list[Batch] = []
    start = 0
    while start < len(order):
        stop = _stop(bound, sizes, order, start)
        if sizes[order[stop - 1]] != sizes[order[start]]:
            mixing = bound.may_mix() if mixing is None else mixing
            if not mixing:
                smallest = sizes[order[start]]
                stop = next(i for i in range(start, stop) if sizes[order[i]] != smallest)
        rows = tuple(order[start:stop])
        out.append(Batch(rows, tuple(items[row] for row in rows)))
        start = stop
    return out


def _stop(bound: BoundInput, sizes: Sequence[int], order: Sequence[int], start: int) -> int:
    """Where the batch that begins at ``start`` ends."""
    if bound.batch_size is not None:
        return min(len(order), start + bound.batch_size)
    device = None if bound.model is None else model_device(bound.model)
    room = _CPU_TOKENS if device is None or device.type == "cpu" else _GPU_TOKENS
    stop = start + 1
    while (
        stop < len(order)
        and stop - start < _MOST_ROWS
        and sizes[order[stop]] * (stop - start + 1) <= room
    ):
        stop += 1
    return stop


def answer(bound: BoundInput, items: Sequence[bytes]) -> FloatArray:
    """The model's outputs for one batch, (b, …) float64; out of memory halves it.

    Raises:
        ModelError: the model failed, or one item alone does not fit into memory.
    """
    try:
        with evaluating(bound.model):
            outputs = bound.outputs(items)
        if isinstance(outputs, torch.Tensor):
            outputs = outputs.to(torch.float64).cpu().numpy()
        return np.asarray(outputs, dtype=np.float64)
    except (torch.cuda.OutOfMemoryError, MemoryError) as error:
        if len(items) == 1:
            raise ModelError(
                f"one input of {bound.size(items[0])} tokens does not fit into the memory of "
                f"{model_device(bound.model)}: explain a shorter input, or load the model in 8 "
                "bits."
            ) from error
    except (ValueError, RuntimeError, IndexError, TypeError, KeyError, AttributeError) as error:
        if isinstance(error, (InputError, ModelError)):
            raise
        first = (str(error).strip() or repr(error)).splitlines()[0]
        raise ModelError(
            f"the model failed on {len(items)} inputs of up to "
            f"{max(map(bound.size, items))} tokens: {type(error).__name__}: {first}"
        ) from error
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    half = len(items) // 2
    return np.concatenate([answer(bound, items[:half]), answer(bound, items[half:])])


def ask(bound: BoundInput, masks: BoolArray) -> FloatArray:
    """The value of each mask, (b, n) -> (b,): one process, nothing remembered."""
    if bound.batch_size is not None and bound.batch_size < 1:
        raise InputError(f"batch_size must be at least 1, got {bound.batch_size}.")
    items = bound.items(masks)
    distinct: dict[bytes, int] = {}
    place = [distinct.setdefault(item, len(distinct)) for item in items]
    values = np.empty(len(distinct))
    for batch in batches(bound, list(distinct)):
        values[list(batch.rows)] = bound.score(answer(bound, batch.items))
    return values[place]


def model_device(model: Any) -> torch.device:
    """Where inputs go: the first parameter's device (right for models spread by a device map)."""
    parameters = getattr(model, "parameters", None)
    first = None if parameters is None else next(iter(parameters()), None)
    return torch.device("cpu") if first is None else first.device
