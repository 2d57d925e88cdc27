"""Who is here: which pages are open, whose they are, and which have gone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

#: Seconds for which a page that has asked is taken to be there, before it listens for the answer.
_GRACE = 10.0
#: Seconds without a connection after which a page is forgotten.
_FORGOTTEN = 60.0
#: Pages of one visitor, and of one address: many more than people open.
_PAGES, _PAGES_OF_ADDRESS = 40, 400


@dataclass(frozen=True)
class Client:
    """Whose a request is.

    Attributes:
        address: of the network; empty for this machine's own, of which all are equal.
        visitor: whose pass it carries.
    """

    address: str
    visitor: str


@dataclass
class _Page:
    client: Client
    connections: int
    seen: float


class Presence:
    """The pages that are open now, or were until a moment ago.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._pages: dict[str, _Page] = {}

    def claim(self, page: str, client: Client) -> bool:
        """A page asks for something; False where its client has too many already."""
        with self._lock:
            known = self._pages.get(page)
            if known is None:
                clients = [other.client for other in self._pages.values()]
                own = sum(other.visitor == client.visitor for other in clients)
                near = sum(other.address == client.address != "" for other in clients)
                if own >= _PAGES or near >= _PAGES_OF_ADDRESS:
                    return False
                known = self._pages[page] = _Page(client, 0, 0.0)
            known.client, known.seen = client, self._clock()
            return True

    def connect(self, page: str, client: Client) -> bool:
        """A page begins to listen; as :meth:`claim`."""
        if not self.claim(page, client):
            return False
        with self._lock:
            self._pages[page].connections += 1
        return True

    def disconnect(self, page: str) -> None:
        """A page listens no more."""
        with self._lock:
            known = self._pages.get(page)
            if known is not None:
                known.connections -= 1
                known.seen = self._clock()

    def here(self, page: str | None) -> bool:
        """Whether a page is there to be answered."""
        with self._lock:
            known = self._pages.get(page or "")
            if known is None:
                return False
            return known.connections > 0 or self._clock() - known.seen < _GRACE

    def listens(self, page: str) -> bool:
        """Whether a page has a connection now."""
        with self._lock:
            known = self._pages.get(page)
            return known is not None and known.connections > 0

    def client(self, page: str | None) -> Client:
        """Whose page this is."""
        with self._lock:
            known = self._pages.get(page or "")
            # No pass is called so: a page cannot take somebody's name for its own.
            return Client("", f"nobody {page}") if known is None else known.client

    def pages(self, visitor: str) -> list[str]:
        """The pages of one visitor."""
        with self._lock:
            return [page for page, known in self._pages.items() if known.client.visitor == visitor]

    def is_open(self, visitor: str) -> bool:
        """Whether a page of the visitor listens now."""
        with self._lock:
            pages = list(self._pages.values())
        return any(page.client.visitor == visitor and page.connections > 0 for page in pages)

    def forgotten(self) -> list[str]:
        """The pages that have been gone for long; they are no longer known."""
        with self._lock:
            now = self._clock()
            old = [
                page
                for page, known in self._pages.items()
                if known.connections <= 0 and now - known.seen > _FORGOTTEN
            ]
            for page in old:
                del self._pages[page]
            return old
