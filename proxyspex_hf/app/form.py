"""The form for a visitor's own input: its components, and the job that they say."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import gradio as gr
from PIL import Image

from proxyspex_hf.app.components import notice
from proxyspex_hf.app.jobs import PICTURES, TEXTS, Job, checked
from proxyspex_hf.app.models import TASKS
from proxyspex_hf.app.pictures import KINDS
from proxyspex_hf.app.settings import Settings
from proxyspex_hf.errors import InputError

_FEATURES = ("words", "sentences", "tokens")
TEXT_LABELS = {
    "text-classification": "Text",
    "text-generation": "Context: its parts are masked",
    "zero-shot-image-classification": "Caption",
}
#: What stands in the form at first, by task: the text and the question.
FIRST = {
    "text-classification": (
        "The jokes are old and the plot is thin, but I was not bored for a minute.",
        "",
    ),
    "text-generation": (
        "Jim is a baker in Oslo. He gets up at four each morning. His dog is called Rex. His "
        "sister Ann is a doctor in Paris. She has a cat called Mia.",
        "What is the name of Jim's dog?",
    ),
    "zero-shot-image-classification": ("a red circle", ""),
}


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
        """The inputs of :func:`job_of`, in its order."""
        return [
            *(self.model, self.task, self.text, self.question, self.picture),
            *(self.features, self.patches, self.target, self.alpha, self.seed),
        ]

    @property
    def fields(self) -> list[Any]:
        """What :func:`filled` gives updates for."""
        return [*self.values, self.file, self.preview]


def filled(form: Form, job: Job) -> dict[Any, Any]:
    """Updates that make the form say a job again."""
    task = job.model.task
    reads, looks = task in TEXTS, task in PICTURES
    preview = Image.open(io.BytesIO(job.picture)) if job.picture else None
    return {
        form.model: job.model.name,
        form.task: task,
        form.text: gr.Textbox(job.text, visible=reads, label=TEXT_LABELS.get(task, "Text")),
        form.question: gr.Textbox(job.question, visible=task == "text-generation"),
        form.file: gr.File(visible=looks),
        form.preview: gr.Image(preview, visible=preview is not None),
        form.picture: job.picture,
        form.features: gr.Radio(value=job.features, visible=reads),
        form.patches: gr.Slider(value=job.patches, visible=looks),
        form.target: job.target,
        form.alpha: job.alpha,
        form.seed: job.seed,
    }


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
                FIRST.get(first.task, ("", ""))[0],
                label=TEXT_LABELS.get(first.task, "Text"),
                lines=6,
                max_lines=20,
                max_length=limits.characters,
                visible=first.task in TEXTS,
                elem_id="text",
            )
            question = gr.Textbox(
                FIRST.get(first.task, ("", ""))[1],
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
                info="α·n·log₂(n) model calls for n features; from α = 2 on, all subsets of up to "
                "8.",
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


def job_of(settings: Settings, *values: Any) -> Job:
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
