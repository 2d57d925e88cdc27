"""The second tab: a form for one's own input, what it will cost, and the run."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr
from PIL import Image

from proxyspex_hf.app.jobs import PICTURES, TEXTS, Cost, Found, Job, Step, checked
from proxyspex_hf.app.models import TASKS, Choice
from proxyspex_hf.app.parts import error, notice, said, step
from proxyspex_hf.app.pictures import KINDS, read_picture
from proxyspex_hf.app.session import Session
from proxyspex_hf.app.settings import Settings
from proxyspex_hf.app.shared import Shared, explanation_of
from proxyspex_hf.app.source import OWN
from proxyspex_hf.app.wording import in_words, seconds_text
from proxyspex_hf.errors import InputError

__all__ = ["Form", "form", "run_the_form"]

_FEATURES = ("words", "sentences", "tokens")
_TEXT_LABELS = {
    "text-classification": "Text",
    "text-generation": "Context: its parts are masked",
    "zero-shot-image-classification": "Caption",
}
_FIRST_TEXT = "The jokes are old and the plot is thin, but I was not bored for a minute."


@dataclass(frozen=True)
class Form:
    """The form's components."""

    model: gr.Dropdown
    task: gr.Dropdown
    text: gr.Textbox
    question: gr.Textbox
    file: gr.File
    preview: gr.Image
    picture: gr.State
    features: gr.Radio
    patches: gr.Slider
    target: gr.Textbox
    alpha: gr.Slider
    seed: gr.Number
    cost: gr.HTML
    count: gr.Button
    run: gr.Button
    stop: gr.Button
    more: gr.Button
    news: gr.HTML

    @property
    def values(self) -> list[Any]:
        """The inputs of :func:`_job`, in its order."""
        return [
            *(self.model, self.task, self.text, self.question, self.picture),
            *(self.features, self.patches, self.target, self.alpha, self.seed),
        ]


def form(settings: Settings) -> Form:
    """Lay it out."""
    models, limits = settings.models, settings.limits
    first = models.choices[0]
    with gr.Row():
        with gr.Column(scale=3, min_width=320):
            model = gr.Dropdown(
                [choice.name for choice in models.choices],
                value=first.name,
                label="Model",
                info="One of the list, or any public id such as owner/name."
                if models.any_model
                else None,
                allow_custom_value=models.any_model,
                elem_id="model",
            )
            task = gr.Dropdown(
                [(f"{task}: {about}", task) for task, about in TASKS.items()],
                value=first.task,
                label="What the model does",
                visible=models.any_model,
                interactive=False,
                elem_id="task",
            )
            text = gr.Textbox(
                _FIRST_TEXT if first.task == "text-classification" else "",
                label=_TEXT_LABELS.get(first.task, "Text"),
                lines=6,
                max_lines=20,
                max_length=limits.characters,
                visible=first.task in TEXTS,
                elem_id="text",
            )
            question = gr.Textbox(
                label="Question: stays as it is",
                max_length=limits.characters,
                visible=first.task == "text-generation",
                elem_id="question",
            )
            file = gr.File(
                label=f"Picture, up to {limits.upload_bytes / 2**20:.2g} MB",
                file_types=list(KINDS),
                visible=first.task in PICTURES,
                height=120,
                elem_id="picture",
            )
            preview = gr.Image(
                interactive=False, visible=False, label="As it was read", height=220, buttons=[]
            )
        with gr.Column(scale=2, min_width=280):
            features = gr.Radio(
                list(_FEATURES),
                value="words",
                label="What is masked",
                visible=first.task in TEXTS,
                elem_id="features",
            )
            patches = gr.Slider(
                4,
                100,
                value=48,
                step=1,
                label="Patches of the picture, about",
                visible=first.task in PICTURES,
                elem_id="patches",
            )
            alpha = gr.Slider(
                1,
                8,
                value=2,
                step=0.5,
                label="Effort α",
                info="α·n·log₂(n) masks are asked for n features, and as a test 300 more.",
                elem_id="alpha",
            )
            with gr.Accordion("Target and seed", open=False):
                target = gr.Textbox(
                    label="Target",
                    info="The label, or the model's words, to explain. Empty: what the model says.",
                    elem_id="target",
                )
                seed = gr.Number(0, precision=0, minimum=0, label="Seed", elem_id="seed")
            cost = notice("cost")
            count = gr.Button("What will it cost?", size="sm", elem_id="count")
            run = gr.Button("Explain", variant="primary", elem_id="run")
            with gr.Row():
                stop = gr.Button("Stop", variant="stop", visible=False, elem_id="stop")
                more = gr.Button("Continue", visible=False, elem_id="more")
            news = notice("own-news")
    return Form(
        *(model, task, text, question, file, preview, gr.State(b""), features, patches, target),
        *(alpha, seed, cost, count, run, stop, more, news),
    )


