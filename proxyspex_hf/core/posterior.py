"""How sure: the posterior of a Gaussian process over everything that is linear in f.

f has the prior covariance of a :class:`~proxyspex_hf.core.proxies.kernel.MaskKernel`, and was asked
at the fitted masks. Then a prediction, an effect, an index (each a linear functional L) has the
mean c·α and the variance L L k - c·C⁻¹·c with c_j = L k(·, x_j). All three are closed forms: a
product kernel under a functional that is a product over features is a product (:mod:`.shares`).
Nothing is sampled, and no term is left out: what sparsifying dropped is part of the doubt.

The kernel was learnt from the same answers, and is what makes the claim: ``docs/intervals.md`` has
how often intervals hold where the truth is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, solve_triangular
from threadpoolctl import threadpool_limits

from proxyspex_hf.core.masks import BoolArray
from proxyspex_hf.core.proxies.kernel import MaskKernel, damped, signs
from proxyspex_hf.core.shares import Shares
from proxyspex_hf.core.spectrum import FloatArray, IntArray

#: A normal variable lies within this many deviations of its mean in 90 of 100 cases.
Z90 = 1.6448536269514722
#: Masks that are conditioned on, at most: the factor costs their cube. What more of them would
#: tell is left out, so intervals are wider than they could be, never narrower.
_MOST_MASKS = 2000
#: The same in masks times features, which are held as floats.
_MOST_SIGNS = 8_000_000
#: Floats held at once by a block of functionals.
_CHUNK = 2**22


class Estimate(NamedTuple):
    """Posterior mean and standard deviation of functionals, (g,) each, in the values' unit."""

    mean: FloatArray
    deviation: FloatArray


