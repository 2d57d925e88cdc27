"""The integer program behind removal: which features to take away to push f̂ one way (A.3).

Variables are z_i = 1 where feature i is *removed*; only they are binary. The paper writes every
set of the downward closure as a product y_R, with y_R <= y_Q and sum y_i <= |R| + y_R - 1. That is
exact, but its linear relaxation is weak: with 200 coefficients HiGHS is often at a gap of 100%
after a minute. Here the relaxation is the convex hull *per set* instead, which the solver mostly
closes at the root:

- a support set S with further coefficients inside it carries a product y_T for each T ⊆ S, and one
  row per assignment a of S: its indicator sum_{a ⊆ T ⊆ S} (-1)^{|T|-|a|} y_T is not negative.
  These 2^|S| rows imply the paper's. With binary z they leave one indicator at 1: exact.
- a set alone needs no products, only its parity q = |T ∩ removed| mod 2, since
  chi_T = (-1)^|T| (1 - 2q). One side of the parity polytope suffices, by the sign of F(T).
- beyond :data:`_FACETS_UP_TO` members the parity is chained, q_j = q_{j-1} xor z_j, which is
  linear in |T| and as tight. So no order is too high, and no closure is built for it.

Up to 16 features, all subsets are looked at instead: where many coefficients share few features the
program's branches are more than they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, product
from typing import Any

import highspy
import numpy as np

from proxyspex_hf.checks import BoolArray
from proxyspex_hf.core.masks import all_masks
from proxyspex_hf.core.removal.search import Search
from proxyspex_hf.core.sets import pack_support
from proxyspex_hf.core.spectrum import FourierSpectrum
from proxyspex_hf.errors import SolveError

#: Largest set that gets a hull (2^|S| rows, 3^|S| entries), and that gets parity facets.
_HULL_UP_TO = 6
_FACETS_UP_TO = 5

#: Features up to which every subset is looked at (65,536; cost).
_ENUMERATED = 16

#: The objective is scaled so that sum |F| is this: HiGHS' absolute tolerances become relative.
_SCALE = 1000.0

_INF = highspy.kHighsInf

_STATUS = {
    highspy.HighsModelStatus.kOptimal: "optimal",
    highspy.HighsModelStatus.kTimeLimit: "time_limit",
    highspy.HighsModelStatus.kInterrupt: "interrupted",
}

#: One thread: the same input gives the same output, and the programs are small. Tight tolerances
#: cost little, because the relaxation is mostly integral at the root.
_OPTIONS = {
    "output_flag": False,
    "threads": 1,
    "random_seed": 0,
    "mip_rel_gap": 0.0,
    "mip_feasibility_tolerance": 1e-9,
}

Members = tuple[int, ...]


@dataclass(frozen=True)
class ProgramResult:
    """Removed features among ``RemovalProgram.used`` (u,), a status, a bound on f̂, nodes."""

    removed: BoolArray
    status: str
    bound: float
    nodes: int


class RemovalProgram:
    """max (``sign`` +1) or min (-1) of f̂ over the removed subsets of the features of its support.

    Built once, solved for any number of removed features. The coefficient of ∅ is left out of
    every number: it changes nothing.

    Attributes:
        used: (u,) the features that some coefficient of order >= 1 holds, ascending. Others cannot
            change f̂ and are left out.
    """

    def __init__(self, spectrum: FourierSpectrum, sign: int) -> None:
        self.used = np.unique(spectrum.support[spectrum.support >= 0]).astype(np.int64)
        position = {int(feature): p for p, feature in enumerate(self.used)}
        sets = [tuple(position[i] for i in members) for members in spectrum.sets]
        # With respect to *removed* features chi_T carries the factor (-1)^|T|. The sign turns a
        # minimum into a maximum: from here on everything is maximised.
        gains = sign * np.where(spectrum.orders % 2, -1.0, 1.0) * spectrum.coefficients
        self._sign = sign
        self._nothing_removed = float(gains[1:].sum())
        self._total = float(np.abs(gains[1:]).sum())
        self._search = Search(sets, gains, len(self.used))
        # What is maximised, as a function of what is removed.
        self._function = FourierSpectrum.from_arrays(
            pack_support(sets[1:]), gains[1:], max(1, len(self.used))
        )
        # Columns: the features, then products (by their set), then parities.
        self._column: dict[Members, int] = {(p,): p for p in range(len(self.used))}
        self._parities: list[Members] = []
        self._cost = [0.0] * len(self.used)
        self._rows: list[tuple[list[int], list[float], float, float]] = []
        by_program = self._total > 0 and len(self.used) > _ENUMERATED
        self._solver = self._build(sets, gains.tolist()) if by_program else None

    def start(self, fewest: int, most: int) -> tuple[BoolArray, float]:
        """A good removed set (u,) by local search, and f̂ of it."""
        found = self._search.climb(self._search.greedy(fewest, most), fewest, most)
        return found, self._sign * self._search.value(found)

    def solve(
        self,
        fewest: int,
        most: int,
        *,
        start: BoolArray,
        time_limit: float = math.inf,
        cutoff: float | None = None,
    ) -> ProgramResult:
        """The best set of ``fewest`` to ``most`` removed features (0 <= fewest <= most <= u).

        Args:
            fewest: least number removed.
            most: largest number removed.
            start: (u,) an allowed set, as :meth:`start` gives it.
            time_limit: seconds.
            cutoff: stop once f̂ is proven not to get beyond this.

        Raises:
            SolveError: HiGHS ended in an unexpected way.
        """
        search, solver = self._search, self._solver
        if self._total == 0:
            return ProgramResult(start, "optimal", 0.0, 0)
        if solver is None:
            return self._best_of_all(fewest, most, start)
        solver.clearSolver()
        solver.changeRowBounds(0, float(fewest), float(most))
        solver.setSolution(self._complete(start))
        solver.setOptionValue("time_limit", max(time_limit, 0.0))

        def stop(event: Any) -> None:
            # Assigned each time: HiGHS keeps the flag from one run to the next.
            event.data_in.user_interrupt = cutoff is not None and (
                self._bound(event.data_out.mip_dual_bound) < self._sign * cutoff
            )

        solver.cbMipInterrupt += stop
        try:
            if solver.run() == highspy.HighsStatus.kError:
                # HiGHS has one thread pool per process and refuses one of another size: take it.
                solver.setOptionValue("threads", 0)
                solver.run()
        finally:
            solver.cbMipInterrupt -= stop
        status = _STATUS.get(solver.getModelStatus())
        if status is None:
            raise SolveError(
                f"HiGHS ended with {solver.modelStatusToString(solver.getModelStatus())!r} on a "
                "program that has solutions; expected an optimum or a limit."
            )
        found = start
        z = np.asarray(solver.getSolution().col_value)[: len(self.used)] > 0.5
        if len(z) and fewest <= z.sum() <= most and search.value(z) > search.value(found):
            found = search.climb(z, fewest, most)
        found = search.settle(found)
        info = solver.getInfo()
        bound = max(self._bound(info.mip_dual_bound), search.value(found))
        return ProgramResult(found, status, self._sign * bound, int(info.mip_node_count))

    def _best_of_all(self, fewest: int, most: int, start: BoolArray) -> ProgramResult:
        every = all_masks(len(self.used))
        sizes = every.sum(axis=1)
        allowed = every[(sizes >= fewest) & (sizes <= most)]
        values = self._function.evaluate(allowed)
        best, found = allowed[values.argmax()], start
        if self._search.value(best) > self._search.value(found):
            found = self._search.climb(best, fewest, most)
        found = self._search.settle(found)
        bound = max(float(values.max()), self._search.value(found))
        return ProgramResult(found, "optimal", self._sign * bound, 0)

    def _bound(self, dual: float) -> float:
        """What ``dual``, of the scaled minimisation, proves about sign * f̂; before any, the sum."""
        proven = self._nothing_removed - dual * self._total / _SCALE
        return min(proven, self._total)

    def _build(self, sets: list[Members], gains: list[float]) -> Any:
        """The columns, the rows, and HiGHS holding them."""
        self._rows.append((list(range(len(self.used))), [1.0] * len(self.used), 0.0, 0.0))
        known, covered, hulls = set(sets), set[Members](), list[Members]()
        for members in reversed(sets):  # largest first: a hull covers what lies inside it
            if 2 <= len(members) <= _HULL_UP_TO and members not in covered:
                below = [subset for subset in _subsets(members) if len(subset) > 1]
                if sum(subset in known for subset in below) > 1:  # one of them is the set itself
                    covered.update(below)
                    hulls.append(members)
        for key in sorted(covered, key=lambda members: (len(members), members)):
            self._column[key] = len(self._cost)
            self._cost.append(0.0)
        for members in hulls:
            columns = [self._column[subset] for subset in _subsets(members)[1:]]
            for entries, lower in _indicators(len(members)):
                picked = [(columns[t], sign) for t, sign in entries]
                self._rows.append(([c for c, _ in picked], [v for _, v in picked], lower, _INF))
        for members, gain in zip(sets, gains, strict=True):
            if len(members) == 1 or members in covered:
                # (-1)^|T ∩ removed| = sum over the subsets R of T of (-2)^|R| y_R.
                for subset in _subsets(members)[1:]:
                    self._cost[self._column[subset]] += (-2.0) ** len(subset) * gain
            elif members:
                self._add_parity(members, gain)
        return self._load()

    def _add_parity(self, members: Members, gain: float) -> None:
        """A parity column for a term without company, with the rows that its gain pulls against."""
        if len(members) <= _FACETS_UP_TO:
            parity = self._new_parity(members)
            for ones in product((0, 1), repeat=len(members)):
                # At an assignment of the other parity q is cut off from the wrong value.
                odd = sum(ones) % 2 == 1
                if odd == (gain > 0):
                    towards = [-1.0 if one else 1.0 for one in ones]
                    if odd:  # q >= 1 - distance from the assignment
                        row = (towards, 1.0 - sum(ones), _INF)
                    else:  # q <= distance from the assignment
                        row = ([-value for value in towards], -_INF, float(sum(ones)))
                    self._rows.append(([*members, parity], [*row[0], 1.0], row[1], row[2]))
        else:
            parity = members[0]
            for count in range(2, len(members) + 1):
                before, parity = parity, self._new_parity(members[:count])
                columns = [before, members[count - 1], parity]
                self._rows += [
                    (columns, [-1.0, -1.0, 1.0], -_INF, 0.0),
                    (columns, [-1.0, 1.0, 1.0], 0.0, _INF),
                    (columns, [1.0, -1.0, 1.0], 0.0, _INF),
                    (columns, [1.0, 1.0, 1.0], -_INF, 2.0),
                ]
        self._cost[parity] += -2.0 * gain

    def _new_parity(self, members: Members) -> int:
        self._parities.append(members)
        self._cost.append(0.0)
        return len(self._cost) - 1

    def _load(self) -> Any:
        lp = highspy.HighsLp()
        lp.num_col_, lp.num_row_ = len(self._cost), len(self._rows)
        lp.col_cost_ = np.array(self._cost) / self._total * -_SCALE
        lp.col_lower_, lp.col_upper_ = np.zeros(lp.num_col_), np.ones(lp.num_col_)
        lp.row_lower_ = np.array([row[2] for row in self._rows])
        lp.row_upper_ = np.array([row[3] for row in self._rows])
        lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        lp.a_matrix_.start_ = np.cumsum([0] + [len(row[0]) for row in self._rows])
        lp.a_matrix_.index_ = np.array([c for row in self._rows for c in row[0]], dtype=np.int32)
        lp.a_matrix_.value_ = np.array([v for row in self._rows for v in row[1]])
        binary, free = highspy.HighsVarType.kInteger, highspy.HighsVarType.kContinuous
        lp.integrality_ = [binary] * len(self.used) + [free] * (lp.num_col_ - len(self.used))
        solver: Any = highspy.Highs()
        for option, value in _OPTIONS.items():
            solver.setOptionValue(option, value)
        solver.passModel(lp)
        self._rows = []
        return solver

    def _complete(self, removed: BoolArray) -> highspy.HighsSolution:
        """Every column's value for one removed set."""
        # The padding index -1 reads the last entry: 1 for products, 0 for parities.
        products = np.append(removed, True)[pack_support(self._column)].all(axis=1)
        parities = np.append(removed, False)[pack_support(self._parities)].sum(axis=1) % 2
        solution = highspy.HighsSolution()
        solution.col_value = np.concatenate([products, parities]).astype(np.float64).tolist()
        return solution


def _subsets(members: Members) -> list[Members]:
    """Every subset, ∅ first; the positions of :func:`_indicators`."""
    return [subset for size in range(len(members) + 1) for subset in combinations(members, size)]


@lru_cache(maxsize=8)
def _indicators(size: int) -> list[tuple[list[tuple[int, float]], float]]:
    """The rows 1[assignment a] >= 0 over the non-empty subsets of ``size`` members.

    Each is a list of (position among the non-empty subsets, ±1) and a lower bound: the product
    over ∅ is the constant 1 and moves to the right-hand side.
    """
    subsets = [set(subset) for subset in _subsets(tuple(range(size)))]
    rows = []
    for inner in subsets:
        entries = [
            (t - 1, (-1.0) ** (len(outer) - len(inner)))
            for t, outer in enumerate(subsets)
            if inner <= outer and outer
        ]
        rows.append((entries, 0.0 if inner else -1.0))
    return rows
