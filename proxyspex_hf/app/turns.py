"""Whose turn it is to be explained: fair among people, whatever one of them asks for.

Addresses take turns, at each the visitors from there, of each their pages, first come first served.
Who asks for much waits behind themselves. Where all places are taken, whoever holds most of them
gives the last one up to somebody who holds less.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field

from proxyspex_hf.app.errors_in_words import seconds_text
from proxyspex_hf.app.presence import Client
from proxyspex_hf.errors import ProxySpexError

#: Runs by which the next ones' time is estimated.
_REMEMBERED = 20


class Busy(ProxySpexError):  # noqa: N818 - nothing went wrong
    """No place is free; the message says what to do, and for how long."""


@dataclass(eq=False)
class Turn:
    """One page's place.

    Attributes:
        page, client: whose.
        state: ``"waiting"``, ``"running"``, or ``"over"``.
        reason: why it was over before it ran, in words; empty where the page left by itself.
    """

    page: str
    client: Client
    state: str = "waiting"
    reason: str = ""
    began: float = 0.0


#: Pages that wait: of each address, of each of its visitors.
_Ring = OrderedDict[str, OrderedDict[str, deque[str]]]


@dataclass(frozen=True)
class Turns:
    """The places of one app, to run and to wait.

    Attributes:
        places: runs at a time.
        waiting: places to wait.
        each: places of one visitor, running or waiting.
        each_runs: runs at a time of one visitor.
        near: places of one address, but for this machine's own.
        clock: seconds.
    """

    places: int = 2
    waiting: int = 100
    each: int = 4
    each_runs: int = 1
    near: int = 24
    clock: Callable[[], float] = time.monotonic
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    _turns: dict[str, Turn] = field(default_factory=dict, repr=False)
    _ring: _Ring = field(default_factory=OrderedDict, repr=False)
    _took: deque[float] = field(default_factory=lambda: deque(maxlen=_REMEMBERED), repr=False)

    def ask(self, client: Client, page: str) -> Turn:
        """A place for a page.

        Raises:
            Busy: it has one, its client has too many, or there is none left.
        """
        with self._lock:
            self._check(client, page)
            turn = self._turns[page] = Turn(page, client)
            visitors = self._ring.setdefault(client.address, OrderedDict())
            visitors.setdefault(client.visitor, deque()).append(page)
            self._go_on()
            return turn

    def leave(self, page: str | None, reason: str = "") -> None:
        """A page's run is over, or it waits no more; its place is free at once."""
        with self._lock:
            turn = self._turns.pop(page or "", None)
            if turn is None:
                return
            if turn.state == "running":
                self._took.append(self.clock() - turn.began)
            else:
                _remove(self._ring, turn)
            turn.state, turn.reason = "over", reason
            self._go_on()

    def is_waiting(self, page: str | None) -> bool:
        """Whether a page has a turn that has not come."""
        with self._lock:
            turn = self._turns.get(page or "")
            return turn is not None and turn.state == "waiting"

    def place(self, turn: Turn) -> int:
        """How many will have run when a waiting turn has: 1 for the next; 0 for one that runs."""
        with self._lock:
            if turn.state != "waiting":
                return 0
            order = _in_order(deepcopy(self._ring))
            return next(place for place, page in enumerate(order, 1) if page == turn.page)

    def said(self, turn: Turn) -> str:
        """Where a waiting turn stands, in words."""
        with self._lock:
            place, waiting = self.place(turn), len(self._waiting())
            return f"waiting for a free place: {place} of {waiting}{self._estimate(place)}"

    @property
    def counts(self) -> tuple[int, int]:
        """How many run, and how many wait."""
        with self._lock:
            return len(self._turns) - len(self._waiting()), len(self._waiting())

    def _waiting(self) -> list[Turn]:
        return [turn for turn in self._turns.values() if turn.state == "waiting"]

    def _estimate(self, place: int) -> str:
        if not self._took:
            return ""
        rounds = -(-place // self.places)
        mean = sum(self._took) / len(self._took)
        return f", {seconds_text(rounds * mean)}"

    def _check(self, client: Client, page: str) -> None:
        """Make room for one more.

        Raises:
            Busy: there is none.
        """
        if page in self._turns:
            raise Busy("this page has a run already: stop it, or wait for it.")
        own = sum(turn.client.visitor == client.visitor for turn in self._turns.values())
        if own >= self.each:
            raise Busy(
                f"you have {own} runs that go on or wait, in other tabs: wait for one of them, or "
                "stop one."
            )
        near = sum(turn.client.address == client.address != "" for turn in self._turns.values())
        if near >= self.near:
            raise Busy(
                f"{near} runs go on or wait for people at your address: try again when one of "
                "them has ended."
            )
        waiting = self._waiting()
        if len(waiting) < self.waiting:
            return
        loser = self._loser(client, waiting)
        if loser is None:
            place = len(waiting) + 1
            raise Busy(
                f"all {self.waiting} places to wait are taken: yours would be number "
                f"{place}{self._estimate(place)}. Try again in a minute: Continue asks for the "
                "same."
            )
        self.leave(
            loser.page,
            "All places to wait were taken, and this one went to somebody who had none. Continue "
            "asks for the same.",
        )

    def _loser(self, client: Client, waiting: list[Turn]) -> Turn | None:
        """Who gives a place up to ``client``: the last of those who hold most, if that is more."""
        by_address = Counter(turn.client.address for turn in waiting)
        address, most = by_address.most_common(1)[0]
        if most <= by_address[client.address] + 1:
            address = client.address
        among = [turn for turn in waiting if turn.client.address == address]
        if not among:
            return None
        by_visitor = Counter(turn.client.visitor for turn in among)
        visitor, most = by_visitor.most_common(1)[0]
        if address == client.address and most <= by_visitor[client.visitor] + 1:
            return None
        return [turn for turn in among if turn.client.visitor == visitor][-1]

    def _go_on(self) -> None:
        """Let as many run as there are places for."""
        running = [turn for turn in self._turns.values() if turn.state == "running"]
        held = Counter(turn.client.visitor for turn in running)
        free = self.places - len(running)
        while free > 0:
            page = _next(self._ring, lambda visitor: held[visitor] < self.each_runs)
            if page is None:
                return
            turn = self._turns[page]
            turn.state, turn.began = "running", self.clock()
            held[turn.client.visitor] += 1
            free -= 1


def _next(ring: _Ring, may_run: Callable[[str], bool]) -> str | None:
    """Take the next page from the ring; who was served goes to its end."""
    for address, visitors in ring.items():
        for visitor, pages in visitors.items():
            if not may_run(visitor):
                continue
            page = pages.popleft()
            visitors.move_to_end(visitor)
            ring.move_to_end(address)
            if not pages:
                del visitors[visitor]
            if not visitors:
                del ring[address]
            return page
    return None


def _in_order(ring: _Ring) -> Iterator[str]:
    """The waiting pages in the order of their turns; empties the ring."""
    while (page := _next(ring, lambda _: True)) is not None:
        yield page


def _remove(ring: _Ring, turn: Turn) -> None:
    visitors = ring[turn.client.address]
    pages = visitors[turn.client.visitor]
    pages.remove(turn.page)
    if not pages:
        del visitors[turn.client.visitor]
    if not visitors:
        del ring[turn.client.address]
