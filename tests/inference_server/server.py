"""The server: a port that outlives its restarts, a list of what was asked."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from hub_server.faults import Fault, Faults

from inference_server.answers import Answers, Refused

__all__ = ["InferenceServer"]


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are part of the tests."""


class InferenceServer:
    """One inference server; use it with ``with``.

    Attributes:
        url: for :class:`proxyspex_hf.ServedModel`.
        answers: what it answers with; another model may be put there.
        twist: changes each answer (path, answer) before it is sent.
        token: what a client must show; None takes anyone.
        delay: seconds that an answer takes.
        asked: (path, body) of every request that was answered.
        shown: the header ``Authorization`` of each, None without one.
        most_in_flight: requests that were there at once.
        errors: mistakes of the server itself; leaving the ``with`` raises the first.
    """

    def __init__(self, pipe: Any, kind: str, name: str = "tiny", token: str | None = None) -> None:
        self.answers = Answers(pipe, kind, name)
        self.token = token
        self.twist: Callable[[str, Any], Any] | None = None
        self.delay = 0.0
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.shown: list[str | None] = []
        self.most_in_flight = self._in_flight = 0
        self.errors: list[Exception] = []
        self.faults = Faults()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._port = 0
        self._listener: _Listener | None = None

    @property
    def url(self) -> str:
        end = "" if self.answers.kind in ("sglang", "endpoint") else "/v1"
        return f"http://127.0.0.1:{self._port}{end}"

    @property
    def scored(self) -> int:
        """Answers that were no look at a list of models."""
        return sum(bool(body) for _, body in self.asked)

    def __enter__(self) -> InferenceServer:
        self.revive()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.answers.close()
        if self.errors:
            raise self.errors[0]

    def revive(self, answers: Answers | None = None) -> None:
        """Listen on the port that it had; with another model, if one is given."""
        self.answers = answers or self.answers
        handler = type("BoundHandler", (_Handler,), {"server_of": self})
        self._listener = _Listener(("127.0.0.1", self._port), handler)
        self._port = self._listener.server_address[1]
        # A short poll, so that a kill is one.
        serve = threading.Thread(
            target=self._listener.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        serve.start()

    def kill(self) -> None:
        """Hang up on everyone and stop listening, as a killed process does."""
        if self._listener is None:
            return
        self._listener.shutdown()
        self._listener.server_close()
        self._listener = None
        with self._lock:
            for one in self._open:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def fail(self, method: str, path: str, **how: Any) -> Fault:
        """Order a fault; see :class:`hub_server.Fault`."""
        return self.faults.add(Fault(method, path, **how))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_of: InferenceServer

    def log_message(self, *_: Any) -> None:
        """Quiet; the requests are kept instead."""

    def setup(self) -> None:
        super().setup()
        with self.server_of._lock:
            self.server_of._open.add(self.connection)

    def finish(self) -> None:
        with self.server_of._lock:
            self.server_of._open.discard(self.connection)
        with suppress(OSError):
            super().finish()

    def _handle(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        data = self.rfile.read(length)
        server = self.server_of
        if len(data) < length:  # hung up in the middle: killed, or the client is gone
            self.close_connection = True
            return
        with server._lock:
            server._in_flight += 1
            server.most_in_flight = max(server.most_in_flight, server._in_flight)
        self._is_open = True
        try:
            time.sleep(server.delay)
            fault = server.faults.next(self.command, self.path)
            if fault is not None and fault.action == "call" and fault.call is not None:
                fault.call()
            if fault is not None and fault.action in ("cut", "lost"):
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            if fault is not None and fault.action == "status":
                self._send(fault.status, {"error": {"message": fault.message}}, fault.headers)
                return
            self._answer(data, short=fault is not None and fault.action == "truncate")
        except OSError:
            self.close_connection = True
        except Exception as error:
            server.errors.append(error)
            raise
        finally:
            self._over()

    def _over(self) -> None:
        """It is no longer in flight: noted before whoever sent it can send another."""
        if self._is_open:
            self._is_open = False
            with self.server_of._lock:
                self.server_of._in_flight -= 1

    do_GET = do_POST = _handle

    def _answer(self, data: bytes, short: bool) -> None:
        server = self.server_of
        if (
            server.token is not None
            and self.headers.get("Authorization") != f"Bearer {server.token}"
        ):
            self._send(401, {"error": "Unauthorized"}, {})
            return
        body = json.loads(data) if data else {}
        try:
            if self.command == "GET":
                found = server.answers.get(self.path)
            else:
                found = server.answers.post(self.path, body)
        except Refused as refused:
            self._send(refused.status, {"error": {"message": refused.message}}, {})
            return
        if server.twist is not None:
            found = server.twist(self.path, found)
        with server._lock:
            server.asked.append((self.path, body))
            server.shown.append(self.headers.get("Authorization"))
        self._send(200, found, {}, short=short)

    def _send(self, status: int, content: Any, headers: Any, *, short: bool = False) -> None:
        data = json.dumps(content).encode()
        self._over()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if short else data)
        if short:
            self.connection.shutdown(socket.SHUT_RDWR)
