"""Running a model on many token sequences: batches by length, each distinct sequence once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from proxyspex_hf.core.spectrum import FloatArray
from proxyspex_hf.errors import InputError, ModelError

__all__ = ["evaluating", "run_batches"]

DEFAULT_BATCH = 32


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Dropout off and no gradients while inside; every module's mode is put back afterwards."""
    training = [module for module in model.modules() if module.training]
    try:
        for module in training:
            module.training = False
        with torch.inference_mode():
            yield
    finally:
        for module in training:
            module.training = True


def run_batches(
    sequences: Sequence[list[int]],
    forward: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    *,
    device: torch.device,
    pad_token_id: int | None,
    padding_side: str,
    batch_size: int,
    may_pad: Callable[[], bool] = lambda: False,
) -> FloatArray:
    """``forward(input_ids, attention_mask) -> (b, outputs)`` over all sequences -> (m, outputs).

    Identical sequences are computed once. Without a padding token they go one at a time, since
    models without one refuse batches. Sequences of different lengths share a batch only if
    ``may_pad()``, which is asked when the first such batch comes up. Out of memory halves the
    batch; it is an error only for a single sequence.

    Raises:
        ModelError: the model failed, a sequence is empty, or one alone does not fit into memory.
    """
    if batch_size < 1:
        raise InputError(f"batch_size must be at least 1, got {batch_size}.")
    distinct: dict[tuple[int, ...], int] = {}
    place = np.array([distinct.setdefault(tuple(ids), len(distinct)) for ids in sequences])
    unique = list(distinct)
    if any(not ids for ids in unique):
        raise ModelError(
            "a masked input has no tokens at all, which the model cannot take: this tokenizer adds "
            "none of its own. Use masking='mask' instead of 'delete'."
        )
    out: list[FloatArray] = [np.empty(0)] * len(unique)
    order = sorted(range(len(unique)), key=lambda i: len(unique[i]))
    start = 0
    batch_size = 1 if pad_token_id is None else batch_size
    while start < len(order):
        rows = order[start : start + batch_size]
        shortest = len(unique[rows[0]])
        if len(unique[rows[-1]]) > shortest and not may_pad():
            rows = [row for row in rows if len(unique[row]) == shortest]
        ids, attention = _pad([unique[row] for row in rows], pad_token_id or 0, padding_side)
        try:
            answers = forward(ids.to(device), attention.to(device))
        except torch.cuda.OutOfMemoryError as error:
            if len(rows) == 1:
                raise ModelError(
                    f"one input of {len(unique[rows[0]])} tokens does not fit into the memory of "
                    f"{device}: explain a shorter text, or load the model in 8 bits."
                ) from error
            torch.cuda.empty_cache()
            batch_size = max(1, len(rows) // 2)
            continue
        except (ValueError, RuntimeError, IndexError, TypeError) as error:
            first = (str(error).strip() or repr(error)).splitlines()[0]
            raise ModelError(
                f"the model failed on {len(rows)} inputs of up to {ids.shape[1]} tokens: "
                f"{type(error).__name__}: {first}"
            ) from error
        for row, answer in zip(rows, answers.to(torch.float64).cpu().numpy(), strict=True):
            out[row] = answer
        start += len(rows)
    every: FloatArray = np.stack(out)[place]
    return every


def _pad(
    sequences: list[tuple[int, ...]], pad: int, side: str
) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(map(len, sequences))
    ids = torch.full((len(sequences), longest), pad, dtype=torch.long)
    attention = torch.zeros((len(sequences), longest), dtype=torch.long)
    for row, sequence in enumerate(sequences):
        columns = slice(longest - len(sequence), None) if side == "left" else slice(len(sequence))
        ids[row, columns] = torch.tensor(sequence, dtype=torch.long)
        attention[row, columns] = 1
    return ids, attention


def model_device(model: Any) -> torch.device:
    """Where inputs go: the first parameter's device (right for models spread by a device map)."""
    device: torch.device = next(iter(model.parameters())).device
    return device
