"""What the tabs of the page have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr

from proxyspex_hf.app.compare_tab import BESIDE, Beside, Resolve, can_compare, pair_data
from proxyspex_hf.app.components import error, shown
from proxyspex_hf.app.errors_in_words import in_words
from proxyspex_hf.app.house import House
from proxyspex_hf.app.jobs import Cost, Found, Halted, Job, Step, cost_of, explain, explanation_of
from proxyspex_hf.app.session import Session
from proxyspex_hf.app.settings import Settings
from proxyspex_hf.app.source import Pair
from proxyspex_hf.errors import InputError
from proxyspex_hf.record.record import ExplanationRecord
from proxyspex_hf.record.serialize import dumps

EXPLORE, OWN_TAB, HUB = "explore", "own", "hub"
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Runs:
    """The functions that run a model. They take and give plain data, wrapped by ``settings.gpu``.

    Attributes:
        explain: a job and the page's directory -> steps, then its end.
        cost: a job -> what it will take.
        ask: the text of an explanation's file and removed features -> the model's value.

    Raises:
        InputError: from ``cost`` and ``ask``, whatever went wrong, in words for the page.
    """

    explain: Callable[[Job, Path], Iterator[Step | Found | Halted]]
    cost: Callable[[Job], Cost]
    ask: Callable[[str, tuple[int, ...]], float]

    @classmethod
    def of(cls, settings: Settings) -> Runs:
        """The functions of one app."""
        models, limits = settings.models, settings.limits

        def explained(job: Job, folder: Path) -> Iterator[Step | Found | Halted]:
            yield from explain(job, models, folder, limits)

        def cost(job: Job) -> Cost | Failed:
            return _or_failed(lambda: cost_of(job, models, limits))

        def ask(text: str, removed: tuple[int, ...]) -> float | Failed:
            return _or_failed(lambda: models.ask(explanation_of(text), removed))

        gpu = settings.gpu or (lambda function: function)
        return cls(gpu(explained), _raising(gpu(cost)), _raising(gpu(ask)))


@dataclass(frozen=True)
class Failed:
    """An error as plain data: what ZeroGPU's process raises arrives as another error, unsaid."""

    message: str


def _or_failed(run: Callable[[], _Result]) -> _Result | Failed:
    try:
        return run()
    except Exception as error:  # noqa: BLE001 - whatever it is, it must reach the page in words
        return Failed(in_words(error))


def _raising(function: Callable[..., Any]) -> Callable[..., Any]:
    def called(*args: Any) -> Any:
        result = function(*args)
        if isinstance(result, Failed):
            raise InputError(result.message)
        return result

    return called


@dataclass(frozen=True)
class Shared:
    """The page's parts that several tabs change.

    Attributes:
        house: what the open pages share.
        session: the page's :class:`Session`.
        view: the picture.
        tabs: to select one.
        news: the notice above the picture.
        before: the button that compares it with what was shown before.
        beside: the tab of two explanations.
    """

    settings: Settings
    house: House
    runs: Runs
    session: gr.State
    view: gr.HTML
    tabs: gr.Tabs
    news: gr.HTML
    before: gr.Button
    beside: Beside

    @property
    def outputs(self) -> list[Any]:
        """What :meth:`show` gives updates for."""
        return [self.session, self.view, self.tabs, self.news, self.before]

    def show(self, session: Session, news: str = "") -> dict[Any, Any]:
        """Updates that show a session's explanation in the first tab."""
        return {
            self.session: session,
            self.view: value_of(session, self.settings),
            self.tabs: gr.Tabs(selected=EXPLORE),
            self.news: news,
            self.before: gr.Button(visible=can_compare(session)),
        }

    @property
    def beside_outputs(self) -> list[Any]:
        """What :meth:`show_beside` gives updates for."""
        return [self.tabs, self.beside.view, self.beside.news]

    def show_beside(self, pair: Pair, resolve: Resolve) -> dict[Any, Any]:
        """Updates that show two explanations in their tab, or say there why not."""
        try:
            value, news = pair_data(pair, resolve), ""
        except Exception as problem:  # noqa: BLE001 - whatever it is, the page says it in words
            value, news = "", error(in_words(problem))
        return {
            self.tabs: gr.Tabs(selected=BESIDE),
            self.beside.view: value,
            self.beside.news: news,
        }

    def ask(self, record: ExplanationRecord, removed: tuple[int, ...]) -> float:
        """The model's own value without the features ``removed``."""
        return self.runs.ask(dumps(record), removed)


def value_of(session: Session, settings: Settings) -> str:
    """The value of the picture."""
    explanation = session.explanation
    reason = settings.models.reason(explanation.record)
    return shown(explanation, source=session.source, model=reason)
