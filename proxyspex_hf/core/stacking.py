"""Stacking: how much of each model to take, judged by predictions of masks it was not fitted to."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LinearRegression

from proxyspex_hf.checks import FloatArray
from proxyspex_hf.core.proxies.base import Folds


def stacking_weights(
    stacked: FloatArray, values: FloatArray, counts: FloatArray | None = None
) -> FloatArray:
    """Non-negative least squares on out-of-fold predictions (m, models): a weight for each.

    ``counts`` (m,) says what an error counts on each mask; None is 1.
    """
    level = float(values.mean())
    model = LinearRegression(positive=True, fit_intercept=False)
    model.fit(stacked - level, values - level, sample_weight=counts)
    return np.asarray(model.coef_, dtype=np.float64)


def cross_fitted(
    stacked: FloatArray, values: FloatArray, folds: Folds, counts: FloatArray | None = None
) -> FloatArray:
    """Predictions of the blend with each fold's weights fitted on the other folds."""
    out = np.empty(len(values))
    for fold in range(int(folds.max()) + 1):
        held_out = folds == fold
        level = float(values[~held_out].mean())
        of_others = None if counts is None else counts[~held_out]
        weights = stacking_weights(stacked[~held_out], values[~held_out], of_others)
        out[held_out] = level + (stacked[held_out] - level) @ weights
    return out
