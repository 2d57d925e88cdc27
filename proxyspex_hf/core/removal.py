"""Which features to take away: exact optimisation of f̂ over masks (paper, equation 4, A.3).

The answers are proven by HiGHS: status, bound and gap are data. Features that no coefficient holds
cannot change f̂; they stay, or fill a required number of removals lowest index first.
"""

from __future__ import annotations

import math
import operator
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from proxyspex_hf.checks import BoolArray
from proxyspex_hf.core.removal_program import RemovalProgram
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
        objective: what was optimised: |full - predicted| for ``move``, else ``predicted``.
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
    def change(self) -> float:
        """What the removal does to f̂: ``predicted - full``."""
        return self.predicted - self.full

    @property
    def gap(self) -> float:
        """|bound - objective|, in the units of f̂; 0 up to rounding when optimal."""
        return abs(self.bound - self.objective)


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
    return removal_curve(
        spectrum,
        [k],
        time_limit=time_limit,
        always_keep=always_keep,
        always_remove=always_remove,
    )[0]


def removal_curve(
    spectrum: FourierSpectrum,
    ks: Sequence[int],
    *,
    time_limit: float | None = None,
    always_keep: Iterable[int] = (),
    always_remove: Iterable[int] = (),
) -> tuple[RemovalSolution, ...]:
    """:func:`best_removal` for each of ``ks``; the two programs are built once (figure 8).

    ``time_limit`` is for each of ``ks``. Raises as :func:`best_removal`.
    """
    if not np.iterable(ks):
        raise InputError(f"ks must be a list of counts, got {ks!r}; for one, use best_removal.")
    for k in ks:
        _check_count(spectrum, "k", k)
    problem = _Problem(spectrum, always_keep, always_remove, time_limit)
    return tuple(problem.move(k) for k in ks)


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
        number = isinstance(time_limit, (int, float, np.integer, np.floating))
        if time_limit is not None and not (number and time_limit > 0):
            raise InputError(f"time_limit must be positive seconds or None, got {time_limit!r}.")
        self._time_limit = time_limit
        self._spectrum = spectrum
        self._gone = _features(spectrum, "always_remove", remove)
        stays = _features(spectrum, "always_keep", keep)
        if self._gone & stays:
            raise SolveError(
                f"features {sorted(self._gone & stays)} are in always_keep and in always_remove."
            )
        self._most = spectrum.n_features - len(stays)
        self._reduced = _fix(spectrum, stays, self._gone)
        held = set(np.unique(self._reduced.support).tolist())
        fixed = self._gone | stays | held
        self._idle = [i for i in range(spectrum.n_features) if i not in fixed]
        self._programs: dict[int, RemovalProgram] = {}
        self._full = float(spectrum.evaluate(np.ones(spectrum.n_features, np.bool_))[0])

    def move(self, k: int) -> RemovalSolution:
        """The removal of ``k`` features that moves f̂ most.

        The direction that looks worse comes first, in at most half of the time: it is given up once
        it is proven to fall short of what the other is known to reach, mostly at once.
        """
        began = time.perf_counter()
        limit = math.inf if self._time_limit is None else self._time_limit
        starts = {sign: self._start(sign, k, k) for sign in (-1, 1)}
        reach = {sign: sign * (value - self._full) for sign, (_, value) in starts.items()}
        better = 1 if reach[1] > reach[-1] else -1
        # Rounding must not decide between directions that are equally good.
        slack = 1e-12 * (1.0 + float(np.abs(self._spectrum.coefficients).sum()))
        found: dict[int, RemovalSolution] = {}
        for sign in (-better, better):
            left = limit / 2 if not found else limit - (time.perf_counter() - began)
            cutoff = self._full + sign * (reach[-sign] - slack)
            found[sign] = self._solve(
                sign, (k, k), start=starts[sign][0], time_limit=left, cutoff=cutoff
            )
            reach[sign] = sign * found[sign].change
        up, down = found[1], found[-1]
        best = up if up.change > -down.change + slack else down
        bound = max(up.bound - self._full, self._full - down.bound, abs(best.change))
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
        limit = math.inf if self._time_limit is None else self._time_limit
        left = limit - (time.perf_counter() - began)
        solution = self._solve(sign, (fewest, most), start=start, time_limit=left)
        return replace(solution, seconds=time.perf_counter() - began)

    def _start(self, sign: int, fewest: int, most: int) -> tuple[BoolArray, float]:
        if max(fewest, len(self._gone)) > min(most, self._most):
            raise SolveError(
                f"no mask removes {fewest} to {most} features: always_remove takes "
                f"{len(self._gone)} and always_keep leaves at most {self._most} to remove."
            )
        if sign not in self._programs:
            self._programs[sign] = RemovalProgram(self._reduced, sign)
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
    ) -> RemovalSolution:
        program = self._programs[sign]
        fewest, _ = sizes
        result = program.solve(
            *self._bounds(sign, *sizes), start=start, time_limit=time_limit, cutoff=cutoff
        )
        chosen = program.used[result.removed].tolist()
        filler = self._idle[: max(0, fewest - len(self._gone) - len(chosen))]
        removed = tuple(sorted([*self._gone, *chosen, *filler]))
        mask = np.ones(self._spectrum.n_features, np.bool_)
        mask[list(removed)] = False
        predicted = float(self._spectrum.evaluate(mask)[0])
        return RemovalSolution(
            goal="maximize" if sign > 0 else "minimize",
            n_features=self._spectrum.n_features,
            removed=removed,
            full=self._full,
            predicted=predicted,
            objective=predicted,
            # The bound comes from other sums than the prediction: rounding must not cross them.
            bound=sign * max(sign * result.bound, sign * predicted),
            status=result.status,
            nodes=result.nodes,
            seconds=0.0,
        )


