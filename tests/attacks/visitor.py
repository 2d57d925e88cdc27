"""A running app to attack, and somebody who opens its page, or only pretends to."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from ports import free_port

from proxyspex_hf.app import Limits, Models, Settings, running
from proxyspex_hf.app.launch import Running
from proxyspex_hf.app.models import SHIPPED

#: The values of the form, but for the text and the seed.
MODEL = SHIPPED[0].name


@contextmanager
def an_app(**settings: Any) -> Iterator[Running]:
    """The app as anyone reaches it, with the models that ship."""
    settings.setdefault("account", "nobody")
    settings.setdefault("limits", Limits())
    with running(Settings(Models(SHIPPED), **settings), port=free_port()) as app:
        yield app


def form(text: str, seed: int = 0) -> list[Any]:
    """What the form says."""
    return [MODEL, "text-classification", text, "", None, "words", 48, "", 2, seed]


@dataclass
class Visitor:
    """A page of the app, as the server sees it.

    Attributes:
        app: where.
        page: its secret name.
        headers: what it sends with everything: its pass, unless it takes none.
    """

    app: Running
    page: str = field(default_factory=lambda: uuid.uuid4().hex)
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def with_pass(cls, app: Running) -> Visitor:
        """One who opened the page."""
        given = httpx2.get(app.url).cookies
        text = "; ".join(f"{name}={value}" for name, value in given.items())
        return cls(app, headers={"Cookie": text})

    def another_page(self) -> Visitor:
        """Of the same browser."""
        return Visitor(self.app, headers=self.headers)

    @contextmanager
    def open(self) -> Iterator[None]:
        """While inside, the page is open."""
        url = f"{self.app.url}gradio_api/heartbeat/{self.page}"
        with httpx2.stream("GET", url, headers=self.headers, timeout=120) as beats:
            lines = beats.iter_lines()  # kept: without it the connection is closed
            next(lines)
            yield

    def function(self, name: str) -> Any:
        fns = self.app.demo.fns.values()
        return next(fn for fn in fns if getattr(fn.fn, "__name__", "") == name)

    def post(self, route: str, **given: Any) -> httpx2.Response:
        headers = self.headers | given.pop("headers", {})
        url = f"{self.app.url}gradio_api/{route}"
        return httpx2.post(url, headers=headers, timeout=60, **given)

    def ask(self, name: str, *data: Any, event: Any = None, **given: Any) -> httpx2.Response:
        """Ask for a handler, without waiting for its answer."""
        fn = self.function(name)
        body = {"data": list(data), "fn_index": fn._id, "session_hash": self.page}
        body |= {"event_data": event, "trigger_id": fn.targets[0][0]}
        route = "run/predict" if fn.queue is False else "queue/join"
        return self.post(route, json=body, **given)

    def upload(self, data: bytes, name: str = "x.png", **given: Any) -> httpx2.Response:
        return self.post("upload", files={"files": (name, data, "image/png")}, **given)

    def listen(self, seconds: float = 60) -> Iterator[dict[str, Any]]:
        """The messages of the page's stream."""
        url = f"{self.app.url}gradio_api/queue/data?session_hash={self.page}"
        with httpx2.stream("GET", url, headers=self.headers, timeout=seconds) as stream:
            for line in stream.iter_lines():
                if line.startswith("data:"):
                    yield json.loads(line[5:])

    def answer(self, seconds: float = 60) -> str:
        """The last message of what was asked for, as text."""
        done = (m for m in self.listen(seconds) if m["msg"] == "process_completed")
        return json.dumps(next(done))
