"""Where the heads of a model are, and switching them off: hooks on the output projections.

The heads' outputs lie beside each other in the input of a layer's output projection: zeroing a
head's stretch of it removes the head, and nothing of the model is touched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from proxyspex_hf.checks import BoolArray
from proxyspex_hf.errors import InputError, ModelError

#: The output projection of self-attention inside a layer, and who calls it so.
PROJECTIONS = {
    "self_attn.o_proj": "Llama, Mistral, Qwen, Gemma, OLMo, Phi-3, GPT-OSS",
    "self_attn.out_proj": "OPT, XGLM, BioGPT",
    "self_attn.dense": "Phi, Persimmon",
    "attn.c_proj": "GPT-2, GPT-BigCode",
    "attn.out_proj": "GPT-J, CodeGen, MPT",
    "attn.attention.out_proj": "GPT-Neo",
    "attention.dense": "GPT-NeoX",
    "self_attention.dense": "BLOOM, Falcon",
    "attention.output.dense": "BERT, RoBERTa, ELECTRA, DeBERTa",
    "attention.out_lin": "DistilBERT",
    "attn.Wo": "ModernBERT",
}


@dataclass(frozen=True)
class HeadSites:
    """The chosen heads of a model. Feature ``i`` is head ``i % n_heads`` of the chosen layer
    ``i // n_heads``.

    Attributes:
        path: name of the list that holds the model's layers, such as ``"model.layers"``.
        name: name of the output projection inside a layer, such as ``"self_attn.o_proj"``.
        layers: the chosen layers, counted from 0, ascending.
        n_heads: heads a layer.
        projections: the output projection of each chosen layer.
    """

    path: str
    name: str
    layers: tuple[int, ...]
    n_heads: int
    projections: tuple[torch.nn.Module, ...]

    @property
    def n_features(self) -> int:
        return len(self.layers) * self.n_heads

    @property
    def labels(self) -> tuple[str, ...]:
        """``"L3 H5"`` is head 5 of layer 3, both counted from 0."""
        return tuple(f"L{layer} H{head}" for layer in self.layers for head in range(self.n_heads))

    @property
    def layer_of(self) -> tuple[int, ...]:
        """(n,) the layer of each feature."""
        return tuple(layer for layer in self.layers for _ in range(self.n_heads))

    def scales(self, masks: BoolArray) -> torch.Tensor:
        """What each head's output is multiplied by: (b, n) bool -> (b, layers, heads) float32.

        0 for a removed head, heads / kept heads of its layer for a kept one (C.2); a layer that
        keeps no head gives zeros, and its bias if it has one.
        """
        kept = torch.from_numpy(masks.copy()).reshape(len(masks), len(self.layers), self.n_heads)
        counts = kept.sum(dim=2, keepdim=True)
        return kept * (self.n_heads / counts.clamp(min=1).to(torch.float32))


def find_sites(model: Any, layers: Sequence[int], projection: str | None = None) -> HeadSites:
    """The heads of ``layers`` of a transformers model.

    Args:
        model: any with one list of layers, each with one self-attention.
        layers: layer numbers from 0; negative ones count from the end.
        projection: name of the output projection inside a layer, for structures not in the table.

    Raises:
        InputError: a structure that is not supported, or layers the model does not have.
    """
    config = getattr(model, "config", None)
    if not isinstance(model, torch.nn.Module) or config is None:
        raise InputError(
            f"expected a pipeline of a transformers model, got {type(model).__name__}."
        )
    config = config.get_text_config() if hasattr(config, "get_text_config") else config
    depth = getattr(config, "num_hidden_layers", None)
    n_heads = getattr(config, "num_attention_heads", None)
    if not isinstance(depth, int) or not isinstance(n_heads, int):
        raise InputError(
            f"the config of {type(model).__name__} does not give num_hidden_layers and "
            "num_attention_heads as numbers: every layer must have as many heads."
        )
    names = (projection,) if projection is not None else tuple(PROJECTIONS)
    found = [
        (path, name)
        for path, module in model.named_modules()
        if isinstance(module, torch.nn.ModuleList) and len(module) == depth
        for name in names
        if all(_inside(layer, name) is not None for layer in module)
    ]
    if len(found) != 1 or getattr(config, "is_encoder_decoder", False):
        known = ", ".join(f"{name} ({who})" for name, who in PROJECTIONS.items())
        raise InputError(
            f"the attention heads of {type(model).__name__} were not found: expected one list of "
            f"{depth} layers, each with one output projection of its self-attention, called "
            + (f"{projection!r} as asked." if projection is not None else f"one of {known}.")
            + " Name it inside a layer with projection='...'; encoder-decoders are not supported."
        )
    (path, name) = found[0]
    chosen = _layers(layers, depth)
    holder = model.get_submodule(path)
    projections = []
    for layer in chosen:
        module = holder.get_submodule(f"{layer}.{name}")
        width = _width(module)
        if width is None or width % n_heads:
            raise InputError(
                f"{path}.{layer}.{name} takes {width or 'an unknown number of'} inputs, which are "
                f"not {n_heads} heads of one size: choose other layers."
            )
        projections.append(module)
    return HeadSites(path, name, chosen, n_heads, tuple(projections))


@contextmanager
def ablated(sites: HeadSites, scales: torch.Tensor) -> Iterator[None]:
    """Inside, row r of a batch has its heads multiplied by ``scales[r]``.

    Args:
        scales: (rows, layers, heads), see :meth:`HeadSites.scales`.

    Raises:
        ModelError: the model called a projection with something else than (rows, tokens, width),
            or not at all; the hooks are gone by then.
    """
    called = [0] * len(sites.projections)
    handles = []
    try:
        for place, module in enumerate(sites.projections):
            hook = _hook(sites, scales[:, place], called, place)
            handles.append(module.register_forward_pre_hook(hook))
        yield
    finally:
        for handle in handles:
            handle.remove()
    if any(count != 1 for count in called):
        raise ModelError(
            f"the output projections of layers {list(sites.layers)} were called {called} times in "
            "one forward pass, expected once each: this model's heads cannot be switched off so."
        )


def _hook(sites: HeadSites, scales: torch.Tensor, called: list[int], place: int) -> Any:
    def scaled(_module: torch.nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        called[place] += 1
        states = args[0] if args else None
        if not isinstance(states, torch.Tensor) or states.shape[:1] != scales.shape[:1]:
            shape = tuple(states.shape) if isinstance(states, torch.Tensor) else type(states)
            raise ModelError(
                f"the output projection of layer {sites.layers[place]} was given {shape}, expected "
                f"({len(scales)}, tokens, width): load the model with "
                "attn_implementation='eager' or 'sdpa'."
            )
        by_head = states.reshape(*states.shape[:-1], sites.n_heads, -1)
        factor = scales.to(states.device, states.dtype)
        factor = factor.reshape(len(scales), *[1] * (states.ndim - 2), sites.n_heads, 1)
        return ((by_head * factor).flatten(-2), *args[1:])

    return scaled


def _inside(layer: torch.nn.Module, name: str) -> torch.nn.Module | None:
    try:
        return layer.get_submodule(name)
    except AttributeError:
        return None


def _width(module: torch.nn.Module) -> int | None:
    """Inputs of a linear layer; GPT-2's is transposed and does not say."""
    width = getattr(module, "in_features", None)
    if width is None and type(module).__name__ == "Conv1D":
        width = module.weight.shape[0]  # type: ignore[index]
    return width if isinstance(width, int) else None


def _layers(layers: Sequence[int], depth: int) -> tuple[int, ...]:
    try:
        numbers = [range(depth)[layer] for layer in layers]
    except (TypeError, IndexError):
        numbers = []
    if not numbers or len(set(numbers)) != len(numbers):
        raise InputError(
            f"layers must be different numbers from 0 to {depth - 1} (or negative, from the end), "
            f"got {layers!r}."
        )
    return tuple(sorted(numbers))
