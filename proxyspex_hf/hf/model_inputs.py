"""Model inputs that a processor made of images or sound: put into one batch, compared, hashed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from proxyspex_hf.errors import ModelError


def stacked(rows: Sequence[Any]) -> dict[str, torch.Tensor]:
    """The model inputs of several single inputs as those of one batch.

    Raises:
        ModelError: they are not tensors of one row each, or of different sizes.
    """
    first = rows[0]
    if not isinstance(first, Mapping):
        raise ModelError("the pipeline asks several times for one input: no batch can be made.")
    out = {}
    for name in first:
        tensors = [row[name] for row in rows]
        shapes = {tuple(getattr(tensor, "shape", ())) for tensor in tensors}
        if len(shapes) > 1 or not all(isinstance(t, torch.Tensor) for t in tensors):
            raise ModelError(f"the inputs' {name!r} do not fit into one batch.")
        if next(iter(shapes))[:1] != (1,):
            raise ModelError(f"an input's {name!r} is not one row.")
        out[str(name)] = torch.cat(tensors)
    return out


def differ(a: Any, b: Any, tolerance: float = 0.0) -> bool:
    """Whether two model inputs differ in any tensor, by more than ``tolerance`` of its range."""
    if not isinstance(a, Mapping) or not isinstance(b, Mapping) or set(a) != set(b):
        return True
    for name in a:
        one, other = a[name], b[name]
        if not isinstance(one, torch.Tensor) or not isinstance(other, torch.Tensor):
            continue
        if one.shape != other.shape:
            return True
        if one.numel() and not torch.equal(one, other):
            one, other = one.double(), other.double()
            allowed = tolerance * float(one.max() - one.min())
            if not bool((one - other).abs().max() <= allowed):
                return True
    return False


def digest(inputs: Any) -> str:
    """A hash of every tensor among the model inputs of one input."""
    found = hashlib.sha256()
    for row in inputs if isinstance(inputs, list) else [inputs]:
        for name in sorted(row) if isinstance(row, Mapping) else ():
            tensor = row[name]
            if isinstance(tensor, torch.Tensor):
                found.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
                data = tensor.detach().cpu().contiguous().view(-1).view(torch.uint8)
                found.update(data.numpy().tobytes())
    return found.hexdigest()
