"""The run of a visitor's own input: begun, waited for, shown as it runs, stopped, resumed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import gradio as gr
from anyio import to_thread

from proxyspex_hf.app.form import Form, job_of
from proxyspex_hf.app.house import House
from proxyspex_hf.app.jobs import Found, Halted, Step
from proxyspex_hf.app.parts import error, said, step
from proxyspex_hf.app.session import Session
from proxyspex_hf.app.shared import Shared, explanation_of
from proxyspex_hf.app.source import OWN
from proxyspex_hf.app.turns import Busy, Turn
from proxyspex_hf.app.wording import in_words

__all__ = ["run_on_request"]

#: Seconds between two looks at whether a place is free.
_PULSE = 0.5


def run_on_request(shared: Shared, form: Form) -> None:
    """Wire the buttons that begin, stop and resume."""
    house = shared.house
    buttons = [form.run, form.stop, form.more]

    def running() -> dict[Any, Any]:
        return {
            form.run: gr.Button(interactive=False),
            form.stop: gr.Button(visible=True, interactive=True),
            form.more: gr.Button(visible=False),
        }

    def ended(more: bool) -> dict[Any, Any]:
        return {
            form.run: gr.Button(interactive=True),
            form.stop: gr.Button(visible=False),
            form.more: gr.Button(visible=more),
        }

    def begin(session: Session, request: gr.Request, *values: Any) -> dict[Any, Any]:
        try:
            job = job_of(shared.settings, *values)
        except Exception as problem:  # noqa: BLE001 - whatever it is, the page says it in words
            return {
                shared.session: replace(session, job=None),
                form.news: error(in_words(problem)),
            }
        return resume(replace(session, job=job), request)

    def resume(session: Session, request: gr.Request) -> dict[Any, Any]:
        if session.job is None:  # Gradio has forgotten the page: it was closed, or idle for long
            text = "Press Explain for the same: answers that are still kept are not asked again."
            return {shared.session: session, form.news: error(text)}
        house.folders.go(request.session_hash)
        waiting = Step("waiting for a free place")
        return {shared.session: session, form.news: step(waiting), **running()}

    async def explain(session: Session, request: gr.Request) -> AsyncIterator[dict[Any, Any]]:
        if session.job is None:
            yield ended(more=False)  # without an answer, Gradio would empty the page
            return
        page, turns = str(request.session_hash), house.turns
        try:
            turn = turns.ask(house.presence.client(page), page)
        except Busy as busy:
            yield {form.news: error(in_words(busy)), **ended(more=True)}
            return
        try:
            async for text in _waited(house, turn):
                yield {form.news: step(Step(text))}
            if turn.state == "over":  # it left, was sent away, or was stopped
                yield {form.news: said(turn.reason or "Stopped."), **ended(more=True)}
                return
            yield {shared.session: session}  # its time is counted from here, not from the wait
            with house.folders.running(page) as folder:
                async for now in _in_threads(shared.runs.explain(session.job, folder)):
                    yield shown(session, now)
                    if not house.presence.here(page):
                        house.folders.stop(page)
        except Exception as problem:  # noqa: BLE001 - whatever it is, the page says it in words
            yield {form.news: error(in_words(problem)), **ended(more=True)}
        except BaseException:  # Gradio lets go of it: nobody listens
            house.folders.stop(page)
            raise
        finally:
            turns.leave(page)

    def shown(session: Session, now: Step | Found | Halted) -> dict[Any, Any]:
        if isinstance(now, Step):
            return {form.news: step(now)}
        if isinstance(now, Found):
            made = explanation_of(now.text)
            source = replace(OWN, name=house.kept.put(made))
            found = replace(session, source=source, made=made, job=None)
            return {
                **shared.show(found, now.unread and said(now.unread)),
                form.news: said(f"Done. {now.unread}".strip()),
                **ended(more=False),
            }
        text = error(now.message) if now.failed else said(now.message)
        return {form.news: text, **ended(more=now.again)}

    def stop(request: gr.Request) -> dict[Any, Any]:
        house.folders.stop(request.session_hash)
        if house.turns.is_waiting(request.session_hash):
            house.turns.leave(request.session_hash, "Stopped.")
        return {
            form.news: step(Step("stopping after this batch")),
            form.stop: gr.Button(interactive=False),
        }

    def refused() -> dict[Any, Any]:
        text = "Too much at once: wait a few seconds. Continue asks for the same."
        return {form.news: error(text), **ended(more=True)}

    at_once: dict[str, Any] = {"queue": False, "show_progress": "hidden"}
    at_once["api_visibility"] = "private"
    begun = [shared.session, form.news, *buttons]
    starts = (
        form.run.click(begin, [shared.session, *form.values], begun, **at_once),
        form.more.click(resume, shared.session, begun, **at_once),
    )
    for start in starts:
        # All of them at once, to wait for their turns here: Gradio's own queue knows no fairness.
        start.then(
            explain,
            shared.session,
            [*shared.outputs, form.news, *buttons],
            show_progress="hidden",
            concurrency_limit=None,
            concurrency_id="explain",
            api_visibility="private",
        ).failure(refused, None, [form.news, *buttons], **at_once)
    form.stop.click(stop, None, [form.news, form.stop], **at_once)


async def _waited(house: House, turn: Turn) -> AsyncIterator[str]:
    """Where a turn stands, now and then, until it is no longer waiting."""
    last, page = "", turn.page
    while turn.state == "waiting":
        if not house.presence.here(page):
            house.turns.leave(page)
            return
        text = house.turns.said(turn)
        if text != last:
            yield text
        last = text
        await asyncio.sleep(_PULSE)


async def _in_threads(steps: Iterator[Step | Found | Halted]) -> AsyncIterator[Any]:
    """The steps of a run, each waited for in a thread."""
    done = object()
    try:
        while (now := await to_thread.run_sync(next, steps, done)) is not done:
            yield now
    finally:
        close = getattr(steps, "close", None)
        if close is not None:
            with suppress(ValueError):  # a thread is at it still, and will be the last to hold it
                close()
