"""Which names a running app answers to: against pages of other names that lead to this machine.

A page whose name is made to lead here (DNS rebinding) is of the app's origin to the browser.
What tells it apart is the name that it asks by, so that is compared with what the app is called.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from proxyspex_hf.errors import InputError

_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::([1-9][0-9]{0,4}))?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_LAST_PORT = 2**16 - 1
#: What a port that is not written stands for (RFC 9110, 4.2).
_USUAL = {"http": 80, "https": 443}


def authority(text: str) -> tuple[str, int | None] | None:
    """Host and port of what stands in a ``Host`` header; None where it is not written plainly.

    Addresses must be in their usual form: neither one decimal number, nor shortened, nor mapped.
    """
    found = _AUTHORITY.fullmatch(text)
    if found is None:
        return None
    host, port = found[1].lower(), int(found[2]) if found[2] else None
    if port is not None and port > _LAST_PORT:
        return None
    if host.startswith("["):
        try:
            return ipaddress.IPv6Address(host[1:-1]).compressed, port
        except ValueError:
            return None
    labels = host.split(".")
    if not all(_LABEL.fullmatch(label) for label in labels):
        return None
    if re.fullmatch(r"[0-9]+|0x[0-9a-f]*", labels[-1]):  # no name ends so: it is an address
        try:
            return str(ipaddress.IPv4Address(host)), port
        except ValueError:
            return None
    return host, port


def is_loopback(host: str) -> bool:
    """Whether a name or an address is this machine's own, for this machine alone."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return address.is_loopback and not (address.version == 6 and host != "::1")


@dataclass(frozen=True)
class Access:
    """Who may ask a running app.

    Attributes:
        hosts: names that it answers to beside this machine's own, such as ``"example.org"``, or
            ``"example.org:8443"`` for one port alone.
        proxied: a platform's proxy stands in front of it and says whose request it passes on. Only
            where nobody reaches the app without it: the proxy's word is taken for true.
        framed_by: origins of pages that may show the app in a frame of theirs.

    Raises:
        InputError: one of ``hosts`` is not a name.
    """

    hosts: tuple[str, ...] = ()
    proxied: bool = False
    framed_by: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for host in self.hosts:
            if authority(host) is None:
                raise InputError(
                    f"{host!r} is not the name of a host: write it as a browser's address bar has "
                    "it, without http:// and without a path, such as example.org or "
                    "example.org:8443."
                )

    @classmethod
    def of_space(cls, environ: Mapping[str, str] = os.environ) -> Access:
        """As a Space's environment says; anywhere else, only this machine's own names."""
        # With a custom domain, it names several, divided by commas.
        hosts = tuple(name.strip() for name in environ.get("SPACE_HOST", "").split(",") if name)
        return cls(hosts, proxied=True, framed_by=("https://huggingface.co",)) if hosts else cls()

    def listening_on(self, host: str | None) -> Access:
        """With the name that the app is told to listen on, where it is one."""
        known = authority(host or "")
        if host is None or known is None or is_loopback(known[0]):
            return self
        unspecified = known[0] in ("0.0.0.0", "::")  # noqa: S104 - compared, not listened on
        return self if unspecified else replace(self, hosts=(*self.hosts, host))

    def answers(self, text: str, own: tuple[str, int | None] | None) -> bool:
        """Whether the app is called so.

        Args:
            text: what stands in a ``Host`` header.
            own: the address and port at which the request arrived: no page of another name can
                make a browser ask by an address.
        """
        asked = authority(text)
        if asked is None:
            return False
        host, port = asked
        address, own_port = own or ("", None)
        if (is_loopback(host) or host == _plain(address)) and port in (None, own_port):
            return True
        for name in self.hosts:
            known = authority(name)
            if known is None or known[0] != host or (known[1] or port) != (port or known[1]):
                continue
            if port is not None or known[1] in (None, *_USUAL.values()):
                return True
        return False


def _plain(address: str) -> str:
    """An address at which a request arrived, without the disguise of one mapped to IPv6."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return ""
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (mapped or found).compressed


def same_origin(origin: str, host: str) -> bool:
    """Whether an ``Origin`` is that of the page at ``host``, both as the headers have them."""
    scheme, _, rest = origin.partition("://")
    if scheme not in _USUAL:
        return False
    theirs, ours = authority(rest), authority(host)
    if theirs is None or ours is None:
        return False
    usual = _USUAL[scheme]
    return (theirs[0], theirs[1] or usual) == (ours[0], ours[1] or usual)
