"""What the tests of the report share: a parser of pages, and pages in the browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from viz_pages import Page

from proxyspex_hf.record.record import ExplanationRecord
from proxyspex_hf.viz import render_html


@dataclass
class Opened:
    """A page, and everything that it complained of or asked for."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def value(self) -> float:
        return float(self.page.locator(".psx [data-id=prediction]").get_attribute("data-value"))

    def word(self, i: int) -> Any:
        return self.page.locator(f'.psx .input [data-i="{i}"]')

    def lit(self, scope: str) -> list[int]:
        """Positions of the elements of ``scope`` that are highlighted."""
        script = "all => all.flatMap((e, i) => e.classList.contains('on') ? [i] : [])"
        return list(self.page.locator(scope).evaluate_all(script))

    def active(self) -> str:
        return str(self.page.evaluate("document.activeElement.textContent"))


@pytest.fixture
def parse() -> type[Page]:
    return Page


@pytest.fixture
def open_page(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Opened]]:
    opened: list[Opened] = []

    def open_page(
        record: ExplanationRecord, *, content: str | None = None, **options: Any
    ) -> Opened:
        path = tmp_path / "report.html"
        path.write_text(content or render_html(record), encoding="utf-8")
        options.setdefault("viewport", {"width": 1200, "height": 900})
        page = browser.new_context(**options).new_page()
        result = Opened(page)
        page.on("console", lambda message: result.complaints.append(message.text))
        page.on("pageerror", lambda error: result.complaints.append(str(error)))
        page.on("request", lambda request: result.requests.append(request.url))
        page.goto(path.as_uri())
        opened.append(result)
        return result

    yield open_page
    for result in opened:
        result.page.context.close()
        assert result.complaints == []
        assert [u for u in result.requests if not u.startswith(("file:", "about:"))] == []
        assert sum(url.startswith("file:") for url in result.requests) == 1
