"""Sequences of tokens: padding, a beginning that is run once, an output that the model is made to
say, and what is made of its log-probabilities.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import LogitsProcessor, LogitsProcessorList

from proxyspex_hf.checks import FloatArray
from proxyspex_hf.errors import InputError
from proxyspex_hf.hf.evaluating import evaluating, model_device
from proxyspex_hf.hf.options import FeatureOptions, ValueOf
from proxyspex_hf.hf.stages import Stages
from proxyspex_hf.hf.targets import own_score
from proxyspex_hf.hf.text.tokens import TYPE_BIT

SEQUENCE_VALUES = ("log-perplexity", "log-probability", "log-odds", "probability")

#: Length of the model's own output where neither the pipeline nor the model is set to one.
DEFAULT_NEW_TOKENS = 32

#: Settings of generation that choose what is said; they do not enter the number that is explained.
_CHOOSING = (
    "repetition_penalty",
    "no_repeat_ngram_size",
    "encoder_repetition_penalty",
    "bad_words_ids",
    "sequence_bias",
    "guidance_scale",
    "suppress_tokens",
    "begin_suppress_tokens",
    "forced_bos_token_id",
    "forced_eos_token_id",
)


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


class _Forced(LogitsProcessor):
    """Makes a model say given tokens, one a step."""

    def __init__(self, target: NDArray[np.int64]) -> None:
        self._left = [int(token) for token in target]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        only = torch.full_like(scores, -torch.inf)
        only[:, self._left.pop(0)] = 0.0
        return only


def forced(target: NDArray[np.int64]) -> dict[str, Any]:
    """Settings of ``generate`` that make a model say ``target`` and tell its logits."""
    return {
        "max_new_tokens": len(target),
        "do_sample": False,
        "num_beams": 1,
        "num_return_sequences": 1,
        "eos_token_id": None,
        "stop_strings": None,
        "logits_processor": LogitsProcessorList([_Forced(target)]),
        "output_logits": True,
        "return_dict_in_generate": True,
    }


def forced_log_probabilities(
    model: Any, inputs: Mapping[str, Any], target: NDArray[np.int64]
) -> torch.Tensor:
    """(1, t) log-probability of each token of ``target`` as the model's own ``generate`` says it.

    Slower than one forward pass, and right for every architecture that generates.

    Args:
        model: it generates.
        inputs: what ``generate`` is given, one input.
        target: token ids, (t,).
    """
    settings = forced(target)
    try:
        made = model.generate(**inputs, **settings)
    except TypeError as error:
        if "eos_token_id" not in str(error):
            raise
        # BLIP's own generate sets it; none of the target's tokens is the last, so it may.
        del settings["eos_token_id"]
        settings["logits_processor"] = forced(target)["logits_processor"]
        made = model.generate(**inputs, **settings)
    return log_probabilities(torch.stack(list(made.logits), dim=1), target)


def _generation_set(stages: Stages) -> dict[str, Any]:
    """The settings of generation that the model, the pipeline or the call were given."""
    pipe = stages.pipe
    found: dict[str, Any] = {}
    for config in (
        getattr(pipe.model, "generation_config", None),
        stages.forward.get("generation_config"),
    ):
        if config is not None:
            found.update(config.to_diff_dict())
    # Before transformers 5.20 a pipeline has a whole configuration, the task's defaults among it.
    whole = getattr(pipe, "generation_config", None)
    if whole is not None and "generation_config" not in stages.forward:
        task: Any = getattr(pipe, "_default_generation_config", None)
        defaults = task.to_diff_dict() if task is not None else {}
        found.update({k: v for k, v in whole.to_diff_dict().items() if v != defaults.get(k)})
    own = {**(getattr(pipe, "_generate_kwargs", None) or {}), **stages.forward}
    nested = own.pop("generate_kwargs", None) or {}
    return {k: v for k, v in {**found, **own, **nested}.items() if v is not None}


def generation_notes(stages: Stages) -> tuple[str, ...]:
    """What is set on a pipeline that chooses its output, but has no meaning for its likelihood."""
    chosen = _generation_set(stages)
    notes = []
    if chosen.get("do_sample"):
        notes.append("The pipeline samples; explained is what it says without sampling.")
    if (chosen.get("num_beams") or 1) > 1:
        notes.append(
            f"The explained output was found with {chosen['num_beams']} beams; its likelihood does "
            "not depend on how it was found."
        )
    others = [name for name in _CHOOSING if chosen.get(name) not in (None, 1.0, 0)]
    if others:
        notes.append(
            f"{', '.join(others)} chose the explained output; the likelihoods are the model's own, "
            "without it."
        )
    return tuple(notes)


def generation_asides(stages: Stages) -> tuple[str, ...]:
    """What a pipeline does to its output that nobody set: transformers' text pipelines sample
    where neither the model nor the user says otherwise."""
    if "do_sample" in _generation_set(stages):
        return ()
    pipe = stages.pipe
    defaults = getattr(pipe, "_generation_defaults", None)  # since transformers 5.23
    if defaults is None:
        samples = getattr(getattr(pipe, "generation_config", None), "do_sample", False)
    else:
        samples = defaults.get("do_sample", False)
    if not samples:
        return ()
    return (
        "The pipeline samples by default, and says something else each time; explained is what it "
        "says without sampling (do_sample=False).",
    )


def own_output(
    stages: Stages, tokenizer: Any, inputs: Any, options: FeatureOptions
) -> tuple[NDArray[np.int64], str]:
    """The tokens and the text that are explained: ``target``, or what the pipeline says without
    sampling.

    Args:
        stages: the pipeline's own.
        tokenizer: its tokenizer.
        inputs: its model inputs for the whole prompt.
        options: for ``target`` and ``max_new_tokens``.

    Raises:
        InputError: a target that is not a text, or an output without any token.
        ModelError: the model failed.
    """
    if options.target is not None:
        return given_output(tokenizer, options.target)
    chosen = _generation_set(stages)
    more: dict[str, Any] = {"do_sample": False}  # transformers' text pipelines sample by default
    if (chosen.get("num_return_sequences") or 1) > 1:
        more["num_return_sequences"] = 1
    if options.max_new_tokens is not None:
        more["max_new_tokens"] = options.max_new_tokens
    elif not {"max_new_tokens", "max_length"} & set(chosen):
        more["max_new_tokens"] = DEFAULT_NEW_TOKENS
    own = inspect.signature(stages.pipe._forward).parameters.get("generate_kwargs")
    if own is not None and own.kind is not inspect.Parameter.VAR_KEYWORD:
        more = {"generate_kwargs": {**(stages.forward.get("generate_kwargs") or {}), **more}}
    with evaluating(stages.pipe.model):
        made = stages.run(inputs, **more)
    sequence = np.asarray(made["generated_sequence"]).reshape(
        -1, made["generated_sequence"].shape[-1]
    )
    read = made["input_ids"]
    begin = 1 if read is None else read.shape[-1]  # an empty prompt begins with one token
    output = sequence[0][0 if stages.pipe.model.config.is_encoder_decoder else begin :]
    ends = {*tokenizer.all_special_ids, *_end_tokens(stages.pipe.model, chosen)}
    while len(output) and int(output[-1]) in ends:
        output = output[:-1]
    if not len(output):
        raise InputError(
            "the model ends its output at once, so there is nothing to explain: pass "
            "target='...' (a text) or another prompt."
        )
    return output.astype(np.int64), str(tokenizer.decode(output))


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


def _end_tokens(model: Any, chosen: Mapping[str, Any]) -> set[int]:
    """Tokens at which generation stops."""
    ends = chosen.get("eos_token_id", getattr(model.config, "eos_token_id", None))
    return set() if ends is None else {int(end) for end in np.atleast_1d(np.asarray(ends))}


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
