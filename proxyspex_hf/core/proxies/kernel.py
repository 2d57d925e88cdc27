"""A covariance for set functions: what one mask's value says of another's.

With x_i = -1 where feature i is kept and +1 where it is not,

    k(x, x') = s² g(x) g(x') Π_i exp(b_i (x_i x'_i - 1))          every order at once
             + l² Σ_i b_i x_i x'_i                                single features
             + Σ_d q_d² Σ_i b_i b_{i+d} x_i x_{i+d} x'_i x'_{i+d}  pairs of features d apart
             + r² s(x) s(x')                                       a sibling's function s, if any

Since x_i x'_i = ±1, exp(b_i x_i x'_i) is proportional to 1 + tanh(b_i) x_i x'_i: the first term is
the product kernel, and a feature of relevance b_i = 0 plays no part in it. g(x) = exp(c Σ_i x_i)
lets the function vary more where many features are kept than where few are, or the reverse. The
third term says that neighbours in reading order interact more than others do. The last is that of
:mod:`.sibling`.

Every term is a sum over sets T of functions chi_T(x) chi_T(x') or of products over features, so a
sum of such kernels has an exact Fourier spectrum (:mod:`.kernel_spectrum`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky
from scipy.linalg.lapack import dpotri
from scipy.optimize import OptimizeResult, minimize

from proxyspex_hf.checks import BoolArray, FloatArray
from proxyspex_hf.core.frozen import Frozen
from proxyspex_hf.core.proxies.sibling import Sibling

Positions = NDArray[np.int64]
_NONE = np.zeros(0, dtype=np.int64)

#: Added to the diagonal: a deterministic model has no noise, but rounding must not break Cholesky.
JITTER = 1e-8
#: Precisions of the normal priors: on log b_i about their mean, on the tilt c times the square root
#: of n about 0, and on the logarithm of the noise's deviation about a tenth of the values'.
_RELEVANCE_PRECISION = 1.0
_TILT_PRECISION = 1.0
_NOISE_PRECISION = 1.0
_NOISE = 0.1
#: On all parameters but the single relevances about those of an earlier function, where there is
#: one. A convention, as the three above: a factor of e either way is one deviation.
_LIKELY_PRECISION = 1.0
#: What is expected of log b_i about their mean, as a share of a sibling's. With all of it, features
#: that only the sibling disregards are lost where masks are few; with none, less is learnt of the
#: sibling. Half was best of 0, 0.5 and 1 on the pairs of ``tests/bench/sibling.py``.
_SIBLING_RELEVANCE = 0.5
#: Precision of the normal prior on log r about that of its start: two deviations reach from a
#: fiftieth of a sibling to all of it.
_SIBLING_PRECISION = 0.25
#: Where learning starts: standard deviations of the product, the singles and the noise, for values
#: of variance 1, and of the pairs relative to the relevances.
_START = (0.6, 0.6, 0.2)
_START_PAIRS = 1.6
_START_SIBLING = 0.5
#: Steps of L-BFGS, and how many of them it remembers: as near the optimum as 60 steps without a
#: scale are, or nearer (``tests/bench/kernel_steps.py``).
_STEPS = 30
_MEMORY = 20


def signs(masks: BoolArray) -> FloatArray:
    """(m, n) bool -> ±1 floats, -1 = kept: then chi_T(S) is the product over T."""
    return np.where(masks, -1.0, 1.0)


@dataclass(frozen=True, eq=False)
class MaskKernel(Frozen):
    """The covariance above, its parameters learnt.

    Attributes:
        relevance: (n,) b_i > 0.
        tilt: c.
        product, single, noise: the variances s², l² and that of the noise.
        pairs: (reach,) the variances q_d² for distances 1, 2, ...
        sibling: whose spectrum is s, where there is one.
        shared: the variance r² of its share.
    """

    relevance: FloatArray
    tilt: float
    product: float
    single: float
    noise: float
    pairs: FloatArray
    sibling: Sibling | None = None
    shared: float = 0.0

    def __post_init__(self) -> None:
        for name in ("relevance", "pairs"):
            array = np.array(getattr(self, name), dtype=np.float64)
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    def widened(self, columns: Positions, n_features: int) -> MaskKernel:
        """The same for features at ``columns`` among others, of which nothing is known: they get
        the middle relevance. Distances between the columns change, so pairs lose their own term,
        and a sibling's sets are of other features."""
        relevance = np.full(n_features, float(np.median(self.relevance)))
        relevance[columns] = self.relevance
        alone = replace(self, sibling=None, shared=0.0)
        return replace(alone, relevance=relevance, pairs=np.zeros(0))

    def of_sibling(self, x: FloatArray) -> FloatArray:
        """r s(x) of each row, (m, n) signs -> (m,); 0 without a sibling."""
        if self.sibling is None:
            return np.zeros(len(x))
        return np.asarray(np.sqrt(self.shared) * self.sibling.spectrum.evaluate(x < 0))

    def pair_signs(self, x: FloatArray) -> FloatArray:
        """x_i x_{i+d} of every pair, all distances in turn: (m, n) -> (m, pairs)."""
        return _pair_signs(x, len(self.pairs))

    @property
    def left(self) -> Positions:
        """The first feature of every pair, in the same order."""
        n = len(self.relevance)
        return np.concatenate([np.arange(n - d) for d in range(1, len(self.pairs) + 1)] or [_NONE])

    @property
    def right(self) -> Positions:
        """The second feature of every pair."""
        n = len(self.relevance)
        return np.concatenate([np.arange(d, n) for d in range(1, len(self.pairs) + 1)] or [_NONE])

    @property
    def pair_weights(self) -> FloatArray:
        """q_d² b_i b_{i+d} of every pair."""
        b = self.relevance
        weights = self.pairs[self.right - self.left - 1] * b[self.left] * b[self.right]
        return np.asarray(weights, dtype=np.float64)

    @property
    def factors(self) -> tuple[FloatArray, FloatArray]:
        """α and β of the product term's factor α + β x_i, (n, 2) each; columns x'_i = -1 and +1."""
        b, c = self.relevance[:, None], self.tilt
        other = np.array([-1.0, 1.0])
        scale = np.exp(c * other - b)
        return scale * np.cosh(b * other + c), scale * np.sinh(b * other + c)

    def variance(self, x: FloatArray) -> FloatArray:
        """k(x, x) of each row, (m, n) signs -> (m,)."""
        tilted = self.product * np.exp(2.0 * self.tilt * x.sum(axis=1))
        rest = self.single * self.relevance.sum() + self.pair_weights.sum()
        rest = rest + np.square(self.of_sibling(x))
        return np.asarray(tilted + rest, dtype=np.float64)

    def every_order(self, x: FloatArray, z: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The first term, (m, n), (m', n) signs -> (m, m'), and the overlap Σ_i b_i x_i z_i."""
        b = self.relevance
        overlap = (x * b) @ z.T
        out = np.exp(overlap - b.sum())
        out *= self.product * np.exp(self.tilt * x.sum(axis=1))[:, None]
        out *= np.exp(self.tilt * z.sum(axis=1))
        return out, overlap

    def __call__(self, x: FloatArray, z: FloatArray) -> FloatArray:
        """(m, n), (m', n) signs -> (m, m') covariances, noise not included."""
        out, overlap = self.every_order(x, z)
        out += self.single * overlap
        if len(self.pairs):
            out += (self.pair_signs(x) * self.pair_weights) @ self.pair_signs(z).T
        if self.sibling is not None:
            out += np.outer(self.of_sibling(x), self.of_sibling(z))
        return np.asarray(out, dtype=np.float64)


def learn_kernel(
    x: FloatArray,
    values: FloatArray,
    *,
    reach: int = 3,
    likely: MaskKernel | None = None,
    sibling: Sibling | None = None,
) -> MaskKernel:
    """The parameters of largest marginal posterior, by L-BFGS on the exact gradient.

    Args:
        x: (m, n) signs; one evaluation costs O(m³ + m² n).
        values: (m,) of mean 0 and variance 1.
        reach: largest distance of pairs with a variance of their own; 0 for none.
        likely: what is likely beforehand of all but the features' relevances: a kernel learnt from
            other answers, of any number of features.
        sibling: what a cheaper model says of the same features.
    """
    problem = _Posterior(x, values, min(reach, x.shape[1] - 1), likely, sibling)
    found = minimised(problem, problem.start, problem.scale, _STEPS, _MEMORY)
    return problem.kernel(found.x * problem.scale)


def minimised(
    problem: _Posterior, start: FloatArray, scale: FloatArray, steps: int, memory: int
) -> OptimizeResult:
    """L-BFGS in units of ``scale``: its ``x`` times that are the parameters."""

    def scaled(theta: FloatArray) -> tuple[float, FloatArray]:
        loss, gradient = problem(theta * scale)
        return loss, gradient * scale

    return minimize(
        scaled,
        start / scale,
        jac=True,
        method="L-BFGS-B",
        bounds=(np.array(problem.bounds) / scale[:, None]).tolist(),
        options={"maxiter": steps, "maxcor": memory},
    )


def _pair_signs(x: FloatArray, reach: int) -> FloatArray:
    n = x.shape[1]
    blocks = [x[:, :-d] * x[:, d:] for d in range(1, min(reach, n - 1) + 1)]
    return np.concatenate([*blocks, np.zeros((len(x), 0))], axis=1)


class _Posterior:
    """Negative log posterior of the parameters and its gradient.

    The vector holds log b (n), c √n, then the logarithms of the standard deviations: product,
    single, noise, one for each distance, and the sibling's share where there is one.
    """

    def __init__(
        self,
        x: FloatArray,
        values: FloatArray,
        reach: int,
        likely: MaskKernel | None,
        sibling: Sibling | None,
    ) -> None:
        self.x, self.values, self.reach, self.sibling = x, values, reach, sibling
        self.n = n = x.shape[1]
        self.total = x.sum(axis=1)
        # g is taken relative to the mean size while learning, so that s and c do not fight.
        self.centre = float(self.total.mean())
        self.y = _pair_signs(x, reach)
        self.both = np.concatenate([x, self.y], axis=1)
        blocks = [np.stack([np.arange(n - d), np.arange(d, n)]) for d in range(1, reach + 1)]
        self.left, self.right = np.concatenate([*blocks, np.zeros((2, 0), int)], axis=1)
        self.distance = np.repeat(np.arange(reach), [n - d for d in range(1, reach + 1)])
        # (n,) log b about their mean, as expected, and (m, 0 or 1) what the sibling says
        self.expected_relevance = np.zeros(n)
        self.told = np.zeros((len(x), 0))
        if sibling is not None:
            self.told = sibling.spectrum.evaluate(x < 0)[:, None]
            if sibling.log_relevance is not None:
                self.expected_relevance = _SIBLING_RELEVANCE * sibling.log_relevance
        own = self.told.shape[1]
        self.start = np.concatenate(
            [
                self.expected_relevance - np.log(n),
                [0.0],
                np.log(_START),
                np.full(reach, np.log(_START_PAIRS)),
                np.full(own, np.log(_START_SIBLING)),
            ]
        )
        tilt = 20.0 / np.sqrt(n)
        self.bounds: list[tuple[float, float]] = [
            *[(-12.0, 1.0)] * n,
            (-tilt, tilt),
            (-6.0, 4.0),
            (-6.0, 4.0),
            (-5.0, 1.0),
            *[(-8.0, 3.0)] * reach,
            *[(-6.0, 2.0)] * own,
        ]
        self.expected: FloatArray | None = None
        if likely is not None:
            self.start = self.from_kernel(likely)
            self.expected = self.start[n : n + 4 + reach]

    @property
    def scale(self) -> FloatArray:
        """A step's unit: what all features share moves the loss much more than what one has."""
        scale = np.ones(len(self.start))
        scale[self.n :] = 1.0 / np.sqrt(self.n)
        return scale

    def from_kernel(self, kernel: MaskKernel) -> FloatArray:
        """The parameters of a kernel, those of other features by their mean, within the bounds."""
        n = self.n
        theta = self.start.copy()
        logs = np.log(np.maximum(kernel.relevance, 1e-12))
        if len(logs) == n:
            theta[:n] = logs
        else:  # relevances sum to about the same, whatever the number of features
            theta[:n] = logs.mean() + np.log(len(logs) / n)
        theta[n] = kernel.tilt * np.sqrt(len(logs))
        tilt = theta[n] / np.sqrt(n)
        variances = np.array([kernel.product * np.exp(2.0 * tilt * self.centre), kernel.single])
        theta[n + 1 : n + 3] = 0.5 * np.log(np.maximum(variances, 1e-12))
        theta[n + 3] = 0.5 * np.log(kernel.noise)
        known = min(self.reach, len(kernel.pairs))
        theta[n + 4 : n + 4 + known] = 0.5 * np.log(np.maximum(kernel.pairs[:known], 1e-12))
        if self.sibling is not None and kernel.sibling is not None:
            theta[-1] = 0.5 * np.log(max(kernel.shared, 1e-12))
        low, high = np.array(self.bounds).T
        return np.asarray(np.clip(theta, low, high))

    def kernel(self, theta: FloatArray) -> MaskKernel:
        n = self.n
        tilt = float(theta[n] / np.sqrt(n))
        product, single, noise, *pairs = np.exp(2.0 * theta[n + 1 : n + 4 + self.reach])
        return MaskKernel(
            relevance=np.exp(theta[:n]),
            tilt=tilt,
            product=float(product * np.exp(-2.0 * tilt * self.centre)),
            single=float(single),
            noise=float(noise),
            pairs=np.array(pairs),
            sibling=self.sibling,
            shared=0.0 if self.sibling is None else float(np.exp(2.0 * theta[-1])),
        )

    def __call__(self, theta: FloatArray) -> tuple[float, FloatArray]:
        n, x, y = self.n, self.x, self.values
        b = np.exp(theta[:n])
        product, single, noise = np.exp(2.0 * theta[n + 1 : n + 4])
        after = n + 4 + self.reach
        by_distance, shared = np.exp(2.0 * theta[n + 4 : after]), np.exp(2.0 * theta[after:])
        weights = by_distance[self.distance] * b[self.left] * b[self.right]
        tilted = np.exp(theta[n] / np.sqrt(n) * (self.total - self.centre))

        overlap = (x * b) @ x.T
        every = np.exp(overlap - b.sum())
        every *= (product * tilted)[:, None] * tilted
        covariance = every + single * overlap
        if self.reach:
            covariance += (self.y * weights) @ self.y.T
        if self.sibling is not None:
            covariance += (self.told * shared) @ self.told.T
        covariance[np.diag_indices(len(y))] += noise + JITTER
        try:
            factor = cholesky(covariance.T, lower=True, overwrite_a=True, check_finite=False)
        except np.linalg.LinAlgError:  # a step too far: L-BFGS turns back
            return 1e12, np.zeros_like(theta)
        alpha = cho_solve((factor, True), y, check_finite=False)
        loss = 0.5 * float(y @ alpha) + float(np.log(np.diag(factor)).sum())

        inverse = inverted(factor)
        outer = np.outer(alpha, alpha) - inverse  # d(-loss)/dK is half of this
        moved = outer @ self.both
        quadratic = np.einsum("ij,ij->j", self.both, moved)
        every *= outer
        by_row = every.sum(axis=1)
        gradient = np.empty_like(theta)
        in_product = np.einsum("ij,ij->j", x, every @ x) - by_row.sum()
        relevance = 0.5 * b * (in_product + single * quadratic[:n])
        pairs = weights * quadratic[n:]
        relevance += 0.5 * np.bincount(self.left, pairs, n)
        relevance += 0.5 * np.bincount(self.right, pairs, n)
        gradient[:n] = relevance
        gradient[n] = float(by_row @ (self.total - self.centre)) / np.sqrt(n)
        gradient[n + 1] = by_row.sum()
        gradient[n + 2] = single * float(b @ quadratic[:n])
        gradient[n + 3] = noise * float(np.trace(outer))
        gradient[n + 4 : after] = np.bincount(self.distance, pairs, self.reach)
        gradient[after:] = shared * np.einsum("ij,ij->j", self.told, outer @ self.told)

        deviation = theta[:n] - self.expected_relevance
        deviation -= deviation.mean()
        loss += 0.5 * _RELEVANCE_PRECISION * float(deviation @ deviation)
        gradient[:n] -= _RELEVANCE_PRECISION * deviation
        loss += 0.5 * _TILT_PRECISION * float(theta[n] ** 2)
        gradient[n] -= _TILT_PRECISION * theta[n]
        beyond = float(theta[n + 3] - np.log(_NOISE))
        loss += 0.5 * _NOISE_PRECISION * beyond**2
        gradient[n + 3] -= _NOISE_PRECISION * beyond
        unlikely = theta[after:] - np.log(_START_SIBLING)
        loss += 0.5 * _SIBLING_PRECISION * float(unlikely @ unlikely)
        gradient[after:] -= _SIBLING_PRECISION * unlikely
        if self.expected is not None:
            away = theta[n:after] - self.expected
            level = float(theta[:n].mean() - self.start[:n].mean())
            loss += 0.5 * _LIKELY_PRECISION * (float(away @ away) + level**2)
            gradient[n:after] -= _LIKELY_PRECISION * away
            gradient[:n] -= _LIKELY_PRECISION * level / n
        return loss, -gradient


def inverted(factor: FloatArray) -> FloatArray:
    """The inverse of a matrix (m, m) of which this is the lower Cholesky factor, zeros above its
    diagonal; overwrites it."""
    inverse = dpotri(factor, lower=1, overwrite_c=1)[0]
    diagonal = np.diag(inverse).copy()
    inverse = inverse + inverse.T  # one of the two is zero
    inverse[np.diag_indices(len(inverse))] = diagonal
    return np.asarray(inverse)


def damped(covariance: FloatArray, noise: float) -> FloatArray:
    """Lower Cholesky factor of a covariance (m, m) with noise on its diagonal."""
    loaded = covariance.copy()
    loaded[np.diag_indices(len(loaded))] += noise + JITTER
    factor: FloatArray = cholesky(loaded.T, lower=True, overwrite_a=True, check_finite=False)
    return factor
