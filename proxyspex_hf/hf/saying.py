"""What a pipeline that generates says, and how it is made to say it again: its settings, its own
output, and the likelihood of one as its ``generate`` gives it.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import LogitsProcessor, LogitsProcessorList

from proxyspex_hf.errors import InputError, ModelError
from proxyspex_hf.hf.evaluating import evaluating
from proxyspex_hf.hf.options import FeatureOptions
from proxyspex_hf.hf.sequence import DEFAULT_NEW_TOKENS, given_output, log_probabilities
from proxyspex_hf.hf.stages import Stages

#: Settings of generation that choose what is said; they do not enter the number that is explained.
_CHOOSING = (
    "repetition_penalty",
    "no_repeat_ngram_size",
    "encoder_repetition_penalty",
    "encoder_no_repeat_ngram_size",
    "bad_words_ids",
    "sequence_bias",
    "guidance_scale",
    "suppress_tokens",
    "begin_suppress_tokens",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "exponential_decay_length_penalty",
    "penalty_alpha",
    "dola_layers",
    "constraints",
    "force_words_ids",
    "prefix_allowed_tokens_fn",
    "logits_processor",
    "watermarking_config",
    "custom_generate",
)
#: Those that guess several tokens at once, and change nothing of what is said without sampling.
_GUESSING = (
    "assistant_model",
    "assistant_tokenizer",
    "prompt_lookup_num_tokens",
    "assistant_early_exit",
    "use_mtp",
)
#: Those, and what stops early or shows what is said. None of them has a place where a model is made
#: to say given tokens, one a step.
_HURRYING = (
    *_GUESSING,
    "stop_strings",
    "stopping_criteria",
    "max_time",
    "streamer",
)


class _Forced(LogitsProcessor):
    """Makes a model say given tokens, one a step."""

    def __init__(self, target: NDArray[np.int64]) -> None:
        self._left = [int(token) for token in target]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        only = torch.full_like(scores, -torch.inf)
        only[:, self._left.pop(0)] = 0.0
        return only


class _Begin(LogitsProcessor):
    """Changes nothing, and sees how long a sequence is before its first token is said."""

    def __init__(self) -> None:
        self.width: int | None = None

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if self.width is None:
            self.width = input_ids.shape[-1]
        return scores


def forced(target: NDArray[np.int64], chosen: Collection[str] = ()) -> dict[str, Any]:
    """Settings of ``generate`` that make a model say ``target`` and tell its logits.

    Args:
        target: token ids, (t,).
        chosen: names of settings that are set elsewhere; those that choose or hurry are undone.
    """
    return {
        **{name: None for name in (*_CHOOSING, *_HURRYING) if name in chosen},
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
    model: Any, inputs: Mapping[str, Any], target: NDArray[np.int64], chosen: Collection[str] = ()
) -> torch.Tensor:
    """(1, t) log-probability of each token of ``target`` as the model's own ``generate`` says it.

    Slower than one forward pass, and right for every architecture that generates.

    Args:
        model: it generates.
        inputs: what ``generate`` is given, one input.
        target: token ids, (t,).
        chosen: as for :func:`forced`.
    """
    made = _made_to_say(model.generate, (), inputs, target, chosen)
    return log_probabilities(_logits_of(made), target)


def _made_to_say(
    generate: Callable[..., Any],
    args: tuple[Any, ...],
    given: Mapping[str, Any],
    target: NDArray[np.int64],
    chosen: Collection[str],
) -> Any:
    settings = forced(target, chosen)
    try:
        return generate(*args, **{**given, **settings})
    except TypeError as error:
        if "eos_token_id" not in str(error):
            raise
        # BLIP's own generate sets it; none of the target's tokens is the last, so it may.
        settings = forced(target, chosen)
        del settings["eos_token_id"]
        own = {name: value for name, value in given.items() if name != "eos_token_id"}
        return generate(*args, **{**own, **settings})


def _logits_of(made: Any) -> torch.Tensor:
    return torch.stack(list(made.logits), dim=1)


def _generating_by(generate: Callable[..., Any], stages: Stages) -> Stages:
    """The same stages, their model with another ``generate``: copies with the same weights, so that
    what other threads ask of the pipeline stays as it is."""
    asked, pipe, model = copy.copy(stages), copy.copy(stages.pipe), copy.copy(stages.pipe.model)
    model.__dict__["generate"] = generate
    pipe.model, asked.pipe = model, pipe
    return asked


def said_by_pipeline(stages: Stages, inputs: Any, target: NDArray[np.int64]) -> torch.Tensor:
    """The logits with which the pipeline's own ``_forward`` says ``target``, (1, t, vocabulary):
    whatever it gives its model's ``generate``, the model is made to say that.

    Raises:
        ModelError: the model failed, or ``_forward`` does not call ``generate`` once.
    """
    model = stages.pipe.model
    chosen = generation_set(stages)
    found: list[torch.Tensor] = []

    def generate(*args: Any, **given: Any) -> Any:
        made = _made_to_say(model.generate, args, given, target, {*chosen, *given})
        found.append(_logits_of(made))
        return made if given.get("return_dict_in_generate") else made.sequences

    _generating_by(generate, stages).run(inputs)
    if len(found) != 1:
        raise ModelError(
            f"{type(stages.pipe).__name__} called its model's generate {len(found)} times for one "
            "input, so it cannot be made to say a given output: let its _forward call "
            "self.model.generate once."
        )
    return found[0]


def generation_set(stages: Stages) -> dict[str, Any]:
    """The settings of generation that the model, the pipeline or the call were given."""
    pipe = stages.pipe
    call = dict(stages.forward)
    call.update(call.pop("generate_kwargs", None) or {})
    # Since transformers 5.20 a pipeline keeps what it was made with; a whole configuration that
    # the call gives replaces that.
    own = getattr(pipe, "_generate_kwargs", None) or {}
    given = call if "generation_config" in call else {**own, **call}
    found: dict[str, Any] = {}
    for config in (
        getattr(pipe.model, "generation_config", None),
        given.pop("generation_config", None),
    ):
        if config is not None:
            found.update(config.to_diff_dict())
    # Before, a pipeline has a whole configuration, the task's defaults among it.
    whole = getattr(pipe, "generation_config", None)
    if whole is not None and "generation_config" not in call:
        task: Any = getattr(pipe, "_default_generation_config", None)
        defaults = task.to_diff_dict() if task is not None else {}
        found.update({k: v for k, v in whole.to_diff_dict().items() if v != defaults.get(k)})
    return {k: v for k, v in {**found, **given}.items() if v is not None}


def generation_notes(stages: Stages) -> tuple[str, ...]:
    """What is set on a pipeline that chooses its output, but has no meaning for its likelihood."""
    chosen = generation_set(stages)
    notes = []
    if chosen.get("do_sample"):
        notes.append("The pipeline samples; explained is what it says without sampling.")
    if (chosen.get("num_beams") or 1) > 1:
        notes.append(
            f"The explained output was found with {chosen['num_beams']} beams; its likelihood does "
            "not depend on how it was found."
        )
    others = [name for name in _CHOOSING if chosen.get(name) not in (None, 1.0, 0, [])]
    if others:
        notes.append(
            f"{', '.join(others)} chose the explained output; the likelihoods are the model's own, "
            "without it."
        )
    return tuple(notes)


def generation_asides(stages: Stages) -> tuple[str, ...]:
    """What a pipeline does to its output that nobody set: transformers' text pipelines sample
    where neither the model nor the user says otherwise."""
    if "do_sample" in generation_set(stages):
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


def _for_generate(stages: Stages, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of ``_forward`` that hand these settings to ``generate``."""
    taken = inspect.signature(stages.pipe._forward).parameters.get("generate_kwargs")
    if taken is None or taken.kind is inspect.Parameter.VAR_KEYWORD:
        return dict(settings)
    return {"generate_kwargs": {**(stages.forward.get("generate_kwargs") or {}), **settings}}


