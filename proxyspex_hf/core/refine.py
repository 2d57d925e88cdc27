"""Refinement: fit the kept coefficients to the answers again (paper, section 3.3, step 4).

The paper's refinement, a LASSO over the k largest terms, competes with the extracted coefficients
as they are. Cross-validation must not see the support that it judges, so each fold uses the support
that the proxy found *without* that fold.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import lasso_path

from proxyspex_hf.checks import BoolArray, FloatArray
from proxyspex_hf.core.proxies.base import Folds
from proxyspex_hf.core.spectrum import FourierSpectrum, parities

RefineMethod = Literal["project", "lasso", "none"]

#: Penalties as fractions of the smallest one that silences every term (paper, appendix B.1.1).
_LASSO_PENALTIES = np.logspace(0, -3, 100)


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


def refine(
    spectrum: FourierSpectrum,
    fold_spectra: list[FourierSpectrum],
    masks: BoolArray,
    values: FloatArray,
    folds: Folds,
    *,
    k: int,
    method: RefineMethod = "lasso",
) -> Refinement:
    """Sparsify to the ``k`` largest coefficients and refine them where that lowers the CV error.

    Args:
        spectrum: extracted from the proxy fitted to all (masks, values).
        fold_spectra: extracted from the same proxy fitted without each fold.
        masks, values, folds: (m, n), (m,), (m,).
        method: ``"lasso"``, or ``"none"`` to take the extracted coefficients as they are.
    """
    data = _Data(spectrum, fold_spectra, masks, values, folds)
    extracted = data.extracted(k)
    # Where the proxy found nothing there are no terms to refit.
    if method == "none" or min(map(len, [spectrum, *fold_spectra])) == 1:
        return Refinement(extracted.refit(), "none", {})
    variance = float(np.square(values - values.mean()).mean()) or 1.0
    lasso = data.best_lasso(k)
    errors = {
        candidate.name: float(np.square(candidate.out_of_fold - values).mean()) / variance
        for candidate in (extracted, lasso)
    }
    kept = lasso if errors[lasso.name] < errors[extracted.name] else extracted
    return Refinement(kept.refit(), kept.name, errors)


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
        return _Candidate("none", predictions, lambda: self.spectrum.top(k))

    def best_lasso(self, k: int) -> _Candidate:
        """Cross-validate the penalties on the folds' own supports; refit at the best."""
        columns = np.empty((len(self.masks), len(_LASSO_PENALTIES)))
        for fold, fitted in enumerate(self.fold_spectra):
            held_out = self.folds == fold
            sparse = fitted.top(k)
            train, test = (_design(self.masks[rows], sparse) for rows in (~held_out, held_out))
            coefficients, intercepts = _lasso(train, self.values[~held_out])
            columns[held_out] = test @ coefficients + intercepts
        best = int(np.square(columns - self.values[:, None]).sum(axis=0).argmin())

        def refit() -> FourierSpectrum:
            sparse = self.spectrum.top(k)
            coefficients, intercepts = _lasso(_design(self.masks, sparse), self.values)
            return sparse.with_coefficients(np.append(intercepts[best], coefficients[:, best]))

        return _Candidate("LASSO", columns[:, best], refit)


def _design(masks: BoolArray, spectrum: FourierSpectrum) -> FloatArray:
    """chi_T of every term but ∅: (m, k)."""
    return parities(masks, spectrum.support[1:]).T.astype(np.float64)


def _centred(design: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Columns less their means, and the means; a column that never changes becomes exactly 0."""
    mean = design.mean(axis=0)
    centred = np.asfortranarray(design - mean)
    centred[:, (design == design[0]).all(axis=0)] = 0.0
    return centred, mean


def _lasso(design: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The whole path: coefficients (k, penalties) and intercepts (penalties,)."""
    (centred, mean), level = _centred(design), float(values.mean())
    target = values - level
    largest = float(np.abs(centred.T @ target).max()) / len(values)
    penalties = max(largest, np.finfo(float).tiny) * _LASSO_PENALTIES
    with warnings.catch_warnings():
        # A path that stops short of its tolerance competes in the cross-validation as it is.
        warnings.simplefilter("ignore", ConvergenceWarning)
        _, coefficients, _ = lasso_path(
            centred,
            target,
            alphas=penalties,
            precompute=np.dot(centred.T, centred),
            Xy=np.dot(centred.T, target),
            max_iter=2000,
            random_state=0,
            check_input=False,  # else every penalty looks at every number again
        )
    intercepts = level - mean @ coefficients
    return coefficients, intercepts
