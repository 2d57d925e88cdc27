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

from collections.abc import Iterator


class ProxySpexError(Exception):
    """Root of every error that this package raises on purpose.

    Example:
        >>> try:
        ...     explainer("")
        ... except ProxySpexError as error:
        ...     print(error)
        the text is empty: there is nothing to mask. Give a text with words.
    """


class InputError(ProxySpexError, ValueError):
    """An argument cannot be used as it is.

    Example:
        >>> explainer("It is not a bad film", target="NEUTRAL")
        Traceback (most recent call last):
        proxyspex_hf.errors.InputError: target='NEUTRAL' is not a label of this model; it has ...
    """


class ModelError(ProxySpexError, RuntimeError):
    """The model failed, or answered with values that cannot be explained.

    Example:
        >>> InteractionExplainer(lambda texts: [float("nan") for _ in texts])("not bad")
        Traceback (most recent call last):
        proxyspex_hf.errors.ModelError: ...
    """


class SolveError(ProxySpexError, RuntimeError):
    """An optimisation could not be posed or solved.

    Example:
        >>> explanation.removal(1, always_keep=[2], always_remove=[2])
        Traceback (most recent call last):
        proxyspex_hf.errors.SolveError: ...
    """


class SchemaError(ProxySpexError, ValueError):
    """Data read from a file or a row is not a valid explanation.

    Example:
        >>> Path("e.json").write_text("{}")
        2
        >>> InteractionExplanation.load("e.json")
        Traceback (most recent call last):
        proxyspex_hf.errors.SchemaError: ...
    """


class HubError(ProxySpexError, RuntimeError):
    """The Hub could not be reached, or refused a request.

    Example:
        >>> InteractionExplanation.from_hub("me/nothing")
        Traceback (most recent call last):
        proxyspex_hf.errors.HubError: ...
    """


class ProxySpexWarning(UserWarning):
    """Something the reader of a result must know, such as a text that was cut.

    Example:
        >>> with warnings.catch_warnings(action="ignore", category=ProxySpexWarning):
        ...     explanation = explainer("It is not a bad film")
    """


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it came from, at most ten: libraries wrap some in others."""
    seen: BaseException | None = error
    for _ in range(10):
        if seen is None:
            return
        yield seen
        seen = seen.__cause__ or seen.__context__