def answered_in_short(stages: Stages, inputs: Any) -> None:
    """Ask the pipeline for one token, to see whether it can answer at all.

    Raises:
        ModelError: it cannot.
    """
    settings = {**_one_answer(generation_set(stages)), "max_new_tokens": 1}
    with evaluating(stages.pipe.model):
        stages.run(inputs, **_for_generate(stages, settings))


def _one_answer(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with which a pipeline that has ``chosen`` gives one answer, the same each time."""
    # transformers' text pipelines sample by default.
    settings: dict[str, Any] = {"do_sample": False}
    if "streamer" in chosen:  # it shows what the user asks for, not this
        settings["streamer"] = None
    if (chosen.get("num_return_sequences") or 1) > 1:
        settings["num_return_sequences"] = 1
    return settings


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
    chosen = generation_set(stages)
    more = _one_answer(chosen)
    if options.max_new_tokens is not None:
        more["max_new_tokens"] = options.max_new_tokens
    elif not {"max_new_tokens", "max_length"} & set(chosen):
        more["max_new_tokens"] = DEFAULT_NEW_TOKENS
    model, begin = stages.pipe.model, _Begin()

    def generate(*args: Any, **given: Any) -> Any:
        watched = LogitsProcessorList([begin, *(given.get("logits_processor") or ())])
        # An assistant would be watched, too, and begins elsewhere.
        alone = {name: None for name in _GUESSING if name in chosen or name in given}
        return model.generate(*args, **{**given, **alone, "logits_processor": watched})

    with evaluating(model):
        made = _generating_by(generate, stages).run(inputs, **_for_generate(stages, more))
    sequence = np.asarray(made["generated_sequence"]).reshape(
        -1, made["generated_sequence"].shape[-1]
    )
    if begin.width is None:
        raise ModelError(
            f"{type(stages.pipe).__name__} does not ask its model's generate, so where its output "
            "begins is not known: let its _forward call self.model.generate once."
        )
    output = sequence[0][begin.width :]
    ends = {*tokenizer.all_special_ids, *_end_tokens(model, chosen)}
    while len(output) and int(output[-1]) in ends:
        output = output[:-1]
    if not len(output):
        raise InputError(
            "the model ends its output at once, so there is nothing to explain: pass "
            "target='...' (a text) or another prompt."
        )
    return output.astype(np.int64), str(tokenizer.decode(output))


def _end_tokens(model: Any, chosen: Mapping[str, Any]) -> set[int]:
    """Tokens at which generation stops."""
    ends = chosen.get("eos_token_id", getattr(model.config, "eos_token_id", None))
    return set() if ends is None else {int(end) for end in np.atleast_1d(np.asarray(ends))}
