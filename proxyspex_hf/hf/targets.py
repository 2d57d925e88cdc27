"""Which number is made of a model's class logits: by name, or by a function of one's own."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np

from proxyspex_hf.core.masks import BoolArray
from proxyspex_hf.core.spectrum import FloatArray
from proxyspex_hf.errors import InputError, ModelError

__all__ = [
    "CLASS_VALUES",
    "Applied",
    "ValueOf",
    "class_score",
    "label_index",
    "own_name",
    "value_name",
]

#: A name, or a function from the model's outputs (b, …), float64, to one number a row, (b,).
ValueOf = str | Callable[[FloatArray], Any]

#: What a pipeline makes of class logits.
Applied = Literal["softmax", "sigmoid", "none"]

CLASS_VALUES = ("logit", "log-odds", "margin", "probability", "log-probability")
#: Every name of a value, of any task.
_OURS = {*CLASS_VALUES, "log-perplexity", "similarity", "contrastive loss", "value"}


def value_name(value: ValueOf | None, known: tuple[str, ...]) -> str:
    """The name of ``value`` for the record; the first of ``known`` where none is given.

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
    return value


def own_name(function: Callable[..., Any]) -> str:
    """What a record calls a function of the user's: by its name, if no value of ours has it."""
    name = str(getattr(function, "__name__", "own function"))[:100]
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


def own_score(function: Callable[[Any], Any], outputs: FloatArray | BoolArray) -> FloatArray:
    """A user's function applied, and its shape checked.

    Raises:
        ModelError: it gave another shape than (b,).
    """
    values = np.asarray(function(outputs), dtype=np.float64)
    if values.shape != (len(outputs),):
        raise ModelError(
            f"the function given as value= gave shape {values.shape} for outputs of shape "
            f"{outputs.shape}; expected ({len(outputs)},)."
        )
    return values


def label_index(labels: Mapping[int, str], wanted: str | int) -> int:
    """The position of a class by its name (in any case, if that is clear) or its number.

    Raises:
        InputError: the model has no such class.
    """
    known = ", ".join(repr(label) for label in list(labels.values())[:20])
    if isinstance(wanted, numbers.Integral) and not isinstance(wanted, bool) and wanted in labels:
        return int(wanted)
    matches = [i for i, label in labels.items() if label == wanted]
    if not matches and isinstance(wanted, str):
        matches = [i for i, label in labels.items() if label.casefold() == wanted.casefold()]
    if len(matches) != 1:
        raise InputError(f"target={wanted!r} is not a label of this model; it has {known}.")
    return matches[0]
