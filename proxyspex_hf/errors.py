"""Every error the package raises on purpose.

::

    ProxySpexError
    ├── InputError      the caller gave something that cannot be used (also a ValueError)
    ├── ModelError      the model could not answer, or gave something that cannot be used
    ├── SolveError      an optimisation could not be posed or solved
    ├── SchemaError     a file or row is not an explanation, is damaged, or is of a newer version
    └── HubError        the Hub could not be reached, or refused

Each message says what came, what was expected, and which argument to change.
"""

from __future__ import annotations

__all__ = [
    "HubError",
    "InputError",
    "ModelError",
    "ProxySpexError",
    "ProxySpexWarning",
    "SchemaError",
    "SolveError",
]


class ProxySpexError(Exception):
    """Root of every error that this package raises on purpose."""


class InputError(ProxySpexError, ValueError):
    """An argument cannot be used as it is."""


class ModelError(ProxySpexError, RuntimeError):
    """The model failed, or answered with values that cannot be explained."""


class SolveError(ProxySpexError, RuntimeError):
    """An optimisation could not be posed or solved."""


class SchemaError(ProxySpexError, ValueError):
    """Data read from a file or a row is not a valid explanation."""


class HubError(ProxySpexError, RuntimeError):
    """The Hub could not be reached, or refused a request."""


class ProxySpexWarning(UserWarning):
    """Something the reader of a result must know, such as a text that was cut."""
