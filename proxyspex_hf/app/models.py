"""The models that the app can ask: loaded once, used by several people at a time."""

from __future__ import annotations

import copy
import os
import threading
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from proxyspex_hf.app.errors_in_words import in_words
from proxyspex_hf.demo import DEMO_CLIP, DEMO_MODEL
from proxyspex_hf.errors import InputError
from proxyspex_hf.explainer import InteractionExplainer
from proxyspex_hf.explanation import InteractionExplanation
from proxyspex_hf.hf.identity import model_name
from proxyspex_hf.hf.loading import load_pipeline
from proxyspex_hf.hf.served.model import ServedModel
from proxyspex_hf.hf.tasks.table import task_of
from proxyspex_hf.record.record import ExplanationRecord

#: The tasks that the form knows, as it calls them.
TASKS = {
    "text-classification": "a text and its class",
    "text-generation": "a question on a text",
    "zero-shot-image-classification": "a picture and its caption",
    "image-classification": "a picture and its class",
}


@dataclass(frozen=True)
class Choice:
    """A model that can be chosen.

    Attributes:
        name: the model's id on the Hub, or what the shipped ones are called.
        task: the pipeline's task.
        place: what is loaded, where that is not ``name``.
        recorded: what explanations call it, where that is not ``name``.
    """

    name: str
    task: str
    place: str = ""
    recorded: str = ""


SHIPPED = (
    Choice("film reviews (ships with the app)", "text-classification", DEMO_MODEL, "sentiment"),
    Choice(
        "pictures of icons (ships with the app)",
        "zero-shot-image-classification",
        DEMO_CLIP,
        "clip",
    ),
)
PUBLIC = (
    Choice("distilbert/distilbert-base-uncased-finetuned-sst-2-english", "text-classification"),
    Choice("HuggingFaceTB/SmolLM2-135M-Instruct", "text-generation"),
    Choice("openai/clip-vit-base-patch32", "zero-shot-image-classification"),
    Choice("google/vit-base-patch16-224", "image-classification"),
)


