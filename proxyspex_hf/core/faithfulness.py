"""Faithfulness: R² of an explanation on held-out masks (paper, equation 2).

It depends on which masks: uniform ones keep half of the features, a reader asks about the
neighbourhood of the actual input. So it is always measured at several densities.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from proxyspex_hf.core.masks import BoolArray, sample_masks
from proxyspex_hf.core.spectrum import FloatArray

__all__ = ["TEST_DENSITIES", "DensityScore", "held_out_masks", "r2_score"]

#: 0.5 is the paper's (uniform) measure; 0.9 is near the actual input.
TEST_DENSITIES = (0.5, 0.7, 0.9)

#: With fewer distinct masks than this an R² says nothing.
MIN_TEST_MASKS = 10


@dataclass(frozen=True)
class DensityScore:
    """Faithfulness at one density (paper, equation 2, on held-out masks of that density).

    Attributes:
        density: share of the features that the test masks keep.
        r2: R² of the explanation; None where it cannot be measured (too few distinct masks, or
            a value function that is constant there).
        linear_r2: R² of the best additive explanation (LASSO) fitted on the same masks.
        n_masks: how many held-out masks were asked; all 2^n where every subset is known.
    """

    density: float
    r2: float | None
    linear_r2: float | None
    n_masks: int


def r2_score(values: FloatArray, predictions: FloatArray) -> float | None:
    """1 - |predictions - values|² / |values - mean|²; None for fewer than two or constant values.

    Scaled before squaring, so values of any finite magnitude are safe.
    """
    values = np.asarray(values, dtype=np.float64)
    if len(values) < 2:
        return None
    scale = float(np.abs(values - values[0]).max())
    if scale == 0.0:
        return None
    deviation = (values - values[0]) / scale
    deviation -= deviation.mean()
    error = (np.asarray(predictions) - values) / scale
    return 1.0 - float(error @ error) / float(deviation @ deviation)


def held_out_masks(
    n_features: int, exclude: BoolArray, n_test: int, rng: np.random.Generator
) -> list[tuple[float, BoolArray]]:
    """``n_test`` new distinct masks at each of ``TEST_DENSITIES``; fewer where they do not exist.

    Returns:
        (density, masks (m, n)) pairs; a density with fewer than ten masks to be had is left out.
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
