"""Runs apart from their pages: found again by whose they are, and by nobody else."""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import pipeline

from proxyspex_hf import DEMO_MODEL, InteractionExplainer
from proxyspex_hf.app.examples import load_example
from proxyspex_hf.app.folders import Folders, is_stopped
from proxyspex_hf.app.jobs import Found, Halted, Job, Step
from proxyspex_hf.app.kept import Kept
from proxyspex_hf.app.models import SHIPPED
from proxyspex_hf.app.presence import Client, Presence
from proxyspex_hf.app.session import Session
from proxyspex_hf.app.turns import Turns
from proxyspex_hf.app.underway import Done, Underway
from proxyspex_hf.errors import InputError
from proxyspex_hf.record.serialize import dumps

Visit = Callable[..., Any]
JOB = Job(SHIPPED[0], text="not bad")
TEXT = "It could have been great, but the plot is dull and never funny for me, nor was it short."


def run(use: Callable[[], Any]) -> None:
    """In a thread of its own: a browser's loop may run in this one."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(use())).result(60)


@pytest.fixture
def house() -> Iterator[tuple[Underway, Presence, Turns]]:
    with closing(Folders()) as folders:
        presence, turns = Presence(), Turns(places=1)
        yield Underway(folders, presence, turns, Kept(), away=1.0), presence, turns


def endless(_job: Job, folder: Path) -> Iterator[Step | Found | Halted]:
    """A run that stops when it is told to."""
    done = 0
    while not is_stopped(folder):
        done += 1
        yield Step("model calls", done, 100)
        time.sleep(0.02)
    yield Halted("Stopped. 3 of 100 answers are kept.")


def at_once(_job: Job, _folder: Path) -> Iterator[Step | Found | Halted]:
    yield Found(dumps(load_example("short").record))


def test_a_run_is_its_visitors_own(house: tuple[Underway, Presence, Turns]) -> None:
    underway, presence, _ = house
    presence.claim("one", Client("1.1.1.1", "me"))
    presence.claim("again", Client("1.1.1.2", "me"))  # from another network, with the same pass
    presence.claim("other", Client("1.1.1.1", "you"))
    run = underway.begin("one", JOB, Session())
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", run.name)
    assert underway.attach(run.name, "again") is run
    assert run.pages == {"one", "again"}
    for name, page in [
        *((run.name, page) for page in ("other", "unknown", "", "me")),
        *((name, "one") for name in ("x" * 22, "", None, [run.name], {"run": run.name})),
    ]:
        with pytest.raises(InputError, match="begun in another browser"):
            underway.attach(name, page)
    assert run.pages == {"one", "again"}
    assert underway.of("other") is None


def test_two_pages_watch_one_run_and_either_stops_it(
    house: tuple[Underway, Presence, Turns],
) -> None:
    underway, presence, turns = house
    me = Client("1.1.1.1", "me")

    async def use() -> None:
        for page in ("one", "two"):
            presence.connect(page, me)
        run = underway.begin("one", JOB, Session())
        seen: dict[str, list[Any]] = {"one": [], "two": []}

        async def watch(page: str) -> None:
            async for told in underway.watch(run, endless):
                seen[page].append(told)

        first = asyncio.create_task(watch("one"))
        await asyncio.sleep(0.3)
        with pytest.raises(InputError, match="has a run already"):
            underway.begin("one", JOB, Session())
        underway.attach(run.name, "two")
        second = asyncio.create_task(watch("two"))
        await asyncio.sleep(0.3)
        first.cancel()  # as when its page reloads
        presence.disconnect("one")
        await asyncio.sleep(0.1)
        assert run.state == "going"
        before = len(seen["two"])
        await asyncio.sleep(0.3)
        assert len(seen["two"]) > before
        assert turns.counts == (1, 0)
        underway.stop("two")
        await asyncio.wait_for(second, 5)
        assert seen["two"][0].done > 1  # not from the beginning: what is so now
        assert isinstance(seen["two"][-1], Halted)
        assert turns.counts == (0, 0)
        # It goes on with the answers of the page that began.
        assert underway.begin("two", run.job, Session()).room == "one"

    run(use)


def test_left_alone_it_stops_after_the_time_to_come_back(
    house: tuple[Underway, Presence, Turns],
) -> None:
    underway, presence, turns = house
    me, you = Client("1.1.1.1", "me"), Client("2.2.2.2", "you")

    async def use() -> None:
        presence.connect("one", me)
        presence.connect("waits", you)
        runs = [
            underway.begin("one", JOB, Session()),
            underway.begin("waits", replace(JOB, seed=1), Session()),
        ]

        async def last(run: Any) -> Any:
            return [told async for told in underway.watch(run, endless)][-1]

        ends = [asyncio.create_task(last(run)) for run in runs]
        await asyncio.sleep(0.9)  # nearly until the next look at who is there
        assert turns.counts == (1, 1)
        for page in ("one", "waits"):
            presence.disconnect(page)
        start = time.monotonic()
        await asyncio.sleep(0.8)
        assert turns.counts == (1, 1)  # a reload takes as long
        told = await asyncio.wait_for(asyncio.gather(*ends), 10)
        assert 1.0 < time.monotonic() - start < 3.5  # no less than was promised
        assert told[0].message.startswith("Stopped. 3 of 100")
        assert told[1].again
        assert turns.counts == (0, 0)
        # Back later, with the same address, it can be gone on with.
        presence.connect("later", me)
        assert underway.attach(runs[0].name, "later").told is told[0]

    run(use)


def test_what_was_found_is_there_for_who_comes_back(
    house: tuple[Underway, Presence, Turns],
) -> None:
    underway, presence, _ = house
    presence.claim("one", Client("1.1.1.1", "me"))

    async def use() -> None:
        run = underway.begin("one", JOB, Session())
        *_, end = [told async for told in underway.watch(run, at_once)]
        assert isinstance(end, Done)
        assert underway._kept.get(end.name) == load_example("short")
        again = [told async for told in underway.watch(run, endless)]
        assert again == [end]

    run(use)


def test_one_visitor_cannot_fill_the_shelf(house: tuple[Underway, Presence, Turns]) -> None:
    underway, presence, _ = house
    presence.claim("mine", Client("1.1.1.1", "me"))
    mine = underway.begin("mine", JOB, Session())
    for i in range(30):
        presence.claim(f"p{i}", Client("2.2.2.2", "greedy"))
        underway.begin(f"p{i}", JOB, Session())
    assert underway.find(mine.name, "mine") is mine
    assert len(underway._runs) <= 10


def _write(opened: Any, text: str) -> None:
    opened.tab("Explain your own")
    box = opened.page.get_by_label("Text", exact=True)
    box.fill(text)
    box.blur()
    opened.news("cost").filter(has_text="model calls").wait_for()  # asked for before the run


def form(app: Any, text: str) -> list[Any]:
    """The form's values, in order."""
    model = app.settings.models.choices[0].name
    return [model, "text-classification", text, "", None, "words", 48, "", 2, 0]


