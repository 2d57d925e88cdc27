"""The pass that the page gives whoever opened it: a signed cookie that other pages cannot send."""

from __future__ import annotations

import hmac
import secrets


class Passes:
    """Makes passes and knows its own: each names a visitor, and is signed anew at each start.

    Args:
        framed: pages of another site may show the app in a frame.
    """

    def __init__(self, *, framed: bool = False) -> None:
        self._secret = secrets.token_bytes(32)
        self._framed = framed

    def name(self, port: int | None) -> str:
        """The cookie's: of the port, since cookies are shared by all ports of a host."""
        # With the prefix, browsers take it from nobody but the host itself.
        return f"{'__Host-' if self._framed else ''}proxyspex-{port or 0}"

    def made(self) -> str:
        """A new one."""
        visitor = secrets.token_hex(16)
        return f"{visitor}.{self._signature(visitor)}"

    def visitor(self, given: str) -> str | None:
        """Whose pass this is; None where it is none, or one of an earlier start."""
        visitor, _, signature = given.partition(".")
        right = self._signature(visitor)
        return visitor if hmac.compare_digest(signature.encode(), right.encode()) else None

    def header(self, port: int | None, value: str) -> str:
        """What ``Set-Cookie`` says.

        ``Lax``: no other site's POST carries it, nor what such a page loads. ``Strict`` would let
        each link from elsewhere make a new one, and the tabs that are open already would lose
        theirs. In another site's frame browsers send neither: there it is kept apart for each
        site that frames the app.
        """
        site = "SameSite=None; Secure; Partitioned" if self._framed else "SameSite=Lax"
        return f"{self.name(port)}={value}; Path=/; HttpOnly; {site}"

    def _signature(self, visitor: str) -> str:
        return hmac.new(self._secret, visitor.encode(), "sha256").hexdigest()
