"""Random forest, one of the paper's alternatives to boosting (appendices B.1.1 and B.4).

A forest is nested: its first 100 trees are the forest of 100. So one training per (depth, fold)
yields the validation error of every number of trees, from running sums of the trees' predictions.

Trees of unlimited depth are large (as many leaves as masks), so none is kept during the search:
each block of trees adds its predictions to the sums and is thrown away. The chosen forest is then
grown again, from the same seed and therefore the same: once on all masks, and without each fold,
one fold at a time, when its spectrum is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import comb
from typing import Any

import numpy as np

from proxyspex_hf.checks import BoolArray, FloatArray
from proxyspex_hf.core.progress import ProgressCallback, Reporter
from proxyspex_hf.core.proxies.base import CVEntry, CVReport, Folds, usable_cores
from proxyspex_hf.core.proxies.enumerate import order_wanted
from proxyspex_hf.core.spectrum import FourierSpectrum
from proxyspex_hf.core.trees import Extraction, TreeEnsemble, extract_spectrum
from proxyspex_hf.errors import InputError

#: Trees that are in memory at a time while a forest grows.
_BLOCK = 100


@dataclass(frozen=True)
class RandomForest:
    """A random forest with its depth and number of trees chosen by cross-validation.

    Attributes:
        depths, trees: the paper's grid (appendix B.1.1). ``None`` is unlimited depth.
        race: after each number of trees, drop the depths whose error exceeds the best by this
            factor. None evaluates every depth.
        tolerance: stop adding trees once the last step up lowered the error by less than this
            share of it. A forest's error levels off, so 5000 trees seldom differ from 500. None
            evaluates every number of trees.
        max_pairs: (leaf, subset) pairs that one extraction may enumerate; a forest of 100 unlimited
            trees on 768 masks is read up to order 3, one of 500 up to order 2.
        n_jobs: trees grown at a time; the result does not depend on it.

    Raises:
        InputError: an empty grid, or numbers of trees or depths below one.
    """

    depths: tuple[int | None, ...] = (3, 5, None)
    trees: tuple[int, ...] = (100, 500, 1000, 5000)
    race: float | None = 1.05
    tolerance: float | None = 0.02
    max_pairs: int = 12_000_000
    n_jobs: int | None = None

    def __post_init__(self) -> None:
        if not self.depths or any(depth is not None and depth < 1 for depth in self.depths):
            raise InputError(f"depths must be at least 1 or None, got {self.depths}.")
        if not self.trees or min(self.trees) < 1:
            raise InputError(f"trees must be at least 1 each, got {self.trees}.")

    @classmethod
    def paper(cls) -> RandomForest:
        """The paper's grid to the letter: every depth with every number of trees."""
        return cls(race=None, tolerance=None)

    def fit(
        self,
        masks: BoolArray,
        values: FloatArray,
        folds: Folds,
        *,
        seed: int,
        progress: ProgressCallback | None = None,
    ) -> RandomForestFit:
        """Choose by cross-validation, then train the chosen forest on all masks."""
        n_folds = int(folds.max()) + 1
        counts = sorted(set(self.trees))
        report = Reporter(progress, "fitting forests", len(counts) + 1)
        growing = [
            [
                _HeldOut(
                    _Forest(self, depth, masks[folds != fold], values[folds != fold], seed),
                    masks[folds == fold],
                    values[folds == fold],
                )
                for fold in range(n_folds)
            ]
            for depth in self.depths
        ]
        errors: dict[tuple[int, int], tuple[float, ...]] = {}  # (depth's position, trees)
        running = list(range(len(self.depths)))
        before: dict[int, float] = {}
        for count in counts:
            for d in running:
                errors[d, count] = tuple(fold.error(count) for fold in growing[d])
            running = self._go_on({d: float(np.mean(errors[d, count])) for d in running}, before)
            report.advance()
        entries = tuple(
            CVEntry({"max_depth": self.depths[d], "trees": count}, errors[d, count])
            for d, count in errors
        )
        chosen = min(range(len(entries)), key=lambda e: entries[e].error)
        d, count = list(errors)[chosen]
        grower = _Grower(self, self.depths[d], count, masks, values, folds, seed)
        ensemble = grower.grow(None)
        report.finish()
        return RandomForestFit(CVReport(entries, chosen), ensemble, grower)

    def _go_on(self, errors: dict[int, float], before: dict[int, float]) -> list[int]:
        """Which depths get more trees; ``before`` has their errors one step earlier."""
        best = min(errors.values(), default=0.0)
        going = []
        for d, error in errors.items():
            lost = self.race is not None and error > self.race * best
            gain = before.get(d, np.inf) - error
            if not lost and (self.tolerance is None or gain >= self.tolerance * error):
                going.append(d)
        before.update(errors)
        return going


