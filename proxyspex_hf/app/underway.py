"""Runs that are under way, apart from the pages that watch them: a reload loses none.

A run has a name that nobody can guess, and answers to the visitor who began it alone. It continues
while a page watches it, and for a grace time without one: then it stops, and its turn is free.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from anyio import to_thread

from proxyspex_hf.app.errors_in_words import in_words
from proxyspex_hf.app.folders import Folders
from proxyspex_hf.app.jobs import Found, Halted, Job, Step, explanation_of
from proxyspex_hf.app.kept import Kept
from proxyspex_hf.app.presence import Client, Presence
from proxyspex_hf.app.session import Session
from proxyspex_hf.app.turns import Busy, Turn, Turns
from proxyspex_hf.errors import InputError

#: Seconds between two looks at whether a place is free and a page still watches.
_PULSE = 0.5
#: Ended runs that can be resumed: of one visitor, of all, and for so many seconds, as long as
#: explanations are kept.
_OF_VISITOR, _OF_ALL, _SECONDS = 8, 200, 3600.0
_NAME = re.compile(r"[A-Za-z0-9_-]{22}")

#: A job and the directory of its answers -> steps, then its end.
Explain = Callable[[Job, Path], Iterator[Step | Found | Halted]]


@dataclass(frozen=True)
class Done:
    """The end of a run: the name under which its explanation is kept; ``unread`` as of a cost."""

    name: str
    unread: str = ""


@dataclass(eq=False)
class Run:
    """One run.

    Attributes:
        name: of its address; 128 random bits.
        client: whose it is.
        room: names the directory of its answers, and its turn.
        job: what is explained.
        before: what the page showed when it began.
        pages: that watch it.
        state: ``"new"`` until the first page watches.
        told: the last news.
    """

    name: str
    client: Client
    room: str
    job: Job
    before: Session
    pages: set[str]
    seen: float
    state: Literal["new", "going", "over"] = "new"
    told: Step | Halted | Done = field(default_factory=lambda: Step("waiting for a free place"))
    changed: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    def tell(self, news: Step | Halted | Done, *, over: bool = False) -> None:
        """Let all who watch know."""
        self.told = news
        if over:
            self.state = "over"
        self.changed.set()
        self.changed = asyncio.Event()


class Underway:
    """The runs of one app.

    Args:
        folders: where their answers lie.
        presence: which pages are there.
        turns: whose is made next.
        kept: where their explanations go.
        away: seconds for which a run continues while no page watches it.
        clock: seconds.
    """

    def __init__(
        self,
        folders: Folders,
        presence: Presence,
        turns: Turns,
        kept: Kept,
        *,
        away: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folders, self._presence, self._turns, self._kept = folders, presence, turns, kept
        self._away, self._clock = away, clock
        self._lock = threading.RLock()
        self._runs: dict[str, Run] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, page: str, job: Job, before: Session) -> Run:
        """A new run for a page; it resumes with the answers of the page's former one.

        Raises:
            InputError: the page has one that is running.
        """
        client = self._presence.client(page)
        with self._lock:
            former = self.of(page)
            if former is not None and former.state == "going":
                raise InputError("this page has a run already: stop it, or wait for it.")
            room = page if former is None else former.room
            if any(run.room == room and run.state == "going" for run in self._runs.values()):
                room = secrets.token_urlsafe(16)  # another tab resumes with those answers
            if former is not None:
                former.pages.discard(page)
            self._sweep(client)
            name = secrets.token_urlsafe(16)
            run = self._runs[name] = Run(name, client, room, job, before, {page}, self._clock())
        self._folders.go(room)
        return run

    def find(self, name: object, page: str) -> Run:
        """The run of an address, if it is of the visitor whose page asks.

        Raises:
            InputError: it is not, or there is none of this name.
        """
        visitor = self._presence.client(page).visitor
        with self._lock:
            known = isinstance(name, str) and _NAME.fullmatch(name) is not None
            run = self._runs.get(str(name)) if known else None
            if run is not None and run.client.visitor == visitor:
                return run
        raise InputError(
            "the run of this address is over and forgotten, or was begun in another browser: "
            "explain the input again."
        )

    def attach(self, name: object, page: str) -> Run:
        """A page watches a run from now on; errors as :meth:`find`."""
        with self._lock:
            run, former = self.find(name, page), self.of(page)
            if former is not None:
                former.pages.discard(page)
            run.pages.add(page)
            run.seen = self._clock()
            return run

    def of(self, page: str | None) -> Run | None:
        """The last run that a page began or watched."""
        with self._lock:
            return next((r for r in reversed(self._runs.values()) if page in r.pages), None)

    def goes_on(self, page: str | None) -> bool:
        """Whether a run of a page is running."""
        run = self.of(page)
        return run is not None and run.state == "going"

    def stop(self, page: str | None) -> None:
        """Stop a page's run before its next batch, or give its place in the queue back."""
        run = self.of(page)
        if run is not None:
            self._stop(run)

    async def watch(self, run: Run, explain: Explain) -> AsyncIterator[Step | Halted | Done]:
        """The news of a run, from the last to its end; the first who watches sets it going."""
        if run.state == "new":
            run.state = "going"
            # With the context of whoever asked: a ZeroGPU Space counts by it.
            task = asyncio.create_task(self._go(run, explain))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        last: object = None
        while True:
            changed, over, told = run.changed, run.state == "over", run.told
            if told is not last:
                yield told
            last = told
            if over:
                return
            await changed.wait()

    async def close(self) -> None:
        """End all that is running."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _stop(self, run: Run) -> None:
        self._folders.stop(run.room)
        if self._turns.is_waiting(run.room):
            self._turns.leave(run.room, "Stopped.")

    async def _go(self, run: Run, explain: Explain) -> None:
        """From the wait for a place to the end."""
        end: Halted | Done = Halted("Stopped.")
        guard = asyncio.create_task(self._guard(run))
        try:
            turn = self._turns.ask(run.client, run.room)
            await self._waited(run, turn)
            if turn.state == "over":  # it was stopped, left alone, or sent away
                end = Halted(turn.reason or "Stopped.")
                return
            with self._folders.running(run.room) as folder:
                async for now in _in_threads(explain(run.job, folder)):
                    if isinstance(now, Step):
                        run.tell(now)
                    else:
                        end = await to_thread.run_sync(self._ended, now)
        except Busy as busy:
            end = Halted(in_words(busy), failed=True)
        except Exception as problem:  # noqa: BLE001 - whatever it is, the page says it in words
            end = Halted(in_words(problem), failed=True)
        finally:
            guard.cancel()
            self._turns.leave(run.room)
            run.tell(end, over=True)

    async def _waited(self, run: Run, turn: Turn) -> None:
        while turn.state == "waiting":
            text = self._turns.said(turn)
            if not isinstance(run.told, Step) or run.told.phase != text:
                run.tell(Step(text))
            await asyncio.sleep(_PULSE)

    async def _guard(self, run: Run) -> None:
        """Stop a run that no page watches any more."""
        watched = True
        while True:
            await asyncio.sleep(_PULSE)
            before, watched = watched, any(map(self._presence.listens, list(run.pages)))
            if watched or before:  # the first look without a page begins the time to come back
                run.seen = self._clock()
            elif self._clock() - run.seen > self._away:
                self._stop(run)

    def _ended(self, end: Found | Halted) -> Halted | Done:
        if isinstance(end, Halted):
            return end
        return Done(self._kept.put(explanation_of(end.text)), end.unread)

    def _sweep(self, client: Client) -> None:
        """Forget what ended long ago, and what is too much."""
        now = self._clock()
        idle = [run for run in self._runs.values() if run.state != "going"]
        own = [run for run in idle if run.client.visitor == client.visitor]
        over = [*own[: max(0, len(own) - _OF_VISITOR)], *idle[: max(0, len(idle) - _OF_ALL)]]
        over += [run for run in idle if now - run.seen > _SECONDS]
        for run in over:
            self._runs.pop(run.name, None)


async def _in_threads(steps: Iterator[Step | Found | Halted]) -> AsyncIterator[Any]:
    """The steps of a run, each waited for in a thread."""
    done = object()
    try:
        while True:
            now = await to_thread.run_sync(next, steps, done, abandon_on_cancel=True)
            if now is done:
                return
            yield now
    finally:
        close = getattr(steps, "close", None)
        if close is not None:
            with suppress(ValueError):  # a thread is at it still, and will be the last to hold it
                close()
