"""Synergistic and redundant sets of training points (paper, appendix C.1, equations 12 and 13).

Points of the test point's own class raise its margin and others lower it, so the sign of a Möbius
coefficient means opposite things for sets within the class (target) and all others (non-target):

    synergistic   S* = argmax over target sets, T* = argmin over non-target sets    (equation 12)
    redundant     S* = argmin over target sets, T* = argmax over non-target sets    (equation 13)

and the answer is S* if |I(S*)| >= |I(T*)|, else T*.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from proxyspex_hf.checks import FloatArray, as_integer, as_labels
from proxyspex_hf.core.interactions import Interactions
from proxyspex_hf.errors import InputError

Kind = Literal["synergistic", "redundant"]


@dataclass(frozen=True)
class DataInteraction:
    """A set of training points that interact.

    Attributes:
        members: the points (or groups), ascending.
        value: their Möbius coefficient, in the margin's unit: what training on all of them adds
            beyond what their proper subsets do.
        target_class: all of them have the test point's label.
    """

    members: tuple[int, ...]
    value: float
    target_class: bool


def top_interaction(
    form: Interactions, train_labels: Any, test_label: Any, order: int, kind: Kind
) -> DataInteraction | None:
    """The top set of ``order`` training points by equation 12 or 13.

    All sets of the order take part; one without a row in ``form`` has the value 0. Among equal
    values the lexicographically first set is taken, and S* before T*. None where the winner's value
    is 0: nothing of that kind was found.

    Args:
        form: Möbius coefficients (:func:`proxyspex_hf.core.moebius.moebius`).
        train_labels: (n,) integers or strings.
        test_label: one of the same type.
        order: r, at least 1.

    Raises:
        InputError: another index, labels that do not fit, an unknown ``kind``.
    """
    if form.index != "Moebius":
        raise InputError(f"form must be Möbius coefficients, got the index {form.index}.")
    if kind not in ("synergistic", "redundant"):
        raise InputError(f"kind must be 'synergistic' or 'redundant', got {kind!r}.")
    size = as_integer("order", order, 1, form.n_features)
    labels = as_labels("train_labels", train_labels, form.n_features)
    label = np.asarray(test_label)
    if label.shape != () or (label.dtype.kind == "U") != (labels.dtype.kind == "U"):
        raise InputError(
            f"test_label must be one label like those of train_labels ({labels.dtype}), got "
            f"{test_label!r}."
        )
    own = labels == label
    rows = np.flatnonzero(form.orders == size)
    sets, values = form.support[rows, :size], form.values[rows]
    target = own[sets].all(axis=1)
    n_target = math.comb(int(own.sum()), size)
    n_others = math.comb(form.n_features, size) - n_target
    sign = 1.0 if kind == "synergistic" else -1.0
    inside = _largest(sets[target], sign * values[target], n_target)
    outside = _largest(sets[~target], -sign * values[~target], n_others)
    if inside is not None and (outside is None or abs(inside[1]) >= abs(outside[1])):
        members, value = inside
        return DataInteraction(members, sign * value, target_class=True)
    if outside is None:
        return None
    members, value = outside
    return DataInteraction(members, -sign * value, target_class=False)


def _largest(
    sets: NDArray[np.int32], values: FloatArray, n_sets: int
) -> tuple[tuple[int, ...], float] | None:
    """The first set of the largest value among ``n_sets``, of which those without a row have 0.

    None where that value is 0, which then beats no other class.
    """
    if not len(values) or (values.max() <= 0.0 and len(values) < n_sets) or not values.any():
        return None
    best = int(values.argmax())  # rows are in lexicographic order
    if values[best] == 0.0:
        return None
    return tuple(int(i) for i in sets[best]), float(values[best])
