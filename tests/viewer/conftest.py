"""A real Gradio server with the viewer alone in it, and pages of it in the browser."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import gradio as gr
import numpy as np
import pytest
from ports import free_port

from proxyspex_hf.app import components
from proxyspex_hf.app.source import Source
from proxyspex_hf.errors import InputError
from proxyspex_hf.explanation import InteractionExplanation
from proxyspex_hf.record.record import ExplanationRecord
from proxyspex_hf.viz.page import page_data

#: The model in these tests answers this much more than the explanation.
OFF_BY = 0.25


@dataclass
class Shelf:
    """The explanations that the server shows, by the name in the page's query."""

    url: str = ""
    explanations: dict[str, InteractionExplanation] = field(default_factory=dict)
    checks: list[Any] = field(default_factory=list)

    def of(self, data: Any) -> InteractionExplanation:
        return next(e for e in self.explanations.values() if components.same(data, e))


@pytest.fixture(scope="session")
def shelf() -> Iterator[Shelf]:
    shelf = Shelf()

    def first(request: gr.Request) -> str:
        name = request.query_params["example"]
        found = shelf.explanations[name]
        cannot = "The model is not at hand." if name.startswith("closed") else None
        return components.shown(found, source=Source("example", name=name), model=cannot)

    def check(event: gr.EventData) -> Any:
        data = event._data  # the whole of what the page sent
        shelf.checks.append(data)
        explanation = shelf.of(data)
        try:
            removed = components.asked(data, explanation)
            if len(removed) == 3:
                raise InputError("three is <b>too</b> many")
        except InputError as error:
            return gr.HTML(answer=components.failed(explanation, str(error)))
        mask = np.ones((1, len(explanation.features)), dtype=bool)
        mask[0, list(removed)] = False
        value = float(explanation.predict(mask)[0]) + OFF_BY
        return gr.HTML(answer=components.answered(explanation, removed, value))

    def removals(event: gr.EventData) -> Any:
        explanation = shelf.of(event._data)
        most = min(10, len(explanation.features))
        solutions = explanation.removal_curve(range(1, most + 1))
        return gr.HTML(removals=components.removed_sets(explanation, solutions))

    def save(event: gr.EventData) -> Any:
        return gr.HTML(file=components.saved(shelf.of(event._data)))

    def sure(event: gr.EventData) -> Any:
        explanation = shelf.of(event._data)
        removed = components.asked(event._data, explanation)
        return gr.HTML(interval=components.doubted(explanation, removed))

    def tables(event: gr.EventData) -> Any:
        return gr.HTML(indices=components.indexed(shelf.of(event._data)))

    def back(event: gr.EventData) -> str:
        name = dict(parse_qsl(event._data["query"]))["example"]
        return components.shown(
            shelf.explanations[name], source=Source("example", name=name), model=None
        )

    with gr.Blocks() as demo:
        shown = components.viewer()
        for event in (check, sure, tables, removals, save, back):
            getattr(shown, event.__name__)(event, None, shown, show_progress="hidden")
        demo.load(first, None, shown, show_progress="hidden")
    _, url, _ = demo.launch(
        prevent_thread_lock=True,
        quiet=True,
        css=components.CSS,
        ssr_mode=False,
        server_port=free_port(),
    )
    shelf.url = url
    yield shelf
    demo.close()


@dataclass
class Shown:
    """A page that shows one explanation, and what it complained of or asked for."""

    page: Any
    explanation: InteractionExplanation
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def feature(self, i: int) -> Any:
        return self.page.locator(f'.psx .input [data-i="{i}"]')

    def value(self) -> float:
        return float(self.part("prediction").get_attribute("data-value"))

    def part(self, name: str) -> Any:
        return self.page.locator(f'.psx [data-id="{name}"]')

    def removed(self) -> list[int]:
        script = "all => all.filter(e => e.classList.contains('out')).map(e => +e.dataset.i)"
        return list(self.page.locator(".psx .input .f").evaluate_all(script))

    def predicted(self) -> float:
        """What the explanation gives for the features that the page shows as kept."""
        mask = np.ones((1, len(self.explanation.features)), dtype=bool)
        mask[0, self.removed()] = False
        return float(self.explanation.predict(mask)[0])

    def experts(self, tab: str = "list") -> None:
        """Open the part for experts at one of its tabs."""
        if self.part("experts").get_attribute("open") is None:
            self.page.locator(".psx .details > summary").click()
        self.page.locator(f'.psx [data-tab="{tab}"]').click()
        if tab in ("list", "upset", "waterfall"):  # the indices are asked for
            self.page.wait_for_function(
                "!document.querySelector('.psx .panel').textContent.includes('Computing')"
                " && document.querySelectorAll('.psx [data-id=index] option').length !== 1"
            )

    def rows(self) -> list[tuple[tuple[int, ...], str]]:
        """Members and shown value of each row of the list."""
        script = "all => all.map(e => [e.dataset.key, e.querySelector('.value').textContent])"
        found = self.page.locator(".psx .row").evaluate_all(script)
        return [(tuple(map(int, key.split("-"))), value) for key, value in found]

    def told(self) -> dict[str, Any]:
        """What Python sent to the page, of the explanation shown."""
        return dict(json.loads(json.dumps(page_data(self.explanation.record))))


@pytest.fixture
def show(browser: Any, shelf: Shelf) -> Iterator[Callable[..., Shown]]:
    opened: list[Shown] = []

    def show(record: ExplanationRecord, *, name: str = "", rest: str = "", **options: Any) -> Shown:
        """``rest``: what follows the name in the address."""
        name = name or f"r{len(shelf.explanations)}"
        explanation = InteractionExplanation(record)
        shelf.explanations[name] = explanation
        options.setdefault("viewport", {"width": 1280, "height": 900})
        page = browser.new_context(**options).new_page()
        result = Shown(page, explanation)
        page.on("console", lambda message: result.complaints.append(message.text))
        page.on("pageerror", lambda error: result.complaints.append(str(error)))
        page.on("request", lambda request: result.requests.append(request.url))
        page.add_init_script("window.pwned = 0;")
        opened.append(result)
        page.goto(f"{shelf.url}?example={name}{rest}", wait_until="commit")
        page.wait_for_selector('.psx[aria-busy="false"]')
        return result

    yield show
    for result in opened:
        pwned = result.page.evaluate("window.pwned")
        result.page.context.close()
        assert pwned == 0
        assert result.complaints == []
        outside = [u for u in result.requests if not u.startswith((shelf.url, "data:", "blob:"))]
        assert outside == []
