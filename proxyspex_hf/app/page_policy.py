"""What the page may load and run: its own scripts, as they were served, and nothing else.

Gradio's page holds scripts in its text, so each is allowed by its hash: one that got into the page
later, as untrusted markup, does not run. Components are made of templates with ``Function``,
which needs ``unsafe-eval``; styles are set by scripts, which needs inline styles.
"""

from __future__ import annotations

import base64
import hashlib
import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_INLINE = re.compile(rb"<script\b([^>]*)>(.*?)</script\s*>", re.DOTALL | re.IGNORECASE)
#: For files and answers, which are not pages: as one, they may do nothing.
_NOTHING = b"default-src 'none'; frame-ancestors 'none'; sandbox"


def policy(page: bytes, framed_by: tuple[str, ...] = ()) -> str:
    """The content security policy of a page."""
    scripts = [
        f"'sha256-{base64.b64encode(hashlib.sha256(text).digest()).decode()}'"
        for attributes, text in _INLINE.findall(page)
        if b"src=" not in attributes
    ]
    parts = {
        "default-src": ["'none'"],
        "script-src": ["'self'", "'unsafe-eval'", *dict.fromkeys(scripts)],
        "style-src": ["'self'", "'unsafe-inline'"],
        "img-src": ["'self'", "data:", "blob:"],
        "font-src": ["'self'", "data:"],
        "connect-src": ["'self'"],
        "manifest-src": ["'self'"],
        "base-uri": ["'self'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'self'", *framed_by],
    }
    return "; ".join(f"{name} {' '.join(values)}" for name, values in parts.items())


class PagePolicy:
    """ASGI around the routes, within what compresses their answers.

    Args:
        app: what is behind it.
        framed_by: origins of pages that may show the app in a frame.
    """

    def __init__(self, app: ASGIApp, framed_by: tuple[str, ...] = ()) -> None:
        self._app, self._framed_by = app, framed_by

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(send, self._framed_by, scope["path"])
        await self._app(scope, receive, answer.send)


class _Answer:
    """One answer; a page is held back until it is whole, for its scripts to be known."""

    def __init__(self, send: Send, framed_by: tuple[str, ...], path: str) -> None:
        self._send, self._framed_by, self._path = send, framed_by, path
        self._start: Message | None = None
        self._parts: list[bytes] = []

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            kind = dict(message["headers"]).get(b"content-type", b"")
            if kind.startswith(b"text/html"):
                self._start = message
                return
            if self._path.startswith("/gradio_api/"):
                message = _with(message, _NOTHING)
            await self._send(message)
        elif self._start is None or message["type"] != "http.response.body":
            await self._send(message)
        else:
            self._parts.append(message.get("body", b""))
            if not message.get("more_body", False):
                whole = b"".join(self._parts)
                await self._send(_with(self._start, policy(whole, self._framed_by).encode()))
                await self._send({"type": "http.response.body", "body": whole})


def _with(message: Message, says: bytes) -> Message:
    more = [(b"content-security-policy", says), (b"cache-control", b"no-store")]
    given = [pair for pair in message["headers"] if pair[0] not in dict(more)]
    return {**message, "headers": [*given, *more]}
