"""Training-data attribution with interactions: non-linear datamodels (paper, section 5.1, C.1).

The features are training points, or groups of them, and f(S) is the margin of a test point for a
model trained on S (equation 5). There are far too many features for a proxy (the paper has 50,000
and 300,000 trainings), so it works on the few that matter for the test point:

1. a linear datamodel of all n features, in few passes over the bits (:mod:`.linear`);
2. a screen for pairs and triples on what it leaves, with strong members (:mod:`.screen`);
3. ProxySPEX on the candidates: members of the sets found, then the largest linear weights;
4. a linear datamodel of all other features, fitted to what is left.

The sum of 3 and 4 is one spectrum on n features.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proxyspex_hf.checks import (
    FloatArray,
    as_fraction,
    as_integer,
    as_integers,
    as_labels,
    check_names,
)
from proxyspex_hf.core.algorithm import ProxySPEX
from proxyspex_hf.core.faithfulness import r2_score
from proxyspex_hf.core.progress import ProgressCallback, Reporter
from proxyspex_hf.core.proxies.base import Folds, Proxy
from proxyspex_hf.core.spectrum import FourierSpectrum
from proxyspex_hf.errors import InputError
from proxyspex_hf.studies.data.checks import as_density, as_margins
from proxyspex_hf.studies.data.linear import fit_linear
from proxyspex_hf.studies.data.packed import PackedMasks
from proxyspex_hf.studies.data.point import PointAttribution
from proxyspex_hf.studies.data.screen import Screening, ScreenLimits, screen
from proxyspex_hf.studies.data.terms import joined, refitted
from proxyspex_hf.studies.data.training import Trainer, retrain

_N_FOLDS = 5
_MIN_ROWS = 100
#: Unpacked masks held at once: more would leave the processor's cache.
_BLOCK_BYTES = 32 * 2**20
#: Columns that a proxy makes of its terms, at most.
_TERMS = 500


class DataAttribution:
    """Explains test points by the training points that their margins rest on.

    Args:
        masks: which features each training kept, (m, n): :class:`.PackedMasks` (memory-mapped where
            they are many) or booleans.
        margins: (m,) or (m, t) floats, one column per test point; memory maps are read by column.
        train_labels: (n,) class of each feature, for :meth:`.PointAttribution.synergistic`.
        test_labels: (t,) class of each test point.
        density: the probability with which a mask keeps a feature, or (m,) one for each mask.
        proxy: of the candidates, see :class:`~proxyspex_hf.core.algorithm.ProxySPEX`.
        n_coefficients: of the proxy's spectrum, at most.
        n_candidates: features that the proxy sees.
        n_paired: strongest features of which the screen looks at every pair.
        n_strong: strongest features that are paired with every other one.
        fdr: the share of false discoveries among the sets that the screen accepts.
        n_held_out: masks that nothing is fitted to, default a tenth, at most 10,000.
        max_memory: bytes for arrays, about; masks and margins on disk do not count. What does not
            fit is done in portions, and a proxy is fitted to fewer masks.
        seed: of folds and proxies.

    Raises:
        InputError: shapes, types or values that do not fit.

    Example:
        >>> masks = np.random.default_rng(0).random((300, 20)) < 0.5
        >>> margins = masks[:, 0] * 1.0 + masks[:, 3] * masks[:, 5]  # of one test point
        >>> study = DataAttribution(masks, margins)
        >>> study.n_features, study.n_tests
        (20, 1)
    """

    def __init__(
        self,
        masks: Any,
        margins: Any,
        *,
        train_labels: Any = None,
        test_labels: Any = None,
        density: Any = 0.5,
        proxy: str | Proxy = "blend",
        n_coefficients: int = ProxySPEX.n_coefficients,
        n_candidates: int = 100,
        n_paired: int = 1000,
        n_strong: int = 50,
        fdr: float = 0.1,
        n_held_out: int | None = None,
        max_memory: int = 2**30,
        seed: int = 0,
    ) -> None:
        self.masks = masks if isinstance(masks, PackedMasks) else PackedMasks.pack(masks)
        self.margins = as_margins(margins, len(self.masks))
        m, n, t = len(self.masks), self.n_features, self.n_tests
        if m < _MIN_ROWS:
            raise InputError(f"expected at least {_MIN_ROWS} trainings, got {m} masks.")
        self.train_labels = (
            None if train_labels is None else as_labels("train_labels", train_labels, n)
        )
        self.test_labels = None if test_labels is None else as_labels("test_labels", test_labels, t)
        self._density = as_density(density, self.masks)
        # Only spectra are taken of these fits: no Gaussian process for intervals.
        self._proxy = ProxySPEX(proxy, n_coefficients=n_coefficients, seed=seed, doubt=False)
        self._n_candidates = as_integer("n_candidates", n_candidates, 2, 10**5)
        self._n_paired = as_integer("n_paired", n_paired, 2, 10**5)
        self._n_strong = as_integer("n_strong", n_strong, 1, 10**5)
        self._fdr = as_fraction("fdr", fdr)
        held_out = min(m // 10, 10_000) if n_held_out is None else n_held_out
        held_out = as_integer("n_held_out", held_out, 2, m // 2)
        self._memory = as_integer("max_memory", max_memory, 2**20, 2**60)
        order = np.random.default_rng(seed).permutation(m)
        self._folds: Folds = np.empty(m, np.int64)
        self._folds[order[:held_out]] = _N_FOLDS
        self._folds[order[held_out:]] = np.arange(m - held_out) % _N_FOLDS

    @classmethod
    def from_training(
        cls,
        train: Trainer,
        n_features: int,
        n_masks: int,
        directory: str | Path,
        *,
        key: str,
        n_tests: int,
        density: float = 0.5,
        groups: Any = None,
        n_jobs: int = 1,
        seed: int = 0,
        progress: ProgressCallback | None = None,
        **settings: Any,
    ) -> DataAttribution:
        """Train on random subsets and take the margins; a killed run resumes where it stopped.

        The same call with more ``n_masks`` trains only on the new ones.

        Args:
            train: a function of the kept points, (k,) indices, and a seed, which gives the margin
                of every test point, (t,) floats.
            n_features: training points, or groups of them.
            n_masks: subsets to train on.
            directory: where each training is kept as it is done.
            key: names model and data; another key in the same directory is refused.
            n_tests: test points, t.
            density: share of the features that a subset keeps.
            groups: the feature of each training point, where features are groups.
            n_jobs: processes that train at the same time.
            seed: of subsets and trainings.
            progress: called with a :class:`proxyspex_hf.Progress` now and then.
            settings: other arguments of :class:`DataAttribution`.

        Raises:
            InputError: an argument that cannot be used or a setting that does not exist, before
                anything is trained; a directory that is refused.
            ModelError: see :func:`.training.retrain`.
        """
        given_here = ("self", "masks", "margins", "density", "seed")
        known = [name for name in signature(cls.__init__).parameters if name not in given_here]
        check_names(settings, known, "setting")
        masks = PackedMasks.sample(n_features, n_masks, density=density, seed=seed)
        n_tests = as_integer("n_tests", n_tests, 1, 10**9)
        # Made before anything is trained, so that a wrong setting costs nothing.
        missing = np.broadcast_to(np.nan, (len(masks), n_tests))
        study = cls(masks, missing, density=density, seed=seed, **settings)
        study.margins = retrain(
            train,
            masks,
            directory,
            key=key,
            n_tests=n_tests,
            groups=groups,
            seed=seed,
            n_jobs=n_jobs,
            progress=progress,
        )
        return study

    @property
    def n_features(self) -> int:
        """n: training points, or groups of them."""
        return self.masks.n_features

    @property
    def n_tests(self) -> int:
        """t: test points, the columns of the margins."""
        return int(self.margins.shape[1])

    @property
    def fitting_rows(self) -> NDArray[np.intp]:
        """The masks that are fitted, ascending."""
        return np.flatnonzero(self._folds != _N_FOLDS)

    @property
    def held_out_rows(self) -> NDArray[np.intp]:
        """The masks that nothing is fitted to, ascending."""
        return np.flatnonzero(self._folds == _N_FOLDS)

    def explain(
        self,
        points: int | Iterable[int] | None = None,
        *,
        progress: ProgressCallback | None = None,
    ) -> list[PointAttribution]:
        """One attribution for each of ``points`` (columns of the margins), by default for all.

        ``points`` may be a single column, too; the result is a list in any case.

        Raises:
            InputError: a point that does not exist, margins that are not finite or do not vary.
        """
        asked = range(self.n_tests) if points is None else points
        chosen = list(as_integers("points", asked, 0, self.n_tests - 1, or_one=True))
        m, n = len(self.masks), self.n_features
        # Eight arrays of every fold's weights and six columns of all masks, in half of the memory.
        one = 8 * (8 * (_N_FOLDS + 1) * n + 6 * m)
        together = max(1, self._memory // 2 // one)
        out: list[PointAttribution] = []
        for start in range(0, len(chosen), together):
            out += self._explain(chosen[start : start + together], progress)
        return out

    def _explain(
        self, points: list[int], progress: ProgressCallback | None
    ) -> list[PointAttribution]:
        start = time.perf_counter()
        margins = self._columns(points)
        block_rows = self._block_rows(len(points))
        linear = fit_linear(
            self.masks, margins, self._folds, block_rows=block_rows, progress=progress
        )
        linear_at = time.perf_counter()
        fitting = self._folds != _N_FOLDS
        residuals = np.where(fitting[:, None], margins - linear.predictions, 0.0)
        limits = ScreenLimits(
            min(self._n_paired, self._most_paired()),
            self._n_strong,
            self._fdr,
            block_rows,
            max(1, self._memory // 4 // (8 * (self.n_features + 3 * block_rows))),
        )
        report = Reporter(progress, "screening for interactions", 2 * len(points))
        # Where no linear model predicts anything, correlations still rank the features.
        fitted = linear.weights.any(axis=1, keepdims=True)
        strengths = np.abs(np.where(fitted, linear.weights, linear.correlations)).T
        screened = screen(self.masks, residuals, strengths, self._density, limits, report)
        screened_at = time.perf_counter()

        held_out = np.flatnonzero(~fitting)
        spectra, lasso_r2, candidates = [], [], []
        free = np.ones((len(points), self.n_features), np.bool_)
        report = Reporter(progress, "fitting interactions", len(points))
        for column in range(len(points)):
            features = self._candidates(strengths[:, column], screened[column])
            spectrum, lasso = self._fit(features, margins[:, column], fitting)
            columns = self.masks.columns(features)
            residuals[:, column] = margins[:, column] - spectrum.evaluate(columns)
            truth, rows = margins[held_out, column], columns[held_out]
            lasso_r2.append(r2_score(truth, lasso.evaluate(rows)))
            free[column, features] = False
            spectra.append(spectrum)
            candidates.append(features)
            report.advance()
        fitted_at = time.perf_counter()
        rest = fit_linear(
            self.masks,
            residuals,
            self._folds,
            block_rows=block_rows,
            free=free,
            phase="fitting all other features",
            progress=progress,
        )
        seconds = {
            "linear": linear_at - start,
            "screening": screened_at - linear_at,
            "proxy": fitted_at - screened_at,
            "others": time.perf_counter() - fitted_at,
        }
        out = []
        for column, point in enumerate(points):
            truth = margins[held_out, column]
            # What is left of the residual after the others' part is what is left of the margin.
            left = (residuals - rest.predictions)[held_out, column]
            out.append(
                PointAttribution(
                    point=point,
                    spectrum=joined(spectra[column], candidates[column], rest, column),
                    screening=screened[column],
                    candidates=tuple(candidates[column].tolist()),
                    r2=r2_score(truth, truth - left),
                    linear_r2=r2_score(truth, linear.predictions[held_out, column]),
                    lasso_r2=lasso_r2[column],
                    n_fitted=int(fitting.sum()),
                    n_held_out=len(held_out),
                    seconds={phase: spent / len(points) for phase, spent in seconds.items()},
                    train_labels=self.train_labels,
                    test_label=None if self.test_labels is None else self.test_labels[point].item(),
                )
            )
        return out

    def _fit(
        self, features: NDArray[np.intp], margins: FloatArray, fitting: NDArray[np.bool_]
    ) -> tuple[FourierSpectrum, FourierSpectrum]:
        """ProxySPEX and LASSO on the candidates' columns, both spectra of these columns alone."""
        rows = np.flatnonzero(fitting)
        most = max(_MIN_ROWS, self._memory // 2 // (8 * (6 * len(features) + 3 * _TERMS)))
        some = rows
        if len(rows) > most:
            some = np.sort(np.random.default_rng(self._proxy.seed).permutation(rows)[:most])
        columns = self.masks.columns(features)
        spectrum = self._proxy.fit(columns[some], margins[some]).spectrum
        if len(some) < len(rows):
            spectrum = refitted(spectrum, columns, margins, rows)
        additive = ProxySPEX(
            "lasso",
            n_coefficients=len(features),
            refine="none",
            seed=self._proxy.seed,
            doubt=False,
        )
        return spectrum, additive.fit(columns[some], margins[some]).spectrum

    def _candidates(self, strengths: FloatArray, screened: Screening) -> NDArray[np.intp]:
        """Members of the sets that were found, the strongest first, then the largest weights."""
        chosen: dict[int, None] = {}
        most = min(self._n_candidates, self.n_features)
        for found in screened.found:
            if len(chosen.keys() | set(found.members)) <= most:
                chosen.update(dict.fromkeys(found.members))
        for feature in np.argsort(-strengths, kind="stable").tolist():
            if len(chosen) == most:
                break
            chosen.setdefault(feature)
        return np.array(sorted(chosen), dtype=np.intp)

    def _columns(self, points: list[int]) -> FloatArray:
        margins = np.array(self.margins[:, points], dtype=np.float64)
        bad = np.flatnonzero(~np.isfinite(margins).all(axis=1))
        if len(bad):
            raise InputError(
                f"margins must be finite: {len(bad)} of {len(margins)} rows are not, the first "
                f"row {bad[0]}. Leave out masks that were not trained on."
            )
        constant = np.flatnonzero((margins == margins[0]).all(axis=0))
        if len(constant):
            raise InputError(
                f"the margins of test point {points[constant[0]]} are all "
                f"{margins[0, constant[0]]}: there is nothing to explain; leave it out of points."
            )
        return margins

    def _block_rows(self, n_points: int) -> int:
        columns = (_N_FOLDS + 1) * n_points
        return max(16, min(_BLOCK_BYTES, self._memory // 8) // (9 * self.n_features + 16 * columns))

    def _most_paired(self) -> int:
        """All pairs need a matrix of their sums, its indices and a block of columns."""
        return max(2, int((self._memory / 4 / 40) ** 0.5))
