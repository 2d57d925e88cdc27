"""One client who wants all places, and clients who leave without saying so."""

from __future__ import annotations

import re
import time
from collections import Counter
from contextlib import ExitStack

from attacks.outcome import Attack, Outcome
from attacks.visitor import Visitor, an_app, form
from proxyspex_hf.app import Limits

__all__ = ["ATTACKS"]

#: Seconds that runs go on without a page, here: long enough to be told from none.
AWAY = 2.0
#: Long enough for many seconds of model calls.
LONG_TEXT = " ".join(f"word{i}" for i in range(150))


def _start(visitor: Visitor, text: str = LONG_TEXT, seed: int = 0) -> int:
    """Press Explain; the status of the join."""
    begun = visitor.ask("begin", None, *form(text, seed))
    return visitor.ask("explain").status_code if begun.status_code == 200 else 0


def _news(visitor: Visitor, wanted: str, seconds: float) -> str:
    """What the page hears until ``wanted`` is in it; the last thing where it never is."""
    end, last = time.monotonic() + seconds, ""
    for message in visitor.listen(seconds):
        last = str(message.get("output", ""))
        if wanted in last or time.monotonic() > end:
            return last
    return last


def one_client(long: bool) -> Outcome:
    pages = 130 if long else 16
    with an_app() as app:
        greedy = Visitor.with_pass(app)
        joined = Counter(_start(greedy.another_page(), seed=i) for i in range(pages))
        time.sleep(1)
        running, waiting = app.house.turns.counts
        second = Visitor.with_pass(app)
        with second.open():
            start = time.monotonic()
            status = _start(second, "not a bad film")
            said = _news(second, "Done.", 15)
            took = time.monotonic() - start
            looked = second.ask("look", "", "explanations", "").status_code
            hub = "No data set is named" in second.answer()
    held = running + waiting <= 4 and status == looked == 200 and hub and "Done." in said
    return Outcome(
        "one client takes all places",
        f"{pages} pages of one browser ask for runs of 150 words without reading any answer",
        held,
        f"joins by status {dict(joined)}; it held {running} running and {waiting} waiting; a "
        f"second person had theirs after {took:.1f} s, and the Hub tab answered {looked}",
    )


def many_browsers(long: bool) -> Outcome:
    """One client who opens the page anew for each run: nobody can tell it from many."""
    number = 130 if long else 8
    with an_app(limits=Limits(away=AWAY)) as app, ExitStack() as open_pages:
        for i in range(number):
            visitor = Visitor.with_pass(app)
            open_pages.enter_context(visitor.open())
            _start(visitor, seed=i)
        time.sleep(1)
        running, waiting = app.house.turns.counts
        second = Visitor.with_pass(app)
        open_pages.enter_context(second.open())
        status = _start(second, "not a bad film")
        said = _news(second, " of " if number < 102 else "places to wait", 8)
        looked = second.ask("look", "", "explanations", "").status_code
        hub = "No data set is named" in second.answer()
        open_pages.close()
        start = time.monotonic()
        while app.house.turns.counts != (0, 0) and time.monotonic() - start < 20:
            time.sleep(0.05)
        freed = time.monotonic() - start
    place = re.search(r"(place: |yours would be number )(\d+)", said)
    told = place is not None and 0 < int(place[2]) <= waiting + 1
    return Outcome(
        "many browsers of one client",
        f"{number} passes, each for a run of 150 words",
        told and status == 200 and hub and running == 2 and waiting <= 100 and freed < 20,
        f"{running} ran, {waiting} waited; the next was told {place and place[0]!r}, and the Hub "
        f"tab answered {looked}; all places were free {freed:.1f} s after the pages closed, "
        f"of which {AWAY:g} s are for a reload",
    )


def gone_without_a_word(long: bool) -> Outcome:
    """Pages that close while they wait, and clients that never listened."""
    with an_app(limits=Limits(away=AWAY)) as app:
        visitors = [Visitor.with_pass(app) for _ in range(4)]
        with ExitStack() as open_pages:
            for visitor in visitors:
                open_pages.enter_context(visitor.open())
                _start(visitor)
            time.sleep(1)
            before = app.house.turns.counts
        start = time.monotonic()
        while app.house.turns.counts[1] and time.monotonic() - start < 20:
            time.sleep(0.02)
        waiting = time.monotonic() - start
        while app.house.turns.counts[0] and time.monotonic() - start < 20:
            time.sleep(0.02)
        running = time.monotonic() - start
        silent = [Visitor.with_pass(app) for _ in range(3)]
        for visitor in silent:
            _start(visitor)
        start = time.monotonic()
        while app.house.turns.counts != (0, 0) and time.monotonic() - start < 40:
            time.sleep(0.1)
        never = time.monotonic() - start
    return Outcome(
        "places of pages that are gone",
        "4 pages close while they run or wait; 3 clients ask and never listen",
        before == (2, 2) and waiting < AWAY + 2 and running < AWAY + 8 and never < AWAY + 10,
        f"with {AWAY:g} s to come back, of {before} running and waiting those who waited were gone "
        f"after {waiting:.1f} s, the running ones after {running:.1f} s, those who never listened "
        f"after {never:.1f} s",
    )


def flood_of_events(long: bool) -> Outcome:
    """One page that asks for the Hub again and again, and never reads an answer."""
    number = 500 if long else 100
    with an_app() as app:
        visitor = Visitor.with_pass(app)
        pages = [visitor, *(visitor.another_page() for _ in range(3))]
        got = Counter(
            pages[i % 4].ask("look", "a/b", "explanations", "").status_code for i in range(number)
        )
        sessions = Counter(
            visitor.another_page().ask("stop").status_code for _ in range(number // 2)
        )
        other = Visitor.with_pass(app)
        start = time.monotonic()
        other.ask("look", "", "explanations", "")
        answered = "No data set is named" in other.answer()
        took = time.monotonic() - start
        long_body = visitor.post("queue/join", content=b"x" * (3 * 2**20)).status_code
        deep = other.post("queue/join", content=b"[" * 10**6).status_code
        held = len(app.house.presence.pages(visitor.headers["Cookie"].split("=")[1].split(".")[0]))
    return Outcome(
        "flood of events",
        f"{number} joins of 4 pages without reading, {number // 2} more pages, a body of 3 MB, "
        "brackets a million deep",
        got[200] <= 12
        and held <= 40
        and answered
        and took < 5
        and {long_body, deep} <= {413, 400, 429},
        f"joins {dict(got)}, further pages {dict(sessions)} ({held} known); another person was "
        f"answered in {took:.1f} s; large and deep bodies {long_body}, {deep}",
    )


ATTACKS: tuple[Attack, ...] = (one_client, many_browsers, gone_without_a_word, flood_of_events)
