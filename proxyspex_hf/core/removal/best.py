"""Which features to take away: exact optimisation of f̂ over masks (paper, equation 4, A.3).

The answers are proven by HiGHS: status, bound and gap are data. Features that no coefficient holds
cannot change f̂; they stay, or fill a required number of removals lowest index first.

Everything is decided on what a removal *changes*. A constant, and what features that always stay
contribute, enter no sum and no tolerance: at a level of 1e12 they would hide every effect.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TypedDict

import numpy as np

from proxyspex_hf.checks import BoolArray, as_indices, as_integer, as_integers, as_positive
from proxyspex_hf.core.removal.program import RemovalProgram
from proxyspex_hf.core.spectrum import FourierSpectrum
from proxyspex_hf.errors import InputError, SolveError


@dataclass(frozen=True)
class RemovalSolution:
    """A removal set and what is proven about it.

    Attributes:
        goal: ``"move"`` (either direction), ``"maximize"`` or ``"minimize"``.
        n_features: n.
        removed: the features taken away, ascending.
        full: f̂([n]), with nothing removed.
        predicted: f̂ of the kept set, evaluated on the spectrum itself.
        change: what the removal does to f̂, ``predicted - full`` before rounding.
        objective: what was optimised: |change| for ``move``, else ``predicted``.
        bound: no allowed removal set has a better objective.
        status: ``"optimal"``; ``"time_limit"`` or ``"interrupted"`` with the best set found.
        nodes: branch-and-bound nodes.
        seconds: wall time; not compared by ``==``.
        interval: 90% interval of ``change``, where the explanation has one; not compared.
    """

    goal: str
    n_features: int
    removed: tuple[int, ...]
    full: float
    predicted: float
    change: float
    objective: float
    bound: float
    status: str
    nodes: int
    seconds: float = field(compare=False)
    interval: tuple[float, float] | None = field(default=None, compare=False)

    @property
    def kept(self) -> tuple[int, ...]:
        """The features that stay, ascending."""
        return tuple(sorted(set(range(self.n_features)) - set(self.removed)))

    @property
    def mask(self) -> BoolArray:
        """(n,) bool, 1 = kept."""
        mask = np.ones(self.n_features, np.bool_)
        mask[list(self.removed)] = False
        return mask

    @property
    def gap(self) -> float:
        """|bound - objective|, in the units of f̂; 0 up to rounding when optimal."""
        return abs(self.bound - self.objective)


class RemovalLimits(TypedDict, total=False):
    """What may limit a search for removal sets.

    Attributes:
        time_limit: seconds for the whole call; ``None`` for no limit.
        always_keep: features that must stay.
        always_remove: features that must go.
    """

    time_limit: float | None
    always_keep: Iterable[int]
    always_remove: Iterable[int]


class SizeLimits(RemovalLimits, total=False):
    """The same, and how many features may be kept."""

    min_kept: int | None
    max_kept: int | None
    exactly: int | None


def best_removal(
    spectrum: FourierSpectrum,
    k: int,
    *,
    time_limit: float | None = None,
    always_keep: Iterable[int] = (),
    always_remove: Iterable[int] = (),
) -> RemovalSolution:
    """The ``k`` features whose removal moves f̂ most from f̂([n]), up or down (equation 4).

    Two integer programs. When both directions move equally far the one that lowers f̂ is taken;
    among equal sets one swap apart, the one with the lower features. The same input gives the same
    output unless a time limit strikes.

    Args:
        spectrum: f̂.
        k: how many features to remove, those of ``always_remove`` among them.
        time_limit: seconds for the whole call; ``None`` for no limit.
        always_keep: features that must stay.
        always_remove: features that must go.

    Raises:
        InputError: ``k`` outside 0 to n, an unknown feature, a time limit that is not positive.
        SolveError: the constraints contradict each other.
    """
    k = as_integer("k", k, 0, spectrum.n_features)
    return _Problem(spectrum, always_keep, always_remove, time_limit).move(k)


def removal_curve(
    spectrum: FourierSpectrum,
    ks: Iterable[int],
    *,
    time_limit: float | None = None,
    always_keep: Iterable[int] = (),
    always_remove: Iterable[int] = (),
) -> tuple[RemovalSolution, ...]:
    """:func:`best_removal` for each of ``ks``; the two programs are built once (figure 8).

    ``time_limit`` is for each of ``ks``. Raises as :func:`best_removal`.
    """
    counts = as_integers("ks", ks, 0, spectrum.n_features)
    problem = _Problem(spectrum, always_keep, always_remove, time_limit)
    return tuple(problem.move(k) for k in counts)


def maximize(
    spectrum: FourierSpectrum,
    *,
    min_kept: int | None = None,
    max_kept: int | None = None,
    exactly: int | None = None,
    always_keep: Iterable[int] = (),
    always_remove: Iterable[int] = (),
    time_limit: float | None = None,
) -> RemovalSolution:
    """The kept set of largest f̂. ``exactly`` fixes its size, the other two bound it.

    Raises:
        InputError: a size outside 0 to n, ``exactly`` together with a bound, an unknown feature, a
            time limit that is not positive.
        SolveError: the constraints contradict each other.
    """
    sizes = _sizes(spectrum, min_kept, max_kept, exactly)
    return _Problem(spectrum, always_keep, always_remove, time_limit).extreme(1, *sizes)


def minimize(
    spectrum: FourierSpectrum,
    *,
    min_kept: int | None = None,
    max_kept: int | None = None,
    exactly: int | None = None,
    always_keep: Iterable[int] = (),
    always_remove: Iterable[int] = (),
    time_limit: float | None = None,
) -> RemovalSolution:
    """The kept set of smallest f̂; arguments and errors as for :func:`maximize`."""
    sizes = _sizes(spectrum, min_kept, max_kept, exactly)
    return _Problem(spectrum, always_keep, always_remove, time_limit).extreme(-1, *sizes)


class _Problem:
    """One spectrum with some features fixed, and its programs as they are needed."""

    def __init__(
        self,
        spectrum: FourierSpectrum,
        keep: Iterable[int],
        remove: Iterable[int],
        time_limit: float | None,
    ) -> None:
        if time_limit is not None and time_limit != math.inf:
            as_positive("time_limit", time_limit, advice="; seconds, or None for no limit")
        self._limit = math.inf if time_limit is None else float(time_limit)
        self._spectrum = spectrum
        self._gone = set(as_indices("always_remove", remove, spectrum.n_features))
        stays = set(as_indices("always_keep", keep, spectrum.n_features))
        if self._gone & stays:
            raise SolveError(
                f"features {sorted(self._gone & stays)} are in always_keep and in always_remove."
            )
        self._most = spectrum.n_features - len(stays)
        self._free = _fix(spectrum, stays, self._gone)
        held = set(np.unique(self._free.support).tolist())
        fixed = self._gone | stays | held
        self._idle = [i for i in range(spectrum.n_features) if i not in fixed]
        self._programs: dict[int, RemovalProgram] = {}
        whole = np.ones(spectrum.n_features, np.bool_)
        self._full = float(spectrum.evaluate(whole)[0])
        #: What a removal changes, less what the programs say of it.
        self._offset = self._change(self._gone) - float(self._free.evaluate(whole)[0])
        # Sums of the free terms round by far less than this; so does the change of what must go.
        self._slack = 1e-12 * float(np.abs(self._free.coefficients).sum())
        self._slack += 1e-15 * abs(self._offset)

    def move(self, k: int) -> RemovalSolution:
        """The removal of ``k`` features that moves f̂ most.

        The direction that looks worse comes first, in at most half of the time: it is given up once
        it is proven to fall short of what the other is known to reach, mostly at once.
        """
        began = time.perf_counter()
        limit, slack = self._limit, self._slack
        starts = {sign: self._start(sign, k, k) for sign in (-1, 1)}
        reach = {sign: sign * (value + self._offset) for sign, (_, value) in starts.items()}
        better = 1 if reach[1] > reach[-1] else -1
        found: dict[int, RemovalSolution] = {}
        bounds: dict[int, float] = {}
        for sign in (-better, better):
            left = limit / 2 if not found else limit - (time.perf_counter() - began)
            cutoff = sign * (reach[-sign] - slack) - self._offset
            found[sign], bounds[sign] = self._solve(
                sign, (k, k), start=starts[sign][0], time_limit=left, cutoff=cutoff
            )
            reach[sign] = sign * found[sign].change
        up, down = found[1], found[-1]
        # Rounding must not decide between directions that are equally good.
        best = up if up.change > -down.change + slack else down
        bound = max(bounds[1], -bounds[-1], abs(best.change))
        proven = bound <= abs(best.change) + 1e3 * slack
        unproven = [s.status for s in (found[better], found[-better]) if s.status != "optimal"]
        return replace(
            best,
            goal="move",
            objective=abs(best.change),
            bound=bound,
            status="optimal" if proven else (unproven or ["optimal"])[0],
            nodes=down.nodes + up.nodes,
            seconds=time.perf_counter() - began,
        )

    def extreme(self, sign: int, fewest: int, most: int) -> RemovalSolution:
        """Largest (+1) or smallest (-1) f̂ with ``fewest`` to ``most`` features removed."""
        began = time.perf_counter()
        start, _ = self._start(sign, fewest, most)
        left = self._limit - (time.perf_counter() - began)
        solution, _ = self._solve(sign, (fewest, most), start=start, time_limit=left)
        return replace(solution, seconds=time.perf_counter() - began)

    def _start(self, sign: int, fewest: int, most: int) -> tuple[BoolArray, float]:
        if max(fewest, len(self._gone)) > min(most, self._most):
            wanted = (
                f"{fewest} to {most} features" if fewest < most else f"{fewest} of the features"
            )
            if fewest > most:
                wanted = f"at least {fewest} and at most {most} features"
            raise SolveError(
                f"no mask removes {wanted}: always_remove takes "
                f"{len(self._gone)} and always_keep leaves at most {self._most} to remove."
            )
        if sign not in self._programs:
            self._programs[sign] = RemovalProgram(self._free, sign)
        return self._programs[sign].start(*self._bounds(sign, fewest, most))

    def _bounds(self, sign: int, fewest: int, most: int) -> tuple[int, int]:
        """How many features of the program to remove: idle ones make up the rest."""
        gone = len(self._gone)
        n_used = len(self._programs[sign].used)
        return max(0, fewest - gone - len(self._idle)), min(most - gone, n_used)

    def _solve(
        self,
        sign: int,
        sizes: tuple[int, int],
        *,
        start: BoolArray,
        time_limit: float,
        cutoff: float | None = None,
    ) -> tuple[RemovalSolution, float]:
        """The solution, and how far f̂ is proven to change at most."""
        program = self._programs[sign]
        fewest, _ = sizes
        result = program.solve(
            *self._bounds(sign, *sizes), start=start, time_limit=time_limit, cutoff=cutoff
        )
        chosen = program.used[result.removed].tolist()
        filler = self._idle[: max(0, fewest - len(self._gone) - len(chosen))]
        removed = tuple(sorted([*self._gone, *chosen, *filler]))
        change = self._change(removed)
        # The bound comes from other sums than the change: rounding must not cross them.
        furthest = sign * max(sign * (result.bound + self._offset), sign * change)
        mask = np.ones(self._spectrum.n_features, np.bool_)
        mask[list(removed)] = False
        predicted = float(self._spectrum.evaluate(mask)[0])
        solution = RemovalSolution(
            goal="maximize" if sign > 0 else "minimize",
            n_features=self._spectrum.n_features,
            removed=removed,
            full=self._full,
            predicted=predicted,
            change=change,
            objective=predicted,
            bound=sign * max(sign * (self._full + furthest), sign * predicted),
            status=result.status,
            nodes=result.nodes,
            seconds=0.0,
        )
        return solution, furthest

    def _change(self, removed: Iterable[int]) -> float:
        """f̂ without these features, less f̂ with all: the sum over terms that turn their sign."""
        spectrum = self._spectrum
        out = np.zeros(spectrum.n_features + 1, np.bool_)  # the last entry is for the padding -1
        out[list(removed)] = True
        turns = out[spectrum.support].sum(axis=1) % 2 == 1
        at_full = np.where(spectrum.orders % 2, -1.0, 1.0) * spectrum.coefficients
        return 0.0 - 2.0 * float(at_full[turns].sum())  # of nothing removed, no -0.0


def _fix(spectrum: FourierSpectrum, stays: set[int], gone: set[int]) -> FourierSpectrum:
    """f̂ with some features kept and some removed, as a function of the others, at level 0."""
    fixed = np.zeros(spectrum.n_features + 1, np.bool_)  # the last entry is for the padding -1
    kept = fixed.copy()
    fixed[list(stays | gone)] = True
    kept[list(stays)] = True
    signs = np.where(kept[spectrum.support].sum(axis=1) % 2, -1.0, 1.0)
    # Padding must come last: sort with n in its place.
    padding = fixed[spectrum.support] | (spectrum.support < 0)
    rows = np.sort(np.where(padding, spectrum.n_features, spectrum.support), axis=1)
    rows[rows == spectrum.n_features] = -1
    values = np.where((rows >= 0).any(axis=1), signs * spectrum.coefficients, 0.0)
    return FourierSpectrum.from_arrays(rows, values, spectrum.n_features)


def _sizes(
    spectrum: FourierSpectrum, min_kept: int | None, max_kept: int | None, exactly: int | None
) -> tuple[int, int]:
    """The fewest and the most features to remove."""
    for name, count in (("min_kept", min_kept), ("max_kept", max_kept), ("exactly", exactly)):
        if count is not None:
            as_integer(name, count, 0, spectrum.n_features)
    if exactly is not None:
        if min_kept is not None or max_kept is not None:
            raise InputError("exactly fixes the size: pass it without min_kept and max_kept.")
        min_kept = max_kept = exactly
    n = spectrum.n_features
    return n - (n if max_kept is None else max_kept), n - (0 if min_kept is None else min_kept)
