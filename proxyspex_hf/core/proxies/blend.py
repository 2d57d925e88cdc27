"""The default proxy: sound candidates, judged by cross-validation on shared folds, and blended.

A Gaussian process says most from few masks of real models; pursuit recovers functions of few
terms; trees, the paper's proxy, compete where both leave much unexplained. What is linear in the
proxies (predictions, coefficients, correlations) is linear in the blend.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from proxyspex_hf.checks import BoolArray, FloatArray, IntArray
from proxyspex_hf.core.progress import ProgressCallback
from proxyspex_hf.core.proxies.base import CVEntry, CVReport, Folds, HasKernel, ProxyFit
from proxyspex_hf.core.proxies.boosting import BoostedTrees
from proxyspex_hf.core.proxies.gaussian import FEW_MASKS, GaussianProcess
from proxyspex_hf.core.proxies.kernel import MaskKernel
from proxyspex_hf.core.proxies.pursuit import Pursuit
from proxyspex_hf.core.sets import united
from proxyspex_hf.core.sparsify import Projectable, mask_weights
from proxyspex_hf.core.spectrum import FourierSpectrum, weighted_sum
from proxyspex_hf.core.stacking import cross_fitted, stacking_weights
from proxyspex_hf.core.trees import Extraction

#: Trees compete where the others' cross-validated error, as a share of the variance, exceeds this,
_HARD = 0.2
#: and where masks times features are no more than this: their time grows with it.
_TREES_UP_TO = 4_000_000
#: A proxy must lower the blend's error by this share of it to be worth a second set of terms.
_WORTH = 0.01
#: The candidate that explains the difference to a sibling. Where it has a part, intervals are its.
_TOLD = "gaussian with the sibling"


class _Fitted(ProxyFit, Protocol):
    @property
    def out_of_fold(self) -> FloatArray: ...
    @property
    def left_out(self) -> FloatArray: ...
    def project(self, max_order: int | None) -> Projectable: ...


@dataclass(frozen=True)
class Blend:
    """Cross-validated choice among proxies, or a blend of them where that predicts better.

    Attributes:
        gaussian, pursuit, trees: the candidates.
    """

    gaussian: GaussianProcess = field(default_factory=GaussianProcess)
    pursuit: Pursuit = field(default_factory=Pursuit)
    trees: BoostedTrees = field(
        default_factory=lambda: BoostedTrees(depths=(3, 5), learning_rates=(0.1,), patience=100)
    )

    def fit(
        self,
        masks: BoolArray,
        values: FloatArray,
        folds: Folds,
        *,
        seed: int,
        progress: ProgressCallback | None = None,
    ) -> BlendFit:
        fitted: dict[str, _Fitted] = {}
        kernels: dict[str, MaskKernel] = {}

        def compete(name: str, proxy: Any) -> None:
            fitted[name] = found = proxy.fit(masks, values, folds, seed=seed, progress=progress)
            if isinstance(found, HasKernel):
                kernels[name] = found.kernel

        counts = mask_weights(masks, values)
        alone = replace(self.gaussian, sibling=None)
        compete("gaussian", alone)
        compete("pursuit", self.pursuit)
        if self.gaussian.sibling is not None:
            compete(_TOLD, self.gaussian)
        if len(masks) <= FEW_MASKS:  # one kernel more is affordable, and worth it
            compete("gaussian without neighbours", replace(alone, reach=0))
        if min(f.cv.best.error for f in fitted.values()) > _HARD and masks.size <= _TREES_UP_TO:
            compete("boosting", self.trees)
        names = list(fitted)
        stacked = np.stack([f.out_of_fold for f in fitted.values()], axis=1)
        errors = {
            name: _by_fold(f.out_of_fold, values, folds, counts) for name, f in fitted.items()
        }
        best = min(names, key=lambda name: float(np.mean(errors[name])))
        blended = _by_fold(cross_fitted(stacked, values, folds, counts), values, folds, counts)
        weights = stacking_weights(stacked, values, counts)
        better = float(np.mean(blended)) < (1 - _WORTH) * float(np.mean(errors[best]))
        if better and weights.any():
            parts = [(float(w), name) for w, name in zip(weights, names, strict=True) if w > 0]
        else:
            parts = [(1.0, best)]
        entries = [
            CVEntry({"proxy": name, **f.cv.best.params}, errors[name]) for name, f in fitted.items()
        ]
        chosen = names.index(best)
        if len(parts) > 1:
            shares: dict[str, Any] = {name: round(w, 3) for w, name in parts}
            entries.append(CVEntry({"proxy": "blend", **shares}, blended))
            chosen = len(entries) - 1
        return BlendFit(
            CVReport(tuple(entries), chosen),
            tuple((w, fitted[name]) for w, name in parts),
            kernels[_TOLD if _TOLD in (name for _, name in parts) else "gaussian"],
        )


@dataclass(frozen=True)
class BlendFit:
    """A weighted sum of fitted proxies; usually of one."""

    cv: CVReport
    parts: tuple[tuple[float, _Fitted], ...]
    kernel: MaskKernel

    @property
    def left_out(self) -> FloatArray:
        return np.asarray(np.sum([w * part.left_out for w, part in self.parts], axis=0))

    def predict(self, masks: BoolArray) -> FloatArray:
        return np.asarray(np.sum([w * part.predict(masks) for w, part in self.parts], axis=0))

    def project(self, max_order: int | None) -> Projectable:
        return _Sum([(w, part.project(max_order)) for w, part in self.parts])

    def spectrum(self, max_order: int | None = None) -> Extraction:
        found = [(w, part.spectrum(max_order)) for w, part in self.parts]
        return Extraction(
            weighted_sum([(w, e.spectrum) for w, e in found]),
            max(e.max_order for _, e in found),
            float(sum(abs(w) * np.sqrt(e.dropped_energy) for w, e in found) ** 2),
        )

    def fold_spectra(self, max_order: int | None = None) -> list[FourierSpectrum]:
        by_part = [[(w, s) for s in part.fold_spectra(max_order)] for w, part in self.parts]
        return [weighted_sum(list(fold)) for fold in zip(*by_part, strict=True)]


@dataclass(frozen=True)
class _Sum:
    parts: Sequence[tuple[float, Projectable]]

    def correlations(self, support: IntArray, mean: float) -> FloatArray:
        return np.asarray(
            np.sum([w * part.correlations(support, mean) for w, part in self.parts], axis=0)
        )

    def candidates(self, count: int, densities: Sequence[float]) -> IntArray:
        return united([part.candidates(count, densities) for _, part in self.parts])


def _by_fold(
    predictions: FloatArray, values: FloatArray, folds: Folds, counts: FloatArray
) -> tuple[float, ...]:
    """Squared error on each fold in units of the values' variance, masks counting as they do."""
    squared = counts * np.square(predictions - values)
    variance = float(counts @ np.square(values - np.average(values, weights=counts)))
    scale = len(values) / variance
    return tuple(float(scale * squared[folds == f].mean()) for f in range(int(folds.max()) + 1))