@dataclass(frozen=True, eq=False)
class Doubt:
    """What is stored of a posterior: the masks and values are with the explanation's queries.

    Attributes:
        kernel: the prior covariance of (f - level) / scale.
        level, scale: the values' mean and standard deviation.
    """

    kernel: MaskKernel
    level: float
    scale: float

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Doubt):
            return NotImplemented
        a, b = self.kernel, other.kernel
        return (self.level, self.scale) == (other.level, other.scale) and (
            np.array_equal(a.relevance, b.relevance)
            and np.array_equal(a.pairs, b.pairs)
            and (a.tilt, a.product, a.single, a.noise) == (b.tilt, b.product, b.single, b.noise)
        )

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, eq=False)
class Posterior:
    """A Gaussian process after the answers.

    Attributes:
        doubt: the kernel and the values' unit.
        masks, values: (m, n), (m,): what was asked and answered.
    """

    doubt: Doubt
    masks: BoolArray
    values: FloatArray

    @property
    def used(self) -> slice | NDArray[np.int64]:
        """Which of the masks are conditioned on."""
        return _spread(*self.masks.shape)

    @cached_property
    def rows(self) -> FloatArray:
        """(m, n) signs of the masks that are conditioned on."""
        return signs(self.masks[self.used])

    @cached_property
    def _factor(self) -> FloatArray:
        kernel = self.doubt.kernel
        with threadpool_limits(limits=1, user_api="blas"):
            return damped(kernel(self.rows, self.rows), kernel.noise)

    @cached_property
    def _weights(self) -> FloatArray:
        values = self.values[self.used]
        standard = (values - self.doubt.level) / self.doubt.scale
        return np.asarray(cho_solve((self._factor, True), standard))

    def predictions(self, masks: BoolArray) -> Estimate:
        """f at masks (b, n)."""
        x, kernel = signs(masks), self.doubt.kernel
        found = self._estimate(kernel(x, self.rows), kernel.variance(x))
        return Estimate(found.mean + self.doubt.level, found.deviation)

    def combination(self, masks: BoolArray, weights: FloatArray) -> Estimate:
        """Weighted sums of f at masks, (b, n) and (g, b), each row of weights summing to 0.

        The level is left out: add it where weights sum to 1.
        """
        x, kernel = signs(masks), self.doubt.kernel
        prior = weights @ kernel(x, x)
        return self._estimate(weights @ kernel(x, self.rows), np.einsum("gb,gb->g", prior, weights))

    def derivatives(self, support: IntArray, shares: Shares) -> Estimate:
        """Σ_q w_q E_{p_q}[Δ_T f] of sets T of one size, rows of ``support`` (g, t), t >= 1."""
        kernel = self.doubt.kernel
        step = max(1, _CHUNK // len(self.rows))
        parts = [support[a : a + step] for a in range(0, len(support), step)] or [support]
        found = [
            self._estimate(
                mixed_covariance(kernel, part, shares, self.rows),
                mixed_variance(kernel, part, shares),
            )
            for part in parts
        ]
        return Estimate(*(np.concatenate(column) for column in zip(*found, strict=True)))

    def draws(
        self, masks: BoolArray, weights: FloatArray, count: int, rng: np.random.Generator
    ) -> FloatArray:
        """``count`` draws of weighted sums of f at masks, as :meth:`combination`: (count, g)."""
        x, kernel = signs(masks), self.doubt.kernel
        covariance = weights @ kernel(x, self.rows)
        explained = self.explained(covariance.T)
        left = weights @ kernel(x, x) @ weights.T - explained.T @ explained
        with threadpool_limits(limits=1, user_api="blas"):
            values, vectors = np.linalg.eigh((left + left.T) / 2.0)
            root = vectors * np.sqrt(np.maximum(values, 0.0))
            normal = rng.standard_normal((count, len(weights)))
            drawn = covariance @ self._weights + normal @ root.T
        return np.asarray(self.doubt.scale * drawn)

    def left_out(self) -> FloatArray:
        """(m',) each of the values that are conditioned on, predicted from all others."""
        inverse = cho_solve((self._factor, True), np.eye(len(self.rows)))
        residual = self._weights / np.diag(inverse)
        return np.asarray(self.values[self.used] - self.doubt.scale * residual)

    def explained(self, covariance: FloatArray) -> FloatArray:
        """Of covariances with asked values, (m, g): the columns' squares sum to what was learnt."""
        with threadpool_limits(limits=1, user_api="blas"):
            return np.asarray(
                solve_triangular(self._factor, covariance, lower=True, check_finite=False)
            )

    def _estimate(self, covariance: FloatArray, prior: FloatArray) -> Estimate:
        explained = self.explained(covariance.T)
        left = np.maximum(prior - np.square(explained).sum(axis=0), 0.0)
        scale = self.doubt.scale
        return Estimate(scale * (covariance @ self._weights), scale * np.sqrt(left))


def stretched(estimate: Estimate, shown: FloatArray) -> FloatArray:
    """(g, 2) 90% of the posterior, and as far as the numbers shown where those lie outside.

    The numbers come from the sparse spectrum, whichever proxy found it; where that says other than
    the Gaussian process does, the reader is told of both.
    """
    reach = Z90 * estimate.deviation
    low, high = estimate.mean - reach, estimate.mean + reach
    return np.stack([np.minimum(low, shown), np.maximum(high, shown)], axis=1)


def mixed_covariance(
    kernel: MaskKernel, support: IntArray, shares: Shares, x: FloatArray
) -> FloatArray:
    """L_T k(·, x_j) for each set T of one size (g, t) and signs x (m, n): (g, m)."""
    alpha, beta = kernel.factors
    size = support.shape[1]
    kept = x < 0
    out = np.zeros((len(support), len(x)))
    for p, weight in zip(shares.nodes, shares.weights, strict=True):
        mean = alpha + beta * (1.0 - 2.0 * p)
        logs = np.log(mean)
        whole = kernel.product * np.exp(kept @ (logs[:, 0] - logs[:, 1]) + logs[:, 1].sum())
        ratio = -2.0 * beta / mean
        ratios = np.where(kept, ratio[:, 0], ratio[:, 1]).T  # (n, m)
        product = np.multiply(weight, whole)[None, :]
        for column in support.T:
            product = product * ratios[column]
        out += product
    total = float(shares.weights.sum())
    mean_sign = float(shares.weights @ (1.0 - 2.0 * shares.nodes))
    if size == 1:
        i = support[:, 0]
        out += (-2.0 * total * kernel.single * kernel.relevance[i])[:, None] * x[:, i].T
    if size <= 2 and len(kernel.pairs):
        weights, left, right = kernel.pair_weights, kernel.left, kernel.right
        weighted = weights * kernel.pair_signs(x)  # (m, pairs)
        if size == 1:
            by_feature = np.zeros((x.shape[1], len(x)))
            np.add.at(by_feature, left, weighted.T)
            np.add.at(by_feature, right, weighted.T)
            out += -2.0 * mean_sign * by_feature[support[:, 0]]
        else:
            place = _pair_places(kernel, support)
            known = place >= 0
            out[known] += 4.0 * total * weighted[:, place[known]].T
    return out


def mixed_variance(kernel: MaskKernel, support: IntArray, shares: Shares) -> FloatArray:
    """L_T L_T k for each set T of one size (g, t): (g,)."""
    alpha, beta = kernel.factors
    size = support.shape[1]
    sign = 1.0 - 2.0 * shares.nodes
    mean = alpha[:, None, :] + beta[:, None, :] * sign[:, None]  # (n, q, 2): one side is fixed
    both = (mean[:, :, None, 0] * (1.0 - sign) + mean[:, :, None, 1] * (1.0 + sign)) / 2.0
    # Δ on both sides: -2 times the slope of -2 β over the other side's sign.
    derivative = 2.0 * (beta[:, 1] - beta[:, 0])
    whole = kernel.product * np.exp(np.log(both).sum(axis=0))
    whole = whole * np.outer(shares.weights, shares.weights)
    ratio = derivative[:, None, None] / both
    if len(shares.nodes) == 1:
        single = ratio[:, 0, 0]
        out = whole[0, 0] * single[support].prod(axis=1)
    else:
        out = np.array([float((whole * ratio[row].prod(axis=0)).sum()) for row in support])
    total, mean_sign = float(shares.weights.sum()), float(shares.weights @ sign)
    if size == 1:
        out = out + total**2 * 4.0 * kernel.single * kernel.relevance[support[:, 0]]
    if size <= 2 and len(kernel.pairs):
        weights, n = kernel.pair_weights, len(kernel.relevance)
        if size == 1:
            of_feature = np.bincount(kernel.left, weights, n)
            of_feature += np.bincount(kernel.right, weights, n)
            out = out + 4.0 * mean_sign**2 * of_feature[support[:, 0]]
        else:
            place = _pair_places(kernel, support)
            out = out + 16.0 * total**2 * np.where(place >= 0, weights[place], 0.0)
    return np.asarray(out, dtype=np.float64)


def _pair_places(kernel: MaskKernel, support: IntArray) -> IntArray:
    """Where each row of ``support`` (g, 2) stands among the kernel's pairs; -1 if nowhere."""
    n = len(kernel.relevance)
    distance = support[:, 1] - support[:, 0]
    starts = np.concatenate([[0], np.cumsum([n - d for d in range(1, len(kernel.pairs) + 1)])])
    near = distance <= len(kernel.pairs)
    place = starts[np.where(near, distance - 1, 0)] + support[:, 0]
    return np.where(near, place, -1).astype(np.int32)


def _spread(count: int, n_features: int) -> slice | NDArray[np.int64]:
    """At most so many of the masks, the first (the full one) among them, evenly spread."""
    most = max(2, min(_MOST_MASKS, _MOST_SIGNS // n_features))
    if count <= most:
        return slice(None)
    return np.unique(np.linspace(0, count - 1, most).astype(np.int64))
