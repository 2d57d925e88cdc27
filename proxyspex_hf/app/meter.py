"""How fast one client may ask: a bucket that fills by the second."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

#: Clients that are remembered before those with a full bucket are forgotten.
_MANY = 5000


@dataclass
class _Bucket:
    left: float
    at: float


class Meter:
    """A bucket for each client.

    Args:
        burst: requests at once.
        rate: requests a second, on and on.
        clock: seconds.
    """

    def __init__(
        self, burst: float, rate: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._burst, self._rate, self._clock = burst, rate, clock
        self._lock = threading.Lock()
        self._buckets: dict[str, _Bucket] = {}

    def take(self, who: str) -> bool:
        """One request more; False where it is too many."""
        now = self._clock()
        with self._lock:
            if len(self._buckets) > _MANY:
                full = [
                    name
                    for name, bucket in self._buckets.items()
                    if bucket.left + (now - bucket.at) * self._rate >= self._burst
                ]
                for name in full:
                    del self._buckets[name]
            bucket = self._buckets.setdefault(who, _Bucket(self._burst, now))
            bucket.left = min(self._burst, bucket.left + (now - bucket.at) * self._rate)
            bucket.at = now
            if bucket.left < 1:
                return False
            bucket.left -= 1
            return True