class Models:
    """A bounded shelf of loaded pipelines.

    Weights are shared by all who ask; each gets a pipeline with a tokenizer of its own, since
    tokenizers are not safe to share among threads.

    Args:
        choices: what may be chosen.
        any_model: whether any other name may be given, with its task: only for people who could
            run it on this machine anyway.
        most: pipelines kept; the one that was not used for longest goes first.
    """

    def __init__(
        self,
        choices: Sequence[Choice] = SHIPPED + PUBLIC,
        *,
        any_model: bool = False,
        most: int = 3,
    ) -> None:
        self.choices = tuple(choices)
        self.any_model = any_model
        self._most = max(1, most)
        self._shelf: OrderedDict[Choice, Any] = OrderedDict()
        self._lock = threading.Lock()
        self._loading: dict[Choice, threading.Lock] = {}
        self._served: dict[Choice, ServedModel] = {}

    def find(self, name: str, task: str) -> Choice:
        """The choice of that name.

        Raises:
            InputError: it is not on the list, or of a task that the app has no form for.
        """
        found = next((choice for choice in self.choices if choice.name == name), None)
        if found is not None:
            return found
        if not self.any_model:
            raise InputError(f"{name!r} is not on this app's list of models: choose one of those.")
        if not name.strip():
            raise InputError("no model was chosen: choose one, or give an id such as owner/name.")
        if task not in TASKS:
            raise InputError(f"task {task!r} is not one of {', '.join(TASKS)}: choose one of them.")
        place = os.path.normpath(name.strip())
        recorded = os.path.basename(place) if os.path.isdir(place) else ""
        return Choice(name.strip(), task, recorded=recorded)

    def offer(self, model: str, task: str | None = None) -> None:
        """Load a model and put it first on the list.

        Args:
            model: Hub id or directory.
            task: the pipeline's task; default what the model's class says.

        Raises:
            InputError: it cannot be loaded, or is of a task that the app has no form for.
        """
        pipe = load_pipeline(model, task=task)
        found = task_of(pipe)
        if found not in TASKS:
            raise InputError(f"{model!r} does {found}; the app has forms for {', '.join(TASKS)}.")
        name, _ = model_name(pipe)
        place = os.path.abspath(model) if os.path.isdir(model) else model
        choice = Choice(name, found, place=place, recorded=name)
        others = [o for o in self.choices if place not in (o.place, o.name)]
        twins = [o for o in others if PurePath(o.name).name == name and os.path.isdir(o.place)]
        named = _told_apart([choice, *twins], {o.name for o in others if o not in twins})
        self.choices = (named[choice], *(named.get(other, other) for other in others))
        self._most += 1
        with self._lock:
            for twin in twins:
                if twin in self._shelf:
                    self._shelf[named[twin]] = self._shelf.pop(twin)
        self.keep(named[choice], pipe)

    def offer_served(self, served: ServedModel) -> None:
        """Put a model that a server holds first on the list.

        Raises:
            ModelError: the server cannot be used.
        """
        _ = served.started
        name, _ = model_name(served)
        place = f"{served.name} at {served.urls[0]}"
        choice = Choice(f"{name} (served)", served.task, place=place, recorded=name)
        self.choices = (choice, *self.choices)
        self._served[choice] = served

    def is_loaded(self, choice: Choice) -> bool:
        """Whether asking it needs no loading."""
        with self._lock:
            return choice in self._shelf or choice in self._served

    def pipeline(self, choice: Choice) -> Any:
        """The pipeline of a choice, loaded where it is not yet; shared weights, own tokenizer.

        Raises:
            InputError: it cannot be loaded.
        """
        if choice in self._served:
            return self._served[choice].beside()
        with self._lock:
            loading = self._loading.setdefault(choice, threading.Lock())
        with loading:  # those who want the same wait; others continue
            with self._lock:
                pipe = self._shelf.get(choice)
            if pipe is None:
                pipe = load_pipeline(choice.place or choice.name, task=choice.task)
            self.keep(choice, pipe)
        own = copy.copy(pipe)
        own.tokenizer = copy.deepcopy(pipe.tokenizer)
        return own

    def keep(self, choice: Choice, pipe: Any) -> None:
        """Put a loaded pipeline on the shelf, at the front."""
        with self._lock:
            self._shelf[choice] = pipe
            self._shelf.move_to_end(choice)
            while len(self._shelf) > self._most:
                self._shelf.popitem(last=False)

    def preload(self) -> None:
        """Load all that is on the list: for machines that fork after the start."""
        self._most = max(self._most, len(self.choices))
        for choice in self.choices:
            self.pipeline(choice)

    def of(self, record: ExplanationRecord) -> Choice:
        """The model that an explanation says it was made with.

        Raises:
            InputError: it cannot be asked here; the message says why.
        """
        return self._all_of(record)[0]

    def _all_of(self, record: ExplanationRecord) -> list[Choice]:
        """Those of that name: an explanation does not say in which directory its model lay."""
        model, task = record.provenance.model, record.task
        with self._lock:
            known = dict.fromkeys([*self.choices, *self._loading])
        found = [c for c in known if (c.recorded or c.name, c.task) == (model, task)]
        if found:
            return found
        # A file is not a reason to load whatever it names: a person may choose that model first.
        raise InputError(f"this app cannot ask {model!r} for {task}: it is not on its list.")

    def reason(self, record: ExplanationRecord) -> str | None:
        """Why the model of an explanation cannot be asked, in words; None where it can."""
        try:
            self.of(record)
        except InputError as error:
            return in_words(error)
        return None

    def ask(self, explanation: InteractionExplanation, removed: Sequence[int]) -> float:
        """What the model itself gives without the features ``removed``.

        Raises:
            InputError: it cannot be asked, or is not the model that was explained: on the whole
                input it gives another value than the explanation holds.
            ModelError: it failed.
        """
        record = explanation.record
        masks = np.ones((2, len(record.features)), dtype=np.bool_)
        masks[1, list(removed)] = False
        for choice in self._all_of(record):  # the answer for the whole input tells which it was
            explainer = InteractionExplainer(self.pipeline(choice))
            whole, value = explainer.ask(explanation, masks).tolist()
            if abs(whole - record.full_value) <= _tolerance(record):
                return float(value)
        raise InputError(
            f"asked for the whole input, the model says {whole:.4g}, and the explanation holds "
            f"{record.full_value:.4g}: this is another model, another version of it, or "
            "another input, so its answer would say nothing about the explanation."
        )


def _tolerance(record: ExplanationRecord) -> float:
    """How far two runs of one model may differ, in the target's unit."""
    exact = record.provenance.dtype == "float32" and record.provenance.quantization is None
    share = 1e-3 if exact else 3e-2
    return share * max(1.0, abs(record.full_value)) + 2 * (record.provenance.noise_floor or 0.0)


def _told_apart(choices: Sequence[Choice], taken: Collection[str]) -> dict[Choice, Choice]:
    """Models in directories of one name, called by as much of the end of their paths as it takes.

    Args:
        taken: what other models are called.
    """
    parts = [Path(choice.place).parts for choice in choices]
    names = [choice.recorded for choice in choices]
    for depth in range(1, 1 + max(map(len, parts))):
        if len({*names, *taken}) == len(names) + len(taken):
            break
        names = [PurePath(*part[-depth:]).as_posix() for part in parts]
    return {choice: replace(choice, name=name) for choice, name in zip(choices, names, strict=True)}
