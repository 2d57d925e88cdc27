"""A fingerprint of a model's weights as they are now, wherever they are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np
import torch

#: Numbers in one sum. With 16 bits each and factors below 2**20, every sum stays below 2**52, so
#: that float64 holds it exactly: in any order, with any number of threads, on any device.
_CHUNK = 2**16
_FACTORS = 2**20
#: Chunks at once on a device where starting a sum costs more than the sum: 128 MiB of float64.
_ROWS = 256


def weights_fingerprint(model: torch.nn.Module) -> str:
    """A hash of every tensor's name, shape, type and of all its bits at their places.

    Each chunk of a tensor becomes one sum of its numbers, taken as 16-bit integers, with a factor a
    place: one changed bit changes it, and so do two rows that were swapped. It is computed where
    the tensor lies, a chunk at a time. Offloaded weights are read from where they wait.
    """
    digest = hashlib.sha256()
    offloaded = dict(_offloaded(model))
    seen: dict[tuple[Any, ...], str] = {}
    for name, tensor in sorted(_tensors(model).items()):
        place = _place(tensor)
        if tensor.device.type == "meta" and name in offloaded:
            weights, own = offloaded[name]
            tensor = weights[own]
        if place is not None and place in seen:  # tied: it is there already
            digest.update(f"{name} = {seen[place]}".encode())
            continue
        if place is not None:
            seen[place] = name
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(_sums(tensor).tobytes())
    return digest.hexdigest()


def _tensors(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """What a checkpoint would hold, and the buffers that none holds."""
    every = {**dict(model.named_buffers()), **model.state_dict()}
    return {name: t.detach() for name, t in every.items() if isinstance(t, torch.Tensor)}


def _offloaded(model: torch.nn.Module) -> Iterator[tuple[str, tuple[Mapping[str, Any], str]]]:
    """Where accelerate keeps the weights of modules that are empty until they are called."""
    for prefix, module in model.named_modules():
        hook = getattr(module, "_hf_hook", None)
        for each in getattr(hook, "hooks", (hook,)):
            weights = getattr(each, "weights_map", None)
            if weights is None or not getattr(each, "offload", False):
                continue
            inner = bool(getattr(each, "place_submodules", False))
            for own, tensor in (
                *module.named_parameters(recurse=inner),
                *module.named_buffers(recurse=inner),
            ):
                if tensor.device.type == "meta":
                    yield f"{prefix}.{own}" if prefix else own, (weights, own)


def _place(tensor: torch.Tensor) -> tuple[Any, ...] | None:
    """Where a tensor lies in memory; None where it says nothing of that."""
    if type(tensor) not in (torch.Tensor, torch.nn.Parameter) or tensor.layout != torch.strided:
        return None
    if tensor.device.type == "meta" or not tensor.numel():
        return None
    return tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride()


def _sums(tensor: Any) -> Any:
    """The sums of a tensor's chunks, in order, (c,) float64."""
    if hasattr(tensor, "__tensor_flatten__"):  # quantized weights made of plain tensors
        names, _ = tensor.__tensor_flatten__()
        return np.concatenate([_sums(getattr(tensor, name)) for name in names] or [np.zeros(0)])
    tensor = torch.as_tensor(tensor)
    if tensor.layout != torch.strided:
        tensor = tensor.to_dense()
    if tensor.is_quantized:
        tensor = tensor.int_repr()
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    if tensor.device.type == "meta" or not tensor.numel():
        return np.zeros(0)
    with torch.inference_mode():
        flat = tensor.detach().contiguous().reshape(-1)
        numbers = flat.view(torch.int16 if flat.element_size() % 2 == 0 else torch.uint8)
        device = flat.device if flat.device.type != "mps" else torch.device("cpu")  # no float64
        factors = _factors().to(device)
        if device.type == "cpu":
            chunks = (chunk.to(device, torch.float64) for chunk in numbers.split(_CHUNK))
            return np.array([float(torch.dot(c, factors[: len(c)])) for c in chunks])
        whole = len(numbers) - len(numbers) % _CHUNK
        sums = [block.double() @ factors for block in numbers[:whole].view(-1, _CHUNK).split(_ROWS)]
        rest = numbers[whole:].double()
        sums.append(torch.dot(rest, factors[: len(rest)])[None])
        return torch.cat(sums).cpu().numpy()


@cache
def _factors() -> torch.Tensor:
    drawn = np.random.default_rng(0).integers(1, _FACTORS, _CHUNK)
    return torch.from_numpy(drawn.astype(np.float64))
