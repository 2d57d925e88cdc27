"""Versions, as records and requests say them."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version

#: Of this package. Not read from its metadata: a checkout that is run in place has none.
__version__ = "0.2.0"


@cache
def versions_of(*packages: str) -> dict[str, str]:
    """This package's version and those of installed ``packages``, which stay as they are."""
    return {"proxyspex-hf": __version__, **{name: version(name) for name in packages}}
