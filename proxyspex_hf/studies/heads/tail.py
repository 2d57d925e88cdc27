"""The layers before the first chosen one, run once: no mask changes what they give.

The model's own forward is run on a copy of the few modules that hold the layers. It shares every
weight with the model; its earlier layers hand back what they gave before. The model itself is not
touched.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch

from proxyspex_hf.studies.heads.sites import HeadSites


class Tail:
    """A model from its first chosen layer on.

    Args:
        model: a transformers model in evaluation mode.
        sites: its heads.

    Attributes:
        possible: there are layers to leave out, and nothing hinders it from outside.
    """

    def __init__(self, model: Any, sites: HeadSites) -> None:
        self._model = model
        self._sites = sites
        # accelerate's hooks are bound to the modules that they were put on.
        self.possible = sites.layers[0] > 0 and not any(
            hasattr(module, "_hf_hook") for module in model.modules()
        )

    def states(self, inputs: Mapping[str, Any]) -> torch.Tensor | None:
        """What the layer before the first chosen one gives: (rows, tokens, hidden).

        None where it gives something else than one tensor.
        """
        given: list[Any] = []
        layer = self._model.get_submodule(f"{self._sites.path}.{self._sites.layers[0] - 1}")
        handle = layer.register_forward_hook(lambda _module, _args, output: given.append(output))
        try:
            self._model(**inputs)
        finally:
            handle.remove()
        states = given[0] if len(given) == 1 else None
        return states if isinstance(states, torch.Tensor) else None

    def resumed(self, states: torch.Tensor) -> Any:
        """A model that continues from ``states``, (rows, tokens, hidden), whatever its inputs."""
        first = self._sites.layers[0]
        parents = self._sites.path.split(".")
        module = top = _twin(self._model)
        for name in parents[:-1]:
            module._modules[name] = module = _twin(module._modules[name])
        layers = list(module._modules[parents[-1]])
        for place in range(first):
            # Models ask their layers for attributes: the twin has them all.
            layers[place] = _twin(layers[place])
            layers[place].forward = lambda *_args, **_kwargs: states
            _drop_hooks(layers[place])  # what they do is in the states already
        module._modules[parents[-1]] = torch.nn.ModuleList(layers)
        return top


def _twin(module: Any) -> Any:
    """A module of its own with the same parameters, buffers, hooks and submodules."""
    twin = copy.copy(module)
    twin._modules = dict(module._modules)
    return twin


def _drop_hooks(twin: Any) -> None:
    for name, value in list(vars(twin).items()):
        if name.endswith("_hooks") and isinstance(value, OrderedDict):
            setattr(twin, name, OrderedDict())
