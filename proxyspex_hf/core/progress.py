"""Progress of long work, as data: a phase, a count, and what is left.

A callback may raise to cancel: the exception reaches the caller, and every value that was already
computed stays in the value function's cache.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Progress", "ProgressCallback", "Reporter"]


@dataclass(frozen=True)
class Progress:
    """Where a phase stands. ``eta`` is in seconds, None until something is done."""

    phase: str
    done: int
    total: int
    elapsed: float

    @property
    def eta(self) -> float | None:
        if self.done == 0:
            return None
        return self.elapsed / self.done * (self.total - self.done)


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
