"""How sure: the posterior of a Gaussian process over everything that is linear in f.

f has the prior covariance of a :class:`~proxyspex_hf.core.proxies.kernel.MaskKernel`, and was asked
at the fitted masks. Then a prediction, an effect, an index (each a linear functional L) has the
mean c·α and the variance L L k - c·C⁻¹·c with c_j = L k(·, x_j). All three are closed forms: a
product kernel under a functional that is a product over features is a product (:mod:`.shares`).
Nothing is sampled, and no term is left out: what sparsifying dropped is part of the doubt.

A model that is asked twice says the same. So what the kernel takes for noise is a part of f that no
other mask tells of: known where it was asked, and as uncertain as it is large elsewhere.

A posterior is a claim, and its kernel was learnt from the same answers: deviations are scaled by
what the explanation is off by on masks left out of it. ``docs/intervals.md`` has how often
intervals hold where the truth is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, solve_triangular
from scipy.linalg.lapack import dpotri
from scipy.special import gammaln

from proxyspex_hf.checks import BoolArray, FloatArray, IntArray
from proxyspex_hf.core.proxies.kernel import MaskKernel, damped, signs
from proxyspex_hf.core.shares import Shares, mixed_derivatives
from proxyspex_hf.core.threads import one_blas_thread

#: A normal variable lies within this many deviations of its mean in 90 of 100 cases.
Z90 = 1.6448536269514722
#: Masks that are conditioned on, at most: the factor costs their cube. What more of them would
#: tell is left out, so intervals are wider than they could be, never narrower.
_MOST_MASKS = 2000
#: The same in masks times features, which are held as floats (64 MB).
_MOST_SIGNS = 8_000_000
#: Conventions: the masks that the process's own claim counts as when it is held against masks left
#: out (as few as can be fitted at all), and the largest squared error, over the claimed one, that
#: counts (five deviations).
_CLAIM, _WILD = 20.0, 25.0
#: Floats held at once by a block of functionals.
_CHUNK = 2**22


class Estimate(NamedTuple):
    """Posterior mean and standard deviation of functionals, (g,) each, in the values' unit."""

    mean: FloatArray
    deviation: FloatArray


