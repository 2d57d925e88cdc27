"""The second tab: the form that changes with its model, the picture, and the cost."""

from __future__ import annotations

import io
from typing import Any

import gradio as gr
from PIL import Image

from proxyspex_hf.app.components import error, said
from proxyspex_hf.app.errors_in_words import in_words, seconds_text
from proxyspex_hf.app.form import FIRST, TEXT_LABELS, Form, job_of
from proxyspex_hf.app.jobs import PICTURES, TEXTS, Cost
from proxyspex_hf.app.models import Choice
from proxyspex_hf.app.pictures import read_picture
from proxyspex_hf.app.run import run_on_request
from proxyspex_hf.app.state import Shared
from proxyspex_hf.errors import InputError


def run_the_form(shared: Shared, form: Form) -> None:
    """Wire the form."""
    _change_with_the_model(shared, form)
    _read_the_picture(shared, form)
    _count_the_cost(shared, form)
    run_on_request(shared, form)


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
        finally:
            shared.house.uploads.remove(path)
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

    def count_if_loaded(request: gr.Request, *values: Any) -> str:
        """A change alone is not a reason to load a model, nor to complain of an unfinished form."""
        if shared.house.underway.goes_on(request.session_hash):
            return ""  # the run says what it takes
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
        f"{cost.n_features} {cost.noun}: at most {cost.calls:,} model calls, "
        f"{seconds_text(cost.seconds)} on this machine; {how}. {cost.unread}"
    ).strip()
