"""The sparse Fourier spectrum of a set function: the one object everything is derived from.

f(S) = sum_T F(T) * chi_T(S) with chi_T(S) = (-1)^|T ∩ S| and S the set of kept features
(paper, equation 1). A *coefficient* is a pair (T, F(T)), its *order* is |T|.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proxyspex_hf.checks import BoolArray, FloatArray, IntArray, as_integer, as_masks
from proxyspex_hf.core.frozen import Frozen
from proxyspex_hf.core.masks import all_masks
from proxyspex_hf.core.sets import as_sets, check_sets, pack_support, sizes_of
from proxyspex_hf.errors import InputError

#: Bytes of parities held at once by ``evaluate``.
_CHUNK_BYTES = 64 * 2**20


def parities(masks: BoolArray, support: IntArray) -> NDArray[np.int8]:
    """chi_T(S) for every mask and every row of ``support``: (m, n), (k, order) -> (k, m), ±1."""
    m = masks.shape[0]
    # One row per feature, -1 where kept; the padding index -1 lands on the last row, all ones.
    signs = np.ones((masks.shape[1] + 1, m), dtype=np.int8)
    np.negative(signs[:-1], where=masks.T, out=signs[:-1])
    product = np.ones((support.shape[0], m), dtype=np.int8)
    for column in support.T:
        product *= signs[column]
    return product


@dataclass(frozen=True, eq=False)
class FourierSpectrum(Frozen):
    """A sparse spectrum on ``n_features`` features.

    Attributes:
        n_features: n.
        support: (k, max_order) int32, one coefficient's members a row, ascending, padded with -1.
            Rows are unique and in canonical order (by size, then lexicographically); row 0 is ∅.
        coefficients: (k,) float64, finite, F(T) of the row.

    Build it with :meth:`from_dict` or :meth:`from_arrays`, which sort, merge and add ∅.

    Raises:
        InputError: the invariants above do not hold.

    Example:
        >>> spectrum = FourierSpectrum.from_dict({(): 0.5, (0, 2): -0.5}, n_features=3)
        >>> spectrum.evaluate(np.array([[1, 1, 1], [0, 1, 1]]))  # f(S) = Σ_T F(T) (-1)^|T ∩ S|
        array([0., 1.])
    """

    n_features: int
    support: IntArray
    coefficients: FloatArray

    def __post_init__(self) -> None:
        support = np.array(self.support, dtype=np.int32)
        coefficients = np.array(self.coefficients, dtype=np.float64)
        if self.n_features < 1:
            raise InputError(f"a spectrum needs at least one feature, got {self.n_features}.")
        if support.ndim != 2 or coefficients.shape != support.shape[:1] or not len(support):
            raise InputError(
                "support must be (k, max_order) and coefficients (k,) with k >= 1, got "
                f"{support.shape} and {coefficients.shape}."
            )
        if not np.isfinite(coefficients).all():
            raise InputError("coefficients must be finite.")
        sizes = check_sets(support, self.n_features)
        if sizes[0] != 0:
            raise InputError("support must start with ∅.")
        support.flags.writeable = coefficients.flags.writeable = False
        object.__setattr__(self, "support", support)
        object.__setattr__(self, "coefficients", coefficients)

    @classmethod
    def from_arrays(
        cls, support: IntArray, coefficients: FloatArray, n_features: int
    ) -> FourierSpectrum:
        """From rows in any order: equal sets are summed, a missing ∅ is added with coefficient 0.

        ``support`` rows must ascend, with -1 only as padding at their end.
        """
        support = np.asarray(support, dtype=np.int32)
        coefficients = np.asarray(coefficients, dtype=np.float64)
        empty = np.full((1, support.shape[1]), -1, dtype=np.int32)
        rows = np.concatenate([empty, support])
        values = np.concatenate([[0.0], coefficients])
        # lexsort's last key is the primary one: size first, then column by column.
        size = (rows >= 0).sum(axis=1)
        order = np.lexsort((*rows.T[::-1], size))
        rows, values = rows[order], values[order]
        starts = np.concatenate([[True], (rows[1:] != rows[:-1]).any(axis=1)])
        merged = np.add.reduceat(values, np.flatnonzero(starts))
        rows = rows[starts]
        width = int((rows >= 0).sum(axis=1).max())
        return cls(n_features, rows[:, :width], merged)

    @classmethod
    def from_dict(
        cls, coefficients: Mapping[tuple[int, ...], float], n_features: int
    ) -> FourierSpectrum:
        """From ``{(): 0.1, (0, 2): 0.5}``; keys are tuples of feature indices, in any order.

        Raises:
            InputError: an index out of range or repeated within a key, a value that is not finite.
        """
        for key in coefficients:
            if not isinstance(key, tuple) or len(set(key)) != len(key):
                raise InputError(f"keys must be tuples of distinct feature indices, got {key!r}.")
            if not all(isinstance(i, (int, np.integer)) and 0 <= i < n_features for i in key):
                raise InputError(f"key {key!r} must hold integers from 0 to {n_features - 1}.")
        values = np.fromiter(coefficients.values(), dtype=np.float64, count=len(coefficients))
        return cls.from_arrays(pack_support(coefficients), values, n_features)

    def to_dict(self) -> dict[tuple[int, ...], float]:
        """``{members: coefficient}`` with sorted index tuples as keys, in canonical order."""
        return dict(zip(self.sets, self.coefficients.tolist(), strict=True))

    @property
    def sets(self) -> list[tuple[int, ...]]:
        """The support as sorted index tuples, in canonical order."""
        return as_sets(self.support)

    @property
    def orders(self) -> NDArray[np.int64]:
        """|T| of each coefficient, shape (k,)."""
        return sizes_of(self.support)

    @property
    def energy(self) -> float:
        """Sum of F(T)^2 over T ≠ ∅: the variance of f over uniform masks (Parseval)."""
        return energy_of(self.coefficients[1:])

    def __len__(self) -> int:
        return len(self.coefficients)

    def __repr__(self) -> str:
        return (
            f"FourierSpectrum(n_features={self.n_features}, coefficients={len(self)}, "
            f"max_order={self.support.shape[1]}, energy={self.energy:.4g})"
        )

    def evaluate(self, masks: Any) -> FloatArray:
        """f(S) for each mask: (m, n) bool -> (m,) float64.

        Raises:
            InputError: masks of the wrong width or not 0/1.
        """
        rows = as_masks(masks, self.n_features)
        out = np.empty(len(rows), dtype=np.float64)
        step = max(1, _CHUNK_BYTES // (9 * len(self) + self.n_features))
        for start in range(0, len(rows), step):
            chunk = rows[start : start + step]
            out[start : start + step] = self.coefficients @ parities(chunk, self.support)
        return out

    def evaluate_all(self) -> FloatArray:
        """f of every subset, ordered as :func:`all_masks`; at most 20 features."""
        return self.evaluate(all_masks(self.n_features))

    def top(self, k: int) -> FourierSpectrum:
        """The ``k`` coefficients of largest magnitude and ∅, which is always kept and not counted.

        This is the best k-term approximation for uniform masks only (paper, section 3.3, step 3).
        Ties go to the smaller set, then to the lexicographically first.
        """
        k = as_integer("k", k, 0)
        order = np.argsort(-np.abs(self.coefficients[1:]), kind="stable")[:k] + 1
        return self.select(order)

    def select(self, rows: NDArray[np.intp]) -> FourierSpectrum:
        """The coefficients at ``rows`` (positions in the support) and ∅."""
        keep = np.union1d([0], rows)
        support = self.support[keep]
        width = int((support >= 0).sum(axis=1).max())
        return FourierSpectrum(self.n_features, support[:, :width], self.coefficients[keep])

    def with_coefficients(self, coefficients: FloatArray) -> FourierSpectrum:
        """The same support with other coefficients, shape (k,)."""
        return FourierSpectrum(self.n_features, self.support, coefficients)

    def rescaled(self, level: float, scale: float) -> FourierSpectrum:
        """The spectrum of level + scale · f."""
        coefficients = self.coefficients * scale
        coefficients[0] += level
        return self.with_coefficients(coefficients)

    def widened(self, columns: NDArray[np.intp], n_features: int) -> FourierSpectrum:
        """The same function of the features at ``columns`` among ``n_features``."""
        places = np.append(columns, -1).astype(np.int32)  # the padding stays -1
        return FourierSpectrum.from_arrays(places[self.support], self.coefficients, n_features)


def energy_of(coefficients: FloatArray) -> float:
    """Σ F², the largest float where it is beyond."""
    with np.errstate(over="ignore"):
        return finite(float(np.square(coefficients).sum()))


def finite(value: float) -> float:
    """A square of huge numbers as a float that can be stored: the largest one for infinity."""
    return min(value, sys.float_info.max)


def weighted_sum(parts: Sequence[tuple[float, FourierSpectrum]]) -> FourierSpectrum:
    """Σ w · spectrum; every set of any of them is in the sum."""
    width = max(s.support.shape[1] for _, s in parts)
    supports = [
        np.pad(s.support, ((0, 0), (0, width - s.support.shape[1])), constant_values=-1)
        for _, s in parts
    ]
    return FourierSpectrum.from_arrays(
        np.concatenate(supports),
        np.concatenate([w * s.coefficients for w, s in parts]),
        parts[0][1].n_features,
    )