@dataclass(frozen=True)
class Doubt:
    """What is stored of a posterior: the masks and values are with the explanation's queries.

    Attributes:
        kernel: the prior covariance of (f - level) / scale.
        level, scale: the values' mean and standard deviation.
        inflation: what deviations are multiplied by; see :meth:`Posterior.inflation_of`.
    """

    kernel: MaskKernel
    level: float
    scale: float
    inflation: float = 1.0


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

    def rescaled(self, scale: float) -> Posterior:
        """Of scale · f."""
        doubt = replace(self.doubt, level=self.doubt.level * scale, scale=self.doubt.scale * scale)
        return Posterior(doubt, self.masks, self.values * scale)

    @property
    def is_sound(self) -> bool:
        """Whether the kernel is a covariance of these masks: an untrusted file's need not be."""
        if not len(self.masks):
            return False
        try:
            with np.errstate(all="ignore"):
                return bool(np.isfinite(self._factor).all() and np.isfinite(self._weights).all())
        except ValueError:  # LinAlgError is one
            return False

    @property
    def used(self) -> slice | NDArray[np.int64]:
        """Which of the masks are conditioned on."""
        return _spread(*self.masks.shape)

    @cached_property
    def rows(self) -> FloatArray:
        """(m, n) signs of the masks that are conditioned on."""
        return signs(self.masks[self.used])

    @property
    def rho(self) -> float | None:
        """By how much f rises where its sibling rises by one of its standard deviations; None
        without a sibling."""
        if self.doubt.kernel.sibling is None:
            return None
        # The posterior mean of ρ, whose prior variance is r².
        told = self.doubt.kernel.of_sibling(self.rows)
        rho = np.sqrt(self.doubt.kernel.shared) * (told @ self._weights)
        return float(self.doubt.scale * rho)

    @cached_property
    def _factor(self) -> FloatArray:
        kernel = self.doubt.kernel
        with one_blas_thread():
            return damped(kernel(self.rows, self.rows), kernel.noise)

    @cached_property
    def _weights(self) -> FloatArray:
        values = self.values[self.used]
        standard = (values - self.doubt.level) / self.doubt.scale
        return np.asarray(cho_solve((self._factor, True), standard))

    @property
    def weights(self) -> FloatArray:
        """(m',) what each conditioned mask's covariance with a prediction adds to its mean, in
        units of the scale."""
        return self._weights

    def predictions(self, masks: BoolArray) -> Estimate:
        """f at masks (b, n)."""
        x, kernel = signs(masks), self.doubt.kernel
        own = kernel.noise * self._equal(masks)
        found = self._estimate(kernel(x, self.rows) + own, kernel.variance(x) + kernel.noise)
        return Estimate(found.mean + self.doubt.level, found.deviation)

    def combination(self, masks: BoolArray, weights: FloatArray) -> Estimate:
        """Weighted sums of f at masks, (b, n) and (g, b), each row of weights summing to 0.

        The level is left out: add it where weights sum to 1.
        """
        covariance, prior = self._covariances(masks)
        return self._estimate(weights @ covariance, np.einsum("gb,gb->g", weights @ prior, weights))

    def derivatives(self, support: IntArray, shares: Shares) -> Estimate:
        """Σ_q w_q E_{p_q}[Δ_T f] of sets T of one size, rows of ``support`` (g, t), t >= 1."""
        kernel = self.doubt.kernel
        step = max(1, _CHUNK // len(self.rows))
        parts = [support[a : a + step] for a in range(0, len(support), step)] or [support]
        found = [
            self._estimate(
                mixed_covariance(kernel, part, shares, self.rows)
                + kernel.noise * own_share(part, shares, self.rows),
                mixed_variance(kernel, part, shares)
                + kernel.noise * squared_shares(part, shares, self.rows.shape[1]),
            )
            for part in parts
        ]
        return Estimate(*(np.concatenate(column) for column in zip(*found, strict=True)))

    def draws(
        self, masks: BoolArray, weights: FloatArray, count: int, rng: np.random.Generator
    ) -> FloatArray:
        """``count`` draws of weighted sums of f at masks, as :meth:`combination`: (count, g)."""
        covariance, prior = self._covariances(masks)
        covariance = weights @ covariance
        explained = self.explained(covariance.T)
        left = weights @ prior @ weights.T - explained.T @ explained
        with one_blas_thread():
            values, vectors = np.linalg.eigh((left + left.T) / 2.0)
            root = vectors * np.sqrt(np.maximum(values, 0.0)) * self.doubt.inflation
            normal = rng.standard_normal((count, len(weights)))
            drawn = covariance @ self._weights + normal @ root.T
        return np.asarray(self.doubt.scale * drawn)

    def left_out(self) -> FloatArray:
        """(m',) each of the values that are conditioned on, predicted from all others."""
        residual = self._weights / self._precision
        return np.asarray(self.values[self.used] - self.doubt.scale * residual)

    def gains(self, places: Sequence[BoolArray], share: float, seed: int) -> list[float]:
        """For each set of masks (b, n), the mean squared error there over what it is where only a
        share of the masks was asked."""
        asked = self.masks[self.used]
        order = np.random.default_rng(seed).permutation(len(asked))
        kept = np.sort(order[: max(2, round(share * len(asked)))])
        unit = Doubt(self.doubt.kernel, 0.0, 1.0)  # a variance does not depend on what was answered
        now, then = (Posterior(unit, rows, np.zeros(len(rows))) for rows in (asked, asked[kept]))
        errors = [
            [float(np.square(p.predictions(at).deviation).mean()) for p in (now, then)]
            for at in places
        ]
        return [less / more if more > 0.0 else 1.0 for less, more in errors]

    def inflation_of(self, left_out: FloatArray) -> float:
        """How much further than the process claims an explanation is off, on masks left out of it.

        Args:
            left_out: (m,) the explanation's predictions of all masks, each without the mask.
        """
        used = self.used
        claimed = self.doubt.scale / np.sqrt(self._precision)
        squared = np.square((self.values[used] - left_out[used]) / claimed)
        # A few wild masks say little of the rest; few masks say little at all.
        squared = np.minimum(squared, _WILD)
        # The relevance of each feature was learnt from the same answers: they are degrees of
        # freedom that the squares have lost, as those of a regression's residuals.
        m, n = self.masks[used].shape
        left = m - min(n, m // 2)
        return float(np.sqrt((_CLAIM + squared.sum()) / (_CLAIM + left)))

    @cached_property
    def _precision(self) -> FloatArray:
        """The diagonal of the inverse covariance of what was asked."""
        with one_blas_thread():
            inverse = dpotri(self._factor, lower=1)[0]
        return np.asarray(np.diag(inverse), dtype=np.float64)

    def _covariances(self, masks: BoolArray) -> tuple[FloatArray, FloatArray]:
        """Of f at masks (b, n), which may repeat: with the asked values (b, m), and (b, b)."""
        x, kernel = signs(masks), self.doubt.kernel
        _, which = np.unique(np.packbits(masks, axis=1), axis=0, return_inverse=True)
        same = which.reshape(-1, 1) == which.reshape(1, -1)
        return (
            kernel(x, self.rows) + kernel.noise * self._equal(masks),
            kernel(x, x) + kernel.noise * same,
        )

    def _equal(self, masks: BoolArray) -> FloatArray:
        """(b, m) 1 where a mask is the one that was asked."""
        places: dict[bytes, list[int]] = {}
        for place, row in enumerate(np.packbits(self.rows < 0, axis=1)):
            places.setdefault(row.tobytes(), []).append(place)
        out = np.zeros((len(masks), len(self.rows)))
        for at, row in enumerate(np.packbits(masks, axis=1)):
            out[at, places.get(row.tobytes(), [])] = 1.0
        return out

    def explained(self, covariance: FloatArray) -> FloatArray:
        """Of covariances with asked values, (m, g): the columns' squares sum to what was learnt."""
        with one_blas_thread():
            return np.asarray(
                solve_triangular(self._factor, covariance, lower=True, check_finite=False)
            )

    def _estimate(self, covariance: FloatArray, prior: FloatArray) -> Estimate:
        explained = self.explained(covariance.T)
        left = np.maximum(prior - np.square(explained).sum(axis=0), 0.0)
        scale = self.doubt.scale
        deviation = self.doubt.inflation * scale * np.sqrt(left)
        return Estimate(scale * (covariance @ self._weights), deviation)


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
    if kernel.sibling is not None:
        out += np.outer(_of_sibling(kernel, support, shares), kernel.of_sibling(x))
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
    if kernel.sibling is not None:
        out = out + np.square(_of_sibling(kernel, support, shares))
    return np.asarray(out, dtype=np.float64)


def _of_sibling(kernel: MaskKernel, support: IntArray, shares: Shares) -> FloatArray:
    """r L_T s of each set T of one size (g, t): (g,)."""
    if kernel.sibling is None:
        return np.zeros(len(support))
    return np.asarray(
        np.sqrt(kernel.shared) * mixed_derivatives(kernel.sibling.spectrum, support, shares)
    )


def own_share(support: IntArray, shares: Shares, x: FloatArray) -> FloatArray:
    """(g, m) the weight that Σ_q w_q E_{p_q}[Δ_T f] gives to f at each of the masks x (m, n)."""
    n, size = x.shape[1], support.shape[1]
    kept = (x < 0).astype(np.int64)
    by_count = _by_count(shares, n - size)
    total = kept.sum(axis=1)
    inside = np.stack([kept[:, column] for column in support.T], axis=0).sum(axis=0).T  # (g, m)
    sign = np.where((size - inside) % 2, -1.0, 1.0)
    return np.asarray(sign * by_count[total[None, :] - inside], dtype=np.float64)


def squared_shares(support: IntArray, shares: Shares, n_features: int) -> FloatArray:
    """(g,) the sum of the squares of those weights over all 2^n masks; the same for each set."""
    size = support.shape[1]
    rest = n_features - size
    count = np.arange(rest + 1)
    by_count = np.abs(_by_count(shares, rest))
    known = by_count > 0.0
    logs = gammaln(rest + 1) - gammaln(count + 1) - gammaln(rest - count + 1)
    squares = np.exp(logs[known] + 2.0 * np.log(by_count[known]))
    return np.full(len(support), 2.0**size * float(squares.sum()))


def _by_count(shares: Shares, rest: int) -> FloatArray:
    """Of contexts that keep so many of the ``rest`` features outside T: (rest + 1,)."""
    count = np.arange(rest + 1)
    each = shares.nodes[:, None] ** count * (1.0 - shares.nodes[:, None]) ** (rest - count)
    return np.asarray(shares.weights @ each)


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
