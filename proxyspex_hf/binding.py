"""An input as a value function: of a new input, or of a finished explanation, made again."""

from __future__ import annotations

from typing import Any

import numpy as np

from proxyspex_hf.beforehand import Bound
from proxyspex_hf.errors import InputError
from proxyspex_hf.hf.answers import Asker
from proxyspex_hf.hf.rebuild import held_input, options_again
from proxyspex_hf.hf.several import bind_each, inputs_of
from proxyspex_hf.hf.targets import own_name
from proxyspex_hf.hf.tasks.image_prompt import ImagePrompt
from proxyspex_hf.hf.tasks.table import FUNCTION, task_of
from proxyspex_hf.hf.text.prompt_input import PromptInput
from proxyspex_hf.hf.value_function import BoundInput
from proxyspex_hf.options import ExplainerOptions
from proxyspex_hf.record.record import ExplanationRecord

#: How far the whole input's value may be from the stored one, in shares of the values' range, to
#: count as the same model's: other batches and devices round otherwise.
_SAME_MODEL = 1e-3


def bind_one(pipe: Any, inputs: Any, chosen: ExplainerOptions) -> Bound:
    """One input as its value functions, one for each label that is asked for.

    Raises:
        InputError: an input or option that cannot be used.
    """
    one, given = inputs_of(pipe, inputs, texts=chosen.features is not None)
    if not one and task_of(pipe) == FUNCTION:
        raise InputError(f"expected one input, got a list of {len(given)}.")
    return bind_each(pipe, given if one else inputs, chosen.about_input())


def only(bound: Bound) -> BoundInput:
    """The value function of the only label.

    Raises:
        InputError: several were asked for.
    """
    if None not in bound:
        raise InputError("a value function is that of one label: give one as target.")
    return bound[None][0]


def check_task(pipe: Any, record: ExplanationRecord) -> None:
    """Raises: InputError: an explanation of what this pipeline does not do."""
    if record.task != task_of(pipe):
        raise InputError(
            f"the explanation is of {record.task}, this pipeline does {task_of(pipe)}."
        )


def bound_again(
    pipe: Any, options: ExplainerOptions, record: ExplanationRecord, inputs: Any
) -> BoundInput:
    """The value function that an explanation was made of; ``inputs`` None where it holds its own.

    Raises:
        InputError: another model or input, or an input that the explanation does not hold.
    """
    changes = options_again(record)
    own = options.value
    if callable(own) and record.target.kind == own_name(own):
        del changes["value"]  # the reader's own function: a record holds only its name
    if inputs is None:
        inputs, division = held_input(record)
        changes.update(division)
    function = only(bind_one(pipe, inputs, options.changed(changes)))
    if not _same_label(record, function):
        raise InputError(
            f"the explanation is of the label {record.target.label!r}, but at its index this "
            f"model has {function.target.label!r}: it is another model."
        )
    made, wanted = function.features, record.features
    if (made.spans, made.regions) != (wanted.spans, wanted.regions) or len(made) != len(wanted):
        raise InputError(
            "inputs are divided into other features than the explanation has: give the same "
            "input and the same options."
        )
    tokens = record.settings.arguments.get("target_tokens")
    if tokens is not None and tokens != function.arguments.get("target_tokens"):
        if not isinstance(function, (PromptInput, ImagePrompt)):
            raise InputError(f"an output's tokens have no meaning for {record.task}.")
        function.say(tokens)
    return function


def check_same_model(record: ExplanationRecord, asker: Asker) -> None:
    """Raises: InputError: the whole input's value is not the one that was explained."""
    full = float(asker(np.ones((1, len(record.features)), dtype=np.bool_))[0])
    spread = float(np.ptp(record.queries.values)) or 1.0
    allowed = _SAME_MODEL * spread + 2.0 * (record.provenance.noise_floor or 0.0)
    if abs(full - record.full_value) > allowed:
        raise InputError(
            f"the whole input gives {full:.6g} under this pipeline, but gave "
            f"{record.full_value:.6g} when it was explained: it is another model, or set "
            "up differently."
        )


def _same_label(record: ExplanationRecord, function: BoundInput) -> bool:
    # A user's function has no labels, and may have another name today.
    index = None if record.task == FUNCTION else record.target.index
    return index is None or record.target.label == function.target.label
