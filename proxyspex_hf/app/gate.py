"""What stands before every route of the app: who may ask, how much, and with which headers.

It is pure ASGI around all that Gradio mounts, so that nothing can be mounted past it. Requests by
another name or from another page are refused before anything else looks at them; what changes
something needs the page's pass; and what one client can have open at a time is bounded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxyspex_hf.app.access import Access
from proxyspex_hf.app.asked import Asked, Refused
from proxyspex_hf.app.meter import Meter
from proxyspex_hf.app.passes import Passes
from proxyspex_hf.app.presence import Client, Presence
from proxyspex_hf.app.uploads import Uploads

#: Bytes of what a page says at a time: its longest text, several times over.
_LARGEST = 2 * 2**20
#: What the form of an upload adds to the file.
_FORM = 16 * 2**10
#: Handlers of one client that wait or run, or whose answers it did not fetch.
_OPEN = 12
#: Requests at once and a second, of one visitor and of one address: several times a person's.
_METER, _METER_OF_ADDRESS = (60, 10.0), (300, 50.0)
_SESSION = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Gate:
    """The outermost ASGI application.

    Args:
        app: what is behind it.
        access: which names it answers to.
        presence: told of the pages that come and go.
        uploads: asked before a file comes.
        unanswered: a page -> its handlers that wait, run, or were not fetched.
    """

    def __init__(
        self,
        app: ASGIApp,
        access: Access,
        presence: Presence,
        uploads: Uploads,
        unanswered: Callable[[str], int],
    ) -> None:
        self._app, self._access, self._presence, self._uploads = app, access, presence, uploads
        self._unanswered = unanswered
        self._passes = Passes(framed=bool(access.framed_by))
        self._of_visitor, self._of_address = Meter(*_METER), Meter(*_METER_OF_ADDRESS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        send = _with_headers(send, framed=bool(self._access.framed_by))
        try:
            asked = Asked.of(scope)
            asked.check(self._access)
            await self._admit(asked, scope, receive, send)
        except Refused as refused:
            await _refuse(scope, receive, send, refused)

    async def _admit(self, asked: Asked, scope: Scope, receive: Receive, send: Send) -> None:
        address = asked.address(self._access)
        # This machine's own pages are told apart by their passes alone.
        if address and not self._of_address.take(address):
            raise Refused(429, "Too many requests come from your address: wait a few seconds.")
        visitor = self._visitor(asked)
        api = asked.api
        if api is None or (asked.method != "POST" and not _listens(api)):
            if visitor is None and api is None and asked.method == "GET":
                send = self._giving_a_pass(asked, send)
            await self._app(scope, receive, send)
            return
        if api == "upload":
            self._check_size(asked)
        if visitor is None:
            raise Refused(
                403,
                "This needs the pass that the app's page gives: open or reload the page, and allow "
                "it cookies. Programs use the package proxyspex_hf instead.",
            )
        client = Client(address, visitor)
        if asked.method != "POST":
            await self._listen(asked, client, scope, receive, send)
            return
        if not self._of_visitor.take(visitor):
            raise Refused(429, "Too many requests at once: wait a few seconds.")
        if api == "upload":
            await self._upload(asked, client, scope, receive, send)
            return
        body = await _body(asked, receive)
        self._check_said(api, body, client)
        await self._app(scope, _again(body, receive), send)

    def _visitor(self, asked: Asked) -> str | None:
        port = None if asked.own is None else asked.own[1]
        found = map(self._passes.visitor, asked.cookies(self._passes.name(port)))
        return next((visitor for visitor in found if visitor), None)

    def _giving_a_pass(self, asked: Asked, send: Send) -> Send:
        """With the page comes its pass."""
        port = None if asked.own is None else asked.own[1]

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start" and _is_page(message):
                given = self._passes.header(port, self._passes.made()).encode()
                message = {**message, "headers": [*message["headers"], (b"set-cookie", given)]}
            await send(message)

        return sent

    def _check_said(self, api: str, body: bytes, client: Client) -> None:
        """Whether a page may ask for one thing more.

        Raises:
            Refused: it cannot be read, or its client has too much open.
        """
        try:
            said = json.loads(body)
        except (ValueError, RecursionError):
            raise Refused(400, "This is not JSON that the app's page sends.") from None
        page = said.get("session_hash") if isinstance(said, dict) else None
        if api == "reset" and page is None:
            return  # it names nothing, and Gradio does nothing
        if not isinstance(page, str) or _SESSION.fullmatch(page) is None:
            raise Refused(400, "This request does not say from which page it is.")
        if not self._presence.claim(page, client):
            raise Refused(429, "You have too many pages of this app open: close some of them.")
        pages = self._presence.pages(client.visitor)
        if api == "queue/join" and sum(map(self._unanswered, pages)) >= _OPEN:
            raise Refused(
                429, f"{_OPEN} things that you asked for are not done yet: wait for one of them."
            )

    async def _listen(
        self, asked: Asked, client: Client, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """A connection that stays open for as long as the page does, or until its answer came."""
        beats = (asked.api or "").startswith("heartbeat/")
        page = (asked.api or "").partition("/")[2] if beats else _last(asked.query, "session_hash")
        if _SESSION.fullmatch(page) is None:
            raise Refused(400, "This request does not say from which page it is.")
        if not self._presence.connect(page, client):
            raise Refused(429, "You have too many pages of this app open: close some of them.")
        try:
            await self._app(scope, receive, send)
        finally:
            self._presence.disconnect(page)

    def _check_size(self, asked: Asked) -> None:
        size = asked.whole("content-length")
        if size is None:
            raise Refused(411, "This upload does not say how large it is.")
        if size > self._uploads.largest + _FORM:
            raise Refused(
                413,
                f"The file has {size / 2**20:.1f} MB, this app takes "
                f"{self._uploads.largest / 2**20:g}: save the picture smaller.",
            )

    async def _upload(
        self, asked: Asked, client: Client, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if not self._presence.is_open(client.visitor):
            raise Refused(403, "Files can be sent from the app's page alone: open it first.")
        size = asked.whole("content-length") or 0
        why = self._uploads.begin(client, size)
        if why is not None:
            raise Refused(429, f"{why[:1].upper()}{why[1:]}")
        try:
            await self._app(scope, receive, send)
        finally:
            self._uploads.end(size)


def _listens(api: str) -> bool:
    return api.startswith(("heartbeat/", "queue/data", "call/"))


def _last(query: dict[str, list[str]], name: str) -> str:
    return query.get(name, [""])[-1]


def _is_page(message: Message) -> bool:
    kinds = [value for name, value in message["headers"] if name.lower() == b"content-type"]
    return any(kind.startswith(b"text/html") for kind in kinds)


async def _body(asked: Asked, receive: Receive) -> bytes:
    """What a request says.

    Raises:
        Refused: it is too long, or was broken off.
    """
    long = Refused(413, f"This request is longer than {_LARGEST / 2**20:g} MB: shorten the text.")
    if (asked.whole("content-length") or 0) > _LARGEST:
        raise long
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "This request was broken off.")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > _LARGEST:
            raise long
        if not message.get("more_body", False):
            return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """``receive``, with what was read already."""
    read = False

    async def received() -> Message:
        nonlocal read
        if read:
            return await receive()
        read = True
        return {"type": "http.request", "body": body, "more_body": False}

    return received


async def _refuse(scope: Scope, receive: Receive, send: Send, refused: Refused) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": refused.message[:120]})
        return
    api = scope["path"].startswith("/gradio_api/")
    text = json.dumps({"detail": refused.message}) if api else f"{refused.message}\n"
    kind = b"application/json" if api else b"text/plain; charset=utf-8"
    body = text.encode()
    headers: list[Any] = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    headers.append((b"connection", b"close"))  # what else it says is not read
    start = {"type": "http.response.start", "status": refused.status, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": body})


def _with_headers(send: Send, *, framed: bool) -> Send:
    """``send``, with what every answer says to browsers."""
    always = {
        b"x-content-type-options": b"nosniff",
        b"referrer-policy": b"same-origin",
        b"cross-origin-resource-policy": b"same-origin",
        b"permissions-policy": b"camera=(), microphone=(), geolocation=()",
    }
    if not framed:
        always |= {b"cross-origin-opener-policy": b"same-origin", b"x-frame-options": b"SAMEORIGIN"}

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = [pair for pair in message["headers"] if pair[0].lower() not in always]
            message = {**message, "headers": [*given, *always.items()]}
        await send(message)

    return sent
