"""Effects at the input: what the value loses when features are taken out of the whole input.

With N all features kept, and T ⊆ N,

    I(T) = Σ_{L⊆T} (-1)^|L| f(N∖L) = 2^|T| Σ_{S⊇T} (-1)^|S| F(S),
    f(N∖R) = Σ_{T⊆R} (-1)^|T| I(T).

I({i}) is what the value loses without i. I({i, j}) = f(N) - f(N∖i) - f(N∖j) + f(N∖ij): where it has
the sign of the joint loss f(N) - f(N∖ij), both are needed (an AND: each loses what the other needs
as well); where it has the other sign, either is enough (an OR: one alone hides the other's loss).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np

from proxyspex_hf.checks import BoolArray, FloatArray, IntArray
from proxyspex_hf.core.known import Known
from proxyspex_hf.core.moebius import MAX_SUBSETS, downward_sums
from proxyspex_hf.core.posterior import Posterior, stretched
from proxyspex_hf.core.sets import pack_support
from proxyspex_hf.core.shares import at_share, mixed_derivatives
from proxyspex_hf.core.spectrum import FourierSpectrum
from proxyspex_hf.errors import InputError

Kind = Literal[
    "alone",
    "both needed",
    "either is enough",
    "lowers alone",
    "lowers together",
    "either one lowers",
]
KINDS: tuple[Kind, ...] = get_args(Kind)

#: Sets of at most so many features are looked at: the variance of I(T) grows as 4^|T|, so that
#: larger ones are never told from zero where they were not asked.
MAX_ORDER = 4
#: Sets that get an interval, besides the single features: the largest effects.
_MOST_SETS = 400
#: Smaller than this share of the largest effect is rounding, not a finding.
_NEGLIGIBLE = 1e-9


@dataclass(frozen=True)
class Effect:
    """The effect at the input of one set of features.

    Attributes:
        members: the features' indices, ascending.
        value: I(T), in the value's unit.
        interval: 90% of the posterior, stretched to the value; None where there is no posterior.
            Where all 2^n values are known, from the true effect to the value.
        kind: what the set does to the value.
    """

    members: tuple[int, ...]
    value: float
    interval: tuple[float, float] | None
    kind: Kind

    @property
    def order(self) -> int:
        """How many features take part."""
        return len(self.members)

    @property
    def is_sure(self) -> bool:
        """Whether the interval leaves out zero; without an interval, whether the value does."""
        if self.interval is None:
            return self.value != 0.0
        low, high = self.interval
        return low > 0.0 or high < 0.0


def effects_at_input(
    spectrum: FourierSpectrum, posterior: Posterior | Known | None, *, exact: bool = False
) -> tuple[Effect, ...]:
    """Effects of the single features, and of the sets that the spectrum speaks of, largest first.

    Args:
        posterior: for the intervals, or all values where they are known; None gives none.
        exact: the spectrum is that of all 2^n values, so every interval is the value.
    """
    support, values = _sums(spectrum)
    found = {
        tuple(i for i in row if i >= 0): value
        for row, value in zip(support.tolist(), values.tolist(), strict=True)
    }
    least = _Least.of(max(map(abs, found.values()), default=0.0), posterior)
    larger = [t for t, value in found.items() if len(t) > 1 and abs(value) > least.at(len(t))]
    larger = sorted(larger, key=lambda t: (-abs(found[t]), len(t), t))[:_MOST_SETS]
    sets = [*_singles(spectrum), *larger]
    numbers = np.array([found.get(t, 0.0) for t in sets])
    every = _effects(spectrum, posterior, sets, numbers, least, exact)
    return tuple(sorted(every, key=lambda e: (-abs(e.value), e.order, e.members)))


def effects_of(
    wanted: Sequence[tuple[int, ...]],
    spectrum: FourierSpectrum,
    posterior: Posterior | Known | None,
    *,
    exact: bool = False,
) -> tuple[Effect, ...]:
    """The effect of each of the sets wanted, in their order, whether or not it is among
    :func:`effects_at_input`."""
    sets = [*_singles(spectrum), *wanted]
    numbers = np.zeros(len(sets))
    for rows, support in _by_size(sets):
        numbers[rows] = mixed_derivatives(spectrum, support, at_share(1.0))
    least = _Least.of(float(np.abs(numbers).max()), posterior)
    every = _effects(spectrum, posterior, sets, numbers, least, exact)
    return tuple(every[spectrum.n_features :])


class _Least(NamedTuple):
    """What is no more than rounding: a share of the largest effect, and where values are known,
    what rounding has left in each of those that an effect is made of."""

    share: float
    rounding: float

    @classmethod
    def of(cls, largest: float, posterior: Posterior | Known | None) -> _Least:
        rounding = posterior.rounding if isinstance(posterior, Known) else 0.0
        return cls(_NEGLIGIBLE * largest, rounding)

    def at(self, size: int) -> float:
        """Of sets of so many features."""
        return max(self.share, 2.0**size * self.rounding)


def _singles(spectrum: FourierSpectrum) -> list[tuple[int, ...]]:
    return [(i,) for i in range(spectrum.n_features)]


def _effects(
    spectrum: FourierSpectrum,
    posterior: Posterior | Known | None,
    sets: Sequence[tuple[int, ...]],
    numbers: FloatArray,
    least: _Least,
    exact: bool,
) -> list[Effect]:
    """Of sets that begin with the single features; numbers of at most ``least`` are zero."""
    known = np.abs(numbers) > [least.at(len(t)) for t in sets]
    numbers = np.where(known, numbers, 0.0)
    if exact:
        intervals: list[tuple[float, float] | None] = [(v, v) for v in numbers.tolist()]
    elif posterior is None:
        intervals = [None] * len(sets)
    else:
        intervals = _finite_intervals(posterior, sets, numbers)
    kinds = _kinds(spectrum, sets)
    return [
        Effect(t, value, interval, kind)
        for t, value, interval, kind in zip(sets, numbers.tolist(), intervals, kinds, strict=True)
    ]


def _sums(spectrum: FourierSpectrum) -> tuple[IntArray, FloatArray]:
    """I(T) of all T up to the largest size at which a dense spectrum's subsets can be listed."""
    highest = min(MAX_ORDER, max(1, int(spectrum.orders.max())))
    for most in range(highest, 1, -1):
        try:
            return _sums_up_to(spectrum, most, MAX_SUBSETS)
        except InputError:  # too many
            continue
    return _sums_up_to(spectrum, 1, max(MAX_SUBSETS, int(spectrum.orders.sum())))


