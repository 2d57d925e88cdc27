"""One explanation as a job: checked, counted, run with progress, stopped, resumed.

The model's answers are kept in the page's directory as they come. Whatever ends a job early (the
person, the clock, an error), the same job run again asks only for what is missing, and gives the
explanation that one uninterrupted run would have given, bit for bit.
"""

from __future__ import annotations

import io
import json
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from proxyspex_hf.app.errors_in_words import in_words
from proxyspex_hf.app.folders import is_stopped
from proxyspex_hf.app.models import Choice, Models
from proxyspex_hf.app.settings import Limits
from proxyspex_hf.app.unread import unread
from proxyspex_hf.core.progress import Progress
from proxyspex_hf.core.queries import Plan
from proxyspex_hf.errors import InputError
from proxyspex_hf.explainer import InteractionExplainer
from proxyspex_hf.explanation import InteractionExplanation
from proxyspex_hf.hf.stages import Stages
from proxyspex_hf.hf.tasks.classification import function_applied
from proxyspex_hf.options import ExplainerOptions
from proxyspex_hf.record.serialize import dumps, record_from_json

#: Tasks with a text to read, and tasks with a picture.
TEXTS = ("text-classification", "text-generation", "zero-shot-image-classification")
PICTURES = ("zero-shot-image-classification", "image-classification")
#: Seconds between two signs of life.
_PULSE = 0.25
#: Masks that are timed; more only where fewer took less than so many seconds.
_TIMED, _TIMED_LONG = (8, 64), 0.25
_NEW_TOKENS = 16


@dataclass(frozen=True)
class Job:
    """What a person asked for.

    Attributes:
        model: what to ask.
        text: the text, the caption, or the context of a question.
        question: on the context, for language models.
        picture: an image as one PNG file; empty without.
        features: how a text is divided.
        patches: about how many parts an image has.
        target: the label or the output to explain; empty for the model's own.
        alpha: inference multiplier.
        seed: of everything random.
    """

    model: Choice
    text: str = ""
    question: str = ""
    picture: bytes = b""
    features: Literal["words", "sentences", "tokens"] = "words"
    patches: int = 48
    target: str = ""
    alpha: float = 2.0
    seed: int = 0

    @property
    def inputs(self) -> Any:
        """What the explainer is given."""
        if self.model.task == "text-generation":
            return {"context": self.text, "question": self.question}
        if self.model.task == "text-classification":
            return self.text
        with Image.open(io.BytesIO(self.picture), formats=["PNG"]) as opened:
            image = opened.convert("RGB")
        return image if self.model.task == "image-classification" else self._captioned(image)

    def _captioned(self, image: Image.Image) -> dict[str, Any]:
        return {"image": image, "text": self.text}

    @property
    def options(self) -> dict[str, Any]:
        """How it is to be explained."""
        options: dict[str, Any] = {"alpha": self.alpha, "seed": self.seed}
        task = self.model.task
        if task in TEXTS:
            options["features"] = self.features
        if task in PICTURES:
            options["patches"] = self.patches
        if task != "zero-shot-image-classification" and self.target.strip():
            # In the model's words, a space in front is a part of the first token.
            spaced = task == "text-generation"
            options["target"] = self.target if spaced else self.target.strip()
        if task == "text-generation":
            options |= {"masking": "delete", "max_new_tokens": _NEW_TOKENS}
        return options


@dataclass(frozen=True)
class Cost:
    """What an explanation will take.

    Attributes:
        n_features: how many, called ``noun``.
        calls: at most how many model calls.
        seconds: to ask them all, by a small batch timed just now.
        exact: every subset is asked.
        unread: where the model cannot read most of the text: that, in words.
    """

    n_features: int
    noun: str
    calls: int
    seconds: float
    exact: bool
    unread: str = ""


@dataclass(frozen=True)
class Step:
    """Where a running job stands; ``eta`` in seconds, None where it is not known yet."""

    phase: str
    done: int = 0
    total: int = 0
    eta: float | None = None


@dataclass(frozen=True)
class Found:
    """The end of a job: the explanation, as the text of its file; ``unread`` as of a cost."""

    text: str
    unread: str = ""