def _asked(opened: Any) -> Any:
    """The bar, once some answers came."""
    bar = opened.page.locator("#own-news .bar", has_text="Model calls")
    bar.filter(has_text=re.compile("[1-9][0-9]* of")).wait_for()
    return bar


def reload(opened: Any) -> None:
    """Gradio's own page complains of the answers that it no longer hears."""
    before = list(opened.complaints)
    opened.page.reload()
    opened.page.wait_for_selector('.psx[aria-busy="false"]', state="attached")
    new = [text for text in opened.complaints if text not in before]
    assert all("aborted" in text or "Connection errored out" in text for text in new)
    opened.complaints[:] = before


def test_a_reload_finds_the_run_again_and_asks_nothing_twice(visit: Visit, app: Any) -> None:
    undisturbed, start = app.person(), app.calls.rows
    assert undisturbed.ask("begin", None, *form(app, TEXT + " One."))["success"]
    assert "Done." in json.dumps(undisturbed.ask("explain"))
    alone = app.calls.rows - start

    opened = visit()
    opened.page.evaluate("() => { window.before = true; }")
    _write(opened, TEXT + " Two.")
    app.calls.let_through(1)
    start = app.calls.rows
    try:
        opened.page.get_by_role("button", name="Explain", exact=True).focus()
        opened.page.keyboard.press("Enter")
        _asked(opened)
        opened.page.wait_for_function("document.activeElement.id === 'own-news'")
        address = opened.page.url
        assert re.search(r"[?&]run=[A-Za-z0-9_-]{22}(&|$|#)", address)
        running = [r for r in app.running.house.underway._runs.values() if r.state == "going"]
        assert len(running) == 1
        reload(opened)
        bar = _asked(opened)
        assert not opened.page.evaluate("() => Boolean(window.before)")
        done = int(re.findall(r"(\d+) of", bar.inner_text())[0])
        assert opened.page.get_by_label("Text", exact=True).input_value() == TEXT + " Two."
        assert opened.page.get_by_role("button", name="Stop").is_visible()
        assert not opened.page.get_by_role("button", name="Explain", exact=True).is_enabled()
        # A second tab of the same browser watches, too; another browser sees nothing of it.
        tab = opened.page.context.new_page()
        tab.goto(address)
        tab.locator("#own-news .bar", has_text="Model calls").wait_for()
        other = visit(address[len(app.url) :])
        other.news("news").filter(has_text="begun in another browser").wait_for()
        assert "run=" not in other.page.url
        assert TEXT not in other.page.content()
        assert running[0].state == "going"
        assert len(running[0].pages) == 3
        app.calls.let_through(0)  # of those that wait, the next
        news = opened.page.locator("#own-news .bar")
        news.filter(has_not_text=re.compile(rf"\b{done} of")).wait_for(state="attached")
    finally:
        app.calls.let_through(None)
    opened.shown("Two.")
    opened.page.wait_for_url("**/?own=*")
    assert "run=" not in opened.page.url
    assert app.calls.rows - start == alone
    tab.locator("#explanation", has_text="Two.").first.wait_for()
    tab.close()
    # The way back leads to what was shown before, not to the run again.
    opened.page.go_back()
    opened.shown("minute.")
    assert "run=" not in opened.page.url


