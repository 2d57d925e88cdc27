"""Progress of long work, as data: a phase, a count, and what is left.

A callback may raise to cancel: the exception reaches the caller, and every value that was already
computed stays in the value function's cache.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """Where a phase stands. ``eta`` is in seconds, None until something is done.

    Attributes:
        done, total: of the whole phase, what was done before it was resumed included.
        elapsed: seconds since it was begun or resumed.
        before: how many of ``done`` an earlier run did.

    Example:
        >>> Progress("asking", done=50, total=100, elapsed=2.0).eta
        2.0
    """

    phase: str
    done: int
    total: int
    elapsed: float
    before: int = 0

    @property
    def eta(self) -> float | None:
        """Seconds left at the present pace; None until something is done."""
        now = self.done - self.before
        return None if now <= 0 else self.elapsed / now * (self.total - self.done)


ProgressCallback = Callable[[Progress], None]


class Reporter:
    """Counts one phase and tells the callback, if there is one."""

    def __init__(self, callback: ProgressCallback | None, phase: str, total: int) -> None:
        self._callback = callback
        self._phase = phase
        self._total = total
        self._done = 0
        self._start = time.monotonic()
        self.advance(0)

    def advance(self, count: int = 1) -> None:
        self._done += count
        self._tell()

    def finish(self) -> None:
        """Close the phase early: work that turned out not to be needed counts as done."""
        if self._done < self._total:
            self._done = self._total
            self._tell()

    def _tell(self) -> None:
        if self._callback is not None:
            elapsed = time.monotonic() - self._start
            self._callback(Progress(self._phase, self._done, self._total, elapsed))


class Rounds:
    """Several rounds of one phase, told to a callback as one.

    Args:
        total: of all rounds, as far as that is known beforehand.
    """

    def __init__(self, callback: ProgressCallback | None, total: int) -> None:
        self._callback, self._total = callback, total
        self._asked = self._before = 0
        self._start = time.monotonic()

    def of(self, count: int) -> ProgressCallback | None:
        """The callback of the next round, of ``count`` things; what it does not count is known."""
        callback = self._callback
        if callback is None:
            return None
        base, before = self._asked, self._before
        self._asked += count

        def tell(step: Progress) -> None:
            known = max(0, count - step.total)
            self._before = before + known
            done = base + known + step.done
            total = max(self._total, base + count)
            elapsed = time.monotonic() - self._start
            callback(Progress(step.phase, done, total, elapsed, self._before))

        return tell