@dataclass(frozen=True)
class RandomForestFit:
    """The chosen forest, and how to grow it again without each fold."""

    cv: CVReport
    ensemble: TreeEnsemble
    _grower: _Grower

    def predict(self, masks: BoolArray) -> FloatArray:
        return self.ensemble.predict(masks)

    def spectrum(self, max_order: int | None = None) -> Extraction:
        """Exact up to the order that ``max_pairs`` allows; the energy above it is bounded."""
        return extract_forest(self.ensemble, max_order, self._grower.settings.max_pairs)

    def fold_spectra(self, max_order: int | None = None) -> list[FourierSpectrum]:
        limit = self._grower.settings.max_pairs
        folds = range(int(self._grower.folds.max()) + 1)
        return [
            extract_forest(self._grower.grow(fold), max_order, limit).spectrum for fold in folds
        ]


@dataclass(frozen=True)
class _Grower:
    """Grows the chosen forest: on all masks, or without one fold."""

    settings: RandomForest
    depth: int | None
    n_trees: int
    masks: BoolArray
    values: FloatArray
    folds: Folds
    seed: int

    def grow(self, without: int | None) -> TreeEnsemble:
        rows = self.folds != (-1 if without is None else without)
        forest = _Forest(self.settings, self.depth, self.masks[rows], self.values[rows], self.seed)
        parts = [read_sklearn(block, self.n_trees) for block in forest.more(self.n_trees)]
        starts = np.cumsum([0] + [len(part.feature) for part in parts[:-1]]).astype(np.int32)
        shifted = list(zip(parts, starts, strict=True))
        return TreeEnsemble(
            n_features=self.masks.shape[1],
            feature=np.concatenate([part.feature for part in parts]),
            left=np.concatenate([part.left + start for part, start in shifted]),
            right=np.concatenate([part.right + start for part, start in shifted]),
            value=np.concatenate([part.value for part in parts]),
            roots=np.concatenate([part.roots + start for part, start in shifted]),
        )


class _Forest:
    """A forest that grows a block of trees at a time and keeps none of them."""

    def __init__(
        self,
        settings: RandomForest,
        depth: int | None,
        masks: BoolArray,
        values: FloatArray,
        seed: int,
    ) -> None:
        self._settings = settings
        self._depth = depth
        self._masks = masks
        self._values = values
        # One stream of seeds through all blocks: tree i is scikit-learn's tree i of one forest.
        self._state = np.random.RandomState(seed % 2**32)

    def more(self, n_trees: int) -> Iterator[list[Any]]:
        """The next ``n_trees`` trees."""
        from sklearn.ensemble import RandomForestRegressor  # slow to import, seldom needed

        for start in range(0, n_trees, _BLOCK):
            forest = RandomForestRegressor(
                min(_BLOCK, n_trees - start),
                max_depth=self._depth,
                random_state=self._state,
                n_jobs=self._settings.n_jobs or usable_cores(),
            )
            yield forest.fit(self._masks.astype(np.float32), self._values).estimators_


