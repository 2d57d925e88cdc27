"""The server: a thread, a port, a list of what was asked."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from typing import Any

from hub_server.faults import Fault, Faults
from hub_server.store import Blob, Repo, User

__all__ = ["HubServer", "Request"]


@dataclass(frozen=True)
class Request:
    """What was asked, what was answered, and how many bytes of body went out."""

    method: str
    path: str
    status: int
    sent: int


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are part of the tests."""


class HubServer:
    """A Hub on loopback; use it with ``with``.

    Attributes:
        url: for ``HF_ENDPOINT``.
        repos: by ``(kind, name)``, kind being "datasets" or "models".
        requests: all that was asked so far.
        jobs: what was asked to be run, by id.
        errors: mistakes of the server itself; leaving the ``with`` raises the first.
    """

    def __init__(self) -> None:
        from hub_server.handler import Handler

        self.lock = threading.RLock()
        self.repos: dict[tuple[str, str], Repo] = {}
        self.users: dict[str, User] = {}
        self.objects: dict[str, bytes] = {}
        self.requests: list[Request] = []
        self.jobs: dict[str, dict[str, Any]] = {}
        self.errors: list[Exception] = []
        self.faults = Faults()
        handler = type("BoundHandler", (Handler,), {"hub": self})
        self._server = _Listener(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{port}"
        # Large files lie on another host, as they do on the Hub: clients must follow redirects.
        self.storage_url = f"http://localhost:{port}"

    def __enter__(self) -> HubServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        if self.errors:  # a mistake of the server's own, not one that was ordered
            raise self.errors[0]

    def add_user(self, token: str, name: str, *, can_write: bool = True) -> None:
        """Whoever shows ``token`` is ``name``, and owns what begins with ``name/``."""
        self.users[token] = User(name, can_write)

    def repo(self, name: str, kind: str = "datasets") -> Repo:
        return self.repos[kind, name]

    def create(self, name: str, *, kind: str = "datasets", private: bool = False) -> Repo:
        with self.lock:
            return self.repos.setdefault((kind, name), Repo(name, kind, private))

    def put(self, name: str, files: dict[str, bytes], message: str = "by hand") -> None:
        """Commit files to a data set's main branch, as somebody else would."""
        blobs = {path: Blob(data, lfs=path.endswith(".parquet")) for path, data in files.items()}
        self.create(name).commit("main", blobs, set(), message)

    def files(self, name: str, revision: str = "main") -> dict[str, bytes]:
        """Path and content of every file of a data set."""
        return {path: blob.data for path, blob in self.repo(name).at(revision).files.items()}

    def fail(self, method: str, path: str, **how: Any) -> Fault:
        """Order a fault; see :class:`Fault`."""
        return self.faults.add(Fault(method, path, **how))

    def meanwhile(self, method: str, path: str, call: Callable[[], None], times: int = 1) -> Fault:
        """Run ``call`` before such a request is handled."""
        return self.fail(method, path, action="call", call=call, times=times)

    def sent(self, since: int = 0) -> int:
        """Bytes of all bodies that were sent after the first ``since`` requests."""
        return sum(request.sent for request in self.requests[since:])
