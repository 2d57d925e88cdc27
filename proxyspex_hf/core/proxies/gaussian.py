"""A Gaussian process with a product kernel: one of the alternative proxies the paper asks for.

Its spectrum is exact (:mod:`.kernel_spectrum`), its few parameters, a relevance for each feature
among them, are learnt by marginal likelihood (:mod:`.kernel`), and its answer is a linear solve. It
says most from few masks; where a function is made of few large terms, :mod:`.pursuit` says more.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve

from proxyspex_hf.checks import BoolArray, FloatArray, IntArray
from proxyspex_hf.core.progress import ProgressCallback, Reporter
from proxyspex_hf.core.proxies.base import CVEntry, CVReport, Folds, usable_cores
from proxyspex_hf.core.proxies.enumerate import enumerate_spectrum
from proxyspex_hf.core.proxies.kernel import (
    MaskKernel,
    Positions,
    damped,
    inverted,
    learn_kernel,
    signs,
)
from proxyspex_hf.core.proxies.kernel_spectrum import KernelExpansion
from proxyspex_hf.core.proxies.sibling import Sibling
from proxyspex_hf.core.sparsify import Projectable
from proxyspex_hf.core.spectrum import FourierSpectrum
from proxyspex_hf.core.trees import Extraction

#: Up to this many masks the kernel is learnt anew without each fold.
FEW_MASKS = 300
#: Up to this many features, all 2^n coefficients are computed.
_ENUMERATED = 12
#: Terms of a spectrum that is asked for whole; the rest's energy is measured on this many masks.
_MAX_TERMS = 4000
_MAX_FOLD_TERMS = 1000
_MEASURED_ON = 4096
#: Relative to the largest diagonal element: fewer centres than masks make the solve ill-posed.
_REDUCED_JITTER = 1e-7
#: Masks whose covariances with the centres are held at once.
_BLOCK = 4096


@dataclass(frozen=True)
class GaussianProcess:
    """Gaussian process regression on masks.

    Attributes:
        reach: pairs of features up to this far apart (in reading order) have a variance of their
            own beside the product kernel's; 0 for no such prior.
        learn_on: masks, at most, from which the kernel's parameters are learnt; a step of that
            costs O(learn_on³). All masks are used for the prediction. Cross-validation learns
            from half as many.
        max_exact: up to this many masks the solve is exact; beyond, ``centres`` of them carry the
            kernels and all of them the least squares (subset of regressors).
        n_jobs: kernels learnt at a time; the result does not depend on it.
        start: a kernel learnt from an earlier, similar function; see :func:`.kernel.learn_kernel`.
        sibling: what a cheaper model says of the same features; see :mod:`.sibling`.
    """

    reach: int = 3
    learn_on: int = 600
    max_exact: int = 4000
    centres: int = 2000
    n_jobs: int | None = None
    start: MaskKernel | None = None
    sibling: Sibling | None = None

    def fit(
        self,
        masks: BoolArray,
        values: FloatArray,
        folds: Folds,
        *,
        seed: int,
        progress: ProgressCallback | None = None,
    ) -> GaussianProcessFit:
        """Learn the kernel, solve, and predict each fold from the others.

        Cross-validation is honest about the kernel, too: a fold is predicted with parameters that
        were learnt from others (from all others, where masks are few; from the even or the odd
        ones), unless those learnt from are at most a third of all masks.
        """
        x = signs(masks)
        m = len(x)
        order = np.random.default_rng(seed).permutation(m)
        # The full input, if asked, is what readers look at: the kernel is learnt with it.
        order = order[np.argsort(~masks[order].all(axis=1), kind="stable")]
        n_folds = int(folds.max()) + 1
        if m <= FEW_MASKS:
            others = [order[folds[order] != fold] for fold in range(n_folds)]
        elif m <= 3 * self.learn_on:
            others = [order[folds[order] % 2 != fold] for fold in (0, 1)]
        else:
            others = []

        report = Reporter(progress, "learning the kernel", 2 + len(others))

        def learn(rows: Positions) -> MaskKernel:
            chosen = rows[: self.learn_on if rows is order else self.learn_on // 2]
            kernel = learn_kernel(
                x[chosen],
                values[chosen],
                reach=self.reach,
                likely=self.start,
                sibling=self.sibling,
            )
            report.advance()
            return kernel

        with ThreadPoolExecutor(self.n_jobs or usable_cores()) as pool:
            kernel, *judges = pool.map(learn, [order, *others])
        judges = judges or [kernel]
        if m <= self.max_exact:
            solved = _exact(kernel, judges, x, values, folds)
        else:
            solved = self._reduced(kernel, x, values, folds, order)
        report.finish()
        errors = tuple(
            float(np.square(solved.out_of_fold[folds == f] - values[folds == f]).mean())
            for f in range(n_folds)
        )
        entry = CVEntry({"kernel": "product", "reach": self.reach}, errors)
        return GaussianProcessFit(
            CVReport((entry,), 0),
            solved.expansion,
            solved.fold_expansions,
            solved.out_of_fold,
            solved.left_out,
            seed,
        )

    def _reduced(
        self, kernel: MaskKernel, x: FloatArray, values: FloatArray, folds: Folds, order: Positions
    ) -> _Solved:
        """All masks in the least squares, some of them as centres."""
        centres = x[order[: self.centres]]
        n_folds = int(folds.max()) + 1
        grams = [np.zeros((len(centres), len(centres))) for _ in range(n_folds)]
        rights = [np.zeros(len(centres)) for _ in range(n_folds)]
        blocks = [
            (fold, block)
            for fold in range(n_folds)
            for block in np.array_split(np.flatnonzero(folds == fold), len(x) // _BLOCK + 1)
        ]
        for fold, block in blocks:
            part = kernel(x[block], centres)
            grams[fold] += part.T @ part
            rights[fold] += part.T @ values[block]
        gram = sum(grams) + kernel.noise * kernel(centres, centres)
        right = np.sum(rights, axis=0)
        jitter = _REDUCED_JITTER * float(np.diag(gram).max())

        def expansion(left_out: FloatArray | float, without: FloatArray | float) -> KernelExpansion:
            factor = damped(gram - left_out, jitter)
            return KernelExpansion(kernel, centres, cho_solve((factor, True), right - without))

        fold_expansions = tuple(map(expansion, grams, rights))
        out = np.empty(len(values))
        for fold, block in blocks:
            out[block] = fold_expansions[fold].evaluate(x[block])
        return _Solved(expansion(0.0, 0.0), fold_expansions, out, out)


@dataclass(frozen=True)
class _Solved:
    expansion: KernelExpansion
    fold_expansions: tuple[KernelExpansion, ...]
    out_of_fold: FloatArray
    left_out: FloatArray


def _exact(
    kernel: MaskKernel, judges: list[MaskKernel], x: FloatArray, values: FloatArray, folds: Folds
) -> _Solved:
    """Every mask is a centre. Of j judges, number i predicts folds i, i + j, ..."""
    out, left_out = np.empty(len(values)), np.empty(len(values))
    n_folds = int(folds.max()) + 1
    fold_expansions: dict[int, KernelExpansion] = {}
    for side, judge in enumerate(judges):
        factor = damped(judge(x, x), judge.noise)
        alpha = cho_solve((factor, True), values)
        inverse = inverted(factor)
        for fold in range(side, n_folds, len(judges)):
            rows = np.flatnonzero(folds == fold)
            # One mask left out: its residual is (C⁻¹ y)_i / (C⁻¹)_ii.
            left_out[rows] = values[rows] - alpha[rows] / np.diag(inverse)[rows]
            # Leaving a block F out: its residual is (C⁻¹_FF)⁻¹ (C⁻¹ y)_F, and so are its weights 0.
            residual = np.linalg.solve(inverse[np.ix_(rows, rows)], alpha[rows])
            out[rows] = values[rows] - residual
            weights = alpha - inverse[:, rows] @ residual
            weights[rows] = 0.0
            fold_expansions[fold] = KernelExpansion(judge, x, weights)
    weights = cho_solve((damped(kernel(x, x), kernel.noise), True), values)
    return _Solved(
        KernelExpansion(kernel, x, weights),
        tuple(fold_expansions[f] for f in range(n_folds)),
        out,
        left_out,
    )


@dataclass(frozen=True)
class GaussianProcessFit:
    """The posterior mean, a sum of kernels.

    Attributes:
        out_of_fold: (m,) the prediction of each fitted mask from the other folds.
        left_out: (m,) the same from all other masks, the kernel still from other folds.
    """

    cv: CVReport
    expansion: KernelExpansion
    fold_expansions: tuple[KernelExpansion, ...]
    out_of_fold: FloatArray
    left_out: FloatArray
    seed: int

    @property
    def kernel(self) -> MaskKernel:
        return self.expansion.kernel

    def predict(self, masks: BoolArray) -> FloatArray:
        return self.expansion.evaluate(signs(masks))

    def project(self, max_order: int | None) -> Projectable:
        return _Projection(self.expansion, max_order)

    def spectrum(self, max_order: int | None = None) -> Extraction:
        """All coefficients of up to 12 features; of more, the 4000 largest that a beam search
        finds, and the energy of the others is measured, not bounded."""
        n = self.expansion.centres.shape[1]
        if n <= _ENUMERATED:
            return enumerate_spectrum(self.predict, n, max_order)
        spectrum = _largest_terms(self.expansion, _MAX_TERMS, max_order)
        masks = np.random.default_rng(self.seed).random((_MEASURED_ON, n)) < 0.5
        lost = self.predict(masks) - spectrum.evaluate(masks)
        order = n if max_order is None else min(max_order, n)
        return Extraction(spectrum, order, float(np.square(lost).mean()))

    def fold_spectra(self, max_order: int | None = None) -> list[FourierSpectrum]:
        """Likewise of the fits without each fold, the 1000 largest."""
        return [_largest_terms(e, _MAX_FOLD_TERMS, max_order) for e in self.fold_expansions]


@dataclass(frozen=True)
class _Projection:
    """The whole spectrum, all 2^n of it, as far as sparsifying needs it."""

    expansion: KernelExpansion
    max_order: int | None

    def correlations(self, support: IntArray, mean: float) -> FloatArray:
        return self.expansion.correlations(support, mean)

    def candidates(self, count: int, densities: Sequence[float]) -> IntArray:
        return self.expansion.largest(count, densities, self.max_order)


def _largest_terms(
    expansion: KernelExpansion, count: int, max_order: int | None
) -> FourierSpectrum:
    n = expansion.centres.shape[1]
    if n <= _ENUMERATED:
        whole = enumerate_spectrum(lambda masks: expansion.evaluate(signs(masks)), n, max_order)
        return whole.spectrum
    return expansion.spectrum(expansion.largest(count, (0.5,), max_order))
