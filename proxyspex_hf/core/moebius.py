"""Fourier to Möbius and back, on the downward closure of the support (paper, tables in A.1, A.3).

f(S) = sum_{T ⊆ S} m(T): the Möbius coefficient m(T) is what keeping all of T adds beyond its
proper subsets. A Fourier coefficient on S spreads over the 2^|S| subsets of S, so the form is
exact and sparse while orders are low, whatever n is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import combinations, groupby
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proxyspex_hf.checks import FloatArray, IntArray, as_masks
from proxyspex_hf.core.interactions import Interactions
from proxyspex_hf.core.spectrum import FourierSpectrum
from proxyspex_hf.errors import InputError

#: Default limit on enumerated subsets: one set of 20 features passes, one of 21 does not.
MAX_SUBSETS = 2_000_000

#: Bytes of products held at once by :func:`evaluate_moebius`.
_CHUNK_BYTES = 64 * 2**20

#: Indices whose scores are a form f(S) = sum_{T ⊆ S} I(T), exact or the best of its order.
_MOEBIUS_FORMS = ("Moebius", "STII", "FBII", "FSII")


def moebius(
    spectrum: FourierSpectrum, order: int | None = None, *, limit: int = MAX_SUBSETS
) -> Interactions:
    """Möbius coefficients m(T) = (-2)^|T| sum_{S ⊇ T} F(S) of the closure of the support.

    Args:
        spectrum: the function.
        order: only sets of at most this size; ``None`` for all, without which the form is not f.
        limit: how many subsets may be enumerated, counted before equal ones are merged.

    Raises:
        InputError: the closure passes ``limit``, or ``order`` is negative.
    """
    largest = int(spectrum.orders.max())
    if order is not None and order < 0:
        raise InputError(f"order must not be negative, got {order}.")
    order = largest if order is None else order
    support, values = downward_sums(
        spectrum.support,
        spectrum.coefficients,
        spectrum.n_features,
        lambda _, t: (-2.0) ** t,
        range(min(order, largest) + 1),
        limit=limit,
    )
    return Interactions("Moebius", order, spectrum.n_features, support, values)


def fourier(form: Interactions, *, atol: float = 0.0, limit: int = MAX_SUBSETS) -> FourierSpectrum:
    """The spectrum of a Möbius form: F(T) = (-1)^|T| sum_{S ⊇ T} m(S) / 2^|S|.

    The scores of FBII, FSII and STII are such a form too: the approximation of f that they define.

    Args:
        form: interactions of the index Moebius, FBII, FSII or STII.
        atol: coefficients of at most this magnitude get no row. Cancellation in the sums leaves
            about 1e-16 where the exact coefficient is 0.
        limit: as in :func:`moebius`.

    Raises:
        InputError: another index, or the closure passes ``limit``.
    """
    _check_form(form)
    support, values = downward_sums(
        form.support,
        form.values,
        form.n_features,
        lambda s, t: (-1.0) ** t * 0.5**s,
        range(int(form.orders.max(initial=0)) + 1),
        limit=limit,
    )
    keep = np.abs(values) > atol
    return FourierSpectrum.from_arrays(support[keep], values[keep], form.n_features)


def evaluate_moebius(form: Interactions, masks: Any) -> FloatArray:
    """sum_{T ⊆ S} I(T) for each mask: (m, n) bool -> (m,) float64.

    Args:
        form: interactions of the index Moebius (the value is f(S)), or FBII, FSII or STII (the
            value of the approximation that they define).
        masks: 1 = kept.

    Raises:
        InputError: another index, or masks of the wrong width or not 0/1.
    """
    _check_form(form)
    rows = as_masks(masks, form.n_features)
    out = np.zeros(len(rows))
    step = max(1, _CHUNK_BYTES // (9 * len(form) + form.n_features + 1))
    for start in range(0, len(rows), step):
        chunk = rows[start : start + step]
        # One row per feature and, where the padding index -1 lands, a last one of ones.
        kept = np.concatenate([chunk.T, np.ones((1, len(chunk)), np.bool_)])
        contained = np.ones((len(form), len(chunk)), np.bool_)
        for column in form.support.T:
            contained &= kept[column]
        out[start : start + step] = form.values @ contained
    return out


def downward_sums(
    support: IntArray,
    coefficients: FloatArray,
    n_features: int,
    weight: Callable[[int, int], float],
    sizes: Iterable[int],
    *,
    limit: int = MAX_SUBSETS,
) -> tuple[IntArray, FloatArray]:
    """sum_{S ⊇ T} weight(|S|, |T|) * c(S) for every T of one of ``sizes`` below the support.

    Every linear index is such a sum (:mod:`proxyspex_hf.core.indices`). Work and memory follow
    the number of pairs T ⊆ S of non-zero weight, never 2^n.

    Args:
        support: (k, max_order), each row ascending, padded with -1.
        coefficients: (k,) float64.
        n_features: n.
        weight: of (|S|, |T|); pairs of weight 0 are not visited and make no row.
        sizes: which |T| to return, ascending.
        limit: how many pairs may be enumerated.

    Returns:
        Rows (r, max_size) int32 in canonical order, and their sums (r,).

    Raises:
        InputError: more pairs than ``limit``.
    """
    orders = (support >= 0).sum(axis=1)
    present = np.unique(orders)
    plan = [
        (t, s, w) for t in sizes for s in present.tolist() if s >= t and (w := weight(s, t)) != 0.0
    ]
    count = {s: int((orders == s).sum()) for s in present.tolist()}
    pairs = sum(count[s] * math.comb(s, t) for t, s, _ in plan)
    if pairs > limit:
        raise InputError(
            f"{pairs} subsets of the support would be enumerated (its largest set has "
            f"{int(present[-1])} features), expected at most limit={limit}: pass a lower order, "
            "fewer coefficients of high order, or a higher limit."
        )
    blocks = []
    for t, steps in groupby(plan, key=itemgetter(0)):
        subsets, parts = [], []
        for _, s, w in steps:
            rows = np.flatnonzero(orders == s)
            chosen = _combinations(s, t)
            subsets.append(support[rows, :s][:, chosen].reshape(len(rows) * len(chosen), t))
            parts.append(np.repeat(w * coefficients[rows], len(chosen)))
        blocks.append(_merge(np.concatenate(subsets), np.concatenate(parts), n_features))
    width = max((rows.shape[1] for rows, _ in blocks), default=0)
    padded = [np.full((0, width), -1, dtype=np.int32)]
    padded += [
        np.pad(rows, ((0, 0), (0, width - rows.shape[1])), constant_values=-1) for rows, _ in blocks
    ]
    return np.concatenate(padded), np.concatenate([np.zeros(0), *(sums for _, sums in blocks)])


def _merge(subsets: IntArray, values: FloatArray, n_features: int) -> tuple[IntArray, FloatArray]:
    """Equal rows of one size summed, rows ascending."""
    size = subsets.shape[1]
    if size == 0:
        return subsets[:1], values.sum(keepdims=True)
    # As many members as fit are packed in a 63-bit key, the first highest: keys sort as the rows.
    bits = max(1, (n_features - 1).bit_length())
    per_key = 63 // bits
    keys = []
    for first in range(0, size, per_key):
        key = np.zeros(len(subsets), dtype=np.int64)
        for column in subsets[:, first : first + per_key].T:
            key = (key << bits) | column
        keys.append(key)
    order = np.argsort(keys[0], kind="stable") if len(keys) == 1 else np.lexsort(keys[::-1])
    starts = np.zeros(len(subsets), dtype=np.bool_)
    starts[0] = True
    for key in keys:
        ranked = key[order]
        starts[1:] |= ranked[1:] != ranked[:-1]
    heads = np.flatnonzero(starts)
    return subsets[order[heads]], np.add.reduceat(values[order], heads)


@lru_cache(maxsize=128)
def _combinations(s: int, t: int) -> NDArray[np.int16]:
    """Positions of every subset of size ``t`` of ``s`` members, shape (C(s, t), t)."""
    flat = np.fromiter(
        (i for chosen in combinations(range(s), t) for i in chosen),
        dtype=np.int16,
        count=math.comb(s, t) * t,
    )
    return flat.reshape(math.comb(s, t), t)


def _check_form(form: Interactions) -> None:
    if form.index not in _MOEBIUS_FORMS:
        raise InputError(
            f"form must be interactions of {', '.join(_MOEBIUS_FORMS)}, got {form.index}: its "
            "scores do not add up to a function over the subsets of a mask."
        )
