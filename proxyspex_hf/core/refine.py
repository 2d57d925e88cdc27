"""Refinement: fit the kept coefficients to the answers again (paper, section 3.3, step 4).

Cross-validation must not see the support that it judges, so each fold uses the support that the
proxy found *without* that fold. Refits of three kinds compete, at several sizes of support:

- the extracted coefficients as they are,
- a LASSO over the kept terms (the paper's refinement: 100 penalties, ratio 0.001),
- a ridge that shrinks towards the *extracted* coefficients instead of towards zero,
- a LASSO over all single features, so that a purely additive function is never explained worse
  than by the additive baseline.

``"stack"`` blends them with non-negative weights, fitted on their out-of-fold predictions.
Everything is linear, so the blend is again one spectrum; its k largest terms are kept.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import lasso_path

from proxyspex_hf.core.masks import BoolArray
from proxyspex_hf.core.proxies.base import Folds
from proxyspex_hf.core.spectrum import FloatArray, FourierSpectrum, parities, weighted_sum
from proxyspex_hf.core.stacking import cross_fitted, stacking_weights

__all__ = ["RefineMethod", "Refinement", "refine"]

RefineMethod = Literal["project", "stack", "lasso", "none"]

#: Penalties as fractions of the smallest one that silences every term (paper, appendix B.1.1).
_LASSO_PENALTIES = np.logspace(0, -3, 100)
#: Penalties as fractions of the largest squared singular value.
_RIDGE_PENALTIES = np.logspace(2, -5, 40)

#: The same, for moving the kept terms of a cut spectrum: small, since there is no noise to fit.
_CUT_PENALTY = 1e-2


@dataclass(frozen=True)
class Refinement:
    """The refined spectrum and the evidence for it.

    Attributes:
        spectrum: at most k coefficients and ∅.
        chosen: what was kept, in words; ``"none"`` where refining did not lower the error.
        errors: cross-validated error of each alternative, in units of the values' variance.
    """

    spectrum: FourierSpectrum
    chosen: str
    errors: dict[str, float]


@dataclass(frozen=True)
class _Candidate:
    """One way to refit a support, at its best penalty."""

    name: str
    out_of_fold: FloatArray  # (m,)
    refit: Callable[[], FourierSpectrum]


#: (design without ∅, values, design to predict, extracted coefficients) ->
#: predictions (m', penalties), coefficients (k, penalties), intercepts (penalties,)
_Path = Callable[
    [FloatArray, FloatArray, FloatArray, FloatArray], tuple[FloatArray, FloatArray, FloatArray]
]


def refine(
    spectrum: FourierSpectrum,
    fold_spectra: list[FourierSpectrum],
    masks: BoolArray,
    values: FloatArray,
    folds: Folds,
    *,
    k: int,
    method: RefineMethod = "stack",
) -> Refinement:
    """Sparsify to the ``k`` largest coefficients and refine them where that lowers the CV error.

    Args:
        spectrum: extracted from the proxy fitted to all (masks, values).
        fold_spectra: extracted from the same proxy fitted without each fold.
        masks, values, folds: (m, n), (m,), (m,).
    """
    data = _Data(spectrum, fold_spectra, masks, values, folds)
    extracted = data.extracted(k)
    if method == "none":
        return Refinement(extracted.refit(), "none", {})
    variance = float(np.square(values - values.mean()).mean()) or 1.0

    def error(predictions: FloatArray) -> float:
        return float(np.square(predictions - values).mean()) / variance

    # Where the proxy found nothing there are no terms to refit, only the additive alternative.
    found = min(map(len, [spectrum, *fold_spectra])) > 1
    if method == "lasso":
        if not found:
            return Refinement(extracted.refit(), "none", {})
        paper = data.best_on_path("LASSO", _lasso, k)
        errors = {"none": error(extracted.out_of_fold), "LASSO": error(paper.out_of_fold)}
        better = errors["LASSO"] < errors["none"]
        kept = paper if better else extracted
        return Refinement(kept.refit(), "LASSO" if better else "none", errors)
    candidates = [extracted, data.best_on_path("LASSO on single features", _lasso, 0)]
    for size in sorted({max(1, k // 8), max(1, k // 4), max(1, k // 2), k}) if found else []:
        candidates.append(data.best_on_path(f"LASSO on {size} terms", _lasso, size))
        candidates.append(data.best_on_path(f"ridge on {size} terms", _ridge, size))
    errors = {"none" if c is extracted else c.name: error(c.out_of_fold) for c in candidates}
    stacked = np.stack([c.out_of_fold for c in candidates], axis=1)
    errors["stack"] = error(cross_fitted(stacked, values, folds))
    if errors["stack"] >= errors["none"]:
        return Refinement(extracted.refit(), "none", errors)
    weights = stacking_weights(stacked, values)
    used = [(w, c) for w, c in zip(weights, candidates, strict=True) if w > 0]
    if not used:  # no term predicts masks that it was not fitted to
        constant = FourierSpectrum.from_dict({(): float(values.mean())}, spectrum.n_features)
        return Refinement(constant, "constant", errors)
    blended = _blend([(float(w), c.refit()) for w, c in used], float(values.mean()))
    parts = ", ".join(f"{w:.2f} {c.name}" for w, c in used)
    if len(blended) - 1 > k:
        blended, parts = _cut(blended, k, masks), f"{parts}, cut to {k} terms"
    return Refinement(blended, f"stack of {parts}", errors)


@dataclass(frozen=True)
class _Data:
    """What every refit works on; see :func:`refine`."""

    spectrum: FourierSpectrum
    fold_spectra: list[FourierSpectrum]
    masks: BoolArray
    values: FloatArray
    folds: Folds

    def extracted(self, k: int) -> _Candidate:
        """The proxy's own k largest coefficients."""
        predictions = np.empty(len(self.masks))
        for fold, fitted in enumerate(self.fold_spectra):
            held_out = self.folds == fold
            predictions[held_out] = fitted.top(k).evaluate(self.masks[held_out])
        return _Candidate("extracted", predictions, lambda: self.spectrum.top(k))

    def best_on_path(self, name: str, path: _Path, size: int) -> _Candidate:
        """Cross-validate a path of penalties on the folds' own supports; refit at the best."""
        blocks = []
        for fold, fitted in enumerate(self.fold_spectra):
            held_out = self.folds == fold
            sparse = _support(fitted, size)
            train, test = (_design(self.masks[rows], sparse) for rows in (~held_out, held_out))
            blocks.append(path(train, self.values[~held_out], test, sparse.coefficients[1:])[0])
        columns = np.empty((len(self.masks), blocks[0].shape[1]))
        for fold, block in enumerate(blocks):
            columns[self.folds == fold] = block
        best = int(np.square(columns - self.values[:, None]).sum(axis=0).argmin())

        def refit() -> FourierSpectrum:
            sparse = _support(self.spectrum, size)
            design = _design(self.masks, sparse)
            extracted = sparse.coefficients[1:]
            _, coefficients, intercepts = path(design, self.values, design[:1], extracted)
            return sparse.with_coefficients(np.append(intercepts[best], coefficients[:, best]))

        return _Candidate(name, columns[:, best], refit)


