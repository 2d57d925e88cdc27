"""scikit-learn's trees as arrays, and the exact spectrum of many large ones."""

from __future__ import annotations

from dataclasses import replace
from math import comb
from typing import Any

import numpy as np

from proxyspex_hf.core.spectrum import FourierSpectrum
from proxyspex_hf.core.trees import Extraction, TreeEnsemble, extract_spectrum
from proxyspex_hf.errors import InputError

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
    if max_order is not None and max_order < 0:
        raise InputError(f"max_order must be at least 0 or None, got {max_order}.")
    leaves = _leaves_at_depth(ensemble)
    wanted = len(leaves) - 1 if max_order is None else max_order
    order, pairs = 0, sum(leaves)
    while order < min(wanted, len(leaves) - 1):
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
