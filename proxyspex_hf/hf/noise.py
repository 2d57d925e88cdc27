"""How far a value depends on the batch it was computed in: measured, and told with the result."""

from __future__ import annotations

import numpy as np
import torch

from proxyspex_hf.core.masks import BoolArray
from proxyspex_hf.hf.asking import Asker
from proxyspex_hf.hf.bound import BoundInput, packed
from proxyspex_hf.hf.engine import answer
from proxyspex_hf.hf.loading import quantization_of

__all__ = ["noise_floor"]

#: Masks that are asked again, alone.
_AGAIN = 8


def noise_floor(asker: Asker, masks: BoolArray, wanted: bool | None) -> float | None:
    """Largest difference between the values of a few masks in their batches and alone.

    ``wanted`` None measures it where it is to be expected: quantized weights, half precision.
    """
    bound = asker.bound
    if wanted is None:
        wanted = _expected(bound)
    if not wanted or bound.model is None:
        return None
    some = masks[np.linspace(0, len(masks) - 1, min(_AGAIN, len(masks)), dtype=int)]
    items = bound.items(some)
    alone = np.concatenate([bound.score(answer(bound, [item])) for item in items])
    return float(np.abs(alone - asker.known(packed(some))).max())


def _expected(bound: BoundInput) -> bool:
    dtype = getattr(bound.model, "dtype", torch.float32)
    return quantization_of(bound.model) is not None or dtype in (torch.float16, torch.bfloat16)
