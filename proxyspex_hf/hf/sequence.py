"""Sequences of tokens: padding, a beginning that is run once, an output that is named, and what is
made of its log-probabilities.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from proxyspex_hf.checks import FloatArray
from proxyspex_hf.errors import InputError
from proxyspex_hf.hf.evaluating import evaluating, model_device
from proxyspex_hf.hf.options import ValueOf
from proxyspex_hf.hf.targets import own_score
from proxyspex_hf.hf.text.tokens import TYPE_BIT

SEQUENCE_VALUES = ("log-perplexity", "log-probability", "log-odds", "probability")

#: Length of the model's own output where neither the pipeline nor the model is set to one.
DEFAULT_NEW_TOKENS = 32


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

    Shorter prompts are padded behind the continuation: a causal model does not look there, whatever
    it does with its attention mask, positions, windows or recurrent states.

    Args:
        model: a causal language model.
        prefix: token ids that all prompts begin with; may be empty.
        target: token ids of the continuation.
        pad: token id for padding; any will do.
    """

    def __init__(
        self, model: Any, prefix: NDArray[np.int64], target: NDArray[np.int64], pad: int
    ) -> None:
        self._model = model
        self._prefix = prefix
        self._target = target
        self._pad = pad
        self._cache: Any = None
        self._keeps = "logits_to_keep" in inspect.signature(model.forward).parameters

    def begins(self, prompt: NDArray[np.int64]) -> bool:
        """Whether a whole prompt begins with the prefix, and more follows."""
        shared = len(self._prefix)
        return len(prompt) > shared and bool(np.array_equal(prompt[:shared], self._prefix))

    def __call__(self, prompts: Sequence[NDArray[np.int64]]) -> torch.Tensor:
        """Prompts without the prefix -> (b, t) log-probability of each token of the target."""
        device, shared, wanted = model_device(self._model), len(self._prefix), len(self._target)
        rows = [np.concatenate([prompt, self._target[:-1]]) for prompt in prompts]
        ids = np.full((len(rows), max(map(len, rows))), self._pad, dtype=np.int64)
        for place, row in enumerate(rows):
            ids[place, : len(row)] = row
        inputs: dict[str, Any] = {
            "input_ids": torch.from_numpy(ids).to(device),
            "attention_mask": torch.ones(
                (len(rows), shared + ids.shape[1]), dtype=torch.long, device=device
            ),
            "use_cache": shared > 0,
        }
        if shared:
            inputs["past_key_values"] = _for_rows(self._prefix_cache(), len(rows))
        # The target's first token is said by the last of the prompt.
        first = np.array([len(prompt) - 1 for prompt in prompts])
        start = 0
        if self._keeps:
            start = int(first.min())
            kept = torch.arange(start, int(first.max()) + wanted, device=device)
            inputs["logits_to_keep"] = kept
        logits = self._model(**inputs).logits
        places = torch.from_numpy(first[:, None] + np.arange(wanted) - start).to(logits.device)
        own = logits[torch.arange(len(rows), device=logits.device)[:, None], places]
        return log_probabilities(own, self._target)

    def _prefix_cache(self) -> Any:
        if self._cache is None:
            ids = torch.from_numpy(self._prefix)[None].to(model_device(self._model))
            with evaluating(self._model):
                more = {"logits_to_keep": 1} if self._keeps else {}
                self._cache = self._model(input_ids=ids, use_cache=True, **more).past_key_values
        return self._cache


def log_probabilities(logits: torch.Tensor, target: NDArray[np.int64]) -> torch.Tensor:
    """Of each token of the target: (b, t, vocabulary) -> (b, t)."""
    logits = logits.float()
    tokens = torch.from_numpy(target).to(logits.device).expand(len(logits), -1)
    found: torch.Tensor = logits.gather(-1, tokens[..., None])[..., 0] - logits.logsumexp(dim=-1)
    return found


def logits_size(logits: torch.Tensor) -> float:
    """About the size of the largest of logits (…, vocabulary), of which log-probabilities are
    differences."""
    return float(logits.float().logsumexp(dim=-1).abs().max())


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


def given_output(tokenizer: Any, target: Any) -> tuple[NDArray[np.int64], str]:
    """The tokens and the text of an output that the user names.

    Raises:
        InputError: no text.
    """
    if not isinstance(target, str) or not target.strip():
        raise InputError(f"target must be the text whose generation is explained, got {target!r}.")
    found = tokenizer(target, add_special_tokens=False)["input_ids"]
    return np.array(found, dtype=np.int64), target


def known_output(tokenizer: Any, label: str, tokens: Any) -> NDArray[np.int64]:
    """The tokens of an output that was explained before; a text may be read as others than those
    that were once generated. They come from a file, so nothing is taken for granted.

    Raises:
        InputError: they are not tokens of this tokenizer, or say something else.
    """
    size = len(tokenizer)
    fits = isinstance(tokens, (list, tuple)) and all(
        isinstance(token, int) and 0 <= token < size for token in tokens
    )
    if not fits or not tokens or str(tokenizer.decode(tokens)) != label:
        raise InputError(
            f"the explained output {label!r:.60} reads as other tokens than the model once "
            "generated, so the same number cannot be asked for again: it is another model."
        )
    return np.array(tokens, dtype=np.int64)


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
