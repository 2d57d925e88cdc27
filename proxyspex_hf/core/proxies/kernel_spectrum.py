"""The exact Fourier spectrum of a sum of kernels Σ_j a_j k(x, x_j), and its largest terms.

As a function of x_i = ±1 each factor of the product kernel is α + β x_i, so a product has one
coefficient for every T: Σ_j w_j Π_{i∈T} r_ij with r = β/α. The singles and the pairs of the kernel
add to the sets of order 1 and 2, a sibling to its own. Nothing is estimated; the only question is
which of the 2^n sets to look at, and a beam search over the orders answers it.

The same holds with respect to any keep probability: replace x_i by its mean plus a standardised
rest. Terms that matter for masks near the full input are the large ones of *that* expansion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from proxyspex_hf.checks import FloatArray, IntArray
from proxyspex_hf.core.proxies.kernel import MaskKernel
from proxyspex_hf.core.sets import as_sets, differs, sizes_of, stacked, united
from proxyspex_hf.core.sparsify import KnownSpectrum, membership
from proxyspex_hf.core.spectrum import FourierSpectrum

#: Sets of one order that the beam extends by one feature.
_BEAM = 400
#: Floats held at once by a product over sets.
_CHUNK = 2**22


@dataclass(frozen=True)
class KernelExpansion:
    """f(x) = Σ_j a_j k(x, x_j).

    Attributes:
        kernel: k.
        centres: (m, n) signs x_j.
        weights: (m,) a_j.
    """

    kernel: MaskKernel
    centres: FloatArray
    weights: FloatArray

    def evaluate(self, x: FloatArray) -> FloatArray:
        """(m', n) signs -> (m',)."""
        kernel = self.kernel
        singles, pairs = self.singles_and_pairs
        told = self.weights @ kernel.of_sibling(self.centres)
        step = max(1, _CHUNK // len(self.centres))
        out = np.empty(len(x))
        for start in range(0, len(x), step):
            block = x[start : start + step]
            every, _ = kernel.every_order(block, self.centres)
            # The other terms are few functions of x, whatever the number of centres.
            rest = block @ singles + kernel.pair_signs(block) @ pairs
            out[start : start + step] = every @ self.weights + rest
            if kernel.sibling is not None:
                out[start : start + step] += told * kernel.of_sibling(block)
        return out

    @property
    def singles_and_pairs(self) -> tuple[FloatArray, FloatArray]:
        """What the second and third term of the kernel say: coefficients of each x_i, and of each
        pair of neighbours."""
        kernel, x, a = self.kernel, self.centres, self.weights
        singles = kernel.single * kernel.relevance * (a @ x)
        return singles, kernel.pair_weights * (a @ kernel.pair_signs(x))

    def coefficients(self, support: IntArray) -> FloatArray:
        """F(T) of each row of ``support`` (k, order), -1 as padding: (k,)."""
        out = _Biased(self, 0.0).coefficients(support)
        known = self.of_sibling
        if known is not None:
            terms = known.to_dict()
            out += [terms.get(members, 0.0) for members in as_sets(support)]
        return out

    @property
    def of_sibling(self) -> FourierSpectrum | None:
        """What of this function is the sibling's: ρ s."""
        sibling = self.kernel.sibling
        if sibling is None:
            return None
        # Σ_j a_j r² s(x_j)
        rho = np.sqrt(self.kernel.shared) * (self.weights @ self.kernel.of_sibling(self.centres))
        return sibling.spectrum.rescaled(0.0, float(rho))

    def correlations(self, support: IntArray, mean: float) -> FloatArray:
        """E[f chi_T] of each row of ``support`` where every x_i has mean ``mean``: (k,)."""
        kernel, n = self.kernel, self.centres.shape[1]
        # Of α + β x_i, a feature outside T leaves its mean α + β mean, one inside α mean + β.
        alpha, beta = kernel.factors
        out = _products(*_ratios(self, alpha + mean * beta, mean * alpha + beta), support)

        member, order = membership(support, n), sizes_of(support)

        def share(distance: NDArray[np.int64]) -> FloatArray:
            """E[chi] of as many features; that of none is 1 whatever their mean."""
            return np.asarray(np.power(mean, np.maximum(distance, 0.0)), dtype=np.float64)

        singles, pairs = self.singles_and_pairs
        own = member @ singles
        out += own * share(order - 1) + (singles.sum() - own) * share(order + 1)
        both = (member[:, kernel.left] * member[:, kernel.right]) @ pairs
        either = (member[:, kernel.left] + member[:, kernel.right]) @ pairs
        out += both * share(order - 2) + (either - 2.0 * both) * share(order)
        out += (pairs.sum() - either + both) * share(order + 2)
        known = self.of_sibling
        if known is not None:
            out += KnownSpectrum(known).correlations(support, mean)
        return out

    def largest(self, count: int, densities: Sequence[float], max_order: int | None) -> IntArray:
        """Sets among which the ``count`` largest terms at each keep probability are sought.

        Beam search: of each order the largest sets are extended by every feature. Rows of the
        union over the densities and with the sibling's, in canonical order, ∅ left out.
        """
        n = self.centres.shape[1]
        order = n if max_order is None else min(max_order, n)
        found = [_Biased(self, 1.0 - 2.0 * density).largest(count, order) for density in densities]
        known = self.of_sibling
        if known is not None:
            found.append(KnownSpectrum(known, max_order).candidates(count, densities))
        return united(found)

    def spectrum(self, support: IntArray) -> FourierSpectrum:
        """∅ and the given sets with their exact coefficients."""
        n = self.centres.shape[1]
        rows = np.concatenate([np.full((1, support.shape[1]), -1, dtype=np.int32), support])
        return FourierSpectrum.from_arrays(rows, self.coefficients(rows), n)


