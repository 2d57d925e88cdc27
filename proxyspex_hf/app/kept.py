"""Explanations made on a page, kept for a while under names that nobody can guess: reload, Back."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from proxyspex_hf.errors import InputError
from proxyspex_hf.explanation import InteractionExplanation

#: Explanations are of a few megabytes at most; a page's own state is kept no longer either.
_MOST, _SECONDS = 100, 3600.0


class Kept:
    """A bounded shelf; the one that was made first goes first.

    Args:
        clock: seconds, for tests.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._shelf: OrderedDict[str, tuple[float, InteractionExplanation]] = OrderedDict()

    def put(self, explanation: InteractionExplanation) -> str:
        """Keep it; gives its name, 128 random bits as text."""
        name = secrets.token_urlsafe(16)
        with self._lock:
            self._shelf[name] = (self._clock(), explanation)
            while len(self._shelf) > _MOST:
                self._shelf.popitem(last=False)
        return name

    def get(self, name: str) -> InteractionExplanation:
        """What is kept under a name.

        Raises:
            InputError: nothing, or not any more.
        """
        with self._lock:
            made, found = self._shelf.get(name, (0.0, None))
            if found is not None and self._clock() - made <= _SECONDS:
                return found
            self._shelf.pop(name, None)
        raise InputError(
            "the explanation of this address is no longer kept: explain the input again, or push "
            "what is worth keeping to the Hub."
        )
