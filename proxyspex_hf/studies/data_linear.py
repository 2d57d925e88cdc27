"""A linear datamodel of all n features, fitted to packed masks in few passes.

Least squares by conjugate gradients, stopped where the error on rows that were not fitted is lowest:
an early stop shrinks as a ridge does (and is partial least squares), and it is the only setting. The
first step is the correlation of every feature with the margins, the classical screen. One pass
over the bits serves all test points and all folds, since each is only a column more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from proxyspex_hf.core.masks import BoolArray
from proxyspex_hf.core.progress import ProgressCallback, Reporter
from proxyspex_hf.core.proxies.base import Folds
from proxyspex_hf.core.spectrum import FloatArray
from proxyspex_hf.studies.packed import PackedMasks

__all__ = ["LinearFit", "fit_linear"]

#: Passes at the most, and how many without a lower error end the fit of a test point.
_MAX_PASSES = 60
_PATIENCE = 2


@dataclass(frozen=True)
class LinearFit:
    """A linear datamodel of t test points: margin = level + Σ weight_i [i is kept].

    Attributes:
        levels: (t,), weights: (n, t), fitted to all rows of a fold.
        predictions: (m, t), of rows of a fold by a model without that fold, of the others by the
            model itself: no row is predicted by a model that saw it.
        passes: (t,) conjugate gradient steps taken; 0 is the constant.
        correlations: (n, t) of each feature with the margins over all rows of a fold.
    """

    levels: FloatArray
    weights: FloatArray
    predictions: FloatArray
    passes: NDArray[np.int64]
    correlations: FloatArray


def fit_linear(
    masks: PackedMasks,
    margins: FloatArray,
    folds: Folds,
    *,
    block_rows: int,
    free: BoolArray | None = None,
    phase: str = "fitting the linear datamodel",
    progress: ProgressCallback | None = None,
) -> LinearFit:
    """Fit t linear datamodels to the rows of folds 0 to K - 1; rows of fold K only judge.

    Args:
        margins: (m, t) float64.
        folds: (m,) integers from 0 to K; K marks rows held out from everything.
        free: (n, t) which features may have a weight, by default all.
        block_rows: masks unpacked at once; the result depends on it in the last bits only.
    """
    m, t = margins.shape
    n, held_out = masks.n_features, int(folds.max())
    groups = held_out + 1
    # Group g is fitted to every row that is in a fold other than g, group K to all rows of a fold.
    fitted = (folds[:, None] != np.arange(groups)) & (folds[:, None] != held_out)
    counts = fitted.sum(axis=0)
    levels = (fitted.T.astype(np.float64) @ margins) / counts[:, None]  # (K + 1, t)
    report = Reporter(progress, phase, _MAX_PASSES + 1)

    centred = fitted[:, :, None] * (margins[:, None, :] - levels)  # (m, K + 1, t)
    means, gradient = np.zeros((groups, n)), np.zeros((n, groups, t))
    for rows in masks.blocks(block_rows):
        kept = masks.unpack(rows).astype(np.float64)
        means += fitted[rows].T.astype(np.float64) @ kept
        gradient += (kept.T @ centred[rows].reshape(len(kept), -1)).reshape(n, groups, t)
    del centred
    means /= counts[:, None]
    spread = np.sqrt(np.maximum(means * (1.0 - means), 0.0)).T[:, :, None]  # (n, K + 1, 1)
    # A feature that is always or never kept has no weight.
    scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 0)
    scale = np.repeat(scale, t, axis=2) if free is None else scale * free[:, None, :]
    report.advance()

    judged_by = folds.astype(np.intp)
    deviation = margins - levels[judged_by]  # what is left of each row, out of fold
    fitting = folds != held_out
    residual = scale * gradient
    total = np.maximum(np.square(margins[fitting] - levels[held_out]).sum(axis=0), 1e-300)
    correlations = residual[:, held_out] / np.sqrt(total * counts[held_out])
    del gradient

    best_error = np.square(deviation[fitting]).sum(axis=0)
    best_weights, best_deviation = np.zeros((n, t)), deviation.copy()
    passes, since = np.zeros(t, np.int64), np.zeros(t, np.int64)
    weights, direction = np.zeros((n, groups, t)), residual.copy()
    active = np.arange(t)
    for step in range(1, _MAX_PASSES + 1):
        scaled = scale * direction  # (n, K + 1, a)
        offset = np.einsum("gn,nga->ga", means, scaled)
        curvature = np.zeros_like(direction)
        moved = np.empty((m, len(active)))
        for rows in masks.blocks(block_rows):
            kept = masks.unpack(rows).astype(np.float64)
            out = (kept @ scaled.reshape(n, -1)).reshape(len(kept), groups, -1) - offset
            moved[rows] = out[np.arange(len(kept)), judged_by[rows]]
            out *= fitted[rows][:, :, None]
            curvature += (kept.T @ out.reshape(len(kept), -1)).reshape(curvature.shape)
        curvature *= scale  # columns of ``out`` sum to 0, so that centring the left side is free
        bend = np.einsum("nga,nga->ga", direction, curvature)
        power = np.einsum("nga,nga->ga", residual, residual)
        length = np.divide(power, bend, out=np.zeros_like(power), where=bend > 1e-12 * power)
        weights += length * direction
        residual -= length * curvature
        deviation[:, active] -= moved * length[judged_by]
        error = np.square(deviation[np.ix_(fitting, active)]).sum(axis=0)
        better = error < best_error[active] * (1.0 - 1e-9)
        won = active[better]
        best_error[won], passes[won], since[won] = error[better], step, 0
        best_weights[:, won] = (scale[:, held_out] * weights[:, held_out])[:, better]
        best_deviation[:, won] = deviation[:, won]
        since[active[~better]] += 1
        report.advance()
        stays = since[active] < _PATIENCE
        if not stays.any():
            break
        turn = np.einsum("nga,nga->ga", residual, residual)
        direction *= np.divide(turn, power, out=np.zeros_like(turn), where=power > 0)
        direction += residual
        if not stays.all():
            active = active[stays]
            weights, residual, direction, scale = (
                array[:, :, stays] for array in (weights, residual, direction, scale)
            )
    report.finish()
    return LinearFit(
        levels[held_out] - means[held_out] @ best_weights,
        best_weights,
        margins - best_deviation,
        passes,
        correlations,
    )
