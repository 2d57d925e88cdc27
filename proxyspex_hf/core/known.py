"""A function whose every value was asked: what is true beside what few terms say of it.

It takes the place of a :class:`~proxyspex_hf.core.posterior.Posterior` where an exact spectrum was
cut: each estimate is the truth and has no deviation, so that an interval reaches from the truth to
the number shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from proxyspex_hf.checks import BoolArray, FloatArray, IntArray
from proxyspex_hf.core.indices import scores_of
from proxyspex_hf.core.masks import MAX_ENUMERATED
from proxyspex_hf.core.posterior import Estimate
from proxyspex_hf.core.sets import sizes_of
from proxyspex_hf.core.spectrum import FourierSpectrum
from proxyspex_hf.core.values import level_and_scale, rounding_of
from proxyspex_hf.core.walsh import exact_terms

#: What cancels to less than this share of what was summed is zero: rounding has no sign.
_CANCELLED = 1e-9


@dataclass(frozen=True, eq=False)
class Known:
    """Every value of a function.

    Attributes:
        table: (2^n,) in the order of :func:`~proxyspex_hf.core.masks.all_masks`.
    """

    table: FloatArray

    @classmethod
    def of(cls, masks: BoolArray, values: FloatArray) -> Known | None:
        """From masks (m, n) and what was answered; None where a subset is missing."""
        m, n = masks.shape
        if n > MAX_ENUMERATED or m < 2**n:
            return None
        place = _places(masks)
        times = np.bincount(place, minlength=2**n)
        if not times.all():
            return None
        # As the fit has it, answers to the same mask are averaged.
        return cls(np.bincount(place, values / times[place], 2**n).astype(np.float64))

    def rescaled(self, scale: float) -> Known:
        """Of scale · f."""
        return Known(self.table * scale)

    @cached_property
    def rounding(self) -> float:
        """How far off rounding may have left a value."""
        return rounding_of(self.table)

    @cached_property
    def spectrum(self) -> FourierSpectrum:
        """All terms of it that are more than rounding."""
        return exact_terms(self.table)[1]

    def predictions(self, masks: BoolArray) -> Estimate:
        """f at masks (b, n)."""
        return _certain(self.table[_places(masks)])

    def combination(self, masks: BoolArray, weights: FloatArray) -> Estimate:
        """Weighted sums of f at masks, (b, n) and (g, b), each row of weights summing to 0."""
        values = self.table[_places(masks)] - level_and_scale(self.table)[0]
        size = np.abs(weights)
        rounding = size.sum(axis=1) * self.rounding
        return _certain(_cleared(weights @ values, size @ np.abs(values), rounding))

    def scores(self, index: str, order: int, support: IntArray) -> Estimate:
        """An index of the sets in rows of ``support`` (g, t), padded with -1."""
        scores, summed = scores_of(self.spectrum, index, order, support)
        # Each is a mean of sums of 2^t values, but for the one that is made of squares.
        rounding = np.ldexp(0.0 if index == "Influence" else self.rounding, sizes_of(support))
        return _certain(_cleared(scores, summed, rounding))


def _places(masks: BoolArray) -> IntArray:
    return np.asarray(masks @ (1 << np.arange(masks.shape[1])), dtype=np.int32)


def _certain(values: FloatArray) -> Estimate:
    return Estimate(values, np.zeros_like(values))


def _cleared(values: FloatArray, summed: FloatArray, rounding: FloatArray) -> FloatArray:
    return np.where(np.abs(values) > np.maximum(_CANCELLED * summed, rounding), values, 0.0)