def _sums_up_to(spectrum: FourierSpectrum, most: int, limit: int) -> tuple[IntArray, FloatArray]:
    return downward_sums(
        spectrum.support,
        spectrum.coefficients,
        spectrum.n_features,
        lambda s, t: (-1.0) ** s * 2.0**t,
        range(1, most + 1),
        limit=limit,
    )


def _finite_intervals(
    posterior: Posterior | Known, sets: Sequence[tuple[int, ...]], numbers: FloatArray
) -> list[tuple[float, float] | None]:
    """None throughout where a stored kernel overflows, as an untrusted file's may."""
    with np.errstate(all="ignore"):
        found = effect_intervals(posterior, sets, numbers)
    return list(found) if np.isfinite(np.array(found)).all() else [None] * len(sets)


def effect_intervals(
    posterior: Posterior | Known, sets: Sequence[tuple[int, ...]], values: FloatArray
) -> list[tuple[float, float]]:
    """90% intervals of I(T) for sets of any sizes, (g,) values as shown."""
    out: list[tuple[float, float]] = [(0.0, 0.0)] * len(sets)
    for rows, support in _by_size(sets):
        found = (
            posterior.scores("Effect", support.shape[1], support)
            if isinstance(posterior, Known)
            else posterior.derivatives(support, at_share(1.0))
        )
        for r, (low, high) in zip(rows, stretched(found, values[rows]).tolist(), strict=True):
            out[r] = (low, high)
    return out


def _by_size(sets: Sequence[tuple[int, ...]]) -> Iterator[tuple[list[int], IntArray]]:
    """Which of the sets have each size, and those as rows (g, t)."""
    for size in sorted({len(t) for t in sets}):
        rows = [r for r, t in enumerate(sets) if len(t) == size]
        yield rows, pack_support([sets[r] for r in rows])


def removal_masks(n_features: int, removed: Sequence[Sequence[int]]) -> BoolArray:
    """The full mask, then one without each of the sets: (1 + r, n)."""
    masks = np.ones((1 + len(removed), n_features), dtype=np.bool_)
    for row, members in zip(masks[1:], removed, strict=True):
        row[list(members)] = False
    return masks


def _kinds(spectrum: FourierSpectrum, sets: Sequence[tuple[int, ...]]) -> list[Kind]:
    """From what the spectrum loses without each feature, and without the whole set."""
    n = spectrum.n_features
    whole = spectrum.evaluate(removal_masks(n, sets))
    lost = whole[0] - whole[1:]
    # What rounding leaves of an exact zero has no direction.
    lost = np.where(np.abs(lost) > _NEGLIGIBLE * np.abs(lost).max(initial=0.0), lost, 0.0)
    alone = lost[:n]  # the single features come first
    return [
        _kind(len(t), float(joint), float(alone[list(t)].sum()))
        for t, joint in zip(sets, lost, strict=True)
    ]


def _kind(size: int, joint: float, apart: float) -> Kind:
    """From the joint loss and the sum of the losses apart; for additive features they are equal.

    An AND of n loses its whole at each: apart = n joint. An OR loses nothing at any: apart = 0. Of
    a pair whose losses cancel it is the nearer of the two: apart - joint is its effect, and the
    joint loss of an AND is that effect, of an OR its opposite.
    """
    raises = joint >= 0.0
    if size == 1:
        return "alone" if raises else "lowers alone"
    if size == 2:
        # Only their ratio counts; products of numbers near 1e300 or 1e-300 would be inf or 0.
        unit = max(abs(joint), abs(apart)) or 1.0
        joint, apart = joint / unit, apart / unit
        effect = apart - joint
        needed = joint * effect >= -0.5 * effect * effect
        raises = effect >= 0.0 if needed else raises
    else:
        needed = apart >= joint if raises else apart <= joint
    if raises:
        return "both needed" if needed else "either is enough"
    return "lowers together" if needed else "either one lowers"


def pairs_of(n_features: int) -> IntArray:
    """Every pair of features, (n (n-1) / 2, 2)."""
    left, right = np.triu_indices(n_features, 1)
    return np.stack([left, right], axis=1).astype(np.int32)