@dataclass(frozen=True)
class Halted:
    """The early end of a job.

    Attributes:
        message: why, in words.
        failed: by an error, not because a person or the clock wanted it.
        again: whether the same job can be resumed: nothing of it failed, or some answers are there.
    """

    message: str
    failed: bool = False
    again: bool = True


def explanation_of(text: str) -> InteractionExplanation:
    """The explanation of a file's text."""
    return InteractionExplanation(record_from_json(json.loads(text)))


class _Ended(Exception):  # noqa: N818 - what a person or the clock wants is not an error
    """Raised between two batches."""


def checked(job: Job, limits: Limits) -> Job:
    """``job``, if it can be begun; what is known before the model has divided the input.

    Raises:
        InputError: something is missing or beyond a limit.
    """
    task = job.model.task
    if task in TEXTS and not job.text.strip():
        what = "context" if task == "text-generation" else "text"
        raise InputError(f"there is no {what} yet: write or paste one.")
    if task == "text-generation" and not job.question.strip():
        raise InputError("there is no question yet: ask something about the text.")
    if task in PICTURES and not job.picture:
        raise InputError("there is no picture yet: choose a file.")
    length = len(job.text) + len(job.question)
    if task in TEXTS and length > limits.characters:
        raise InputError(
            f"the text has {length:,} characters, this app takes {limits.characters:,}: shorten it."
        )
    if len(job.target) > limits.characters:
        raise InputError(f"the target is longer than {limits.characters:,} characters: shorten it.")
    if not 0.5 <= job.alpha <= 16:
        raise InputError(f"alpha must lie between 0.5 and 16, got {job.alpha:g}.")
    if not 1 <= job.patches <= 256:
        raise InputError(f"patches must lie between 1 and 256, got {job.patches}.")
    if not 0 <= job.seed < 2**31:
        raise InputError(f"the seed must be a whole number from 0 to {2**31 - 1}, got {job.seed}.")
    # What cannot matter for this task takes no part, so that the same question is the same job.
    return replace(
        job,
        text=job.text if task in TEXTS else "",
        question=job.question if task == "text-generation" else "",
        picture=job.picture if task in PICTURES else b"",
    )


def _planned(n: int, noun: str, job: Job, limits: Limits) -> Plan:
    """The plan of an input that was divided.

    Raises:
        InputError: too many features, or too many calls.
    """
    if n > limits.features:
        raise InputError(
            f"the input has {n} {noun}, this app takes {limits.features}: shorten it, or divide "
            "it more coarsely (a text into sentences, a picture into fewer patches)."
        )
    plan = ExplainerOptions().changed(job.options).plan(n)
    if plan.calls > limits.calls:
        raise InputError(
            f"{n} {noun} at alpha {job.alpha:g} are {plan.calls:,} model calls, this app makes "
            f"{limits.calls:,}: take a smaller alpha, or a shorter or more coarsely divided input."
        )
    return plan


def _noun(kinds: Any) -> str:
    """What the features are called."""
    regions = kinds.region_kind
    if regions is None:
        return str(kinds.kind)
    return f"{regions} and {kinds.kind}" if kinds.spans else str(regions)


def options_of(job: Job, pipe: Any) -> dict[str, Any]:
    """A job's options for its pipeline: where classes are chosen, in log-odds.

    A reader sees those as a probability.
    """
    if job.model.task not in ("text-classification", "image-classification"):
        return job.options
    applied, count = function_applied(Stages(pipe)), pipe.model.config.num_labels
    has_odds = applied == "sigmoid" or (applied == "softmax" and count > 1)
    return {**job.options, "value": "log-odds"} if has_odds else job.options


