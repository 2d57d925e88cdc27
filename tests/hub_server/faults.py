"""What can be made to go wrong, and how often."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Fault", "Faults"]

#: status: answer with an error; cut: hang up in the middle of the request's body; lost: do as
#: asked, then hang up without an answer; truncate: hang up in the middle of the answer; short:
#: give half of the answer and call it whole.
Action = Literal["status", "cut", "lost", "truncate", "short", "call"]


@dataclass
class Fault:
    """One thing that goes wrong ``times`` times for requests that match.

    Attributes:
        method, path: a regular expression each; ``path`` is searched for in the whole target.
        status, headers, message: of the answer, for the action ``status``.
        call: run before the request is handled, for the action ``call``.
    """

    method: str
    path: str
    action: Action = "status"
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    message: str = "this was ordered"
    times: int = 1
    call: Callable[[], None] | None = None
    seen: int = 0

    def matches(self, method: str, path: str) -> bool:
        return bool(re.fullmatch(self.method, method) and re.search(self.path, path))


class Faults:
    """The faults that are still to happen."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        with self._lock:
            self._waiting.append(fault)
        return fault

    def clear(self) -> None:
        with self._lock:
            self._waiting.clear()

    def next(self, method: str, path: str) -> Fault | None:
        """The first fault for this request, which is used up once more."""
        with self._lock:
            for fault in self._waiting:
                if fault.matches(method, path) and fault.seen < fault.times:
                    fault.seen += 1
                    return fault
        return None
