"""The unmasked beginning of a prompt, run through the model once: its keys and values are kept."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from proxyspex_hf.hf.engine import evaluating, model_device

__all__ = ["Continuations"]


class Continuations:
    """Log-probabilities of one continuation after many prompts that begin alike.

    Args:
        model: a causal language model.
        prefix: token ids that all prompts begin with; may be empty.
        target: token ids of the continuation.
        pad: token id for padding; any will do, it is never attended to.
    """

    def __init__(
        self, model: Any, prefix: NDArray[np.int64], target: NDArray[np.int64], pad: int
    ) -> None:
        self._model = model
        self._prefix = prefix
        self._target = target
        self.pad = pad
        self._cache: Any = None
        parameters = inspect.signature(model.forward).parameters
        self._keeps = "logits_to_keep" in parameters
        self._counts = "position_ids" in parameters

    def begins(self, prompt: NDArray[np.int64]) -> bool:
        """Whether a whole prompt begins with the prefix, and more follows."""
        shared = len(self._prefix)
        return len(prompt) > shared and bool(np.array_equal(prompt[:shared], self._prefix))

    def __call__(self, prompts: Sequence[NDArray[np.int64]]) -> torch.Tensor:
        """Prompts without the prefix -> (b, t) log-probability of each token of the target.

        Padding stands between the prefix and the shorter prompts, so that all end together and
        the logits wanted are the last ones.
        """
        device, shared = model_device(self._model), len(self._prefix)
        rows = [np.concatenate([prompt, self._target[:-1]]) for prompt in prompts]
        longest = max(map(len, rows))
        ids = np.full((len(rows), longest), self.pad, dtype=np.int64)
        attention = np.ones((len(rows), shared + longest), dtype=np.int64)
        for place, row in enumerate(rows):
            ids[place, longest - len(row) :] = row
            attention[place, shared : shared + longest - len(row)] = 0
        inputs: dict[str, Any] = {
            "input_ids": torch.from_numpy(ids).to(device),
            "attention_mask": torch.from_numpy(attention).to(device),
            "use_cache": shared > 0,
        }
        if self._counts:
            positions = np.maximum(np.cumsum(attention, axis=1) - 1, 0)[:, shared:]
            inputs["position_ids"] = torch.from_numpy(positions).to(device)
        if shared:
            inputs["past_key_values"] = _for_rows(self._prefix_cache(), len(rows))
        wanted = len(self._target)
        if self._keeps:
            inputs["logits_to_keep"] = wanted
        logits = self._model(**inputs).logits[:, -wanted:].float()
        target = torch.from_numpy(self._target).to(logits.device).expand(len(rows), -1)
        chosen = logits.gather(-1, target[..., None])[..., 0]
        found: torch.Tensor = chosen - logits.logsumexp(dim=-1)
        return found

    def _prefix_cache(self) -> Any:
        if self._cache is None:
            ids = torch.from_numpy(self._prefix)[None].to(model_device(self._model))
            with evaluating(self._model):
                more = {"logits_to_keep": 1} if self._keeps else {}
                self._cache = self._model(input_ids=ids, use_cache=True, **more).past_key_values
        return self._cache


def _for_rows(cache: Any, rows: int) -> Any:
    """A cache of one row as one of many: the model will append to it, so the first stays apart."""
    own = copy.deepcopy(cache)
    layers = getattr(own, "layers", None)
    if layers and all(type(layer).__name__ == "DynamicLayer" for layer in layers):
        for layer in layers:  # appending copies them anyway
            layer.keys = layer.keys.expand(rows, -1, -1, -1)
            layer.values = layer.values.expand(rows, -1, -1, -1)
    else:
        own.batch_repeat_interleave(rows)
    return own