def cost_of(job: Job, models: Models, limits: Limits) -> Cost:
    """What a job will take: the input is divided, and a few masks are asked and timed.

    Raises:
        InputError, ModelError: it cannot be explained, or is beyond a limit.
    """
    job = checked(job, limits)
    pipe = models.pipeline(job.model)
    function = InteractionExplainer(pipe).value_function(job.inputs, **options_of(job, pipe))
    n, noun = function.n_features, _noun(function.features)
    plan = _planned(n, noun, job, limits)
    masks = np.random.default_rng(0).random((_TIMED[-1], n)) < 0.7
    _ = function.way  # found once an input: no part of what a call costs
    for count in _TIMED:  # small models are faster in larger batches: what they will be asked in
        start = time.perf_counter()
        function(masks[:count])
        seconds = time.perf_counter() - start
        if seconds > _TIMED_LONG:
            break
    return Cost(
        n, noun, plan.calls, seconds / count * plan.calls, plan.exact, unread(pipe, job.text)
    )


def explain(
    job: Job, models: Models, folder: Path, limits: Limits
) -> Iterator[Step | Found | Halted]:
    """Run a job: steps now and then, at the end what was found or why it halted.

    The model is asked in a thread of its own. It stops before the next batch when the page asks
    for it, when the time is over, or when this iterator is closed.

    Args:
        job: what to explain.
        models: where the model comes from.
        folder: the page's own: answers, and the flag that stops the job.
        limits: what is too much.
    """
    news: queue.SimpleQueue[Step | Found | Halted] = queue.SimpleQueue()
    gone = threading.Event()
    worker = _Worker(checked(job, limits), models, folder, limits, news, gone)
    threading.Thread(target=worker.run, name="explain", daemon=True).start()
    last: Step | Found | Halted = Step("loading the model")
    try:
        yield last
        while isinstance(last, Step):
            try:
                last = news.get(timeout=_PULSE)
                while not news.empty() and isinstance(last, Step):
                    last = news.get_nowait()
            except queue.Empty:
                continue
            yield last
            if isinstance(last, Step):
                time.sleep(_PULSE)
    finally:
        gone.set()


class _Worker:
    """The thread of one job."""

    def __init__(
        self,
        job: Job,
        models: Models,
        folder: Path,
        limits: Limits,
        news: queue.SimpleQueue[Step | Found | Halted],
        gone: threading.Event,
    ) -> None:
        self._job, self._models, self._folder, self._limits = job, models, folder, limits
        self._news, self._gone = news, gone
        self._deadline = time.monotonic() + limits.seconds
        self._asked, self._open = 0, 0

    def run(self) -> None:
        try:
            self._news.put(self._explained())
        except _Ended as ended:
            self._news.put(Halted(f"{ended} {self._kept()}"))
        except Exception as error:  # noqa: BLE001 - the thread's end: all of it is told in words
            text = f"{in_words(error)} {self._kept()}".strip()
            self._news.put(Halted(text, failed=True, again=self._open > 0))

    def _explained(self) -> Found:
        self._pause()
        pipe = self._models.pipeline(self._job.model)
        explainer = InteractionExplainer(pipe)
        self._pause()
        self._news.put(Step("reading the input"))
        inputs, options = self._job.inputs, options_of(self._job, pipe)
        function = explainer.value_function(inputs, **options)
        _planned(function.n_features, _noun(function.features), self._job, self._limits)
        explanation = explainer(inputs, **options, cache_dir=self._folder, progress=self._progress)
        return Found(dumps(explanation.record), unread(pipe, self._job.text))

    def _progress(self, progress: Progress) -> None:
        if progress.phase == "model calls":
            self._asked, self._open = progress.done, progress.total
        self._news.put(Step(progress.phase, progress.done, progress.total, progress.eta))
        self._pause()

    def _pause(self) -> None:
        """Between two batches: whether to continue.

        Raises:
            _Ended: the person or the clock says no.
        """
        if self._gone.is_set() or is_stopped(self._folder):
            raise _Ended("Stopped.")
        if time.monotonic() > self._deadline:
            raise _Ended(
                f"The time of one run is over ({self._limits.seconds:g} s is this app's limit)."
            )

    def _kept(self) -> str:
        if not self._open:
            return ""
        if self._asked == self._open:
            return "All answers of the model are kept: Continue fits them without asking again."
        return (
            f"{self._asked:,} of {self._open:,} answers are kept: Continue asks only for the "
            "others, a smaller alpha for fewer."
        )
