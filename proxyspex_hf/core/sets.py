"""Sets of features as rows of indices: packed, checked, and in one order everywhere.

A row holds the members of one set, ascending, padded with -1 at its end. Rows are unique, and in
*canonical order*: by size, then lexicographically.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from proxyspex_hf.checks import IntArray
from proxyspex_hf.errors import InputError


def pack_support(sets: Iterable[Iterable[int]]) -> IntArray:
    """Sets of feature indices as rows of a (k, max_order) array; the order of the rows is kept."""
    rows = [sorted(set(map(int, members))) for members in sets]
    width = max((len(row) for row in rows), default=0)
    packed = np.full((len(rows), width), -1, dtype=np.int32)
    for r, row in enumerate(rows):
        packed[r, : len(row)] = row
    return packed


def sizes_of(support: IntArray) -> NDArray[np.int64]:
    """|T| of each row, shape (k,)."""
    return np.asarray((support >= 0).sum(axis=1), dtype=np.int64)


def as_sets(support: IntArray) -> list[tuple[int, ...]]:
    """The rows as ascending tuples of indices."""
    sizes = sizes_of(support).tolist()
    return [tuple(row[:size]) for row, size in zip(support.tolist(), sizes, strict=True)]


def stacked(supports: Sequence[IntArray]) -> IntArray:
    """The rows of several arrays one after the other, padded to one width."""
    width = max(support.shape[1] for support in supports)
    padded = [np.pad(s, ((0, 0), (0, width - s.shape[1])), constant_values=-1) for s in supports]
    return np.concatenate(padded)


def united(supports: Sequence[IntArray]) -> IntArray:
    """The rows of several arrays, each once, in canonical order."""
    rows = stacked(supports)
    sizes = sizes_of(rows)
    rows = rows[np.lexsort((*rows.T[::-1], sizes)), : sizes.max(initial=0)]
    return rows[differs(rows, 1)]


def differs(rows: IntArray, side: int) -> NDArray[np.bool_]:
    """Whether each of sorted rows is another than that before it (``side`` 1) or after it (-1)."""
    other = np.ones(len(rows), dtype=np.bool_)
    unlike = (rows[1:] != rows[:-1]).any(axis=1)
    if side > 0:
        other[1:] = unlike
    else:
        other[:-1] = unlike
    return other


def check_sets(support: IntArray, n_features: int) -> NDArray[np.int64]:
    """The sizes of the rows, shape (k,).

    Raises:
        InputError: a feature that does not exist, or rows that are not canonical.
    """
    if support.size and (support.min() < -1 or support.max() >= n_features):
        raise InputError(f"support must hold indices 0 to {n_features - 1}, or -1.")
    sizes = sizes_of(support)
    inside = np.arange(support.shape[1]) < sizes[:, None]
    descends = inside[:, 1:] & (np.diff(support, axis=1) <= 0)
    if ((support >= 0) != inside).any() or descends.any():
        raise InputError("each row of support must ascend without repeats, -1 only at its end.")
    # Consecutive rows: the sign of the first column that differs decides between equal sizes.
    steps = np.diff(support, axis=0)
    if support.shape[1]:
        lead = np.take_along_axis(steps, (steps != 0).argmax(axis=1)[:, None], axis=1)[:, 0]
    else:
        lead = np.zeros(max(len(support) - 1, 0), dtype=np.int32)
    grows = np.diff(sizes)
    if not ((grows > 0) | ((grows == 0) & (lead > 0))).all():
        raise InputError("support must ascend by size, then by members, without repeated rows.")
    return sizes
