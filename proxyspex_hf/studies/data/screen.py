"""Which sets of training points interact: exact correlations, tested against noise.

For features kept independently with probability p, the products of (x_i - p) / sqrt(p (1 - p)) are
orthonormal; at p = 1/2 they are the parities, up to sign. Where a set has no interaction, its
product is uncorrelated with what a linear model leaves of the margins, and

    z = Σ r · product / sqrt(Σ r² · product²)

is about standard normal, whatever the distribution of the residual r. Two-sided p-values of *all*
sets looked at go through the procedure of Benjamini and Hochberg.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from scipy.special import ndtr

from proxyspex_hf.checks import FloatArray
from proxyspex_hf.core.progress import Reporter
from proxyspex_hf.studies.data.packed import PackedMasks

Members = tuple[int, ...]

#: At most how many sets of one order can be accepted.
_MAX_FOUND = 1000


@dataclass(frozen=True)
class ScreenedSet:
    """A set of training points that interacts beyond noise, by the margins alone.

    Attributes:
        members: ascending.
        z: its statistic; the sign is that of the product's coefficient, (-1)^order times F's.
        q: the lowest false discovery rate at which it is accepted.
    """

    members: Members
    z: float
    q: float


@dataclass(frozen=True)
class Screening:
    """What was looked at for one test point, and what was found.

    Attributes:
        found: accepted sets, largest |z| first.
        tested: how many sets of each order were looked at.
    """

    found: tuple[ScreenedSet, ...]
    tested: dict[int, int]


@dataclass(frozen=True)
class ScreenLimits:
    """How far to look, and in which portions.

    Attributes:
        n_paired: all pairs among so many of the strongest features.
        n_strong: so many of the strongest are paired with every feature; as many accepted pairs
            are extended by every feature.
        fdr: accepted share of false discoveries.
        block_rows: masks unpacked at once.
        max_columns: sets that are extended in one pass over the bits.
    """

    n_paired: int
    n_strong: int
    fdr: float
    block_rows: int
    max_columns: int


def screen(
    masks: PackedMasks,
    residuals: FloatArray,
    strengths: FloatArray,
    density: FloatArray,
    limits: ScreenLimits,
    report: Reporter,
) -> list[Screening]:
    """Interacting pairs and triples, for each of t test points.

    Args:
        residuals: (m, t), 0 in rows that are held out.
        strengths: (n, t), larger is stronger.
        density: (m,) the keep probability of each mask.
        report: advanced twice a test point.
    """
    n, t = strengths.shape
    ranked = np.argsort(-strengths, axis=0, kind="stable")
    paired = [np.sort(ranked[: limits.n_paired, point]) for point in range(t)]
    pairs: list[dict[Members, float]] = []
    for point, features in enumerate(paired):
        scores = _pair_sums(masks, residuals[:, point], features, density, limits.block_rows)
        pairs.append(_largest_pairs(scores, features))
        report.advance()
    tested = [{2: len(features) * (len(features) - 1) // 2, 3: 0} for features in paired]
    if n > limits.n_paired:
        strong: list[tuple[int, Members]] = [
            (point, (int(i),))
            for point in range(t)
            for i in ranked[: min(limits.n_strong, limits.n_paired), point]
        ]
        for point, base, sums in _extensions(masks, residuals, strong, density, limits):
            sums[paired[point]] = 0.0
            _keep_largest(pairs[point], base, sums)
            tested[point][2] += n - len(paired[point])
    accepted = [
        _accept(masks, residuals[:, p], pairs[p], tested[p][2], density, limits) for p in range(t)
    ]
    triples: list[dict[Members, float]] = [{} for _ in range(t)]
    bases = [(p, pair.members) for p in range(t) for pair in accepted[p][: limits.n_strong]]
    for point, base, sums in _extensions(masks, residuals, bases, density, limits):
        sums[list(base)] = 0.0
        _keep_largest(triples[point], base, sums)
        # A triple may be reached from several of its pairs: counting it each time errs on the
        # side of fewer discoveries.
        tested[point][3] += n - len(base)
    out = []
    for p in range(t):
        more = _accept(masks, residuals[:, p], triples[p], tested[p][3], density, limits)
        found = sorted([*accepted[p], *more], key=lambda s: (-abs(s.z), s.members))
        out.append(Screening(tuple(found), tested[p]))
        report.advance()
    return out


def correlations(
    masks: PackedMasks,
    residual: FloatArray,
    sets: list[Members],
    density: FloatArray,
    block_rows: int,
) -> tuple[FloatArray, FloatArray]:
    """Σ r · product and Σ r² · product² of each set over all masks: (k,), (k,)."""
    features, places = _places(sets)
    sums, squares = np.zeros(len(sets)), np.zeros(len(sets))
    for rows in masks.blocks(block_rows):
        weighted = _products(masks, features, places, density, rows) * residual[rows, None]
        sums += weighted.sum(axis=0)
        squares += np.square(weighted).sum(axis=0)
    return sums, squares


def _places(sets: Iterable[Members]) -> tuple[np.ndarray, list[np.ndarray]]:
    """The features that sets hold, and each set as places among them."""
    members = list(sets)
    features = np.unique(np.array([i for s in members for i in s], dtype=np.intp))
    return features, [np.searchsorted(features, s) for s in members]


def _products(
    masks: PackedMasks,
    features: np.ndarray,
    places: list[np.ndarray],
    density: FloatArray,
    rows: slice,
) -> FloatArray:
    """The product of each set in each of ``rows``: (len(rows), k)."""
    p = density[rows, None]
    x = (masks.columns(features, rows) - p) / np.sqrt(p * (1.0 - p))
    out = np.empty((len(x), len(places)))
    for k, place in enumerate(places):
        out[:, k] = x[:, place].prod(axis=1)
    return out


def _pair_sums(
    masks: PackedMasks,
    residual: FloatArray,
    features: np.ndarray,
    density: FloatArray,
    block_rows: int,
) -> FloatArray:
    """Σ r · product of every pair among ``features``: (c, c)."""
    sums = np.zeros((len(features), len(features)))
    for rows in masks.blocks(block_rows):
        p = density[rows, None]
        x = (masks.columns(features, rows) - p) / np.sqrt(p * (1.0 - p))
        sums += x.T @ (x * residual[rows, None])
    return sums


def _extensions(
    masks: PackedMasks,
    residuals: FloatArray,
    bases: list[tuple[int, Members]],
    density: FloatArray,
    limits: ScreenLimits,
) -> Iterator[tuple[int, Members, FloatArray]]:
    """Each (point, base) with Σ r · product of the base and every single feature: (n,)."""
    remaining = iter(bases)
    while some := list(islice(remaining, limits.max_columns)):
        features, places = _places(base for _, base in some)
        points = [point for point, _ in some]
        sums = np.zeros((len(some), masks.n_features))
        level = np.zeros(len(some))
        for rows, kept in masks.float_blocks(limits.block_rows):
            p = density[rows, None]
            scaled = _products(masks, features, places, density, rows)
            scaled *= residuals[rows][:, points] / np.sqrt(p * (1.0 - p))
            sums += scaled.T @ kept
            level += (p * scaled).sum(axis=0)
        sums -= level[:, None]
        for (point, base), row in zip(some, sums, strict=True):
            yield point, base, row


def _largest_pairs(sums: FloatArray, features: np.ndarray) -> dict[Members, float]:
    first, second = np.triu_indices(len(features), 1)
    values = sums[first, second]
    best = _top(values)
    names = features.tolist()
    return {
        (names[i], names[j]): float(v)
        for i, j, v in zip(first[best], second[best], values[best], strict=True)
    }


def _keep_largest(found: dict[Members, float], base: Members, sums: FloatArray) -> None:
    for i in _top(sums).tolist():
        if sums[i] != 0.0:  # not a feature that was left out
            found[tuple(sorted((*base, i)))] = float(sums[i])


def _top(values: FloatArray) -> np.ndarray:
    if len(values) <= _MAX_FOUND:
        return np.arange(len(values))
    return np.sort(np.argpartition(-np.abs(values), _MAX_FOUND)[:_MAX_FOUND])


def _accept(
    masks: PackedMasks,
    residual: FloatArray,
    found: dict[Members, float],
    n_tested: int,
    density: FloatArray,
    limits: ScreenLimits,
) -> list[ScreenedSet]:
    """Benjamini and Hochberg's procedure over ``n_tested`` sets, the strongest in ``found``."""
    ranked = sorted(found, key=lambda s: (-abs(found[s]), s))[:_MAX_FOUND]
    if not ranked:
        return []
    sums, squares = correlations(masks, residual, ranked, density, limits.block_rows)
    z = np.divide(sums, np.sqrt(squares), out=np.zeros_like(sums), where=squares > 0)
    order = np.argsort(-np.abs(z), kind="stable")
    p_values = 2.0 * ndtr(-np.abs(z[order]))
    q = p_values * n_tested / np.arange(1, len(order) + 1)
    q = np.minimum.accumulate(q[::-1])[::-1]
    return [
        ScreenedSet(ranked[k], float(z[k]), float(q_k))
        for k, q_k in zip(order.tolist(), q, strict=True)
        if q_k <= limits.fdr
    ]
