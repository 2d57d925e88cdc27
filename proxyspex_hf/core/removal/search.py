"""Local search over removed sets: the starting point, the fallback and the tie-break of removal.

It proves nothing. It gives the integer program an incumbent at once, so that a time limit never
leaves the caller without an answer, and it picks one of several optima by a rule of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from proxyspex_hf.checks import BoolArray, FloatArray
from proxyspex_hf.core.sets import pack_support

#: Changes of the objective below this share of sum |gain| count as none.
_TIE = 1e-12

#: Above this many pairs of features within sets, swaps are not searched.
_MAX_PAIRS = 2**22


class Search:
    """Moves over z (u,) bool, 1 = removed, for the value sum_T gain_T (-1)^|T ∩ removed|.

    Args:
        sets: the sets T, as tuples of positions 0 to ``n_used`` - 1.
        gains: (k,) their gains. A constant (∅) is left out of every value.
        n_used: u.
    """

    def __init__(self, sets: Sequence[tuple[int, ...]], gains: FloatArray, n_used: int) -> None:
        filled = [r for r, members in enumerate(sets) if members]
        self._n = n_used
        self._gains = np.asarray(gains, dtype=np.float64)[filled]
        # The padding index -1 reads the extra last entry of a state, which is always 0.
        self._members = pack_support(sets[r] for r in filled)
        self._tolerance = _TIE * float(np.abs(self._gains).sum())
        present = self._members >= 0
        self._term = np.repeat(np.arange(len(filled)), present.sum(axis=1))
        self._feature = self._members[present].astype(np.int64)
        pairs = int((present.sum(axis=1) ** 2).sum())
        self._swaps = pairs <= _MAX_PAIRS and n_used**2 <= _MAX_PAIRS
        if self._swaps:
            width = self._members.shape[1]
            both = (present[:, :, None] & present[:, None, :]).reshape(len(filled), width * width)
            flat = self._members[:, :, None].astype(np.int64) * n_used + self._members[:, None, :]
            self._pair = flat.reshape(len(filled), width * width)[both]
            self._pair_term = np.repeat(np.arange(len(filled)), both.sum(axis=1))

    def value(self, removed: BoolArray) -> float:
        """The value of one removed set."""
        return float(self._signed(removed).sum())

    def greedy(self, fewest: int, most: int) -> BoolArray:
        """Removes the best feature next, at least ``fewest`` and then while it helps."""
        removed = np.zeros(self._n, np.bool_)
        for count in range(most):
            change = np.where(removed, -np.inf, self._changes(self._signed(removed)))
            best = int(change.argmax())
            if count >= fewest and change[best] <= self._tolerance:
                break
            removed[best] = True
        return removed

    def climb(self, removed: BoolArray, fewest: int, most: int) -> BoolArray:
        """Steepest ascent by one toggle or one swap; the number removed stays within bounds."""
        removed = removed.copy()
        for _ in range(10 * self._n + 10):
            signed, count = self._signed(removed), int(removed.sum())
            change = self._changes(signed)
            allowed = np.where(removed, count > fewest, count < most)
            toggles = np.where(allowed, change, -np.inf)
            best, swap = float(toggles.max(initial=-np.inf)), None
            if self._swaps and 0 < count < self._n:
                gains, taken, kept = self._swap_changes(removed, signed, change)
                at = int(gains.argmax())
                if gains.flat[at] > best:
                    best = float(gains.flat[at])
                    swap = [taken[at // len(kept)], kept[at % len(kept)]]
            if best <= self._tolerance:
                break
            step = [int(toggles.argmax())] if swap is None else swap
            removed[step] ^= True
        return removed

    def settle(self, removed: BoolArray) -> BoolArray:
        """Among sets of equal value one swap apart, the one with the lower features removed."""
        removed = removed.copy()
        for _ in range(10 * self._n if self._swaps else 0):
            if not 0 < removed.sum() < self._n:
                break
            signed = self._signed(removed)
            gains, taken, kept = self._swap_changes(removed, signed, self._changes(signed))
            equal = (gains >= -self._tolerance) & (kept[None, :] < taken[:, None])
            if not equal.any():
                break
            # The lowest feature that can come in, for the highest that can go.
            enters = int(equal.any(axis=0).argmax())
            leaves = int(np.flatnonzero(equal[:, enters])[-1])
            removed[[taken[leaves], kept[enters]]] ^= True
        return removed

    def _signed(self, removed: BoolArray) -> FloatArray:
        """gain_T (-1)^|T ∩ removed| of each term."""
        odd = np.append(removed, False)[self._members].sum(axis=1) % 2
        return np.where(odd, -self._gains, self._gains)

    def _changes(self, signed: FloatArray) -> FloatArray:
        """What toggling each feature adds, (u,): it turns the sign of every term that holds it."""
        return np.asarray(-2.0 * np.bincount(self._feature, signed[self._term], self._n))

    def _swap_changes(
        self, removed: BoolArray, signed: FloatArray, change: FloatArray
    ) -> tuple[FloatArray, NDArray[np.intp], NDArray[np.intp]]:
        """What swapping adds, (removed, kept): a term that holds both features stays as it is."""
        taken, kept = np.flatnonzero(removed), np.flatnonzero(~removed)
        shared = np.bincount(self._pair, signed[self._pair_term], self._n**2)
        shared = shared.reshape(self._n, self._n)[np.ix_(taken, kept)]
        return change[taken][:, None] + change[kept] + 4.0 * shared, taken, kept
