"""The narrow protocols that a server is spoken to by, and how its answers are checked.

A dialect is one short file: it writes a request, reads the answer, and refuses one that is not what
was asked for. An answer of 200 without the numbers is an error.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from proxyspex_hf.checks import FloatArray
from proxyspex_hf.errors import ModelError
from proxyspex_hf.hf.served.line import Line, short_reason
from proxyspex_hf.hf.served.question import Question

#: How far above 0 rounding may carry a log-probability.
_ABOVE_ZERO = 1e-3
#: What vLLM and others write for minus infinity, which JSON does not have.
_NONE_AT_ALL = -9999.0
#: What is kept of the words that a server says of its model.
_LONGEST, _ENTRIES = 200, 12
#: Labels of one model: more than ImageNet-21k has. Convention.
_MOST_LABELS = 100_000


@dataclass(frozen=True)
class Output:
    """What a model said by itself.

    Attributes:
        tokens: its ids; None where the server tells its text alone.
        text: its text.
    """

    tokens: tuple[int, ...] | None
    text: str


class Dialect(ABC):
    """How one kind of server is asked.

    Args:
        model: the name by which the server knows its model.

    Attributes:
        name: what records call it.
        takes: what prompts are sent as.
    """

    name: ClassVar[str]
    takes: ClassVar[Literal["ids", "text"]] = "ids"

    def __init__(self, model: str) -> None:
        self.model = model

    @abstractmethod
    def says(self, line: Line) -> dict[str, str]:
        """What the server says of its model, the same after a restart."""


class ScoringDialect(Dialect):
    """How a server of a language model is asked."""

    #: What turns log-probabilities of prompts on, for errors.
    flag: ClassVar[str]

    @abstractmethod
    def scores(self, line: Line, question: Question) -> FloatArray:
        """(t,) log-probability of each token of the output after the prompt and those before it.

        Raises:
            Lost: no answer, or one that asks for patience.
            ModelError: the answer does not hold them.
        """

    @abstractmethod
    def output(self, line: Line, prompt: tuple[int, ...] | str, most: int) -> Output:
        """What the model says after a prompt: the likeliest token each time, ``most`` at most.

        Raises:
            Lost, ModelError: as :meth:`scores`.
        """

    def missing(self, line: Line, what: str = "log-probabilities of the prompt") -> ModelError:
        """The error of an answer without the numbers."""
        return ModelError(
            f"{line.place} answered without {what}, which an explanation is made of. {self.flag}"
        )


class ClassDialect(Dialect):
    """How a server of a classifier is asked.

    Attributes:
        labels: the classes in the order of the logits; None where they are not known yet.
        likely: the same by the model's config, for a server that names its classes itself; a config
            that came with a tokenizer may be another model's.
        names_classes: whether the server does.
    """

    labels: tuple[str, ...] | None = None
    likely: tuple[str, ...] | None = None
    names_classes: ClassVar[bool] = False

    @abstractmethod
    def logits(self, line: Line, item: tuple[int, ...] | str) -> FloatArray:
        """(labels,) raw scores of one text.

        Raises:
            Lost: no answer, or one that asks for patience.
            ModelError: the answer does not hold them.
        """


def only_choice(line: Line, answer: Mapping[str, Any], model: str) -> Mapping[str, Any]:
    """The one completion of an OpenAI-style answer of this model.

    Raises:
        ModelError: there are none or several, or it is another model's.
    """
    choices = answer.get("choices")
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
        raise ModelError(
            f"{line.place} answered with no list of one choice: it is not a completions API."
        )
    named = answer.get("model")
    if isinstance(named, str) and named != model:
        raise ModelError(
            f"{line.place} answered as {short_reason(named)!r}, but {model!r} was asked: "
            "another model is served there now."
        )
    found: Mapping[str, Any] = choices[0]
    return found


def counted(line: Line, answer: Mapping[str, Any], count: int) -> None:
    """Check how many tokens the server says it has read.

    Raises:
        ModelError: others than were sent.
    """
    usage = answer.get("usage")
    read = usage.get("prompt_tokens") if isinstance(usage, Mapping) else None
    if read is None:
        return
    if read != count:
        raise ModelError(
            f"{line.place} read {short_reason(str(read))} tokens where {count} were meant: it adds "
            "or drops tokens (a second token for the beginning, truncation), or reads with another "
            "tokenizer. Give tokenizer=... that of the served model."
        )


def scores_of(values: Sequence[Any], line: Line, dialect: ScoringDialect) -> FloatArray:
    """Log-probabilities as an array.

    Raises:
        ModelError: one is missing or is none.
    """
    found = []
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise dialect.missing(line, "the log-probability of every token of the output")
        number = _as_float(value)
        if not math.isfinite(number) or number > _ABOVE_ZERO:
            raise ModelError(
                f"{line.place} gave {number:g} for a log-probability, which is at most 0."
            )
        if number <= _NONE_AT_ALL:
            raise ModelError(
                f"{line.place} gave {number:g} for a log-probability, which stands for minus "
                "infinity: the model never says this token of the output. Explain another output."
            )
        found.append(min(number, 0.0))
    return np.array(found, dtype=np.float64)


def said(entry: Mapping[str, Any], names: Sequence[str]) -> dict[str, str]:
    """Some of what a server says of its model, as short texts."""
    found = {}
    for name in names[:_ENTRIES]:
        value = entry.get(name)
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            found[name] = short_reason(str(value))[:_LONGEST]
    return found


def listed_says(line: Line, model: str) -> dict[str, str]:
    """What an OpenAI-style server says of a model, and its own version where it has one.

    Raises:
        ModelError: it does not list the model.
    """
    listed = listed_model(line, model)
    version = line.get_if_there("/version")
    return {
        **({"id": model} if listed is None else listed[1]),
        **({} if version is None else said(version, ("version",))),
    }


def listed_model(line: Line, model: str | None) -> tuple[str, dict[str, str]] | None:
    """The name of a model of ``GET /v1/models``, the only one where none is named, and what the
    server says of it; None where the server has no such list.

    Raises:
        ModelError: it is not there, or there are several and none is named.
    """
    answer = line.get_if_there("/v1/models")
    entries = None if answer is None else answer.get("data")
    if not isinstance(entries, list):
        return None
    known = {
        entry["id"]: entry
        for entry in entries[:1000]
        if isinstance(entry, dict) and isinstance(entry.get("id"), str)
    }
    if model is None and len(known) == 1:
        (model,) = known
    if model is None or model not in known:
        names = ", ".join(repr(short_reason(name)) for name in list(known)[:8]) or "none"
        raise ModelError(
            f"{line.place} serves {names}: name one of them with model=..., "
            f"{'none was named' if model is None else f'not {model!r}'}."
        )
    return model, said(known[model], ("id", "root", "parent", "owned_by", "max_model_len"))


def numbers_of(values: Any, line: Line) -> FloatArray:
    """Raw scores as an array, (labels,).

    Raises:
        ModelError: no list of finite numbers.
    """
    good = isinstance(values, list) and 0 < len(values) <= _MOST_LABELS
    if not good or any(isinstance(v, bool) or not isinstance(v, (int, float)) for v in values):
        raise ModelError(f"{line.place} answered without the scores of its labels.")
    found = np.array([_as_float(value) for value in values], dtype=np.float64)
    if not np.isfinite(found).all():
        raise ModelError(f"{line.place} gave an infinite score of a label.")
    return found


def _as_float(value: float) -> float:
    """A number of JSON, which may be an integer beyond all floats."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
