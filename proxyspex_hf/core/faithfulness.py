"""Faithfulness: R² of an explanation on masks that it has not seen (paper, equation 2).

It depends on which masks: uniform ones keep half of the features, a reader asks about the
neighbourhood of the actual input. So it is always measured at several densities.

No call is spent on it alone: each mask that was *drawn* (not chosen) is predicted by a fit without
it, and masks of all densities count at each, by how likely they are there (importance weights).
``tests/bench/intervals.py`` compares that with R² on masks held out for the purpose.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import bdtr, fdtri

from proxyspex_hf.checks import BoolArray, FloatArray
from proxyspex_hf.core.masks import sample_masks
from proxyspex_hf.core.values import is_constant

#: 0.5 is the paper's (uniform) measure; 0.9 is near the actual input.
TEST_DENSITIES = (0.5, 0.7, 0.9)

#: With fewer distinct masks than this an R² says nothing.
MIN_TEST_MASKS = 10
#: The same where masks of other densities count by their weight: what they are worth together.
_MIN_WORTH = 8.0
#: Convention: at least this share of what is drawn at a density must be of a size that a mask has.
#: ``test_masks_that_are_like_none_of_a_density_say_nothing_of_it`` has cases that need it.
_COVER = 0.3
#: Conventions, so that every R² is a number that can be stored: errors are cut here, in units of
#: the largest difference between values, and R² there.
_FURTHEST, _LOWEST = 1e60, -1e300


@dataclass(frozen=True)
class DensityScore:
    """Faithfulness at one density (paper, equation 2).

    Attributes:
        density: share of the features that the masks keep.
        r2: R² of the explanation; None where it cannot be measured (too few distinct masks, or
            a value function that is constant there).
        linear_r2: R² of the best additive explanation (LASSO) fitted on the same masks.
        n_masks: how many masks it rests on, or the number that they are worth; all 2^n where
            every subset is known.
        interval: 90% interval of ``r2``; None where there is none, or it was not measured.
    """

    density: float
    r2: float | None
    linear_r2: float | None
    n_masks: int
    interval: tuple[float, float] | None = None


def r2_score(values: FloatArray, predictions: FloatArray) -> float | None:
    """1 - |predictions - values|² / |values - mean|²; None for fewer than two or constant values.

    Scaled before squaring, so values of any finite magnitude are safe.
    """
    values = np.asarray(values, dtype=np.float64)
    return weighted_r2(values, np.asarray(predictions), np.ones(len(values)))


def weighted_r2(values: FloatArray, predictions: FloatArray, weights: FloatArray) -> float | None:
    """The same with masks counting by their weights (m,), not all of them 0."""
    counted = weights > 0.0
    if counted.sum() < 2 or is_constant(values[counted]):
        return None
    values, error = _in_units(values, predictions)
    deviation = values - np.average(values, weights=weights)
    spread = float(weights @ np.square(deviation))
    if spread == 0.0:
        return None
    return max(1.0 - float(weights @ np.square(error)) / spread, _LOWEST)


def _in_units(values: FloatArray, predictions: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Values and errors in units of the largest difference, whose squares are finite."""
    largest = float(np.abs(values).max())
    values, predictions = values / largest, predictions / largest
    first = values[0]
    values, predictions = values - first, predictions - first
    scale = float(np.abs(values).max())
    values, predictions = values / scale, predictions / scale
    return values, np.clip(predictions - values, -_FURTHEST, _FURTHEST)


def left_out_r2(
    masks: BoolArray,
    values: FloatArray,
    predictions: FloatArray,
    densities: FloatArray,
    density: float,
    *,
    linear: FloatArray | None = None,
    gain: float = 1.0,
) -> DensityScore:
    """R² at a density from masks that were drawn at this and at others.

    Args:
        masks, values: (m, n), (m,).
        predictions: (m,) of fits that have not seen the mask.
        densities: (m,) the keep probability each was drawn with; those of 0 were chosen, and
            take no part.
        linear: (m,) like ``predictions``, of the additive explanation.
        gain: squared error of a fit to all masks over that of fits that have seen fewer, which the
            interval's upper end allows for.
    """
    drawn = np.flatnonzero(densities > 0.0)
    weights = _importance(masks[drawn], densities[drawn], density)
    worth = float(weights.sum() ** 2 / np.square(weights).sum()) if weights.any() else 0.0
    if _covered(masks[drawn], density) < _COVER:
        worth = 0.0  # compared with each other, masks that are all unlikely weigh something
    if worth < _MIN_WORTH:
        return DensityScore(density, None, None, int(worth))
    truth, found = values[drawn], predictions[drawn]
    interval = r2_interval(truth, found, weights)
    return DensityScore(
        density,
        weighted_r2(truth, found, weights),
        None if linear is None else weighted_r2(truth, linear[drawn], weights),
        int(worth),
        None if interval is None else (interval[0], 1.0 - (1.0 - interval[1]) * min(1.0, gain)),
    )


