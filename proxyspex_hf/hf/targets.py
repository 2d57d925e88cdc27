"""Which number is made of a model's class logits: by name, or by a user-supplied function."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
import torch

from proxyspex_hf.checks import BoolArray, FloatArray
from proxyspex_hf.errors import InputError, ModelError, ProxySpexError
from proxyspex_hf.hf.failures import is_out_of_memory
from proxyspex_hf.hf.options import FeatureOptions, ValueOf
from proxyspex_hf.record.record import Target

#: What a pipeline makes of class logits.
Applied = Literal["softmax", "sigmoid", "none"]

CLASS_VALUES = ("logit", "log-odds", "margin", "probability", "log-probability")
#: Every name of a value, of any task.
_OURS = {*CLASS_VALUES, "log-perplexity", "similarity", "contrastive loss", "value"}


def value_name(value: ValueOf | None, known: tuple[str, ...], *, independent: bool = False) -> str:
    """The name of ``value`` for the record; the first of ``known`` where none is given.

    Args:
        value: the user's choice.
        known: the task's names.
        independent: each label is a yes or no of its own. Its margin leads no other label then: it
            is yes against no, and that is called log-odds.

    Raises:
        InputError: not one of ``known``, and no function.
    """
    if value is None:
        return known[0]
    if callable(value):
        return own_name(value)
    if value not in known:
        raise InputError(
            f"value={value!r} is unknown for this task; use {', '.join(map(repr, known))}, or a "
            "function from the model's outputs (b, …) to numbers (b,)."
        )
    return "log-odds" if independent and value == "margin" else value


def own_name(function: Callable[..., Any]) -> str:
    """What a record calls a function of the user's: by its name, if no value of ours has it."""
    name = function_name(function)
    return f"{name} (own)" if name in _OURS else name


def class_score(
    logits: FloatArray, index: int, value: ValueOf | None, *, applied: Applied = "softmax"
) -> FloatArray:
    """The explained number of each row of class logits: (b, labels) -> (b,).

    Args:
        logits: the raw scores.
        index: the explained class.
        value: one of ``CLASS_VALUES``, or a function of the logits.
        applied: what makes probabilities of them: ``"softmax"`` over the classes, or ``"sigmoid"``,
            each class a yes or no of its own; with ``"none"`` there are only logits.
    """
    if callable(value):
        return own_score(value, logits)
    own: FloatArray = logits[:, index]
    if value in (None, "logit") or applied == "none":
        return own
    if applied == "sigmoid":
        return _of_log_odds(own, value)
    if logits.shape[1] == 1:
        return _of_log_odds(np.full(len(own), np.inf), value)
    others = np.delete(logits, index, axis=1)
    top = others.max(axis=1)
    if value == "margin":
        margin: FloatArray = own - top
        return margin
    return _of_log_odds(own - top - np.log(np.exp(others - top[:, None]).sum(axis=1)), value)


def _of_log_odds(log_odds: FloatArray, value: str | None) -> FloatArray:
    if value in ("log-odds", "margin"):
        return log_odds
    log_probability: FloatArray = -np.logaddexp(0.0, -log_odds)
    return log_probability if value == "log-probability" else np.exp(log_probability)


def own_score(
    function: Callable[[Any], Any],
    outputs: FloatArray | BoolArray,
    called: str = "the function given as value=",
    rows: str = "outputs",
) -> FloatArray:
    """A user's function applied to ``rows``, and its shape checked.

    Raises:
        ModelError: it failed, or gave another shape than (b,).
    """
    values = called_on(function, outputs, called)
    if values.shape != (len(outputs),):
        alone = f" It is given all {rows} at once, and answers each." if values.ndim == 0 else ""
        raise ModelError(
            f"{called} gave shape {values.shape} for {rows} of shape {outputs.shape}; expected "
            f"({len(outputs)},).{alone}"
        )
    return values


def called_on(function: Callable[[Any], Any], given: Any, called: str) -> FloatArray:
    """What a user's function answers, as numbers.

    Raises:
        ModelError: it raised, or answered with something that is not an array of numbers.
    """
    try:
        found = function(given)
    except ProxySpexError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        first = (str(error).strip() or repr(error)).splitlines()[0].removesuffix(".")
        raise ModelError(
            f"{called} failed on {_inputs(given)}: {type(error).__name__}: {first}."
        ) from error
    if isinstance(found, torch.Tensor):
        found = found.detach().to("cpu", torch.float64).numpy()
    try:
        array = np.asarray(found)
        if array.dtype.kind == "O" and any(entry is None for entry in array.flat):
            raise TypeError("None is not a number")
        if np.iscomplexobj(array) or (
            array.dtype.kind == "O" and any(isinstance(entry, complex) for entry in array.flat)
        ):
            raise TypeError("complex numbers are neither larger nor smaller")
        return array.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ModelError(
            f"{called} gave {found!r:.60} for {_inputs(given)}, which is not an array of "
            f"numbers ({error}); expected a number for each."
        ) from error


def _inputs(given: Any) -> str:
    return "1 input" if len(given) == 1 else f"{len(given):,} inputs"


def function_name(function: Callable[..., Any]) -> str:
    """What a user's function is called: its name, or that of what it wraps, or its class."""
    wrapped = getattr(function, "func", function)  # functools.partial
    named = getattr(function, "__name__", None) or getattr(wrapped, "__name__", None)
    return str(named or type(function).__name__)[:100]


def label_index(labels: Mapping[int, str], wanted: str | int) -> int:
    """The position of a class by its name (in any case, if that is clear) or its number.

    Raises:
        InputError: the model has no such class, or several.
    """
    if isinstance(wanted, numbers.Integral) and not isinstance(wanted, bool) and wanted in labels:
        return int(wanted)
    matches = _named(labels, wanted)
    if len(matches) == 1:
        return matches[0]
    if matches:
        listed = ", ".join(f"{i} ({labels[i]!r})" for i in matches[:20])
        raise InputError(
            f"target={wanted!r} is the name of {len(matches)} labels of this model: give the index "
            f"of one of them, {listed}."
        )
    known = ", ".join(repr(label) for label in list(labels.values())[:20])
    more = f", … ({len(labels)} in all)" if len(labels) > 20 else ""
    raise InputError(f"target={wanted!r} is not a label of this model; it has {known}{more}.")


def _named(labels: Mapping[int, str], wanted: Any) -> list[int]:
    """Indices of the labels of a name: exactly so written, else in any case."""
    if not isinstance(wanted, str):
        return []
    exact = [i for i, label in labels.items() if label == wanted]
    return exact or [i for i, label in labels.items() if label.casefold() == wanted.casefold()]


def wanted_targets(
    labels: Mapping[int, str], options: FeatureOptions, kind: str, predicted: int
) -> tuple[Target, dict[str | int, Target]]:
    """The explained label (default the predicted one), and all of them where several are asked
    for, by ``options.targets`` or by ``target="all"``, which a label of that name goes before.

    The key of each of several is what names it alone: its name, its index where others have it.

    Raises:
        InputError: the model has no such label.
    """

    def target(index: int) -> Target:
        return Target(labels[index], index, kind, labels[predicted])

    wanted = [label_index(labels, each) for each in options.targets]
    if not wanted:
        if options.target != "all" or _named(labels, "all"):
            index = predicted if options.target is None else label_index(labels, options.target)
            return target(index), {}
        wanted = list(labels)
    several: dict[str | int, Target] = {}
    for index in wanted:
        alone = sum(name == labels[index] for name in labels.values()) == 1
        several[labels[index] if alone else index] = target(index)
    return next(iter(several.values())), several