def test_after_a_reload_stop_really_stops_and_continue_asks_nothing_twice(
    visit: Visit, app: Any
) -> None:
    opened = visit()
    _write(opened, TEXT + " Three.")
    app.calls.let_through(1)
    try:
        opened.page.get_by_role("button", name="Explain", exact=True).click()
        _asked(opened)
        reload(opened)
        _asked(opened)
        opened.page.get_by_role("button", name="Stop").focus()
        opened.page.keyboard.press("Enter")
        opened.page.locator("#own-news .bar", has_text="Stopping").wait_for()
        opened.page.wait_for_function("document.activeElement.id === 'own-news'")
        app.calls.let_through(None)
        opened.news("own-news").filter(has_text="answers are kept").wait_for()
    finally:
        app.calls.let_through(None)
    said = opened.news("own-news").inner_text()
    assert int(re.findall(r"(\d+) of", said)[0]) > 0
    before = app.calls.rows
    time.sleep(0.7)
    assert app.calls.rows == before  # it really stopped
    kept, missing = map(int, re.findall(r"(\d+) of (\d+) answers are kept", said)[0])
    # Stopped, it is found again, too; what was asked is not asked again.
    opened.page.reload()
    opened.news("own-news").filter(has_text="answers are kept").wait_for()
    opened.news("cost").filter(has_text="model calls").wait_for()  # it is asked for anew
    start = app.calls.rows
    opened.page.get_by_role("button", name="Continue").click()
    opened.shown("Three.")
    # Beyond the missing answers: the whole input each time it is bound, the trial of how it may be
    # asked, and a few answers that are asked again.
    assert missing - kept <= app.calls.rows - start <= missing - kept + 40
    # The same as without an interruption, bit for bit.
    opened.page.wait_for_url("**/?own=*")
    kept_as = re.findall("own=([^&#]+)", opened.page.url)[0]
    model = pipeline("text-classification", model=DEMO_MODEL, device="cpu")
    whole = InteractionExplainer(model)(TEXT + " Three.", alpha=2.0, value="log-odds")
    assert app.running.house.kept.get(kept_as) == whole


def test_who_comes_back_too_late_is_told(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its explanation is no longer kept: neither a traceback nor advice for something else."""
    person = app.person()
    put = app.running.house.kept.put

    def gone(explanation: Any) -> str:
        put(explanation)
        return "of-an-hour-ago-1234567"

    monkeypatch.setattr(app.running.house.kept, "put", gone)
    assert person.ask("begin", None, *form(app, TEXT + " Late."))["success"]
    first = person.ask("explain")
    run = app.running.house.underway.of(person.page)
    # Another page of the same visitor, with the address of the run.
    later = copy(person)  # with its pass
    later.page = uuid.uuid4().hex
    for answer in (first, later.ask("attach", event={"run": run.name})):
        assert answer["success"]
        said = json.dumps(answer["output"])
        assert "explanation of this address is no longer kept" in said
        assert "Too much at once" not in said
