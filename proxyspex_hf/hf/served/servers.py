"""Several servers of one model: how many requests are in flight, who is asked, and for how long
it is tried again.

A request that fails goes to another server at once where there is one. Whatever has answered is
kept: a server that dies costs time, no answer.
"""

from __future__ import annotations

import copy
import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Generic, TypeVar

from proxyspex_hf.errors import ModelError
from proxyspex_hf.hf.served.line import Line, Lost

T = TypeVar("T")
_log = logging.getLogger(__name__)

#: Seconds before the second try of one server, doubled each time, and the longest: convention.
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 20.0
#: Answers between two looks at whether the same model still answers: 1.6% more requests. And
#: seconds, for slow servers: where a program is stopped, no more than came in these is lost.
_CONFIRM_EVERY, _CONFIRM_AFTER = 64, 20.0


@dataclass
class Tally:
    """What was asked so far.

    Attributes:
        requests: answered ones.
        retries: tries that were repeated.
    """

    requests: int = 0
    retries: int = 0


class _Stopped(Exception):  # noqa: N818 - nobody waits for this request any more
    pass


class Servers:
    """The servers of one model.

    Args:
        lines: one each.
        concurrency: requests in flight at most, on all of them together.
        patience: seconds for which a request, or all servers, may fail.

    Attributes:
        confirm: compares one server with what it was; raises a :class:`ModelError` where another
            model answers.
        tally: what was asked.
    """

    def __init__(self, lines: Sequence[Line], concurrency: int, patience: float) -> None:
        self.lines, self.concurrency, self.patience = tuple(lines), concurrency, patience
        self.confirm: Callable[[Line], None] | None = None
        self.tally = Tally()
        self._room = _Room(concurrency)
        self._lock = threading.Lock()
        self._failing_since: float | None = None
        self._last: Lost | None = None

    def begin(self) -> None:
        """Someone new asks: patience begins anew, and each server is tried at once."""
        with self._lock:
            self._failing_since = None
        for line in self.lines:
            with line.lock:
                line.failures, line.down_until = 0, 0.0

    def ask(self, call: Callable[[Line], T], stop: threading.Event | None = None) -> T:
        """What one of the servers answers.

        Raises:
            ModelError: it refused, or none answered until the patience was over.
        """
        stop = stop or threading.Event()
        first: float | None = None
        while True:
            line = self._free_line(stop)
            try:
                with self._asking(line):
                    if line.suspect:
                        self._confirmed(line)
                    found = call(line)
            except Lost as lost:
                now = time.monotonic()
                first = now if first is None else first
                self._failed(line, lost, first)
                continue
            with self._lock:
                self.tally.requests += 1
                self._failing_since = None
            with line.lock:
                line.failures, line.down_until = 0, 0.0
            return found

    def only(self, line: Line) -> Servers:
        """One of them alone, patiently, before it is known what to compare it with."""
        other = copy.copy(self)
        other.lines, other.confirm, other._failing_since = (line,), None, None
        return other

    def answers(
        self, calls: Sequence[Callable[[Line], T]], *, confirm: bool = True
    ) -> Iterator[list[tuple[int, T]]]:
        """Places among the calls and their answers, some at a time, as they come; with
        ``confirm``, only after the model was seen to be the same still.

        Where one fails, no further ones are sent, those in flight are waited for and given, and
        then the first failure is raised.

        Raises:
            ModelError: as :meth:`ask`, or another model answers.
        """
        crew = _Crew(self, calls)
        try:
            yield from crew.answers(confirm)
        finally:
            crew.stop.set()

    def confirmed(self, *, suspects: bool = False) -> int:
        """See that each server that answers still has the model that it had; with ``suspects`` also
        those that are compared anyway before they are asked again. Gives how many were compared.

        Raises:
            ModelError: another one, or it refuses what it once answered.
        """
        count = 0
        for line in self.lines:
            if time.monotonic() < line.down_until or (line.suspect and not suspects):
                continue
            try:
                with self._asking(line):
                    self._confirmed(line)
                count += 1
            except Lost as lost:
                with line.lock:
                    _mark(line, lost)
        return count

    def _confirmed(self, line: Line) -> None:
        with line.comparing:
            if self.confirm is not None:
                self.confirm(line)
            line.suspect = False

    @contextmanager
    def _asking(self, line: Line) -> Iterator[None]:
        with self._room:
            with line.lock:
                line.busy += 1
            try:
                yield
            finally:
                with line.lock:
                    line.busy -= 1

    def _free_line(self, stop: threading.Event) -> Line:
        """The least busy server of those that may be asked; waits for the first that may."""
        while True:
            if stop.is_set():
                raise _Stopped
            now = time.monotonic()
            free = [line for line in self.lines if line.down_until <= now]
            if free:
                return min(free, key=lambda line: line.busy)
            soonest = min(self.lines, key=lambda line: line.down_until)
            since = self._failing_since
            if since is not None and soonest.down_until - since > self.patience:
                # Others have waited for as long as there is patience.
                raise self._gone(soonest, self._last or Lost("it failed"), since)
            _sleep_until(soonest.down_until, stop)

    def _failed(self, line: Line, lost: Lost, first: float) -> None:
        """Note a failure.

        Raises:
            ModelError: there is no patience left.
        """
        now = time.monotonic()
        with line.lock:
            wait_for = _mark(line, lost)
        with self._lock:
            since = self._failing_since = self._failing_since or now
            self._last = lost
            self.tally.retries += 1
        _log.info("%s: %s; asked again in %.1f s", line.place, lost.why, wait_for)
        left = self.patience - (now - min(first, since))
        up = any(each is not line and each.down_until <= now for each in self.lines)
        if left > 0 and (up or wait_for <= left):
            return
        raise self._gone(line, lost, first) from lost

    def _gone(self, line: Line, lost: Lost, since: float) -> ModelError:
        asked = f" and asks to wait {lost.wait:g} s" if lost.wait else ""
        error = ModelError(
            f"{line.place} does not answer: {lost.why}{asked}, after "
            f"{time.monotonic() - since:.0f} s of trying (patience={self.patience:g}). What was "
            "answered is kept: ask again when the server is there, or give it more patience."
        )
        error.__cause__ = lost
        return error


