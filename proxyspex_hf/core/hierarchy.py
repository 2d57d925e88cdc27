"""How hierarchical a spectrum is, and how few coefficients carry it (paper, 3.2 and B.2).

F_k is the set of the k largest coefficients. As in the paper's example, where
{∅, {1}, {2}, {1, 3}} is an F_4 with DSR 7/8, ∅ is always a member and counts as one of the k: F_k
holds the sets of ``spectrum.top(k - 1)``. Without ∅ no set could be reached from it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proxyspex_hf.checks import FloatArray, as_integers, as_masks, as_numbers
from proxyspex_hf.core.faithfulness import r2_score
from proxyspex_hf.core.spectrum import FourierSpectrum, energy_of, parities
from proxyspex_hf.errors import InputError

_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, eq=False)
class HierarchyRates:
    """Rates of F_k for each k; every array has shape (m,) and values in [0, 1] but ``ks``.

    Attributes:
        ks: the sizes asked for; beyond the number of coefficients F_k is all of them.
        dsr: direct subset rate (equation 3): the mean over S in F_k of the share of i in S with
            S minus {i} in F_k; 1 for ∅.
        scr: staircase rate (equation 10): the share of S that can be reached from ∅ one feature at
            a time inside F_k.
        shr: strong hierarchy rate (equation 11): the share of S whose every subset is in F_k.
    """

    ks: NDArray[np.int64]
    dsr: FloatArray
    scr: FloatArray
    shr: FloatArray


@dataclass(frozen=True, eq=False)
class EnergyByOrder:
    """Energy of a spectrum by order, from 1 on; arrays of shape (max_order,).

    Attributes:
        orders: 1 to the largest order.
        counts: coefficients of each order.
        energy: their sum of F(T)^2; sums to ``spectrum.energy``.
        share: ``energy`` over its sum, 0 where the function is constant.
    """

    orders: NDArray[np.int64]
    counts: NDArray[np.int64]
    energy: FloatArray
    share: FloatArray


@dataclass(frozen=True, eq=False)
class RelativeFaithfulness:
    """R² of truncated spectra, as in figure 5.

    Attributes:
        ks: (m,) coefficients kept besides ∅, as ``spectrum.top(k)`` counts them.
        r2: (m,) R² of each truncation.
        full: R² of the whole spectrum.
        relative: (m,) ``r2 / full``; nan where ``full`` is not positive, for it says nothing then.

    Where the values are constant every R² is nan.
    """

    ks: NDArray[np.int64]
    r2: FloatArray
    full: float
    relative: FloatArray


def hierarchy_rates(spectrum: FourierSpectrum, ks: Iterable[int]) -> HierarchyRates:
    """DSR, SCR and SHR of F_k for each of ``ks`` (equations 3, 10 and 11), in one pass.

    Raises:
        InputError: a k below 1 (∅ is always in F_k).
    """
    sizes = _counts(ks, 1)
    sets = spectrum.sets
    # rank[S]: S is in F_k for every k > rank[S].
    rank = dict(zip((sets[r] for r in _ranking(spectrum)), range(len(sets)), strict=True))
    # From which k on S is reachable, and has all its subsets: both follow from the sets below it.
    stairs: dict[tuple[int, ...], int] = {}
    strong: dict[tuple[int, ...], int] = {}
    size, parent_rank, owner = [], [], []
    for row, members in enumerate(sets):  # canonical order: smaller sets first
        parents = [members[:i] + members[i + 1 :] for i in range(len(members))]
        own = rank[members]
        stairs[members] = max(own, min((stairs.get(p, _NEVER) for p in parents), default=0))
        strong[members] = max(own, max((strong.get(p, _NEVER) for p in parents), default=0))
        size.append(max(1, len(members)))
        parent_rank += [rank.get(p, _NEVER) for p in parents] or [0]
        owner += [row] * size[-1]
    own_rank = np.array([rank[members] for members in sets])
    present = own_rank[:, None] < sizes
    hits = np.array(parent_rank)[:, None] < sizes
    share = np.add.reduceat(hits, np.flatnonzero(np.diff(owner, prepend=-1)), axis=0, dtype=float)
    share /= np.array(size)[:, None]
    total = present.sum(axis=0)
    reached = np.array([stairs[members] for members in sets])[:, None] < sizes
    whole = np.array([strong[members] for members in sets])[:, None] < sizes
    return HierarchyRates(
        ks=sizes,
        dsr=(share * present).sum(axis=0) / total,
        scr=reached.sum(axis=0) / total,
        shr=whole.sum(axis=0) / total,
    )


def energy_by_order(spectrum: FourierSpectrum) -> EnergyByOrder:
    """How many coefficients, and how much of the variance over uniform masks, each order holds."""
    orders = spectrum.orders
    largest = int(orders.max())
    coefficients = spectrum.coefficients
    energy = np.array([energy_of(coefficients[orders == r]) for r in range(1, largest + 1)])
    unit = float(np.abs(coefficients[1:]).max(initial=0.0)) or 1.0
    squares = np.square(coefficients[1:] / unit)
    share = np.bincount(orders[1:], squares, largest + 1)[1:].astype(np.float64)
    total = float(share.sum())
    return EnergyByOrder(
        orders=np.arange(1, largest + 1),
        counts=np.bincount(orders, minlength=largest + 1)[1:],
        energy=energy,
        share=share / total if total > 0 else share,
    )


def relative_faithfulness(
    spectrum: FourierSpectrum, masks: Any, values: Any, ks: Iterable[int]
) -> RelativeFaithfulness:
    """R² of the ``k`` largest coefficients and ∅, relative to all of them (figure 5, figure 11).

    Args:
        spectrum: the function.
        masks: (m, n) held-out masks, 1 = kept.
        values: (m,) the values of the model there.
        ks: how many coefficients to keep besides ∅.

    Raises:
        InputError: masks or values of the wrong shape, a negative k.
    """
    rows = as_masks(masks, spectrum.n_features)
    truth = as_numbers("values", values)
    if truth.shape != (len(rows),):
        raise InputError(f"values must have shape ({len(rows)},), one a mask, got {truth.shape}.")
    wanted = _counts(ks, 0)
    ranking, size = _ranking(spectrum), len(spectrum)
    # Each larger truncation adds the terms in between: as cheap as one evaluation.
    stops = [0, *sorted({min(int(k), size - 1) + 1 for k in wanted} | {size})]
    prediction, score = np.zeros(len(rows)), {}
    for start, stop in pairwise(stops):
        block = ranking[start:stop]
        prediction += spectrum.coefficients[block] @ parities(rows, spectrum.support[block])
        r2_or_none = r2_score(truth, prediction)
        score[stop] = np.nan if r2_or_none is None else r2_or_none
    r2 = np.array([score[min(int(k), size - 1) + 1] for k in wanted])
    full = score[size]
    relative = r2 / full if full > 0 else np.full(len(r2), np.nan)
    return RelativeFaithfulness(ks=wanted, r2=r2, full=full, relative=relative)


def _ranking(spectrum: FourierSpectrum) -> NDArray[np.intp]:
    """Rows of the support from the largest magnitude down, ∅ first, ties as ``top`` breaks them."""
    rest = np.argsort(-np.abs(spectrum.coefficients[1:]), kind="stable") + 1
    return np.concatenate([np.zeros(1, np.intp), rest])


def _counts(ks: Iterable[int], least: int) -> NDArray[np.int64]:
    return np.array(as_integers("ks", ks, least), dtype=np.int64)
