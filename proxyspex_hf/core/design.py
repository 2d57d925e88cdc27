"""Which masks to ask next: those that lower the posterior variance of what was asked most.

A few rounds of full batches. From random candidates the next mask is chosen greedily, given the
ones chosen before it in the same batch: with cov(g, c) between goal g and candidate c, asking c
lowers the variance of g by cov(g, c)² / (var(c) + noise), and every covariance left follows from a
rank-one update. No answer is needed in between: the variance does not depend on the answers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from proxyspex_hf.checks import BoolArray, FloatArray, IntArray
from proxyspex_hf.core.effects import pairs_of, removal_masks
from proxyspex_hf.core.posterior import Posterior, mixed_covariance, mixed_variance
from proxyspex_hf.core.proxies.kernel import signs
from proxyspex_hf.core.queries import WIDE, Question
from proxyspex_hf.core.shares import Shares, at_share, shares_of

#: Random candidates of a round, beside the neighbours of the full and the empty mask.
_CANDIDATES = 1200
#: Neighbours of either end among the candidates, and features among the goals, at most: each of
#: the ones is weighed against each of the others. Convention: more than any input has whose chosen
#: masks the docs measure.
_MOST_FEATURES = 500
#: Masks asked times candidates, at most: their covariances are updated with each choice.
_MOST_COVARIANCES = 1_200_000
#: Pairs of features among the goals: those that are least known.
_PAIRS = 200
#: Masks at each density whose predictions are goals.
_REFERENCES = 40
#: As the posterior has it on its diagonal.
_JITTER = 1e-8
#: An answer whose variance is below this share of what it was at first is known. At a deviation of
#: 2^-8.5, single precision (2^-24, over sums of hundreds) is off by a few hundredths; much below,
#: the errors of one choice grow in the next, and overflow in the end.
_KNOWN = 2.0**-17
#: Masks chosen in one round, at most; the rest of a larger batch is drawn.
MOST_CHOSEN = 500
#: Masks chosen in all, for each feature. Most of them lie near the whole and the empty input, of
#: which there is only so much to learn: more of them cost predictions of half of the input more
#: than they bring (``python tests/bench/calls.py``).
CHOSEN_PER_FEATURE = 4


class _Goals(NamedTuple):
    """Covariances with the candidates (g, c), and the weight of each goal (g,)."""

    covariance: FloatArray
    weight: FloatArray


class _State:
    """Covariances of goals and candidates, as masks are chosen.

    A function that is steep at one end has variances there beyond single precision: each candidate
    has a unit in which its deviation is about 1. Powers of two round nothing.
    """

    def __init__(
        self,
        posterior: Posterior,
        question: Question,
        candidates: BoolArray,
        rng: np.random.Generator,
        count: int,
    ) -> None:
        kernel = posterior.doubt.kernel
        self.kernel, self.x = kernel, signs(candidates)
        prior = kernel(self.x, self.x)
        explained = posterior.explained(kernel(posterior.rows, self.x))
        self.variance = np.diag(prior) - np.square(explained).sum(axis=0)
        deviation = np.sqrt(np.diag(prior) + kernel.noise + _JITTER)
        self.unit = np.asarray(np.frexp(deviation)[1])  # (c,)
        self.noise, self.jitter = (np.ldexp(v, -2 * self.unit) for v in (kernel.noise, _JITTER))
        goals = self._goals(posterior, question, explained, rng)

        self.prior = np.ldexp(prior, -self.unit[:, None] - self.unit)
        self.variance = np.ldexp(self.variance, -2 * self.unit)
        self.filled = len(explained)
        # Single precision: what matters is which gain is the largest.
        self.explained = np.zeros((self.filled + count, len(self.x)), dtype=np.float32)  # (m, c)
        self.explained[: self.filled] = np.ldexp(explained, -self.unit)
        self.goals = np.concatenate([g.covariance for g in goals]).astype(np.float32)
        self.weight = np.concatenate([g.weight for g in goals]).astype(np.float32)

    @property
    def asked(self) -> FloatArray:
        """(c,) variance of each candidate's answer."""
        return np.asarray(self.variance + self.noise + self.jitter)

    def gains(self) -> FloatArray:
        """How far each candidate lowers the goals' variances, (c,)."""
        lowered = np.einsum("g,gc,gc->c", self.weight, self.goals, self.goals)
        asked = self.asked
        return np.where(asked > _KNOWN, lowered / np.maximum(asked, _KNOWN), 0.0)

    def take(self, chosen: int) -> None:
        """As if this candidate had been asked."""
        asked = self.asked[chosen]
        if asked <= _KNOWN:  # chosen for another function
            return
        root = np.sqrt(asked)
        row = self.prior[chosen]
        known = self.explained[: self.filled]
        row = (row - known[:, chosen] @ known) / root
        self.goals -= np.outer(self.goals[:, chosen] / np.float32(root), row.astype(np.float32))
        self.variance = np.maximum(self.variance - row * row, 0.0)
        self.explained[self.filled] = row
        self.filled += 1

    def _goals(
        self,
        posterior: Posterior,
        question: Question,
        explained: FloatArray,
        rng: np.random.Generator,
    ) -> list[_Goals]:
        n = self.x.shape[1]
        singles, pairs = np.arange(n, dtype=np.int32)[:, None], pairs_of(n)
        out = []
        if question in ("any", "input"):
            out += [
                self._derivatives(posterior, t, at_share(1.0), explained) for t in (singles, pairs)
            ]
        if question in ("any", "shapley"):
            uniform = shares_of("Shapley", 1, 1, n)
            if uniform is not None:
                sets = (singles,) if question == "any" else (singles, pairs)
                out += [self._derivatives(posterior, t, uniform, explained) for t in sets]
        if question == "any":
            out += [self._predictions(posterior, density, explained, rng) for density in WIDE]
        return out

    def _derivatives(
        self, posterior: Posterior, support: IntArray, shares: Shares, explained: FloatArray
    ) -> _Goals:
        most = _PAIRS if support.shape[1] > 1 else _MOST_FEATURES
        if len(support) > most:
            prior = mixed_variance(self.kernel, support, shares)
            support = support[np.sort(np.argsort(-prior, kind="stable")[:most])]
        known = posterior.explained(
            mixed_covariance(self.kernel, support, shares, posterior.rows).T
        )
        left = mixed_variance(self.kernel, support, shares) - np.square(known).sum(axis=0)
        covariance = mixed_covariance(self.kernel, support, shares, self.x)
        return self._weighted(covariance - known.T @ explained, left)

    def _predictions(
        self, posterior: Posterior, density: float, explained: FloatArray, rng: np.random.Generator
    ) -> _Goals:
        at = signs(rng.random((_REFERENCES, self.x.shape[1])) < density)
        known = posterior.explained(self.kernel(posterior.rows, at))
        left = self.kernel.variance(at) - np.square(known).sum(axis=0)
        return self._weighted(self.kernel(at, self.x) - known.T @ explained, left)

    def _weighted(self, covariance: FloatArray, left: FloatArray) -> _Goals:
        """Goals of one kind count as one: in shares of the variance that is left of them."""
        total = float(np.maximum(left, 0.0).sum())
        if not 0.0 < total < np.inf:
            return _Goals(np.zeros_like(covariance), np.zeros(len(covariance)))
        unit = math.frexp(math.sqrt(total))[1]
        covariance, total = np.ldexp(covariance, -unit - self.unit), math.ldexp(total, -2 * unit)
        # No covariance with a candidate, whose deviation is at most 1 now, exceeds the goal's
        # deviation: where one does, it is what rounding left of far larger numbers.
        sound = np.all(np.abs(covariance) <= 2.0, axis=1, keepdims=True)
        covariance = np.where(sound, covariance, 0.0)
        return _Goals(covariance, np.full(len(covariance), 1.0 / total))


