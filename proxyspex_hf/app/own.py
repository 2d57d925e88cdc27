"""The second tab: what one's own input will cost, and the run."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import gradio as gr
from PIL import Image

from proxyspex_hf.app.form import FIRST, TEXT_LABELS, Form, job_of
from proxyspex_hf.app.jobs import PICTURES, TEXTS, Cost, Found, Step
from proxyspex_hf.app.models import Choice
from proxyspex_hf.app.parts import error, said, step
from proxyspex_hf.app.pictures import read_picture
from proxyspex_hf.app.session import Session
from proxyspex_hf.app.shared import Shared, explanation_of
from proxyspex_hf.app.source import OWN
from proxyspex_hf.app.wording import in_words, seconds_text
from proxyspex_hf.errors import InputError

__all__ = ["run_the_form"]


def run_the_form(shared: Shared, form: Form) -> None:
    """Wire the form."""
    _change_with_the_model(shared, form)
    _read_the_picture(shared, form)
    _count_the_cost(shared, form)
    _explain(shared, form)


def _change_with_the_model(shared: Shared, form: Form) -> None:
    models = shared.settings.models

    def listed(name: str, task: str) -> tuple[str, bool]:
        """The task, and whether the model is on the list."""
        found: Choice | None = next((c for c in models.choices if c.name == name), None)
        return (task, False) if found is None else (found.task, True)

    def changed(name: str, task: str, text: str, question: str) -> dict[Any, Any]:
        task, known = listed(name, task)
        reads, looks = task in TEXTS, task in PICTURES
        first_text, first_question = FIRST.get(task, ("", ""))
        if not (text or "").strip() or text in {first for first, _ in FIRST.values()}:
            text = first_text  # what a person wrote stays
        if not (question or "").strip() and text == first_text:
            question = first_question
        return {
            form.task: gr.Dropdown(value=task, interactive=not known),
            form.text: gr.Textbox(text, visible=reads, label=TEXT_LABELS.get(task, "Text")),
            form.question: gr.Textbox(question, visible=task == "text-generation"),
            form.file: gr.File(visible=looks),
            form.preview: gr.skip() if looks else gr.Image(visible=False),
            form.features: gr.Radio(visible=reads),
            form.patches: gr.Slider(visible=looks),
            form.cost: "",
        }

    outputs = [form.task, form.text, form.question, form.file, form.preview]
    outputs += [form.features, form.patches, form.cost]
    gr.on(
        [form.model.change, form.task.input],
        changed,
        [form.model, form.task, form.text, form.question],
        outputs,
        show_progress="hidden",
        api_visibility="private",
    )


def _read_the_picture(shared: Shared, form: Form) -> None:
    def read(path: str | None) -> dict[Any, Any]:
        if not path:
            return {form.picture: b"", form.preview: gr.Image(None, visible=False), form.cost: ""}
        try:
            png = read_picture(path, shared.settings.limits)
        except Exception as problem:  # noqa: BLE001 - whatever it is, the page says it in words
            return {
                form.picture: b"",
                form.preview: gr.Image(None, visible=False),
                form.cost: error(in_words(problem)),
            }
        preview = Image.open(io.BytesIO(png))
        return {form.picture: png, form.preview: gr.Image(preview, visible=True), form.cost: ""}

    form.file.change(
        read,
        form.file,
        [form.picture, form.preview, form.cost],
        show_progress="hidden",
        api_visibility="private",
    )


def _count_the_cost(shared: Shared, form: Form) -> None:
    models = shared.settings.models

    def count(*values: Any) -> str:
        try:
            return said(_cost_text(shared.runs.cost(job_of(shared.settings, *values))))
        except Exception as problem:  # noqa: BLE001 - whatever it is, the page says it in words
            return error(in_words(problem))

    def count_if_loaded(*values: Any) -> str:
        """A change alone is no reason to load a model, nor to complain of an unfinished form."""
        try:
            job = job_of(shared.settings, *values)
        except InputError:
            return ""
        at_hand = job.model.place or models.is_loaded(job.model)
        if not at_hand or shared.settings.gpu is not None:
            return said("The button below says the cost; it may have to load the model first.")
        return count(*values)

    how: dict[str, Any] = {
        "show_progress": "hidden",
        "concurrency_limit": 2,
        "concurrency_id": "cost",
        "api_visibility": "private",
    }
    form.count.click(count, form.values, form.cost, **how)
    gr.on(
        [
            *(form.text.blur, form.question.blur, form.target.blur, form.picture.change),
            *(form.features.change, form.patches.release, form.alpha.release),
        ],
        count_if_loaded,
        form.values,
        form.cost,
        trigger_mode="always_last",
        **how,
    )


def _cost_text(cost: Cost) -> str:
    how = "every subset is asked, so the result is exact" if cost.exact else "then the fit"
    return (
        f"{cost.n_features} {cost.noun}: {cost.calls:,} model calls at the most, "
        f"{seconds_text(cost.seconds)} on this machine; {how}."
    )


def _explain(shared: Shared, form: Form) -> None:
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
        shared.folders.go(request.session_hash)
        waiting = Step("waiting for a free place")
        return {shared.session: session, form.news: step(waiting), **running()}

    def explain(session: Session, request: gr.Request) -> Iterator[dict[Any, Any]]:
        if session.job is None:
            yield ended(more=False)  # without an answer, Gradio would empty the page
            return
        yield {shared.session: session}  # its time is counted from here, not from the wait
        try:
            with shared.folders.running(request.session_hash) as folder:
                for now in shared.runs.explain(session.job, folder):
                    if isinstance(now, Step):
                        yield {form.news: step(now)}
                    elif isinstance(now, Found):
                        made = explanation_of(now.text)
                        found = replace(session, source=OWN, made=made, job=None)
                        yield {**shared.show(found), form.news: said("Done."), **ended(more=False)}
                    else:
                        text = error(now.message) if now.failed else said(now.message)
                        yield {form.news: text, **ended(more=now.again)}
        except Exception as problem:  # noqa: BLE001 - whatever it is, the page says it in words
            yield {form.news: error(in_words(problem)), **ended(more=True)}

    def stop(request: gr.Request) -> dict[Any, Any]:
        shared.folders.stop(request.session_hash)
        return {
            form.news: step(Step("stopping after this batch")),
            form.stop: gr.Button(interactive=False),
        }

    def full() -> dict[Any, Any]:
        text = "Too many people are waiting. Try again in a minute: Continue asks for the same."
        return {form.news: error(text), **ended(more=True)}

    at_once: dict[str, Any] = {"queue": False, "show_progress": "hidden"}
    at_once["api_visibility"] = "private"
    begun = [shared.session, form.news, *buttons]
    starts = (
        form.run.click(begin, [shared.session, *form.values], begun, **at_once),
        form.more.click(resume, shared.session, begun, **at_once),
    )
    for start in starts:
        # Two at a time: more would only slow each other down. Nothing else waits for them.
        start.then(
            explain,
            shared.session,
            [*shared.outputs, form.news, *buttons],
            show_progress="hidden",
            concurrency_limit=2,
            concurrency_id="explain",
            api_visibility="private",
        ).failure(full, None, [form.news, *buttons], **at_once)
    form.stop.click(stop, None, [form.news, form.stop], **at_once)
