"""Errors as a person reads them: what happened, and the next step; no traceback, no path."""

from __future__ import annotations

import logging
import re
import tempfile
from pathlib import Path

from huggingface_hub import constants
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from proxyspex_hf.errors import HubError, ProxySpexError, causes
from proxyspex_hf.hf.failures import is_out_of_memory
from proxyspex_hf.hub.faults import refused_writing

_log = logging.getLogger(__name__)
#: What goes on behind the beginning of a path: to a space or the end of the quotes.
_REST = r"""(?:[/\\][^\s'"`]*)?"""
#: Whole addresses, which stay; then paths: in quotes with all their spaces, file addresses, homes
#: of people with two names, from a drive or a home on, and any absolute one of two parts or more.
_ADDRESS = r"""(?P<address>https?://[^\s'"`]+)"""
_QUOTED = r"""(?P<quote>['"`])(?:file:/|~?/|\\\\|[A-Za-z]:[/\\])[^'"`\n]*(?P=quote)"""
_PATHS = (
    r"""file:/[^\s'"`]*""",
    rf"""(?<!\w)(?:[A-Za-z]:)?[/\\](?:home|Users)[/\\][^/\\\n'"`:]{{1,60}}(?=[/\\]){_REST}""",
    r"""(?<!\w)[A-Za-z]:[/\\][^\s'"`]+""",
    r"""(?<![\w.])~/[^\s'"`]+""",
    r"""(?<![\w/.])(?:/[\w.@+~-]+){2,}/?""",
)
_LONGEST = 600


def in_words(error: BaseException) -> str:
    """What to tell the person on the page."""
    while isinstance(error, ProxySpexError) and isinstance(error.__cause__, ProxySpexError):
        error = error.__cause__  # without what only code can do, as where a failed push lies
    known = _data_set_trouble(error) if isinstance(error, HubError) else _model_trouble(error)
    if known is not None:
        return known
    if isinstance(error, ProxySpexError):
        text = _without_paths(str(error))
        text = text[:1].upper() + text[1:]
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    _log.error("unexpected", exc_info=error)
    return (
        f"Something went wrong that the app did not expect ({type(error).__name__}). Try again; if "
        "it happens again, try another input or another model."
    )


def _without_paths(text: str) -> str:
    """``text`` with an ellipsis for each path of this machine."""
    roots = {constants.HF_HOME, str(Path.home()), tempfile.gettempdir(), str(Path.cwd())}
    known = [
        rf"(?<![\w.]){re.escape(root)}(?![\w.-]){_REST}"
        for root in sorted(roots, key=len, reverse=True)
        if len(Path(root).parts) > 1
    ]

    def instead(found: re.Match[str]) -> str:
        quote = found["quote"] or ""
        return found["address"] or f"{quote}…{quote}"

    return re.sub("|".join((_ADDRESS, _QUOTED, *known, *_PATHS)), instead, text)


def _data_set_trouble(error: BaseException) -> str | None:
    """What keeps a person from a data set, without the arguments that only code can give."""
    for cause in causes(error):
        if not isinstance(cause, HfHubHTTPError) or isinstance(cause, RevisionNotFoundError):
            continue
        status = getattr(cause.response, "status_code", 0)
        if isinstance(cause, GatedRepoError):
            return (
                "This data set is gated: its owner gives access one by one. Ask for it on the data "
                "set's page on the Hub, then log in as who has it."
            )
        if status == 403 and refused_writing(cause):
            return (
                "You may not write there. Push to a data set under your own name (owner/name); a "
                "Space may add only to those that were made from it."
            )
        if status in (401, 403) or isinstance(cause, RepositoryNotFoundError):
            return (
                "There is no such data set on the Hub, or it is private and you are not logged in "
                "as somebody who may see it. Check the name (owner/name), or log in."
            )
    return None


def _model_trouble(error: BaseException) -> str | None:
    """What the Hub or the memory says, wherever in the chain of causes it stands."""
    for cause in causes(error):
        if is_out_of_memory(cause):
            return (
                "The model does not fit into the memory of this machine with this input. Take a "
                "shorter text, fewer features, or a smaller model."
            )
        if isinstance(cause, GatedRepoError):
            return (
                "This model is gated: its owner gives access one by one. Ask for it on the "
                "model's page on the Hub, then log in with `hf auth login` where the app runs."
            )
        if isinstance(cause, RepositoryNotFoundError):
            return (
                "There is no such model on the Hub, or it is private. Check the name (owner/name); "
                "for a private one, log in with `hf auth login` where the app runs."
            )
        if isinstance(cause, HfHubHTTPError):
            status = getattr(cause.response, "status_code", 0)
            if status in (401, 403):
                return (
                    "The Hub refused: the token of this machine is not valid for this model. Log "
                    "in again with `hf auth login`, or choose another model."
                )
            if status == 429 or status >= 500:
                return f"The Hub has trouble (HTTP {status}). Try again in a few minutes."
        if isinstance(cause, (OfflineModeIsEnabled, LocalEntryNotFoundError)):
            return (
                "The model is not on this machine, and the Hub cannot be reached to load it. Check "
                "the connection, or choose a model that ships with the app."
            )
    return None


def seconds_text(seconds: float) -> str:
    """``about 8 s``, ``about 3 min``."""
    if seconds < 1:
        return "less than a second"
    if seconds < 90:
        return f"about {seconds:.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"
