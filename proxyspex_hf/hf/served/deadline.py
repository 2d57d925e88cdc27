"""A moment by which a whole answer must be there.

The HTTP client's own limit begins anew with each piece that arrives, so that a server that sends a
byte of a header now and then would be waited for without end.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import monotonic
from typing import Any

#: The steps of the client after which there is a new connection.
_OPENED = (".connect_tcp.complete", ".start_tls.complete")


class Deadline:
    """The moment for the request of each thread; connections look at it whenever they read."""

    def __init__(self) -> None:
        self._own = threading.local()

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """What this thread reads inside must come within ``seconds``."""
        self._own.until = monotonic() + seconds
        try:
            yield
        finally:
            self._own.until = math.inf

    def left(self) -> float:
        """Seconds that are left.

        Raises:
            TimeoutError: none.
        """
        left: float = getattr(self._own, "until", math.inf) - monotonic()
        if left <= 0:
            raise TimeoutError("the deadline is over")
        return left

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """For the client, which tells here of each of its steps: bound a connection's reads."""
        if not event.endswith(_OPENED):
            return
        stream: Any = info["return_value"]
        read = stream.read

        def bounded(max_bytes: int, timeout: float | None = None) -> bytes:
            left = self.left()
            found: bytes = read(max_bytes, left if timeout is None else min(timeout, left))
            return found

        stream.read = bounded
