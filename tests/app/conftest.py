"""A running app with the models that ship, people who use it, and a headless browser."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
from ports import free_port

from proxyspex_hf.app import Limits, Models, Settings, running
from proxyspex_hf.app.launch import Running
from proxyspex_hf.app.models import SHIPPED


@dataclass
class Calls:
    """How many inputs the models were run on; ``pause`` makes each forward pass take longer,
    for as long as it says so, and only ``passing`` batches of answers are let through."""

    rows: int = 0
    pause: float = 0.0
    batches: int = 0
    passing: int | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def let_through(self, more: int | None) -> None:
        """Stand still after ``more`` batches; None lets all through."""
        self.passing = None if more is None else self.batches + more

    def count(self, _module: Any, args: Any, kwargs: Any) -> None:
        given = kwargs.get("input_ids", args[0] if args else None)
        size = 1 if given is None else len(given)
        with self.lock:
            self.rows += size
            self.batches += size > 20  # fewer are trials
        while self.passing is not None and self.batches > self.passing:
            threading.Event().wait(0.01)
        start = time.monotonic()
        while time.monotonic() < start + self.pause:  # not sleep, which some fixtures shorten
            threading.Event().wait(0.01)


@dataclass(frozen=True)
class App:
    """The app under test; ``calls`` counts what its shipped classifier is asked."""

    running: Running
    settings: Settings
    calls: Calls

    @property
    def url(self) -> str:
        return self.running.url

    def person(self) -> Person:
        return Person(self)


@dataclass
class Person:
    """One open page, as the server knows it: what a browser would send, and anything else."""

    app: App
    page: str = field(default_factory=lambda: uuid.uuid4().hex)
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        given = httpx2.get(self.app.url).cookies  # with the page comes its pass
        self.headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in given.items())

    @contextmanager
    def open(self) -> Iterator[None]:
        """While inside, the page keeps the connection that a browser keeps."""
        url = f"{self.app.url}gradio_api/heartbeat/{self.page}"
        with httpx2.stream("GET", url, headers=self.headers, timeout=60) as beats:
            lines = beats.iter_lines()  # kept: without it the connection is closed
            next(lines)
            yield

    def function(self, name: str) -> Any:
        found = [
            fn
            for fn in self.app.running.demo.fns.values()
            if fn.fn is not None and getattr(fn.fn, "__name__", "") == name
        ]
        assert found, name
        return found[0]

    def ask(
        self, name: str, *data: Any, event: Any = None, fn: Any = None, query: str = ""
    ) -> dict[str, Any]:
        """Call a handler by its name; the last message that the queue sends of it."""
        fn = fn or self.function(name)
        body = {"data": list(data), "fn_index": fn._id, "session_hash": self.page}
        body |= {"event_data": event, "trigger_id": fn.targets[0][0]}
        if fn.queue is False:
            url = f"{self.app.url}gradio_api/run/predict"
            answer = httpx2.post(url, json=body, headers=self.headers, timeout=60)
            content = answer.json()
            return {"success": answer.status_code == 200, "output": content}
        joined = httpx2.post(
            f"{self.app.url}gradio_api/queue/join{query}",
            json=body,
            headers=self.headers,
            timeout=60,
        )
        if joined.status_code != 200:
            return {"success": False, "output": joined.json()}
        event_id = joined.json()["event_id"]
        url = f"{self.app.url}gradio_api/queue/data?session_hash={self.page}"
        with httpx2.stream("GET", url, headers=self.headers, timeout=120) as stream:
            for line in stream.iter_lines():
                if line.startswith("data:"):
                    message = json.loads(line[5:])
                    if (
                        message.get("event_id") == event_id
                        and message["msg"] == "process_completed"
                    ):
                        return dict(message)
        raise AssertionError("the stream ended early")


@contextmanager
def an_app(**settings: Any) -> Iterator[App]:
    """An app with the shipped models alone."""
    models = settings.pop("models", None) or Models(SHIPPED)
    chosen = Settings(models, **settings)
    calls = Calls()
    hook = models.pipeline(SHIPPED[0]).model.register_forward_pre_hook(
        calls.count, with_kwargs=True
    )
    try:
        with running(chosen, port=free_port()) as app:
            yield App(app, chosen, calls)
    finally:
        hook.remove()


@pytest.fixture(scope="session")
def app() -> Iterator[App]:
    with an_app(
        limits=Limits(features=60, calls=2000, upload_bytes=100_000, pixels=500_000)
    ) as app:
        yield app


@dataclass
class Opened:
    """A page in the browser, and everything that it complained of or asked for."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def tab(self, name: str) -> None:
        self.page.get_by_role("tab", name=name).click()

    def news(self, where: str) -> Any:
        return self.page.locator(f"#{where} .said")

    def shown(self, text: str) -> None:
        """Wait until the picture is of an input that holds ``text``."""
        self.page.locator("#explanation", has_text=text).first.wait_for()


@pytest.fixture
def visit(browser: Any, app: App) -> Iterator[Callable[..., Opened]]:
    """Open the app, also several times; afterwards no page has complained or asked elsewhere."""
    opened: list[Opened] = []

    def visit(query: str = "") -> Opened:
        page = browser.new_context(viewport={"width": 1200, "height": 900}).new_page()
        result = Opened(page)
        page.on("console", lambda m: result.complaints.append(m.text) if m.type == "error" else 0)
        page.on("pageerror", lambda error: result.complaints.append(str(error)))
        page.on("request", lambda request: result.requests.append(request.url))
        page.goto(f"{app.url}{query}")
        page.wait_for_selector('.psx[aria-busy="false"]', state="attached")
        opened.append(result)
        return result

    yield visit
    for result in opened:
        result.page.context.close()
        assert result.complaints == []
        elsewhere = [u for u in result.requests if not u.startswith((app.url, "data:", "blob:"))]
        assert elsewhere == []
