"""One request as the app judges it: by its name, its origin, its method, and whose it is."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import parse_qs

from starlette.types import Scope

from proxyspex_hf.app.access import Access, is_loopback, same_origin

#: What the page posts to, after ``/gradio_api/``; Gradio has more, of no use to it.
POSTS = ("queue/join", "run/predict", "cancel", "upload", "reset")
_API = "/gradio_api/"


class Refused(Exception):  # noqa: N818 - a decision, no error
    """Why a request is not answered: the status of HTTP, and a message in words."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


@dataclass(frozen=True)
class Asked:
    """A request, before anything of it is answered.

    Attributes:
        kind: ``"http"`` or ``"websocket"``.
        method, path, query: of it.
        headers: names in small letters with all their values.
        own: the address and port at which it came.
        peer: the address that it came from.
    """

    kind: str
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, list[str]]
    own: tuple[str, int | None] | None
    peer: str

    @classmethod
    def of(cls, scope: Scope) -> Asked:
        """What an ASGI server says of it."""
        headers: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin1").lower(), []).append(value.decode("latin1"))
        client = scope.get("client")
        return cls(
            kind=scope["type"],
            method=scope.get("method", "GET"),
            path=scope["path"],
            query=parse_qs(scope.get("query_string", b"").decode("latin1"), max_num_fields=100),
            headers=headers,
            own=scope.get("server"),
            peer="" if client is None else str(client[0]),
        )

    def one(self, name: str) -> str | None:
        """The value of a header that may be given once; None where it is not there.

        Raises:
            Refused: it is given twice.
        """
        given = self.headers.get(name, [])
        if len(given) > 1:
            raise Refused(400, f"This request has {len(given)} headers called {name}, not one.")
        return given[0] if given else None

    @property
    def api(self) -> str | None:
        """The route of Gradio's API, without its beginning; None for the page and its parts."""
        path = self.path.rstrip("/")
        return path.removeprefix(_API) if path.startswith(_API) else None

    def check(self, access: Access) -> None:
        """Whether the app may answer.

        Raises:
            Refused: it is asked by another name, by another site's page, or for nothing it has.
        """
        self._check_name(access)
        self._check_origin()
        if self.kind != "http":
            raise Refused(403, "This app has no websockets.")
        if self.method not in ("GET", "HEAD", "POST"):
            raise Refused(405, f"This app takes GET and POST, not {self.method[:20]}.")
        if self.method == "POST" and self.api not in POSTS:
            raise Refused(404, "Nothing here takes a POST, but what the app's own page sends.")
        if self.api is not None and self.api.startswith(("proxy=", "vibe", "dev/", "run-history")):
            raise Refused(404, "This app does not use this part of Gradio.")

    @property
    def _names(self) -> list[str]:
        """All names that it says it asks."""
        given = self.headers.get("x-forwarded-host", [])
        return [*self.headers["host"], *(n.strip() for value in given for n in value.split(","))]

    def _check_name(self, access: Access) -> None:
        host = self.one("host")
        if host is None or not self.path.startswith("/"):
            raise Refused(400, "This request does not say which host it asks.")
        for name in self._names:
            if not access.answers(name, self.own):
                raise Refused(
                    421,
                    f"This app is not called {name[:100]!r}. Open it by the address that it said "
                    "at its start; if it is to have this name, start it with --allow-host and the "
                    "name.",
                )

    def _check_origin(self) -> None:
        origin = self.one("origin")
        if origin is not None and not any(same_origin(origin, name) for name in self._names):
            raise Refused(
                403,
                f"This request comes from a page of {origin[:100]!r}; the app answers its own "
                "page alone.",
            )
        if self.one("sec-fetch-site") not in ("cross-site", "same-site"):
            return
        visit = self.one("sec-fetch-mode") == "navigate" and self.method in ("GET", "HEAD")
        if not visit or self.api is not None:
            raise Refused(
                403,
                "This request comes from a page of another site: other pages can link to this "
                "app, and not use it.",
            )

    def address(self, access: Access) -> str:
        """Where it comes from; empty for this machine.

        Behind a platform's proxy, the last address that its proxies did not have themselves: what
        stands before it, the visitor may have made up.
        """
        said = ",".join(self.headers.get("x-forwarded-for", []))
        if not access.proxied:
            # The server takes the word of whoever asks from this machine: nobody has to.
            return "forwarded" if said else _network(self.peer)
        found = [_network(part.strip()) for part in said.split(",") if part.strip()]
        outside = [address for address in found if _is_global(address)]
        return (outside or found or [_network(self.peer)])[-1]

    def cookies(self, name: str) -> list[str]:
        """The values of a cookie: other ports of the host can add to them."""
        parts = [p for value in self.headers.get("cookie", []) for p in value.split(";")]
        pairs = [part.strip().partition("=") for part in parts]
        return [value for key, _, value in pairs if key == name]

    def whole(self, name: str) -> int | None:
        """A header as a whole number; None where it is none."""
        given = self.one(name)
        return int(given) if given is not None and given.isascii() and given.isdigit() else None


def _network(address: str) -> str:
    """An address, or the network of one household; empty for this machine's."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return "unknown" if address else ""
    if is_loopback(found.compressed):
        return ""
    if found.version == 6:  # a household has 2^64 of them
        return str(ipaddress.ip_network((found, 64), strict=False).network_address)
    return found.compressed


def _is_global(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_global
    except ValueError:
        return False