def _support(spectrum: FourierSpectrum, size: int) -> FourierSpectrum:
    """The ``size`` largest terms; size 0 stands for all single features."""
    if size:
        return spectrum.top(size)
    singles = np.arange(spectrum.n_features, dtype=np.int32)[:, None]
    return FourierSpectrum.from_arrays(singles, np.zeros(len(singles)), spectrum.n_features)


def _design(masks: BoolArray, spectrum: FourierSpectrum) -> FloatArray:
    """chi_T of every term but ∅: (m, k)."""
    return parities(masks, spectrum.support[1:]).T.astype(np.float64)


def _centred(design: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Columns less their means, and the means; a column that never changes becomes exactly 0."""
    mean = design.mean(axis=0)
    centred = np.asfortranarray(design - mean)
    centred[:, (design == design[0]).all(axis=0)] = 0.0
    return centred, mean


def _lasso(
    design: FloatArray, values: FloatArray, test: FloatArray, _extracted: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    (centred, mean), level = _centred(design), float(values.mean())
    target = values - level
    largest = float(np.abs(centred.T @ target).max()) / len(values)
    penalties = max(largest, np.finfo(float).tiny) * _LASSO_PENALTIES
    with warnings.catch_warnings():
        # A path that stops short of its tolerance competes in the cross-validation as it is.
        warnings.simplefilter("ignore", ConvergenceWarning)
        _, coefficients, _ = lasso_path(
            centred, target, alphas=penalties, precompute=True, max_iter=2000, random_state=0
        )
    intercepts = level - mean @ coefficients
    return test @ coefficients + intercepts, coefficients, intercepts


def _ridge(
    design: FloatArray, values: FloatArray, test: FloatArray, extracted: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    centred, mean = _centred(design)
    residual = values - design @ extracted
    level = float(residual.mean())
    u, s, vt = np.linalg.svd(centred, full_matrices=False)
    projected = s * (u.T @ (residual - level))
    penalties = max(float(s[0]) ** 2, np.finfo(float).tiny) * _RIDGE_PENALTIES
    steps = vt.T @ (projected[:, None] / (np.square(s)[:, None] + penalties))
    coefficients = extracted[:, None] + steps
    intercepts = level - mean @ steps
    return test @ coefficients + intercepts, coefficients, intercepts


def _cut(spectrum: FourierSpectrum, k: int, masks: BoolArray) -> FourierSpectrum:
    """The k largest terms, moved to predict on ``masks`` what all of them predicted.

    Dropping terms by magnitude is best for uniform masks only; on others the terms that stay are
    correlated with those that go. It is the spectrum that is fitted here, not the noisy values.
    """
    sparse = spectrum.top(k)
    centred, mean = _centred(_design(masks, sparse))
    lost = spectrum.evaluate(masks) - sparse.evaluate(masks)
    level = float(lost.mean())
    u, s, vt = np.linalg.svd(centred, full_matrices=False)
    projected = s * (u.T @ (lost - level))
    step = vt.T @ (projected / (np.square(s) + _CUT_PENALTY * float(s[0]) ** 2))
    return sparse.with_coefficients(
        sparse.coefficients + np.append(level - float(mean @ step), step)
    )


def _blend(parts: list[tuple[float, FourierSpectrum]], level: float) -> FourierSpectrum:
    rest = level * (1.0 - sum(w for w, _ in parts))
    constant = FourierSpectrum.from_dict({(): rest}, parts[0][1].n_features)
    blended = weighted_sum([*parts, (1.0, constant)])
    return blended.select(np.flatnonzero(blended.coefficients))  # what LASSO silenced is no term
