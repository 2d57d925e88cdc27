"""Sequences of tokens in batches: padding, a beginning that is run once, and what is made of the
log-probabilities of an output.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from proxyspex_hf.core.spectrum import FloatArray
from proxyspex_hf.errors import InputError
from proxyspex_hf.hf.evaluating import evaluating, model_device
from proxyspex_hf.hf.options import FeatureOptions
from proxyspex_hf.hf.targets import ValueOf, own_score
from proxyspex_hf.hf.text.tokens import TYPE_BIT

__all__ = ["SEQUENCE_VALUES", "Continuations", "own_output", "padded", "sequence_score"]

SEQUENCE_VALUES = ("log-perplexity", "log-probability", "log-odds", "probability")


def padded(
    rows: Sequence[NDArray[np.int64]],
    pad: int,
    side: str,
    device: torch.device,
    *,
    types: bool = False,
) -> dict[str, torch.Tensor]:
    """Token rows as one tensor with its attention mask, (b, t) each, on ``device``."""
    lengths = {len(row) for row in rows}
    longest = max(lengths)
    if len(lengths) == 1:
        ids = np.stack(rows)
        attention = np.ones_like(ids)
    else:
        ids = np.full((len(rows), longest), pad, dtype=np.int64)
        attention = np.zeros_like(ids)
        for place, row in enumerate(rows):
            columns = slice(longest - len(row), None) if side == "left" else slice(len(row))
            ids[place, columns] = row
            attention[place, columns] = 1
    out = {"attention_mask": torch.from_numpy(attention)}
    if types:
        out["token_type_ids"] = torch.from_numpy(ids >> TYPE_BIT)
        ids = ids & ((1 << TYPE_BIT) - 1)
    return {
        name: value.to(device)
        for name, value in {"input_ids": torch.from_numpy(ids), **out}.items()
    }


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


def own_output(
    model: Any, tokenizer: Any, prompt: NDArray[np.int64], options: FeatureOptions, **inputs: Any
) -> tuple[NDArray[np.int64], str]:
    """The tokens and the text that are explained: ``target``, or what the model says greedily.

    Args:
        model: it generates.
        tokenizer: its tokenizer.
        prompt: token ids of the whole prompt.
        options: for ``target`` and ``max_new_tokens``.
        inputs: what else the model needs, such as pixels.

    Raises:
        InputError: a target that is no text, or an output without any token.
    """
    if options.target is not None:
        if not isinstance(options.target, str) or not options.target.strip():
            raise InputError(
                f"target must be the text whose generation is explained, got {options.target!r}."
            )
        found = tokenizer(options.target, add_special_tokens=False)["input_ids"]
        return np.array(found, dtype=np.int64), options.target
    ids = torch.from_numpy(prompt.copy())[None].to(model_device(model))
    made = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=options.max_new_tokens,
        pad_token_id=tokenizer.pad_token_id or 0,
        **inputs,
    )
    output = made[0, ids.shape[1] :].cpu().numpy()
    ends = set(tokenizer.all_special_ids)
    while len(output) and int(output[-1]) in ends:
        output = output[:-1]
    if not len(output):
        raise InputError(
            "the model ends its output at once, so there is nothing to explain: pass "
            "target='...' (a text) or another prompt."
        )
    return output.astype(np.int64), str(tokenizer.decode(output))


def sequence_score(log_probabilities: FloatArray, value: ValueOf | None) -> FloatArray:
    """The explained number of each row of token log-probabilities, (b, t) -> (b,)."""
    if callable(value):
        return own_score(value, log_probabilities)
    if value in (None, "log-perplexity"):
        perplexity: FloatArray = -log_probabilities.mean(axis=1)
        return perplexity
    total: FloatArray = log_probabilities.sum(axis=1)
    if value == "log-odds":
        odds: FloatArray = total - np.log(-np.expm1(np.minimum(total, -1e-300)))
        return odds
    return np.exp(total) if value == "probability" else total