def _fix(spectrum: FourierSpectrum, stays: set[int], gone: set[int]) -> FourierSpectrum:
    """f̂ with some features kept and some removed, as a function of the others."""
    fixed = np.zeros(spectrum.n_features + 1, np.bool_)  # the last entry is for the padding -1
    kept = fixed.copy()
    fixed[list(stays | gone)] = True
    kept[list(stays)] = True
    signs = np.where(kept[spectrum.support].sum(axis=1) % 2, -1.0, 1.0)
    # Padding must come last: sort with n in its place.
    padding = fixed[spectrum.support] | (spectrum.support < 0)
    rows = np.sort(np.where(padding, spectrum.n_features, spectrum.support), axis=1)
    rows[rows == spectrum.n_features] = -1
    return FourierSpectrum.from_arrays(rows, signs * spectrum.coefficients, spectrum.n_features)


def _features(spectrum: FourierSpectrum, name: str, features: Iterable[int]) -> set[int]:
    try:
        chosen = set(map(operator.index, features))
    except TypeError:
        raise InputError(f"{name} must hold feature indices, got {features!r:.80}.") from None
    unknown = sorted(i for i in chosen if not 0 <= i < spectrum.n_features)
    if unknown:
        raise InputError(f"{name} must hold 0 to {spectrum.n_features - 1}, got {unknown}.")
    return chosen


def _check_count(spectrum: FourierSpectrum, name: str, count: int) -> None:
    if isinstance(count, bool) or not isinstance(count, (int, np.integer)):
        raise InputError(f"{name} must be an integer, got {count!r}.")
    if not 0 <= count <= spectrum.n_features:
        raise InputError(f"{name} must lie in 0 to {spectrum.n_features}, got {count}.")


def _sizes(
    spectrum: FourierSpectrum, min_kept: int | None, max_kept: int | None, exactly: int | None
) -> tuple[int, int]:
    """The fewest and the most features to remove."""
    for name, count in (("min_kept", min_kept), ("max_kept", max_kept), ("exactly", exactly)):
        if count is not None:
            _check_count(spectrum, name, count)
    if exactly is not None:
        if min_kept is not None or max_kept is not None:
            raise InputError("exactly fixes the size: pass it without min_kept and max_kept.")
        min_kept = max_kept = exactly
    n = spectrum.n_features
    return n - (n if max_kept is None else max_kept), n - (0 if min_kept is None else min_kept)
