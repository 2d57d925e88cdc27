"""Asking a model many items: each distinct one once, in batches by size, halved where memory ends.

Batches are formed from the items alone, never from a clock: the same items make the same batches,
so that values repeat bit for bit, in one process or in several.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from proxyspex_hf.core.masks import BoolArray
from proxyspex_hf.core.spectrum import FloatArray
from proxyspex_hf.errors import InputError, ModelError

if TYPE_CHECKING:
    from proxyspex_hf.hf.bound import BoundInput

__all__ = ["Batch", "answer", "ask", "batches", "evaluating", "model_device"]

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
