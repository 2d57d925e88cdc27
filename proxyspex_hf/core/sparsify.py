"""Few terms that say what a proxy says, at the densities that its masks were drawn with.

Keeping the largest coefficients is right for uniform masks only, where the basis is orthonormal
(Parseval). At keep probability p the basis functions are correlated, E[chi_S chi_T] =
(1 - 2p)^|S Δ T|, and near the full input what is dropped adds up. So terms are chosen, and their
coefficients set, to be nearest to the proxy in mean square over a mixture of densities. Nothing is
sampled: both sides of the normal equations are known in closed form.

Terms enter in batches, those most correlated with what is left first (orthogonal matching pursuit),
half as many again as are wanted; then those leave whose loss the others make up for best (backward
elimination: the loss of a term is c² / (G⁻¹)_TT).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_array

from proxyspex_hf.checks import BoolArray, FloatArray, IntArray
from proxyspex_hf.core.faithfulness import weighted_r2
from proxyspex_hf.core.sets import sizes_of
from proxyspex_hf.core.spectrum import FourierSpectrum, parities

#: Candidate terms for each one that is kept, at each of the densities looked at.
_POOL = 4
#: What the full input counts beside all other masks together, and its neighbours:
#: ``tests/bench/whole_input.py`` shows what more and less of it costs.
_FULL_INPUT = 0.1
#: From this many terms on.
_MANY = 200
#: Terms at most, and the square root of what their products with all candidates may number.
_MOST = 6000
_RIDGE = 1e-10
#: Terms that enter, for each one that stays.
_SURPLUS = 1.5
#: Share of the terms that one step adds or takes away.
_STEP = 0.15
#: Groups by size, where masks were drawn at several densities.
_GROUPS = 5
#: At most how many coefficients of a spectrum are projected; the others are too small to matter.
_MAX_KNOWN = 20_000
#: Up to as many features, products of dense rows are as fast as those of sparse ones: the two cross
#: between 100 and 300 features, whether 2,000 sets are multiplied or 8,000.
_DENSE = 256


class Projectable(Protocol):
    """What sparsifying needs of a function g."""

    def correlations(self, support: IntArray, mean: float) -> FloatArray:
        """E[g chi_T] of each row of ``support`` where E[x_i] = ``mean`` = 1 - 2p: (k,)."""
        ...

    def candidates(self, count: int, densities: Sequence[float]) -> IntArray:
        """Sets, ∅ left out, among which ``count`` terms matter most at each of the densities."""
        ...


@dataclass(frozen=True)
class KnownSpectrum:
    """A function given by its spectrum; candidates are of order ``max_order`` at most."""

    spectrum: FourierSpectrum
    max_order: int | None = None

    def correlations(self, support: IntArray, mean: float) -> FloatArray:
        known = self.spectrum.top(_MAX_KNOWN)
        n = known.n_features
        powers, members = _powers(mean, n), membership(known.support, n)
        blocks = np.array_split(support, len(support) // 256 + 1)
        return np.concatenate(
            [
                powers[_distances(membership(block, n), members)] @ known.coefficients
                for block in blocks
            ]
        )

    def candidates(self, count: int, densities: Sequence[float]) -> IntArray:  # noqa: ARG002
        allowed = self.spectrum
        if self.max_order is not None:
            allowed = allowed.select(np.flatnonzero(allowed.orders <= self.max_order))
        return allowed.top(2 * count).support[1:]


@dataclass(frozen=True)
class DensityShare:
    """A keep probability, and what a squared error there counts; the weights sum to 1."""

    density: float
    weight: float


@dataclass(frozen=True)
class Elsewhere:
    """What a proxy says of masks that were not fitted.

    At those that were, the proxy knows the values and a list of terms does not, so their
    difference is not a measure of other masks. For each row these are of a random mask that keeps
    as many.

    Attributes:
        masks, values: (m, n) and (m,).
    """

    masks: BoolArray
    values: FloatArray

    @classmethod
    def of(
        cls, predict: Callable[[BoolArray], FloatArray], masks: BoolArray, seed: int
    ) -> Elsewhere:
        others = np.random.default_rng(seed).permuted(masks, axis=1)
        return cls(others, predict(others))

    def change(self, spectrum: FourierSpectrum) -> FloatArray:
        """(m,) what a sparse spectrum says less what its proxy does."""
        return spectrum.evaluate(self.masks) - self.values

    def missed(self, spectrum: FourierSpectrum, drawn: BoolArray) -> float:
        """Share of the variance over the ``drawn`` masks, each size counting as in an R²."""
        masks, values = self.masks[drawn], self.values[drawn]
        found = weighted_r2(values, spectrum.evaluate(masks), mask_weights(masks, values))
        return 0.0 if found is None else 1.0 - found

    def most_missed(self, spectrum: FourierSpectrum, parts: Sequence[BoolArray]) -> float:
        """The largest of those shares, of parts of the masks."""
        return max(self.missed(spectrum, part) for part in parts if part.sum() >= _GROUPS)


def sparsify(
    proxy: Projectable,
    mixture: Sequence[DensityShare],
    n_features: int,
    *,
    k: int,
    full_value: float | None = None,
    neighbours: FloatArray | None = None,
    pool: int = _POOL,
) -> FourierSpectrum:
    """The spectrum of at most ``k`` terms (and 6,000) and ∅ that is nearest to the proxy.

    Args:
        mixture: densities at which to be near; see :func:`mask_densities`.
        full_value: what the full input should come out as, where it is known. It counts a tenth
            of all masks together (less where k is below 200): a value that no neighbour shares
            is approached, not met at any price.
        neighbours: (n,) the same without each feature, which count as much together: effects at
            the input are differences to these.
    """
    densities = sorted({part.density for part in mixture})
    looked_at = sorted({densities[0], densities[len(densities) // 2], densities[-1]})
    k = min(k, _MOST)
    entering = int(_SURPLUS * k) + 1
    most = max(_MOST, _MOST**2 // entering)
    candidates = proxy.candidates(min(pool * k, most), looked_at)
    rows = np.concatenate([np.full((1, candidates.shape[1]), -1, np.int32), candidates])
    right = np.zeros(len(rows))
    for part in mixture:
        right += part.weight * proxy.correlations(rows, 1.0 - 2.0 * part.density)
    if len(rows) > most:
        strongest = np.argsort(-np.abs(right[1:]), kind="stable")[: most - 1] + 1
        chosen = np.concatenate([[0], np.sort(strongest)])
        rows, right = rows[chosen], right[chosen]
    products = _Products(rows, mixture, n_features)
    # Few terms cannot bend to one mask without losing the others.
    weight = _FULL_INPUT * min(1.0, k / _MANY)
    if full_value is not None:
        full = np.ones((1, n_features), np.bool_)
        right += products.with_masks(full, np.array([full_value]), weight)
    if neighbours is not None:
        without = ~np.eye(n_features, dtype=np.bool_)
        right += products.with_masks(without, neighbours, weight)
    kept, gram = _enter(products, right, min(len(rows), entering))
    return _leave(gram, right[kept], rows[kept], n_features, k)


class _Products:
    """E[chi_S chi_T] over a mixture of densities, and over masks that count beside it."""

    def __init__(self, rows: IntArray, mixture: Sequence[DensityShare], n_features: int) -> None:
        self.members = membership(rows, n_features)
        self._rows = rows
        self._by_distance = np.zeros(2 * rows.shape[1] + 1)
        for part in mixture:
            powers = _powers(1.0 - 2.0 * part.density, len(self._by_distance) - 1)
            self._by_distance += part.weight * powers
        self._beside: list[tuple[float, FloatArray]] = []

    def with_masks(self, masks: BoolArray, values: FloatArray, weight: float) -> FloatArray:
        """Let masks (m, n) count ``weight`` together; gives what their values add to E[g chi]."""
        signs = parities(masks, self._rows).astype(np.float64)
        each = weight / len(masks)
        self._beside.append((each, signs))
        return np.asarray(each * (signs @ values))

    def of(self, some: Any) -> FloatArray:
        """Of some of the rows with each of them all: (some, rows)."""
        out = self._by_distance[_distances(self.members[some], self.members)]
        for each, signs in self._beside:
            out += each * (signs[some] @ signs.T)
        out[np.arange(len(some)), some] += _RIDGE
        return np.asarray(out)


def mask_densities(masks: BoolArray, values: FloatArray) -> list[DensityShare]:
    """The densities that masks look to have been drawn with, from their sizes.

    Where sizes vary no more than one density explains, it is one. Else there are five groups by
    size, each weighted by one over the variance of its values: an error then counts as it does in
    an R² by density. The full and the empty mask take no part.
    """
    share = masks.mean(axis=1)
    groups = _groups(masks)
    if len(groups) == 1:
        mean = float(share[groups[0]].mean()) if len(groups[0]) else 0.5
        # A draw at one half rarely keeps half to the last mask.
        slack = 3.0 * np.sqrt(0.25 / max(1, masks.shape[1] * len(groups[0])))
        return [DensityShare(0.5 if abs(mean - 0.5) < slack else mean, 1.0)]
    weights = _balance(groups, values)
    return [
        DensityShare(float(share[g].mean()), float(w)) for g, w in zip(groups, weights, strict=True)
    ]


def mask_weights(masks: BoolArray, values: FloatArray) -> FloatArray:
    """The same as weights of the masks, (m,) of mean 1: what an error counts on each of them.

    The full and the empty mask count nothing: they are asked, not predicted, and what a proxy would
    say of them from random masks alone may be off by so much that it decides everything. Where no
    other mask's value varies, all count the same.
    """
    groups = _groups(masks)
    inner = values[np.concatenate(groups)]
    if not len(inner) or np.ptp(inner) == 0.0:
        return np.ones(len(masks))
    weights = _balance(groups, values) if len(groups) > 1 else np.ones(1)
    out = np.zeros(len(masks))
    for group, weight in zip(groups, weights, strict=True):
        out[group] = weight
    return np.asarray(out / out.mean())


def _groups(masks: BoolArray) -> list[NDArray[np.int64]]:
    n = masks.shape[1]
    sizes = masks.sum(axis=1)
    inner = np.flatnonzero((sizes > 0) & (sizes < n))
    if len(inner) < 2 * _GROUPS:
        return [inner]
    share = sizes[inner] / n
    mean = float(share.mean())
    if float(share.var()) <= 1.5 * mean * (1.0 - mean) / n:
        return [inner]
    return np.array_split(inner[np.argsort(share, kind="stable")], _GROUPS)


def _balance(groups: list[NDArray[np.int64]], values: FloatArray) -> FloatArray:
    overall = float(values[np.concatenate(groups)].var()) or 1.0
    weights = np.array([1.0 / max(float(values[g].var()), 0.02 * overall) for g in groups])
    return np.asarray(weights / weights.sum())


def _enter(products: _Products, right: FloatArray, count: int) -> tuple[Any, FloatArray]:
    """Positions of ``count`` terms, ∅ first, in the order in which they explain what is left, and
    their products with each other."""
    kept = new = np.array([0])
    gram = np.empty((count, len(right)))
    while True:
        gram[len(kept) - len(new) : len(kept)] = products.of(new)
        if len(kept) >= count:
            return kept, gram[:, kept]
        own = gram[: len(kept)]
        factor = cho_factor(own[:, kept], lower=True)
        left = np.abs(right - own.T @ cho_solve(factor, right[kept]))
        left[kept] = -1.0
        batch = min(count - len(kept), max(4, int(_STEP * len(kept))))
        new = np.argsort(-left, kind="stable")[:batch]
        kept = np.concatenate([kept, new])


def _leave(
    gram: FloatArray, right: FloatArray, rows: IntArray, n_features: int, k: int
) -> FourierSpectrum:
    kept = np.arange(len(rows))
    while True:
        factor = cho_factor(gram[np.ix_(kept, kept)], lower=True)
        inverse = cho_solve(factor, np.eye(len(kept)))
        coefficients = inverse @ right[kept]
        surplus = len(kept) - 1 - k
        if surplus <= 0:
            return FourierSpectrum.from_arrays(rows[kept], coefficients, n_features)
        loss = np.square(coefficients) / np.diag(inverse)
        loss[0] = np.inf  # ∅ always stays
        batch = min(surplus, max(1, int(_STEP * len(kept))))
        kept = np.delete(kept, np.argsort(loss, kind="stable")[:batch])


def _powers(mean: float, largest: int) -> FloatArray:
    return np.asarray(np.power(mean, np.arange(largest + 1)), dtype=np.float64)  # 0 ** 0 == 1


def _distances(a: Any, b: Any) -> IntArray:
    """|S Δ T| for every pair of rows, which say 0 or 1 of each feature."""
    common = a @ b.T
    if not isinstance(common, np.ndarray):
        common = common.toarray()
    return np.asarray(a.sum(axis=1)[:, None] + b.sum(axis=1) - 2.0 * common, dtype=np.int32)


def membership(support: IntArray, n_features: int) -> Any:
    """(k, n) 0/1, in single precision, in which counts are exact; sparse where n is large."""
    if n_features > _DENSE:
        there, ends = support >= 0, np.concatenate([[0], np.cumsum(sizes_of(support))])
        ones = np.ones(int(ends[-1]), dtype=np.float32)
        return csr_array((ones, support[there], ends), shape=(len(support), n_features))
    out = np.zeros((len(support), n_features + 1), dtype=np.float32)
    np.put_along_axis(out, support.astype(np.intp), 1.0, axis=1)  # padding lands on the last column
    return out[:, :-1]
