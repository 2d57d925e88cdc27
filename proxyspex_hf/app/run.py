"""The run of a visitor's own input: begun, watched as it runs, stopped, resumed, found again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import gradio as gr

from proxyspex_hf.app.components import error, said, step
from proxyspex_hf.app.errors_in_words import in_words
from proxyspex_hf.app.form import Form, filled, job_of
from proxyspex_hf.app.jobs import Halted, Job, Step
from proxyspex_hf.app.session import Session
from proxyspex_hf.app.source import Source
from proxyspex_hf.app.state import OWN_TAB, Shared
from proxyspex_hf.app.underway import Done, Run
from proxyspex_hf.errors import InputError

#: A button that can no longer be pressed, or is gone, drops the keyboard's focus. It moves to what
#: is said of the run, or, where that is no longer shown, to the tab that is.
_KEEP_FOCUS = """() => {
  const at = document.activeElement;
  if (at !== document.body && !at.disabled && at.getClientRects().length) return;
  const news = document.getElementById("own-news");
  news.tabIndex = -1;
  const tab = document.querySelector('[role="tab"][aria-selected="true"]');
  (news.getClientRects().length ? news : tab).focus({ preventScroll: true });
}"""


def run_on_request(shared: Shared, form: Form) -> None:
    """Wire the buttons that begin, stop and resume, and the address that finds a run again."""
    underway = shared.house.underway
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

    def begun(job: Job, before: Session, request: gr.Request) -> dict[Any, Any]:
        run = underway.begin(str(request.session_hash), job, before)
        return {form.news: step(Step("waiting for a free place"), run.name), **running()}

    def begin(session: Session, request: gr.Request, *values: Any) -> dict[Any, Any]:
        try:
            return begun(job_of(shared.settings, *values), session, request)
        except Exception as problem:  # noqa: BLE001 - whatever it is, the page says it in words
            return {form.news: error(in_words(problem))}

    def resume(session: Session, request: gr.Request) -> dict[Any, Any]:
        former = underway.of(request.session_hash)
        if former is None or isinstance(former.told, Done):  # forgotten, or idle for long
            text = "Press Explain for the same: answers that are still kept are not asked again."
            return {form.news: error(text)}
        try:
            return begun(former.job, session, request)
        except InputError as problem:
            return {form.news: error(in_words(problem))}

    async def explain(request: gr.Request) -> AsyncIterator[dict[Any, Any]]:
        run = underway.of(request.session_hash)
        if run is None or run.state == "over":
            yield ended(more=False)  # without an answer, Gradio would empty the page
            return
        async for told in underway.watch(run, shared.runs.explain):
            yield shown(run, told)

    async def attach(request: gr.Request, event: gr.EventData) -> AsyncIterator[dict[Any, Any]]:
        """A page whose address names a run was opened: it watches, as the one before did."""
        data = event._data
        try:
            run = underway.attach(
                data.get("run") if isinstance(data, dict) else None, str(request.session_hash)
            )
        except InputError:
            yield ended(more=False)  # forgotten since the page was told of it
            return
        if not isinstance(run.told, Done):
            yield {**filled(form, run.job), **running(), shared.tabs: gr.Tabs(selected=OWN_TAB)}
        async for told in underway.watch(run, shared.runs.explain):
            yield shown(run, told)

    def shown(run: Run, told: Step | Halted | Done) -> dict[Any, Any]:
        if isinstance(told, Step):
            return {form.news: step(told, run.name)}
        if isinstance(told, Done):
            try:
                made = shared.house.kept.get(told.name)
            except InputError as problem:  # whoever watches came back too late
                return {form.news: error(in_words(problem), run=""), **ended(more=False)}
            found = run.before.showing(Source("own", name=told.name), made)
            return {
                **shared.show(found, told.unread and said(told.unread)),
                form.news: said(f"Done. {told.unread}".strip(), run=""),
                **ended(more=False),
            }
        text = (error if told.failed else said)(told.message, run=run.name)
        return {form.news: text, **ended(more=told.again)}

    def stop(request: gr.Request) -> dict[Any, Any]:
        underway.stop(request.session_hash)
        return {
            form.news: step(Step("stopping after this batch")),
            form.stop: gr.Button(interactive=False),
        }

    def refused() -> dict[Any, Any]:
        text = "Too much at once: wait a few seconds. Continue asks for the same."
        return {form.news: error(text), **ended(more=True)}

    at_once: dict[str, Any] = {"queue": False, "show_progress": "hidden"}
    at_once["api_visibility"] = "private"
    watching: dict[str, Any] = {
        # All of them at once, to wait for their turns here: Gradio's own queue knows no fairness.
        "concurrency_limit": None,
        "concurrency_id": "explain",
        "show_progress": "hidden",
        "api_visibility": "private",
    }
    outputs = [*shared.outputs, form.news, *buttons]
    starts = (
        form.run.click(begin, [shared.session, *form.values], [form.news, *buttons], **at_once),
        form.more.click(resume, shared.session, [form.news, *buttons], **at_once),
    )
    for start in starts:
        start.then(None, js=_KEEP_FOCUS)
        watched = start.then(explain, None, outputs, **watching)
        watched.failure(refused, None, [form.news, *buttons], **at_once)
        watched.then(None, js=_KEEP_FOCUS)
    shared.news.attach(attach, None, [*outputs, *form.fields], **watching)
    stopping = form.stop.click(stop, None, [form.news, form.stop], **at_once)
    stopping.then(None, js=_KEEP_FOCUS)
