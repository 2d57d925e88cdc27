"""A linear datamodel of all n features, fitted to packed masks in few passes.

Least squares by conjugate gradients, stopped where the error on rows that were not fitted is
lowest: an early stop shrinks, as a ridge does (this is partial least squares), and it is the only
setting. The first step is the correlation of every feature with the margins, the classical screen.
One pass over the bits serves all test points and all folds: each is only a column more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from proxyspex_hf.checks import BoolArray, FloatArray
from proxyspex_hf.core.progress import ProgressCallback, Reporter
from proxyspex_hf.core.proxies.base import Folds
from proxyspex_hf.studies.data.packed import PackedMasks

#: At most so many steps; so many without a lower error end the fit of a test point.
_MAX_STEPS = 60
_PATIENCE = 2


@dataclass(frozen=True)
class LinearFit:
    """A linear datamodel of t test points: margin = level + Σ weight_i [i is kept].

    Attributes:
        levels: (t,), weights: (t, n), fitted to the rows of all folds.
        predictions: (m, t); rows of a fold by a model without that fold, held-out rows by the
            model itself, so that no row is predicted by a model that saw it.
        steps: (t,) conjugate gradient steps; 0 is the constant.
        correlations: (t, n) of each feature with the margins.
    """

    levels: FloatArray
    weights: FloatArray
    predictions: FloatArray
    steps: NDArray[np.int64]
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
        block_rows: masks unpacked at once; the result depends on it in the last bits only.
        free: (t, n) which features may have a weight, by default all.
    """
    t, n = margins.shape[1], masks.n_features
    groups = _Groups(masks, folds, block_rows)
    held_out, last = folds == groups.count - 1, groups.count - 1
    report = Reporter(progress, phase, _MAX_STEPS + 1)
    levels, means, gradient = groups.centre(margins)
    report.advance()
    spread = np.sqrt(np.maximum(means * (1.0 - means), 0.0))
    # A feature that is always or never kept has no weight.
    scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 0)[:, None, :]
    scale = np.repeat(scale, t, axis=1) if free is None else scale * free
    residual = scale * gradient  # all of these are (K + 1, t, n)
    del gradient, spread

    deviation = margins - levels[folds]  # what is left of each row, out of fold
    error = np.square(deviation[~held_out]).sum(axis=0)
    total = np.maximum(np.square(margins[~held_out] - levels[last]).sum(axis=0), 1e-300)
    found = LinearFit(
        levels[last].copy(),
        np.zeros((t, n)),
        levels[folds],
        np.zeros(t, np.int64),
        residual[last] / np.sqrt(total * groups.sizes[last])[:, None],
    )
    weights, direction = np.zeros_like(residual), residual.copy()
    active, since = np.arange(t), np.zeros(t, np.int64)
    for step in range(1, _MAX_STEPS + 1):
        moved, curvature = groups.normal(scale * direction, means)
        curvature *= scale
        power = np.einsum("gan,gan->ga", residual, residual)
        bend = np.einsum("gan,gan->ga", direction, curvature)
        length = np.divide(power, bend, out=np.zeros_like(power), where=bend > 1e-12 * power)
        weights += length[:, :, None] * direction
        residual -= length[:, :, None] * curvature
        deviation[:, active] -= moved * length[folds]
        now = np.square(deviation[np.ix_(~held_out, active)]).sum(axis=0)
        better = now < error[active] * (1.0 - 1e-9)
        won = active[better]
        error[won], found.steps[won] = now[better], step
        found.weights[won] = scale[last, better] * weights[last, better]
        found.predictions[:, won] = (margins - deviation)[:, won]
        since[won] = 0
        since[active[~better]] += 1
        report.advance()
        stays = since[active] < _PATIENCE
        if not stays.any():
            break
        turn = np.einsum("gan,gan->ga", residual, residual)
        direction *= np.divide(turn, power, out=np.zeros_like(turn), where=power > 0)[:, :, None]
        direction += residual
        if not stays.all():
            active = active[stays]
            weights, residual, direction, scale = (
                array[:, stays] for array in (weights, residual, direction, scale)
            )
    report.finish()
    found.levels[:] -= found.weights @ means[last]
    return found


class _Groups:
    """K + 1 groups of rows to fit: all folds but one, and all of them.

    Group g has every row that is neither in fold g nor held out; a row of fold g is judged by g.
    """

    def __init__(self, masks: PackedMasks, folds: Folds, block_rows: int) -> None:
        self._masks, self._folds, self._block_rows = masks, folds, block_rows
        last = int(folds.max())
        self.count = last + 1
        self._fitted = ((folds[:, None] != np.arange(self.count)) & (folds != last)[:, None]) * 1.0
        self.sizes = self._fitted.sum(axis=0)

    def centre(self, margins: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Mean margins (K + 1, t) and features (K + 1, n), and Xᵀ(y - mean) (K + 1, t, n)."""
        n, t = self._masks.n_features, margins.shape[1]
        levels = self._fitted.T @ margins / self.sizes[:, None]
        means, gradient = np.zeros((self.count, n)), np.zeros((self.count * t, n))
        for rows, kept in self._masks.float_blocks(self._block_rows):
            fitted = self._fitted[rows]
            left = fitted[:, :, None] * (margins[rows][:, None, :] - levels)
            means += fitted.T @ kept
            gradient += left.reshape(len(kept), -1).T @ kept
        return levels, means / self.sizes[:, None], gradient.reshape(self.count, t, n)

    def normal(self, vectors: FloatArray, means: FloatArray) -> tuple[FloatArray, FloatArray]:
        """With X centred by the groups' means: X v of the judging group (m, a), and XᵀXv of each.

        Columns of X v sum to 0 over a group, so that the left factor needs no centring.
        """
        count, a, n = vectors.shape
        flat = np.ascontiguousarray(vectors.reshape(-1, n))
        offset = np.einsum("gn,gan->ga", means, vectors).reshape(-1)
        judged = np.empty((len(self._masks), a))
        product = np.zeros_like(flat)
        for rows, kept in self._masks.float_blocks(self._block_rows):
            out = ((flat @ kept.T).T - offset).reshape(len(kept), count, a)
            judged[rows] = out[np.arange(len(kept)), self._folds[rows]]
            out = out * self._fitted[rows][:, :, None]
            product += out.reshape(len(kept), -1).T @ kept
        return judged, product.reshape(vectors.shape)
