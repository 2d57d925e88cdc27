"""LASSO over single features: the paper's marginal baseline (section 4.1, appendix B.1.1).

An additive function of 0/1 features has a spectrum of orders 0 and 1 only, and it is exact: with
chi_{i} = 1 - 2 x_i, the model b + Σ w_i x_i has F({i}) = -w_i / 2 and F(∅) = b + Σ w_i / 2.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import lars_path, lasso_path

from proxyspex_hf.checks import BoolArray, FloatArray
from proxyspex_hf.core.progress import ProgressCallback, Reporter
from proxyspex_hf.core.proxies.base import CVEntry, CVReport, Folds
from proxyspex_hf.core.spectrum import FourierSpectrum
from proxyspex_hf.core.trees import Extraction
from proxyspex_hf.errors import InputError

#: A path of the LASSO over m masks has about m kinks, more where weights leave it again; one that
#: is cut short is not optimal, and not taken.
_MOST_KINKS = 8
#: Duality gap as a share of the values' squares: scikit-learn's.
_TOLERANCE = 1e-4


@dataclass(frozen=True)
class AdditiveModel:
    """b + Σ w_i x_i with x_i = 1 where feature i is kept: ``intercept`` b, ``weights`` (n,)."""

    intercept: float
    weights: FloatArray

    def predict(self, masks: BoolArray | FloatArray) -> FloatArray:
        """(m, n) -> (m,)."""
        return np.asarray(self.intercept + masks @ self.weights, dtype=np.float64)

    def extract(self, max_order: int | None = None) -> Extraction:
        """Its exact spectrum, which ends at order 1.

        Raises:
            InputError: ``max_order`` is negative.
        """
        if max_order is not None and max_order < 0:
            raise InputError(f"max_order must be at least 0 or None, got {max_order}.")
        n = len(self.weights)
        support = np.arange(-1, n, dtype=np.int32)[:, None]
        level = self.intercept + float(self.weights.sum()) / 2
        spectrum = FourierSpectrum.from_arrays(support, np.append(level, -self.weights / 2), n)
        if max_order == 0:
            return Extraction(spectrum.top(0), 0, spectrum.energy)
        # A weight of zero is not a term: the support is what the LASSO selected.
        return Extraction(spectrum.select(np.flatnonzero(spectrum.coefficients)), 1, 0.0)


@dataclass(frozen=True)
class Lasso:
    """LASSO over single features, its penalty chosen by cross-validation on the shared folds.

    Attributes:
        n_penalties, ratio: the paper's grid (appendix B.1.1): 100 penalties, evenly spaced in their
            logarithm, from the smallest one that silences every feature down to ``ratio`` times it.

    Raises:
        InputError: no penalty, or ``ratio`` outside (0, 1).
    """

    n_penalties: int = 100
    ratio: float = 1e-3

    def __post_init__(self) -> None:
        if self.n_penalties < 1:
            raise InputError(f"n_penalties must be at least 1, got {self.n_penalties}.")
        if not 0 < self.ratio < 1:
            raise InputError(f"ratio must lie strictly between 0 and 1, got {self.ratio}.")

    def fit(
        self,
        masks: BoolArray,
        values: FloatArray,
        folds: Folds,
        *,
        seed: int,  # noqa: ARG002  (the protocol's; nothing here is random)
        progress: ProgressCallback | None = None,
    ) -> LassoFit:
        """Choose the penalty, then fit it to all masks."""
        return self.search(masks, values, folds, progress=progress)

    def search(
        self,
        design: BoolArray | FloatArray,
        values: FloatArray,
        folds: Folds,
        *,
        progress: ProgressCallback | None = None,
    ) -> LassoFit:
        """The same on any (m, k) design: SPEX fits its recovered terms with it."""
        n_folds = int(folds.max()) + 1
        report = Reporter(progress, "fitting LASSO", n_folds + 1)
        # One grid for all folds, from all masks: a penalty must mean the same in each of them.
        largest = _largest_penalty(design, values)
        penalties = largest * np.logspace(0.0, np.log10(self.ratio), self.n_penalties)
        paths: list[list[AdditiveModel]] = []
        for fold in range(n_folds):
            train = folds != fold
            paths.append(_path(design[train], values[train], penalties))
            report.advance()
        errors = np.array(
            [
                [
                    np.square(model.predict(design[folds == fold]) - values[folds == fold]).mean()
                    for model in path
                ]
                for fold, path in enumerate(paths)
            ]
        )
        entries = tuple(
            CVEntry({"penalty": float(penalty)}, tuple(errors[:, p].tolist()))
            for p, penalty in enumerate(penalties)
        )
        # The first of equals: the largest penalty.
        chosen = int(errors.mean(axis=0).argmin())
        model = _path(design, values, penalties[: chosen + 1])[-1]
        report.advance()
        return LassoFit(
            CVReport(entries, chosen), model, tuple(fold_path[chosen] for fold_path in paths)
        )


@dataclass(frozen=True)
class LassoFit:
    """The chosen penalty, fitted to all masks and once without each fold."""

    cv: CVReport
    model: AdditiveModel
    fold_models: tuple[AdditiveModel, ...]

    def predict(self, masks: BoolArray) -> FloatArray:
        return self.model.predict(masks)

    def spectrum(self, max_order: int | None = None) -> Extraction:
        return self.model.extract(max_order)

    def fold_spectra(self, max_order: int | None = None) -> list[FourierSpectrum]:
        return [model.extract(max_order).spectrum for model in self.fold_models]


def _largest_penalty(design: BoolArray | FloatArray, values: FloatArray) -> float:
    """The smallest penalty at which every weight is zero."""
    centred = design - design.mean(axis=0)
    largest = float(np.abs(centred.T @ (values - values.mean())).max()) / len(values)
    # Values that no single feature has anything to do with: any positive penalty will do.
    return max(largest, float(np.finfo(np.float64).tiny) * 1e6)


def _path(
    design: BoolArray | FloatArray, values: FloatArray, penalties: FloatArray
) -> list[AdditiveModel]:
    """One model for each penalty, which descend."""
    mean, level = design.mean(axis=0), float(values.mean())
    centred, target = np.asfortranarray(design - mean), values - level
    weights = None
    if len(centred) <= len(mean):
        weights = _by_least_angle(centred, target, penalties)
    if weights is None:
        weights = _by_coordinates(centred, target, penalties)
    return [AdditiveModel(level - float(mean @ column), column.copy()) for column in weights.T]


def _by_least_angle(
    centred: FloatArray, target: FloatArray, penalties: FloatArray
) -> FloatArray | None:
    """Weights, (n, penalties), read off the exact path, which is linear between its kinks.

    Where features outnumber masks, coordinate descent takes thousands of sweeps and still ends off
    the optimum. None where rounding has led the path astray, which its optimality tells.
    """
    scale = float(np.abs(target).max())
    if scale == 0.0:
        return np.zeros((centred.shape[1], len(penalties)))
    # Its tolerances are absolute numbers, made for values of about 1.
    target, penalties = target / scale, penalties / scale
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # columns that equal others
        kinks, _, path = lars_path(
            centred,
            target,
            method="lasso",
            alpha_min=float(penalties[-1]),
            max_iter=_MOST_KINKS * len(centred),
        )
    weights = np.array([np.interp(penalties, kinks[::-1], row[::-1]) for row in path])
    return weights * scale if _are_optimal(weights, centred, target, penalties) else None


def _are_optimal(
    weights: FloatArray, centred: FloatArray, target: FloatArray, penalties: FloatArray
) -> bool:
    """Whether the duality gap is within what coordinate descent is content with."""
    residual = target[:, None] - centred @ weights
    squared = np.square(residual).sum(axis=0)
    allowed = len(target) * penalties
    steepest = np.maximum(np.abs(centred.T @ residual).max(axis=0), allowed)
    # Feasible: no slope above the penalty.
    dual = residual * np.divide(allowed, steepest, out=np.ones_like(allowed), where=steepest > 0)
    primal = squared / 2 + allowed * np.abs(weights).sum(axis=0)
    gap = primal - (target @ dual - np.square(dual).sum(axis=0) / 2)
    return bool((gap <= _TOLERANCE * np.square(target).sum()).all())


def _by_coordinates(centred: FloatArray, target: FloatArray, penalties: FloatArray) -> FloatArray:
    """Weights, (n, penalties), by coordinate descent."""
    many = len(centred) > centred.shape[1]
    with warnings.catch_warnings():
        # Where features outnumber masks the smallest penalties may not settle to the last digit;
        # the held-out error judges the models as they are.
        warnings.simplefilter("ignore", ConvergenceWarning)
        _, weights, _ = lasso_path(
            centred,
            target,
            alphas=penalties,
            precompute=np.dot(centred.T, centred) if many else False,
            Xy=np.dot(centred.T, target) if many else None,
            tol=_TOLERANCE,
            random_state=0,  # unused, but without one numpy's global generator is drawn from
            check_input=False,  # else every penalty looks at every number again
        )
    return np.asarray(weights)