def run_the_form(shared: Shared, form: Form) -> None:
    """Wire the form."""
    _change_with_the_model(shared, form)
    _read_the_picture(shared, form)
    _count_the_cost(shared, form)
    _explain(shared, form)


def _job(settings: Settings, *values: Any) -> Job:
    """What the form says, checked.

    Raises:
        InputError: something is missing, of the wrong kind, or beyond a limit.
    """
    name, task, text, question, picture, features, patches, target, alpha, seed = values
    choice = settings.models.find(str(name or ""), str(task or ""))
    if features not in _FEATURES:
        raise InputError(f"what is masked must be one of {', '.join(_FEATURES)}.")
    try:
        job = Job(
            model=choice,
            text=str(text or ""),
            question=str(question or ""),
            picture=picture if isinstance(picture, bytes) else b"",
            features=features,
            patches=int(patches),
            target=str(target or ""),
            alpha=float(alpha),
            seed=int(seed or 0),
        )
    except (TypeError, ValueError, OverflowError):
        raise InputError("patches, effort and seed must be numbers.") from None
    return checked(job, settings.limits)


def _change_with_the_model(shared: Shared, form: Form) -> None:
    models = shared.settings.models

    def listed(name: str, task: str) -> tuple[str, bool]:
        """The task, and whether the model is on the list."""
        found: Choice | None = next((c for c in models.choices if c.name == name), None)
        return (task, False) if found is None else (found.task, True)

    def changed(name: str, task: str) -> dict[Any, Any]:
        task, known = listed(name, task)
        reads, looks = task in TEXTS, task in PICTURES
        return {
            form.task: gr.Dropdown(value=task, interactive=not known),
            form.text: gr.Textbox(visible=reads, label=_TEXT_LABELS.get(task, "Text")),
            form.question: gr.Textbox(visible=task == "text-generation"),
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
        [form.model, form.task],
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
            return said(_cost_text(shared.runs.cost(_job(shared.settings, *values))))
        except Exception as problem:  # noqa: BLE001 - whatever it is, the page says it in words
            return error(in_words(problem))

    def count_if_loaded(*values: Any) -> str:
        """A change alone is no reason to load a model, nor to complain of an unfinished form."""
        try:
            job = _job(shared.settings, *values)
        except InputError:
            return ""
        if not (job.model.place or models.is_loaded(job.model)):
            return said("The cost is known once the model is loaded: press the button, or run it.")
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
            job = _job(shared.settings, *values)
        except Exception as problem:  # noqa: BLE001 - whatever it is, the page says it in words
            return {
                shared.session: replace(session, job=None),
                form.news: error(in_words(problem)),
            }
        return resume(replace(session, job=job), request)

    def resume(session: Session, request: gr.Request) -> dict[Any, Any]:
        shared.folders.go(request.session_hash)
        waiting = Step("waiting for a free place")
        kept = replace(session, page=request.session_hash)
        return {shared.session: kept, form.news: step(waiting), **running()}

    def explain(session: Session, request: gr.Request) -> Iterator[dict[Any, Any]]:
        if session.job is None:
            yield ended(more=False)  # without an answer, Gradio would empty the page
            return
        folder = shared.folders.of(request.session_hash)
        try:
            for now in shared.runs.explain(session.job, folder):
                if isinstance(now, Step):
                    yield {form.news: step(now)}
                elif isinstance(now, Found):
                    made = explanation_of(now.text)
                    found = replace(session, source=OWN, made=made, job=None)
                    yield {**shared.show(found), form.news: said("Done."), **ended(more=False)}
                else:
                    text = error(now.message) if now.failed else said(now.message)
                    yield {form.news: text, **ended(more=True)}
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