class _Room:
    """Places that are given in the order in which they were asked for: who has just left one does
    not take it again before those who wait, as with a semaphore."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting: deque[threading.Event] = deque()
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        mine = threading.Event()
        try:
            with self._lock:
                if self._free:
                    self._free -= 1
                    return
                self._waiting.append(mine)
            mine.wait()
        except BaseException:  # a Ctrl-C
            with self._lock:
                if mine in self._waiting:
                    self._waiting.remove(mine)
            if mine.is_set():
                self._leave()
            raise

    def __exit__(self, *_: object) -> None:
        self._leave()

    def _leave(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._free += 1


class _Crew(Generic[T]):
    """Threads that share the calls of one round.

    They are daemons: a program that is stopped does not wait for what is in flight.
    """

    def __init__(self, servers: Servers, calls: Sequence[Callable[[Line], T]]) -> None:
        self.stop = threading.Event()
        self._servers = servers
        self._todo = deque(enumerate(calls))
        self._done: SimpleQueue[tuple[int, T | None, Exception | None]] = SimpleQueue()
        self._lock = threading.Lock()
        self._open = 0
        for _ in range(min(len(calls), servers.concurrency)):
            threading.Thread(target=self._work, name="served", daemon=True).start()

    def answers(self, confirm: bool) -> Iterator[list[tuple[int, T]]]:
        held: list[tuple[int, T]] = []
        failed: dict[int, Exception] = {}
        began = time.monotonic()
        while self._is_left():
            place, found, error = self._done.get()
            with self._lock:
                self._open -= 1
            if error is not None:
                failed[place] = error
                with self._lock:
                    self._todo.clear()
            else:
                held.append((place, found))  # type: ignore[arg-type]
            late = time.monotonic() - began > _CONFIRM_AFTER
            if held and (late or len(held) >= _CONFIRM_EVERY) and not failed:
                if confirm:
                    self._servers.confirmed()
                yield held
                held, began = [], time.monotonic()
        if held:
            if confirm:
                self._servers.confirmed()
            yield held
        if failed:
            raise failed[min(failed)]

    def _is_left(self) -> bool:
        with self._lock:
            return bool(self._open or self._todo)

    def _work(self) -> None:
        while not self.stop.is_set():
            with self._lock:
                if not self._todo:
                    return
                place, call = self._todo.popleft()
                self._open += 1
            try:
                self._done.put((place, self._servers.ask(call, self.stop), None))
            except _Stopped:
                return
            except Exception as error:  # noqa: BLE001 - raised again where the answers are taken
                self._done.put((place, None, error))


def _mark(line: Line, lost: Lost) -> float:
    """Let a server rest after a failure, with its lock held; gives the seconds."""
    now = time.monotonic()
    if lost.status != 429:  # a busy server is the same server
        line.suspect = True
    if now >= line.down_until:  # else it is one failure that all requests in flight have met
        line.failures += 1
        backed_off = min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** min(line.failures - 1, 10))
        # Spread out, so that clients that failed together do not come together.
        line.down_until = now + backed_off * random.uniform(0.7, 1.0)  # noqa: S311
    if lost.wait is not None:
        line.down_until = max(line.down_until, now + lost.wait)
    return line.down_until - now


def _sleep_until(moment: float, stop: threading.Event) -> None:
    while (left := moment - time.monotonic()) > 0:
        if stop.wait(min(left, 1.0)):
            raise _Stopped