class _Biased:
    """The expansion in standardised features z_i, where x_i = mean + deviation · z_i."""

    def __init__(self, expansion: KernelExpansion, mean: float) -> None:
        kernel, n = expansion.kernel, expansion.centres.shape[1]
        deviation = np.sqrt(1.0 - mean * mean)
        alpha, beta = kernel.factors
        self.ratios, self.weights = _ratios(expansion, alpha + mean * beta, beta * deviation)
        # What the kernel's own singles and pairs add; x_i x_k has parts of order 2 and 1.
        singles, pairs = expansion.singles_and_pairs
        self.singles = singles * deviation
        for side in (kernel.left, kernel.right):
            self.singles += mean * deviation * np.bincount(side, pairs, n)
        places = zip(kernel.left.tolist(), kernel.right.tolist(), strict=True)
        self.pairs = dict(zip(places, (pairs * deviation**2).tolist(), strict=True))

    def coefficients(self, support: IntArray) -> FloatArray:
        out = _products(self.ratios, self.weights, support)
        orders = (support >= 0).sum(axis=1)
        single, pair = np.flatnonzero(orders == 1), np.flatnonzero(orders == 2)
        out[single] += self.singles[support[single, 0]]
        out[pair] += [self.pairs.get((i, k), 0.0) for i, k in support[pair, :2].tolist()]
        return out

    def largest(self, count: int, max_order: int) -> IntArray:
        values = np.abs(self.ratios.T @ self.weights + self.singles)
        beam = np.arange(len(values), dtype=np.int32)[:, None]
        found, sizes = [beam], [values]
        beam = beam[np.argsort(-values, kind="stable")[:_BEAM]]
        for order in range(2, max_order + 1):
            least = _kth_largest(np.concatenate(sizes), count)
            # Beneath half of the least that counts, a set's supersets are not looked for either.
            rows, values = self._extended(beam, 0.5 * least)
            if order == 2 and self.pairs:
                rows = np.concatenate([rows, np.array(list(self.pairs), dtype=np.int32)])
                values = np.concatenate([values, self._pair_sizes()])
            rows, values = _last_of_each(rows, values)
            ranked = np.argsort(-values, kind="stable")
            found.append(rows[ranked[: 2 * count]])
            sizes.append(values[ranked[: 2 * count]])
            beam = rows[ranked[:_BEAM]]
            if not len(beam) or values[ranked[0]] <= least:
                break
        rows, values = stacked(found), np.concatenate(sizes)
        return rows[np.lexsort((*rows.T[::-1], -values))[:count]]

    def _extended(self, beam: IntArray, least: float) -> tuple[IntArray, FloatArray]:
        """Rows with one feature more, and how large their terms are, where that is above."""
        products = np.ascontiguousarray(self.ratios[:, beam[:, 0]])
        for column in beam.T[1:]:
            products *= self.ratios[:, column]
        values = np.abs((products * self.weights[:, None]).T @ self.ratios)  # (beam, n)
        places, features = np.nonzero(values > least)
        new = (beam[places] != features[:, None]).all(axis=1)
        places, features = places[new], features[new]
        rows = np.column_stack([beam[places], features.astype(np.int32)])
        return np.sort(rows, axis=1), values[places, features]

    def _pair_sizes(self) -> FloatArray:
        ratios = self.ratios
        terms = [
            float((ratios[:, i] * ratios[:, k]) @ self.weights) + own
            for (i, k), own in self.pairs.items()
        ]
        return np.abs(terms)


def _last_of_each(rows: IntArray, values: FloatArray) -> tuple[IntArray, FloatArray]:
    """Each row once, ascending, with the last of its values."""
    order = np.lexsort(rows.T[::-1])
    last = order[differs(rows[order], -1)]
    return rows[last], values[last]


def _ratios(
    expansion: KernelExpansion, outside: FloatArray, inside: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Of s² a_j Π_{i∉T} outside_ji Π_{i∈T} inside_ji: inside / outside (m, n), and the rest."""
    kept = expansion.centres < 0
    logs = np.log(outside)
    whole = np.exp(kept @ (logs[:, 0] - logs[:, 1]) + logs[:, 1].sum())
    ratio = inside / outside
    ratios = np.where(kept, ratio[:, 0], ratio[:, 1])
    return ratios, expansion.kernel.product * expansion.weights * whole


def _products(factors: FloatArray, weights: FloatArray, support: IntArray) -> FloatArray:
    """Σ_j w_j Π_{i∈T} factors_ji of each row T of ``support``."""
    padded = np.concatenate([factors, np.ones((len(factors), 1))], axis=1)
    columns = np.ascontiguousarray(padded.T)  # (n + 1, m); index -1 is all ones
    out = np.empty(len(support))
    step = max(1, _CHUNK // len(weights))
    for start in range(0, len(support), step):
        rows = support[start : start + step]
        product = np.ones((len(rows), len(weights)))
        for column in rows.T:
            product *= columns[column]
        out[start : start + step] = product @ weights
    return out


def _kth_largest(values: FloatArray, count: int) -> float:
    """The smallest value that still counts among the ``count`` largest; 0 while there are fewer."""
    return 0.0 if len(values) < count else float(np.partition(values, -count)[-count])