def choose_masks(
    posteriors: Sequence[Posterior],
    question: Question,
    count: int,
    exclude: BoolArray,
    rng: np.random.Generator,
) -> BoolArray:
    """At most ``count`` new masks (b, n) for a question, of one function or of several at once;
    fewer where no more of them would tell anything.

    Args:
        posteriors: of each function that will be asked the masks.
        exclude: masks that were asked already.
    """
    candidates = _candidates(question, exclude, rng)
    count = min(count, MOST_CHOSEN, len(candidates))
    states = [_State(p, question, candidates, rng, count) for p in posteriors]
    free = np.ones(len(candidates), dtype=np.bool_)
    chosen: list[int] = []
    for _ in range(count):
        gains = np.sum([state.gains() for state in states], axis=0)
        best = int(np.where(free, gains, -1.0).argmax())
        if gains[best] <= 0.0:  # what is asked of them is known
            break
        free[best] = False
        chosen.append(best)
        for state in states:
            state.take(best)
    return candidates[chosen]


def _candidates(question: Question, exclude: BoolArray, rng: np.random.Generator) -> BoolArray:
    """Random masks of every size that the question looks at, and the neighbours of its ends."""
    n = exclude.shape[1]
    count = max(200, min(_CANDIDATES, _MOST_COVARIANCES // len(exclude)))
    places = np.arange(n) if n <= _MOST_FEATURES else rng.permutation(n)[:_MOST_FEATURES]
    near = removal_masks(n, places[:, None].tolist())[1:]
    low = 0.5 if question == "input" else 0.0
    shares = rng.uniform(low, 1.0, (count, 1))
    drawn = [rng.random((count, n)) < shares, near]
    if question != "shapley":
        drawn.append(rng.random((count // 4, n)) < 0.9)
    if question == "input":
        pairs = pairs_of(n)
        pairs = pairs[rng.permutation(len(pairs))[: count // 2]]
        drawn.append(removal_masks(n, pairs.tolist())[1:])
    else:
        drawn.append(~near)
    masks = np.unique(np.concatenate(drawn), axis=0)
    asked = {row.tobytes() for row in exclude}
    return masks[[row.tobytes() not in asked for row in masks]]