def r2_interval(
    values: FloatArray, predictions: FloatArray, weights: FloatArray
) -> tuple[float, float] | None:
    """90% interval of R²: error over variance is a ratio of two chi-squares, F distributed.

    Each has as many degrees of freedom as there are masks, fewer where its tails are heavier than
    a normal variable's: ν · 2 / (kurtosis - 1). The bootstrap would be too narrow: squared errors
    are skewed, and the large ones rarely seen.
    """
    r2 = weighted_r2(values, predictions, weights)
    if r2 is None:
        return None
    if (predictions == values).all():
        return r2, r2
    worth = float(weights.sum() ** 2 / np.square(weights).sum())
    values, off = _in_units(values, predictions)
    mean = np.average(values, weights=weights)
    error, spread = (
        _freedom(np.square(deviation), weights, worth) for deviation in (off, values - mean)
    )
    low, high = (float(fdtri(error, spread, q)) for q in (0.05, 0.95))
    return max(1.0 - (1.0 - r2) / low, _LOWEST), max(1.0 - (1.0 - r2) / high, _LOWEST)


def _freedom(squared: FloatArray, weights: FloatArray, worth: float) -> float:
    """Degrees of freedom of a mean of squares."""
    mean = float(np.average(squared, weights=weights))
    if mean == 0.0:
        return max(1.0, worth)
    kurtosis = float(np.average(np.square(squared / mean), weights=weights))
    return max(1.0, worth * min(1.0, 2.0 / max(kurtosis - 1.0, 1e-9)))


def _importance(masks: BoolArray, densities: FloatArray, density: float) -> FloatArray:
    """How much likelier each mask is at a density than in the mixture it was drawn from; where all
    are less likely, compared with the likeliest, for squares of the rest may be beyond float64."""
    n = masks.shape[1]
    kept = masks.sum(axis=1)

    def log_probability(p: float) -> FloatArray:
        return np.asarray(kept * np.log(p) + (n - kept) * np.log1p(-p), dtype=np.float64)

    if not len(densities):
        return np.zeros(0)
    levels, counts = np.unique(densities, return_counts=True)
    parts = [log_probability(p) for p in levels] + np.log(counts / len(densities))[:, None]
    logs = log_probability(density) - np.logaddexp.reduce(parts)
    return np.asarray(np.exp(logs - min(0.0, float(logs.max()))))


def _covered(masks: BoolArray, density: float) -> float:
    """The share of what is drawn at a density that keeps as many features as one of the masks; the
    full and the empty mask, which are asked anyway, aside."""
    n = masks.shape[1]
    sizes = np.unique(masks.sum(axis=1))
    sizes = sizes[(sizes > 0) & (sizes < n)]
    if not len(sizes):
        return 0.0
    likely = bdtr(sizes, n, density) - bdtr(sizes - 1, n, density)
    return float(likely.sum() / (bdtr(n - 1, n, density) - bdtr(0, n, density)))


def held_out_masks(
    n_features: int, exclude: BoolArray, n_test: int, rng: np.random.Generator
) -> list[tuple[float, BoolArray]]:
    """``n_test`` new distinct masks at each of ``TEST_DENSITIES``; fewer where they do not exist.

    Returns:
        (density, masks (m, n)) pairs; a density with fewer than ten masks available is left out.
    """
    out: list[tuple[float, BoolArray]] = []
    taken = exclude
    for density in TEST_DENSITIES:
        masks = sample_masks(
            n_features, n_test, density=density, seed=rng, exclude=taken, anchors=False
        )
        if len(masks) >= min(MIN_TEST_MASKS, n_test):
            out.append((density, masks))
            taken = np.concatenate([taken, masks])
    return out