class _HeldOut:
    """The error of a growing forest on the fold that it does not see."""

    def __init__(self, forest: _Forest, masks: BoolArray, values: FloatArray) -> None:
        self._forest = forest
        self._rows = masks.astype(np.float32)
        self._values = values
        self._sum = np.zeros(len(values))
        self._grown = 0

    def error(self, n_trees: int) -> float:
        for block in self._forest.more(n_trees - self._grown):
            for tree in block:
                self._sum += tree.tree_.predict(self._rows)[:, 0]
        self._grown = n_trees
        return float(np.square(self._sum / n_trees - self._values).mean())


#: (leaf, subset) pairs that one call of the extraction gets to hold.
_GROUP_PAIRS = 2_000_000


def read_sklearn(trees: list[Any], n_trees: int) -> TreeEnsemble:
    """Fitted scikit-learn trees as arrays; their leaves are divided by ``n_trees``.

    scikit-learn sends x <= threshold to the left, and the threshold between 0 and 1 is 0.5: left
    is masked, as in :class:`TreeEnsemble`.
    """
    inner = [tree.tree_ for tree in trees]
    starts = np.cumsum([0] + [tree.node_count for tree in inner[:-1]]).astype(np.int32)
    shifted = list(zip(inner, starts, strict=True))
    feature = np.concatenate([tree.feature for tree in inner])
    return TreeEnsemble(
        n_features=int(inner[0].n_features),
        feature=np.maximum(feature, -1).astype(np.int32),  # scikit-learn marks leaves with -2
        left=np.concatenate([tree.children_left + at for tree, at in shifted]).astype(np.int32),
        right=np.concatenate([tree.children_right + at for tree, at in shifted]).astype(np.int32),
        value=np.concatenate([tree.value[:, 0, 0] for tree in inner]) / n_trees,
        roots=starts,
    )


def extract_forest(ensemble: TreeEnsemble, max_order: int | None, max_pairs: int) -> Extraction:
    """:func:`extract_spectrum` in groups of trees: the transform is linear, the memory is not.

    The order falls until the (leaf, subset) pairs number at most ``max_pairs``, but not below 2:
    a forest that is read at order 1 says nothing of interactions.

    Raises:
        InputError: ``max_order`` is negative.
    """
    leaves = _leaves_at_depth(ensemble)
    wanted = order_wanted(max_order, len(leaves) - 1)
    order, pairs = 0, sum(leaves)
    while order < wanted:
        more = sum(count * comb(depth, order + 1) for depth, count in enumerate(leaves))
        if order >= 2 and pairs + more > max_pairs:
            break
        order, pairs = order + 1, pairs + more
    groups = np.array_split(ensemble.roots, min(len(ensemble.roots), pairs // _GROUP_PAIRS + 1))
    spectrum = FourierSpectrum.from_dict({}, ensemble.n_features)
    norm, deepest = 0.0, 0
    for roots in groups:
        part = extract_spectrum(
            replace(ensemble, roots=roots), max_order=order, max_pairs=max(pairs, 1)
        )
        spectrum = _sum_of(spectrum, part.spectrum)
        # Norms of what is left out add up at most: the bound stays a bound.
        norm += float(np.sqrt(part.dropped_energy))
        deepest = max(deepest, part.max_order)
    return Extraction(spectrum, deepest, norm**2)


def _leaves_at_depth(ensemble: TreeEnsemble) -> list[int]:
    """How many leaves lie at each depth (no path splits twice on a 0/1 feature)."""
    counts: list[int] = []
    node = ensemble.roots
    while len(node):
        inner = node[ensemble.feature[node] >= 0]
        counts.append(len(node) - len(inner))
        node = np.concatenate([ensemble.left[inner], ensemble.right[inner]])
    return counts


def _sum_of(first: FourierSpectrum, second: FourierSpectrum) -> FourierSpectrum:
    width = max(first.support.shape[1], second.support.shape[1])
    rows = [
        np.pad(s.support, ((0, 0), (0, width - s.support.shape[1])), constant_values=-1)
        for s in (first, second)
    ]
    values = np.concatenate([first.coefficients, second.coefficients])
    return FourierSpectrum.from_arrays(np.concatenate(rows), values, first.n_features)
