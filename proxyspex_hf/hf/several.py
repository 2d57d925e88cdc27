"""Several at once: the inputs of a list, whatever holds them, and the labels of one input."""

from __future__ import annotations

import copy
import io
import math
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from proxyspex_hf.errors import InputError
from proxyspex_hf.hf.options import FeatureOptions
from proxyspex_hf.hf.tasks.table import FUNCTION, bind, task_of
from proxyspex_hf.hf.value_function import BoundInput

#: Tasks that make several labels' values of the same outputs.
_SHARED_OUTPUTS = (
    "text-classification",
    "image-classification",
    "audio-classification",
    "zero-shot-classification",
    "zero-shot-image-classification",
    FUNCTION,
)
_CHATS = ("text-generation", "image-text-to-text")
#: One thing each, although they can be walked through.
_WHOLE = (str, bytes, bytearray, Mapping, torch.Tensor, os.PathLike, io.IOBase)


def listed(value: Any) -> list[Any] | None:
    """The entries of a list, tuple, column (pandas, numpy, datasets, pyarrow), generator or any
    other iterable; None for what is one thing, such as a text, a mapping, or an array of numbers.

    Raises:
        InputError: a table, or a set.
    """
    if isinstance(value, _WHOLE):
        return None
    if isinstance(value, (set, frozenset)):
        raise InputError(
            f"a {type(value).__name__} has no order: give a list, such as sorted(...), so that it "
            "can be told which explanation is whose."
        )
    if isinstance(value, np.ndarray):
        return value.tolist() if value.ndim == 1 and value.dtype.kind in "UOT" else None
    if hasattr(value, "columns") and hasattr(value, "shape"):
        raise InputError(
            f"a {type(value).__name__} is a table: give one of its columns, such as table['text']."
        )
    if hasattr(value, "to_pylist"):
        return list(value.to_pylist())
    if not hasattr(value, "__iter__") and not hasattr(value, "__len__"):
        return None
    try:
        entries = iter(value)
    except TypeError:
        return None
    return list(entries)


def inputs_of(pipe: Any, value: Any, *, texts: bool) -> tuple[bool, Any]:
    """Whether ``value`` is one input of the task, and that input, or the list of them.

    A chat is a list of messages and one input; so are the names of a function's features, unless
    its inputs are ``texts``.

    Raises:
        InputError: a table, a set, or no pipeline and no function.
    """
    task, entries = task_of(pipe), listed(value)
    if entries is None:
        return True, value
    if not entries:
        return False, []
    first = entries[0]
    if task == FUNCTION:
        is_text = isinstance(first, str) or is_missing(first)
        one = listed(first) is None and not (texts and is_text)
    else:
        one = task in _CHATS and isinstance(first, Mapping) and "role" in first
    return one, entries


def is_missing(value: Any) -> bool:
    """None, NaN, or pandas' own marks of a missing value."""
    if isinstance(value, (float, np.floating)):
        return math.isnan(value)
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def bind_each(
    pipe: Any, value: Any, options: FeatureOptions
) -> dict[str | int | None, tuple[BoundInput, BoundInput]]:
    """The value functions of one input by label; one without a key where one label is asked for.

    Beside each stands the one whose outputs it may be scored from: labels share their forwards.

    Raises:
        InputError: an unusable input, or a label that the model does not have.
    """
    if isinstance(value, str):
        value = str(value)  # numpy's texts are written as any other
    elif task_of(pipe) == FUNCTION:
        value = value if listed(value) is None else listed(value)
    if task_of(pipe) in _SHARED_OUTPUTS or not options.targets:
        bound = bind(pipe, value, options)
        if not bound.targets:
            return {None: (bound, bound)}
        return {key: (_about(bound, target), bound) for key, target in bound.targets.items()}
    each = [bind(pipe, value, replace(options, target=t, targets=())) for t in options.targets]
    labels = [(bound.target.label, bound.target.index) for bound in each]
    named: dict[str | int | None, tuple[BoundInput, BoundInput]] = {}
    for (label, index), bound in zip(labels, each, strict=True):
        alone = index is None or all(i == index for name, i in labels if name == label)
        named[label if alone else index] = (bound, bound)
    return named


def _about(bound: BoundInput, target: Any) -> BoundInput:
    """The same input, another label."""
    other = copy.copy(bound)
    other.target = target
    return other
