"""The first tab: an explanation to play with, and what the picture asks of the model."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import gradio as gr

from proxyspex_hf.app.components import (
    answered,
    asked,
    doubted,
    failed,
    indexed,
    removed_sets,
    same,
    saved,
)
from proxyspex_hf.app.errors_in_words import in_words
from proxyspex_hf.app.examples import EXAMPLES
from proxyspex_hf.app.session import Session
from proxyspex_hf.app.source import Pair, Source
from proxyspex_hf.app.state import Shared
from proxyspex_hf.explanation import InteractionExplanation

#: Sizes of the best removal sets, and seconds to prove each; the page counts on the first being 1.
_SIZES = range(1, 11)
_PROOF = 2.0


def examples() -> dict[str, gr.Button]:
    """A button for each example that ships."""
    with gr.Row(elem_id="examples"):
        return {name: gr.Button(text, size="sm") for name, text in EXAMPLES.items()}


def answer_the_picture(shared: Shared, buttons: dict[str, gr.Button]) -> None:
    """Wire the examples, and the five things that the picture can ask for."""

    def example(name: str, session: Session) -> dict[Any, Any]:
        return shared.show(session.showing(Source("example", name=name), None))

    for name, button in buttons.items():
        button.click(
            partial(example, name),
            shared.session,
            shared.outputs,
            show_progress="hidden",
            api_visibility="private",
        )

    def model(found: InteractionExplanation, data: Any) -> str:
        removed = asked(data, found)
        return answered(found, removed, shared.ask(found.record, removed))

    def interval(found: InteractionExplanation, data: Any) -> str:
        return doubted(found, asked(data, found))

    def tables(found: InteractionExplanation, _data: Any) -> str:
        return indexed(found)

    def best(found: InteractionExplanation, _data: Any) -> str:
        sizes = [k for k in _SIZES if k <= len(found.features)]
        return removed_sets(found, found.removal_curve(sizes, time_limit=_PROOF))

    def file(found: InteractionExplanation, _data: Any) -> str:
        return saved(found)

    def answering(
        name: str, answer: Callable[[InteractionExplanation, Any], str]
    ) -> Callable[..., Any]:
        """A handler that gives the answer as the property ``name``, or what went wrong."""

        def handler(session: Session, event: gr.EventData) -> Any:
            found = session.explanation
            try:
                if not same(event._data, found):  # another is shown by now
                    return gr.skip()
                text = answer(found, event._data)
            except Exception as error:  # noqa: BLE001 - whatever it is, the page says it in words
                text = failed(found, in_words(error))
            updated: dict[str, Any] = {name: text}
            return gr.update(**updated)

        return handler

    view = shared.view
    for event, prop, answer in (
        (view.check, "answer", model),
        (view.sure, "interval", interval),
        (view.tables, "indices", tables),
        (view.removals, "removals", best),
        (view.save, "file", file),
    ):
        event(
            answering(prop, answer),
            shared.session,
            view,
            show_progress="hidden",
            concurrency_limit=2,
            concurrency_id=prop,
            trigger_mode="always_last" if answer in (model, interval) else "once",
            api_visibility="private",
        )


def compare_with_before(shared: Shared) -> None:
    """Wire the button above the picture."""

    def compare_before(session: Session) -> dict[Any, Any]:
        before = session.before
        if before is None:  # Gradio has forgotten the page
            return {shared.before: gr.Button(visible=False)}
        made = {before.source: before.explanation, session.source: session.explanation}
        return shared.show_beside(Pair(before.source, session.source), made.__getitem__)

    shared.before.click(
        compare_before,
        shared.session,
        [*shared.beside_outputs, shared.before],
        show_progress="hidden",
        concurrency_limit=2,
        concurrency_id="beside",
        api_visibility="private",
    )
