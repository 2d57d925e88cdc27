"""Hierarchical pursuit: terms one at a time, each a chosen set with one feature more or less.

Orthogonal matching pursuit over a growing dictionary. The paper finds (section 3.2) that large
interactions have large ones beneath them; where that holds exactly, and few terms make up the
function, this recovers it where trees, which must approximate parities by splits, cannot.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from proxyspex_hf.checks import BoolArray, FloatArray
from proxyspex_hf.core.progress import ProgressCallback, Reporter
from proxyspex_hf.core.proxies.base import CVEntry, CVReport, Folds, usable_cores
from proxyspex_hf.core.proxies.kernel import signs
from proxyspex_hf.core.sparsify import KnownSpectrum, Projectable
from proxyspex_hf.core.spectrum import FourierSpectrum
from proxyspex_hf.core.trees import Extraction

Members = tuple[int, ...]

#: Of the least squares, relative to a column: terms that few masks tell apart stay finite.
_RIDGE = 1e-12


@dataclass(frozen=True)
class Pursuit:
    """Hierarchical orthogonal matching pursuit, its length chosen by cross-validation.

    Attributes:
        max_terms: at most so many terms; also at most a third of the masks.
        patience: a path ends after this many terms without a lower held-out error.
        max_work: masks times features that a path looks at; of more masks, the first so many in
            the folds' order. All of them set the coefficients.
        n_jobs: paths at a time; the result does not depend on it.
    """

    max_terms: int = 400
    patience: int = 40
    max_work: int = 2_000_000
    n_jobs: int | None = None

    def fit(
        self,
        masks: BoolArray,
        values: FloatArray,
        folds: Folds,
        *,
        seed: int,
        progress: ProgressCallback | None = None,
    ) -> PursuitFit:
        """Follow a path without each fold, then one of the best length on all masks."""
        x = signs(masks)
        m, n = x.shape
        n_folds = int(folds.max()) + 1
        report = Reporter(progress, "pursuing terms", n_folds + 1)
        limit = min(self.max_terms, m // 3)
        looked_at = np.zeros(m, dtype=np.bool_)
        order = np.random.default_rng(seed).permutation(m)
        looked_at[order[: max(self.max_work // n, 4 * limit)]] = True

        def without(fold: int) -> _Path:
            train, test = looked_at & (folds != fold), folds == fold
            path = _Path(x[train], values[train]).extend(
                limit, x[test], values[test], self.patience
            )
            report.advance()
            return path

        with ThreadPoolExecutor(self.n_jobs or usable_cores()) as pool:
            paths = list(pool.map(without, range(n_folds)))
        length = min(len(path.errors) for path in paths)
        curve = np.mean([path.errors[:length] for path in paths], axis=0)
        chosen = int(curve.argmin())
        sizes = sorted({*range(0, length, max(1, length // 20)), chosen})
        entries = tuple(
            CVEntry({"terms": size}, tuple(path.errors[size] for path in paths)) for size in sizes
        )
        final = _Path(x[looked_at], values[looked_at]).extend(chosen)
        found = _least_squares(final.terms[: chosen + 1], x, values)
        fold_found, out_of_fold = [], np.empty(m)
        for fold, path in enumerate(paths):
            train = folds != fold
            without_it = _least_squares(path.terms[: chosen + 1], x[train], values[train])
            out_of_fold[~train] = without_it.evaluate(masks[~train])
            fold_found.append(without_it)
        report.advance()
        cv = CVReport(entries, sizes.index(chosen))
        return PursuitFit(cv, found, tuple(fold_found), out_of_fold)


@dataclass(frozen=True)
class PursuitFit:
    """The path of the chosen length, on all masks and without each fold."""

    cv: CVReport
    found: FourierSpectrum
    fold_found: tuple[FourierSpectrum, ...]
    out_of_fold: FloatArray

    @property
    def left_out(self) -> FloatArray:
        return self.out_of_fold

    def predict(self, masks: BoolArray) -> FloatArray:
        return self.found.evaluate(masks)

    def project(self, max_order: int | None) -> Projectable:
        return KnownSpectrum(self.found, max_order)

    def spectrum(self, max_order: int | None = None) -> Extraction:
        return _limited(self.found, max_order)

    def fold_spectra(self, max_order: int | None = None) -> list[FourierSpectrum]:
        return [_limited(s, max_order).spectrum for s in self.fold_found]


def _limited(spectrum: FourierSpectrum, max_order: int | None) -> Extraction:
    top = int(spectrum.orders.max())
    if max_order is None or top <= max_order:
        return Extraction(spectrum, top, 0.0)
    kept = spectrum.select(np.flatnonzero(spectrum.orders <= max_order))
    return Extraction(kept, max_order, spectrum.energy - kept.energy)


def _least_squares(terms: list[Members], x: FloatArray, values: FloatArray) -> FourierSpectrum:
    design = np.stack([x[:, list(members)].prod(axis=1) for members in terms], axis=1)
    gram = design.T @ design
    gram[np.diag_indices(len(gram))] += _RIDGE * len(x)
    coefficients = np.linalg.solve(gram, design.T @ values)
    return FourierSpectrum.from_dict(
        dict(zip(terms, coefficients.tolist(), strict=True)), x.shape[1]
    )


class _Path:
    """Terms in the order chosen, ∅ first, and the held-out error with the first 1, 2, ... of them.

    Columns are kept orthonormal (Gram-Schmidt, twice), so that a term's gain is one product.
    """

    def __init__(self, x: FloatArray, values: FloatArray) -> None:
        self.x = x
        self.terms: list[Members] = [()]
        self.errors: list[float] = []
        self._level = float(values.mean())
        self._residual = values - self._level

    def extend(
        self,
        limit: int,
        test: FloatArray | None = None,
        test_values: FloatArray | None = None,
        patience: int | None = None,
    ) -> _Path:
        """Add terms up to ``limit``, or until ``patience`` of them have not helped."""
        x, m = self.x, len(self.x)
        both = x if test is None else np.concatenate([x, test])
        columns = np.ones((len(both), limit + 1), order="F")
        basis = np.zeros((len(both), limit + 1), order="F")
        basis[:, 0] = 1.0 / np.sqrt(m)
        predicted = np.full(len(both) - m, self._level)
        taken: set[Members] = {()}
        if test_values is not None:
            self.errors.append(float(np.square(test_values - predicted).mean()))
        while len(self.terms) <= limit:
            size = len(self.terms)
            # A few at a time once there are many: their order no longer matters.
            batch = min(1 + size // 20, limit + 1 - size)
            for base, feature, members in self._best(columns[:m, :size], taken, batch):
                at = len(self.terms)
                self.terms.append(members)
                columns[:, at] = columns[:, base] * both[:, feature]
                new = columns[:, at].copy()
                for _ in range(2):
                    new -= basis[:, :at] @ (basis[:m, :at].T @ new[:m])
                norm = float(np.linalg.norm(new[:m]))
                # A term that these masks cannot tell from the others adds nothing.
                basis[:, at] = new / norm if norm > 1e-6 * np.sqrt(m) else 0.0
                gain = float(basis[:m, at] @ self._residual)
                self._residual = self._residual - gain * basis[:m, at]
                if test_values is not None:
                    predicted = predicted + gain * basis[m:, at]
                    self.errors.append(float(np.square(test_values - predicted).mean()))
            if len(self.terms) == size:
                break
            if patience is not None and size - int(np.argmin(self.errors)) >= patience:
                break
        return self

    def _best(
        self, columns: FloatArray, taken: set[Members], count: int
    ) -> list[tuple[int, int, Members]]:
        """The ``count`` new terms most correlated with the residual: (from, feature, members)."""
        scores = np.abs((columns * self._residual[:, None]).T @ self.x)
        # Every term has at most as many twins as members; looking a little further is enough.
        wanted = min(scores.size, 4 * count + 2 * len(self.terms))
        nearest = np.argpartition(-scores, wanted - 1, axis=None)[:wanted]
        ranked = nearest[np.lexsort((nearest, -scores.flat[nearest]))]
        found: list[tuple[int, int, Members]] = []
        for flat in ranked.tolist():
            base, feature = divmod(flat, self.x.shape[1])
            members = tuple(sorted(set(self.terms[base]) ^ {feature}))
            if members not in taken:
                taken.add(members)
                found.append((base, feature, members))
                if len(found) == count:
                    break
        return found
