"""Gradient boosted trees, the paper's proxy (section 3.3, step 2), by LightGBM.

Boosting is nested: the first 500 trees of a run of 5000 are the run of 500. So one training per
(depth, learning rate, fold) yields the validation error of every number of trees, and the grid's
third axis costs nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import lightgbm as lgb
import numpy as np

from proxyspex_hf.checks import BoolArray, FloatArray
from proxyspex_hf.core.progress import ProgressCallback, Reporter
from proxyspex_hf.core.proxies.base import CVEntry, CVReport, Folds, usable_cores
from proxyspex_hf.core.sparsify import KnownSpectrum, Projectable
from proxyspex_hf.core.spectrum import FourierSpectrum
from proxyspex_hf.core.trees import Extraction, TreeEnsemble, extract_spectrum

T = TypeVar("T")


@dataclass(frozen=True)
class BoostedTrees:
    """Boosted trees with their configuration chosen by cross-validation.

    Attributes:
        depths, learning_rates, rounds: the paper's grid (appendix B.1.1). ``None`` is unlimited
            depth (LightGBM then grows at most 31 leaves a tree).
        any_round: choose among every number of trees up to the largest of ``rounds``, a superset
            of the grid; otherwise among ``rounds`` only.
        patience: stop a training after this many trees, times 0.1 / learning rate, without a
            better validation error. None trains every run to its end.
        race: after the first fold, drop configurations whose error there exceeds the best by this
            factor; one with a smaller learning rate, which needs ten times the trees for the
            same steps, continues only if it is the best. None evaluates every configuration on
            every fold.
        min_leaf: masks in a leaf, at least. None is 1 in 20 of the masks, from 3 to LightGBM's
            default, 20.
        n_jobs: trainings at a time, each on one thread, so the result does not depend on it.
    """

    depths: tuple[int | None, ...] = (3, 5, None)
    learning_rates: tuple[float, ...] = (0.1, 0.01)
    rounds: tuple[int, ...] = (500, 1000, 5000)
    any_round: bool = True
    patience: int | None = 300
    race: float | None = 1.05
    min_leaf: int | None = None
    n_jobs: int | None = None

    @classmethod
    def paper(cls) -> BoostedTrees:
        """The paper's grid to the letter: every point on every fold, nothing stopped early."""
        return cls(any_round=False, patience=None, race=None, min_leaf=20)

    def smallest_leaf(self, n_masks: int) -> int:
        """Masks in a leaf, at least, where ``n_masks`` are fitted."""
        return min(20, max(3, n_masks // 20)) if self.min_leaf is None else self.min_leaf

    def fit(
        self,
        masks: BoolArray,
        values: FloatArray,
        folds: Folds,
        *,
        seed: int,
        progress: ProgressCallback | None = None,
    ) -> BoostedTreesFit:
        """Choose by cross-validation, then train the chosen configuration on all masks."""
        search = _Search(self, masks, values, folds, seed)
        configs = [(depth, rate) for rate in self.learning_rates for depth in self.depths]
        n_folds = int(folds.max()) + 1
        report = Reporter(progress, "fitting trees", len(configs) * n_folds + 1)
        runs: dict[tuple[int, int], _Run] = {}

        def train(job: tuple[int, int]) -> _Run:
            depth, rate = configs[job[0]]
            return search.train(depth, rate, job[1])

        def train_all(jobs: list[tuple[int, int]]) -> None:
            done = search.map(train, jobs)
            for job, run in zip(jobs, done, strict=True):
                runs[job] = run
                report.advance()

        try:
            train_all([(c, 0) for c in range(len(configs))])
            raced = self._survivors(configs, [runs[c, 0].curve for c in range(len(configs))])
            train_all([(c, f) for c in raced for f in range(1, n_folds)])
        finally:
            search.cancel.set()
        curves = [
            [runs[c, f].curve for f in range(n_folds) if (c, f) in runs]
            for c in range(len(configs))
        ]
        cv = self._choose(configs, curves, raced)
        best, n_trees = cv.best.params, int(cv.best.params["trees"])
        config = configs.index((best["max_depth"], best["learning_rate"]))
        final = search.train_final(*configs[config], n_trees)
        report.finish()
        fold_ensembles = tuple(
            read_lightgbm(runs[config, f].booster, masks.shape[1], n_trees) for f in range(n_folds)
        )
        out_of_fold = np.empty(len(values))
        for f, ensemble in enumerate(fold_ensembles):
            out_of_fold[folds == f] = ensemble.predict(masks[folds == f])
        return BoostedTreesFit(
            cv, read_lightgbm(final, masks.shape[1]), fold_ensembles, out_of_fold
        )

    def _choose(
        self,
        configs: list[tuple[int | None, float]],
        curves: list[list[FloatArray]],
        raced: list[int],
    ) -> CVReport:
        """Every (configuration, number of trees) with its error on each fold, and the best."""
        entries: list[CVEntry] = []
        candidates: list[tuple[float, int]] = []  # (error, position among the entries)
        for c, (depth, rate) in enumerate(configs):
            length = min(map(len, curves[c]))
            mean = np.mean([curve[:length] for curve in curves[c]], axis=0)
            tried = {r for r in self.rounds if r <= length}
            if self.any_round or not tried:
                tried.add(int(mean.argmin()) + 1)
            for r in sorted(tried):
                if c in raced:
                    candidates.append((float(mean[r - 1]), len(entries)))
                entries.append(
                    CVEntry(
                        {"max_depth": depth, "learning_rate": rate, "trees": r},
                        tuple(float(curve[r - 1]) for curve in curves[c]),
                        "" if c in raced else "dropped after the first fold",
                    )
                )
        return CVReport(tuple(entries), min(candidates)[1])

    def _survivors(
        self, configs: list[tuple[int | None, float]], curves: list[FloatArray]
    ) -> list[int]:
        if self.race is None:
            return list(range(len(configs)))
        errors = [float(curve.min()) for curve in curves]
        best = min(errors)
        fastest = max(self.learning_rates)
        slack = [self.race if rate == fastest else 1.0 for _, rate in configs]
        return [c for c, error in enumerate(errors) if error <= slack[c] * best]


@dataclass(frozen=True)
class BoostedTreesFit:
    """The chosen configuration, trained on all masks and once without each fold."""

    cv: CVReport
    ensemble: TreeEnsemble
    fold_ensembles: tuple[TreeEnsemble, ...]
    out_of_fold: FloatArray

    @property
    def left_out(self) -> FloatArray:
        return self.out_of_fold

    def predict(self, masks: BoolArray) -> FloatArray:
        return self.ensemble.predict(masks)

    def project(self, max_order: int | None) -> Projectable:
        return KnownSpectrum(self.spectrum(max_order).spectrum, max_order)

    def spectrum(self, max_order: int | None = None) -> Extraction:
        return extract_spectrum(self.ensemble, max_order=max_order)

    def fold_spectra(self, max_order: int | None = None) -> list[FourierSpectrum]:
        return [extract_spectrum(e, max_order=max_order).spectrum for e in self.fold_ensembles]


@dataclass(frozen=True)
class _Run:
    booster: lgb.Booster
    curve: FloatArray  # validation error after each tree


class _Search:
    """The trainings of one fit: shared data, one thread each, stopped together on an error."""

    def __init__(
        self,
        settings: BoostedTrees,
        masks: BoolArray,
        values: FloatArray,
        folds: Folds,
        seed: int,
    ) -> None:
        self.settings = settings
        self.rows = masks.astype(np.float32)
        self.values = values
        self.folds = folds
        self.seed = seed
        self.cancel = threading.Event()

    def map(self, function: Callable[[Any], T], jobs: list[Any]) -> Iterable[T]:
        """``function`` over ``jobs`` in order, on as many threads as asked for."""
        workers = self.settings.n_jobs or usable_cores()
        if workers == 1 or len(jobs) == 1:
            yield from map(function, jobs)
            return
        pool = ThreadPoolExecutor(workers)
        try:
            yield from pool.map(function, jobs)
        except BaseException:
            # Ctrl-C, or a callback that cancels: the trainings under way stop at their next tree.
            self.cancel.set()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def train(self, depth: int | None, rate: float, fold: int) -> _Run:
        held_out = self.folds == fold
        train = self._dataset(~held_out)
        test = train.create_valid(self.rows[held_out], self.values[held_out])
        curve: list[float] = []
        patience = self.settings.patience
        wait = None if patience is None else round(patience * 0.1 / rate)
        best = [np.inf, 0.0]  # error, tree

        def watch(env: lgb.callback.CallbackEnv) -> None:
            error = float(env.evaluation_result_list[0][2])
            curve.append(error)
            if error < best[0] * (1 - 1e-4):
                best[:] = [error, env.iteration]
            stalled = wait is not None and env.iteration - best[1] >= wait
            if stalled or self.cancel.is_set():
                raise lgb.callback.EarlyStopException(env.iteration, env.evaluation_result_list)

        booster = lgb.train(
            self._params(depth, rate),
            train,
            num_boost_round=max(self.settings.rounds),
            valid_sets=[test],
            callbacks=[watch],
            keep_training_booster=True,  # otherwise the model is written out and read again
        )
        return _Run(booster.free_dataset(), np.array(curve))

    def train_final(self, depth: int | None, rate: float, n_trees: int) -> lgb.Booster:
        everything = np.ones(len(self.values), dtype=np.bool_)
        return lgb.train(
            self._params(depth, rate),
            self._dataset(everything),
            num_boost_round=n_trees,
            keep_training_booster=True,
        )

    def _dataset(self, rows: BoolArray) -> lgb.Dataset:
        return lgb.Dataset(
            self.rows[rows], self.values[rows], params={"verbose": -1}, free_raw_data=True
        )

    def _params(self, depth: int | None, rate: float) -> dict[str, Any]:
        return {
            "objective": "l2",
            "metric": "l2",
            "max_depth": -1 if depth is None else depth,
            "num_leaves": 31 if depth is None else min(31, 2**depth),
            "learning_rate": rate,
            # LightGBM's 20 leaves a short text's few dozen masks without a single split.
            "min_data_in_leaf": self.settings.smallest_leaf(len(self.values)),
            "num_threads": 1,
            "deterministic": True,
            # Three times as fast as column-wise histograms on a hundred two-valued columns.
            "force_row_wise": True,
            "seed": self.seed,
            "verbose": -1,
        }


def read_lightgbm(
    booster: lgb.Booster, n_features: int, n_trees: int | None = None
) -> TreeEnsemble:
    """The first ``n_trees`` trees of a booster as arrays, read from its text form.

    The text form parses ten times as fast as the JSON dump.
    """
    feature: list[Any] = []
    left: list[Any] = []
    right: list[Any] = []
    value: list[Any] = []
    roots: list[int] = []
    nodes = 0
    tree: dict[str, Any] = {}
    kinds = {
        "split_feature": np.int32,
        "left_child": np.int32,
        "right_child": np.int32,
        "leaf_value": np.float64,
    }
    for line in booster.model_to_string(num_iteration=n_trees or -1).splitlines():
        name, _, text = line.partition("=")
        if name in kinds:
            tree[name] = np.array(text.split(), dtype=kinds[name])
        elif name == "is_linear":  # the last field before a tree's end that is always there
            leaves = tree["leaf_value"]
            splits = len(leaves) - 1
            none = np.zeros(0, dtype=np.int32)
            roots.append(nodes)
            feature.append(np.append(tree.get("split_feature", none), [-1] * len(leaves)))
            for side, out in (("left_child", left), ("right_child", right)):
                child = tree.get(side, none)
                # A negative child is the complement of a leaf's number; leaves follow the splits.
                out.append(np.where(child >= 0, child, splits - child - 1) + nodes)
                out.append(np.zeros(len(leaves), dtype=np.int32))
            value.append(np.append(np.zeros(splits), leaves))
            nodes += splits + len(leaves)
            tree = {}
    return TreeEnsemble(
        n_features=n_features,
        feature=np.concatenate(feature).astype(np.int32),
        left=np.concatenate(left).astype(np.int32),
        right=np.concatenate(right).astype(np.int32),
        value=np.concatenate(value),
        roots=np.array(roots, dtype=np.int32),
    )
