"""The exact Fourier spectrum of an ensemble of decision trees on 0/1 features.

Appendix A.2 of the paper (after Gorji et al., 2024) merges the spectra of a node's two children.
Unrolled to the leaves, the same transform reads: a leaf of value v whose path decides the d
distinct features P is v * prod_{i in P} (1 + s_i * chi_{i}) / 2, with s_i = +1 where the path
takes the masked side and -1 where it takes the kept side; so every subset T of P receives
v * 2^-d * prod_{i in T} s_i. A feature that repeats on a path is decided once (or makes the leaf
unreachable). This form works on arrays of leaves instead of one dictionary per node.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from proxyspex_hf.checks import BoolArray, FloatArray, IntArray
from proxyspex_hf.core.spectrum import FourierSpectrum
from proxyspex_hf.errors import InputError

#: (leaf, subset) pairs that one extraction may enumerate; the guard lowers the order to fit.
MAX_PAIRS = 40_000_000
_CHUNK_PAIRS = 2_000_000


@dataclass(frozen=True)
class TreeEnsemble:
    """A sum of binary decision trees, node arrays concatenated.

    Attributes:
        n_features: n.
        feature: (nodes,) split feature, -1 at a leaf.
        left, right: (nodes,) child for a masked (0) and a kept (1) feature; unused at a leaf.
        value: (nodes,) leaf value; unused at a split.
        roots: (trees,) position of each tree's root.
    """

    n_features: int
    feature: IntArray
    left: IntArray
    right: IntArray
    value: FloatArray
    roots: IntArray

    def predict(self, masks: BoolArray) -> FloatArray:
        """Sum of the trees at each mask: (m, n) bool -> (m,)."""
        total = np.zeros(len(masks))
        rows = np.arange(len(masks))
        for root in self.roots:
            node = np.full(len(masks), root)
            while (split := self.feature[node] >= 0).any():
                kept = masks[rows, np.where(split, self.feature[node], 0)]
                node = np.where(split, np.where(kept, self.right[node], self.left[node]), node)
            total += self.value[node]
        return total


@dataclass(frozen=True)
class Extraction:
    """A spectrum and what the guard left out of it.

    Attributes:
        spectrum: every coefficient up to ``max_order``, exact.
        max_order: the order that was enumerated (the deepest path, unless limited).
        dropped_energy: upper bound on the energy (sum of F(T)^2) of the coefficients above
            ``max_order``; 0.0 where nothing was dropped.
    """

    spectrum: FourierSpectrum
    max_order: int
    dropped_energy: float


@dataclass(frozen=True)
class _Leaves:
    """Reachable leaves whose path decides the same number d of distinct features."""

    tree: NDArray[np.int64]  # (leaves,)
    path: IntArray  # (leaves, d), ascending
    sign: FloatArray  # (leaves, d), +1 masked, -1 kept
    value: FloatArray  # (leaves,)


def extract_spectrum(
    ensemble: TreeEnsemble, *, max_order: int | None = None, max_pairs: int = MAX_PAIRS
) -> Extraction:
    """Exact spectrum of the ensemble (appendix A.2), all coefficients up to ``max_order``.

    A path of depth d has 2^d subsets, so trees of unlimited depth could run forever: where the
    (leaf, subset) pairs exceed ``max_pairs``, the order is lowered until they fit, the
    coefficients that remain stay exact, and the energy left out is bounded in the result.

    Raises:
        InputError: ``max_order`` is negative.
    """
    if max_order is not None and max_order < 0:
        raise InputError(f"max_order must be at least 0 or None, got {max_order}.")
    groups = list(_leaves_by_depth(ensemble))
    deepest = max((g.path.shape[1] for g in groups), default=0)
    order = _order_that_fits(groups, deepest if max_order is None else max_order, max_pairs)
    supports: list[IntArray] = []
    values: list[FloatArray] = []
    kept_energy = np.zeros(len(ensemble.roots))
    truncated = order < deepest
    for size in range(min(order, deepest) + 1):
        sets, coefficients, energy = _collect(groups, size, ensemble.n_features, truncated)
        padded = np.full((len(sets), min(order, deepest)), -1, dtype=np.int32)
        padded[:, :size] = sets
        supports.append(padded)
        values.append(coefficients)
        kept_energy[: len(energy)] += energy
    spectrum = FourierSpectrum.from_arrays(
        np.concatenate(supports), np.concatenate(values), ensemble.n_features
    )
    dropped = 0.0
    if truncated:
        # Exact per tree by Parseval (leaves are disjoint); summed over trees as norms.
        total = np.zeros_like(kept_energy)
        for group in groups:
            np.add.at(total, group.tree, group.value**2 * 0.5 ** group.path.shape[1])
        dropped = float(np.sqrt(np.maximum(total - kept_energy, 0.0)).sum() ** 2)
    return Extraction(spectrum, min(order, deepest), dropped)


def _leaves_by_depth(ensemble: TreeEnsemble) -> Iterator[_Leaves]:
    """Walk all trees one level at a time; yield the reachable leaves grouped by path length."""
    node = ensemble.roots.astype(np.int64)
    tree = np.arange(len(node), dtype=np.int64)
    path = np.zeros((len(node), 0), dtype=np.int32)
    sign = np.zeros((len(node), 0), dtype=np.float64)
    found: dict[int, list[_Leaves]] = {}
    while len(node):
        leaf = ensemble.feature[node] < 0
        if leaf.any():
            for group in _decided(tree[leaf], path[leaf], sign[leaf], ensemble.value[node[leaf]]):
                found.setdefault(group.path.shape[1], []).append(group)
        inner = ~leaf
        split = ensemble.feature[node[inner]]
        path = np.repeat(np.column_stack([path[inner], split]), 2, axis=0)
        sides = np.tile([1.0, -1.0], len(split))
        sign = np.column_stack([np.repeat(sign[inner], 2, axis=0), sides])
        tree = np.repeat(tree[inner], 2)
        children = np.column_stack([ensemble.left[node[inner]], ensemble.right[node[inner]]])
        node = children.reshape(-1).astype(np.int64)
    for parts in found.values():
        yield _Leaves(
            np.concatenate([p.tree for p in parts]),
            np.concatenate([p.path for p in parts]),
            np.concatenate([p.sign for p in parts]),
            np.concatenate([p.value for p in parts]),
        )


def _decided(
    tree: NDArray[np.int64], path: IntArray, sign: FloatArray, value: FloatArray
) -> Iterator[_Leaves]:
    """Sort each path and settle repeats: agreeing ones count once, contradicting ones never."""
    order = np.argsort(path, axis=1, kind="stable")
    path = np.take_along_axis(path, order, axis=1)
    sign = np.take_along_axis(sign, order, axis=1)
    repeat = np.zeros(path.shape, dtype=np.bool_)
    repeat[:, 1:] = path[:, 1:] == path[:, :-1]
    clash = np.zeros(len(path), dtype=np.bool_)
    if repeat.any():
        clash = (repeat[:, 1:] & (sign[:, 1:] != sign[:, :-1])).any(axis=1)
    depth = path.shape[1] - repeat.sum(axis=1)
    for d in np.unique(depth[~clash]):
        rows = (depth == d) & ~clash
        keep = ~repeat[rows]
        yield _Leaves(
            tree[rows],
            path[rows][keep].reshape(int(rows.sum()), int(d)),
            sign[rows][keep].reshape(int(rows.sum()), int(d)),
            value[rows],
        )


def _order_that_fits(groups: list[_Leaves], wanted: int, max_pairs: int) -> int:
    pairs = 0
    for size in range(wanted + 1):
        pairs += sum(len(g.value) * comb(g.path.shape[1], size) for g in groups)
        if pairs > max_pairs:
            return max(1, size - 1)
    return wanted


def _collect(
    groups: list[_Leaves], size: int, n_features: int, by_tree: bool
) -> tuple[IntArray, FloatArray, FloatArray]:
    """All coefficients of one order: (sets (k, size), values (k,), energy a tree)."""
    bits = max(1, int(n_features - 1).bit_length())
    per_word = 64 // bits
    words = -(-size // per_word) if size else 0
    keys: list[NDArray[np.uint64]] = []
    parts: list[FloatArray] = []
    trees: list[NDArray[np.int64]] = []
    n_trees = max((int(g.tree.max()) + 1 for g in groups if len(g.tree)), default=0)
    energy = np.zeros(n_trees)
    pending = 0

    def reduce() -> None:
        nonlocal pending
        key, part = np.concatenate(keys), np.concatenate(parts)
        if by_tree and trees:
            tree = np.concatenate(trees)
            tagged = np.column_stack([key, tree.astype(np.uint64)])
            merged, sums = _sum_equal(tagged, part)
            np.add.at(energy, merged[:, -1].astype(np.int64), sums**2)
            key, part = np.ascontiguousarray(merged[:, :-1]), sums
            trees.clear()
        key, part = _sum_equal(key, part)
        keys[:], parts[:] = [key], [part]
        pending = 0

    for group in groups:
        depth = group.path.shape[1]
        if depth < size:
            continue
        columns = np.array(list(combinations(range(depth), size)), dtype=np.intp)
        columns = columns.reshape(comb(depth, size), size)
        step = max(1, _CHUNK_PAIRS // len(columns))
        for start in range(0, len(group.value), step):
            rows = slice(start, start + step)
            packed = np.zeros((len(group.value[rows]), len(columns), words), dtype=np.uint64)
            weight = np.repeat(group.value[rows, None] * 0.5**depth, len(columns), axis=1)
            for j in range(size):
                member = group.path[rows][:, columns[:, j]].astype(np.uint64)
                word, slot = divmod(j, per_word)
                packed[:, :, word] |= member << np.uint64(bits * (per_word - 1 - slot))
                weight *= group.sign[rows][:, columns[:, j]]
            keys.append(packed.reshape(weight.size, words))
            parts.append(weight.reshape(-1))
            if by_tree:
                trees.append(np.repeat(group.tree[rows], len(columns)))
            pending += weight.size
            # A tree's leaves must meet in one reduction for its energy to be exact.
            if pending > _CHUNK_PAIRS and not by_tree:
                reduce()
    if not keys:
        return np.zeros((0, size), np.int32), np.zeros(0), energy
    reduce()
    key, part = keys[0], parts[0]
    sets = np.zeros((len(part), size), dtype=np.int32)
    low = np.uint64((1 << bits) - 1)
    for j in range(size):
        word, slot = divmod(j, per_word)
        sets[:, j] = (key[:, word] >> np.uint64(bits * (per_word - 1 - slot))) & low
    return sets, part, energy


def _sum_equal(
    keys: NDArray[np.uint64], values: FloatArray
) -> tuple[NDArray[np.uint64], FloatArray]:
    """Merge equal rows of ``keys`` (r, words), summing their values; rows come out sorted."""
    if keys.shape[1] == 0:
        return keys[:1], np.array([values.sum()])
    order = (
        np.argsort(keys[:, 0], kind="stable") if keys.shape[1] == 1 else np.lexsort(keys.T[::-1])
    )
    keys, values = keys[order], values[order]
    starts = np.concatenate([[True], (keys[1:] != keys[:-1]).any(axis=1)])
    return keys[starts], np.add.reduceat(values, np.flatnonzero(starts))
