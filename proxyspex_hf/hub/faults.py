"""What goes wrong between here and the Hub: when to try again, and what to tell the user."""

from __future__ import annotations

import errno
import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

import httpx2
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import parse_ratelimit_headers  # type: ignore[attr-defined]

from proxyspex_hf.errors import HubError, InputError, ProxySpexError, causes

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")

#: Seconds before the second try; doubled each time.
BASE_WAIT = 1.0
_LONGEST_WAIT = 8.0
#: A server that asks for more patience than this is left to the user.
_MOST_PATIENCE = 120.0
_TRIES = 5
#: Others who push at the same time are many tries away, but each try is a short one.
_TRIES_IN_CONFLICT = 25
CONFLICTS = (409, 412)
_TRANSIENT = (408, 429, 500, 502, 503, 504)
#: What the Hub's client and the disk raise.
_FOREIGN = (httpx2.HTTPError, httpx2.InvalidURL, OSError, RuntimeError, ValueError)


def patiently(
    action: Callable[[], _Result], repo_id: str, doing: str, *, again: bool = True
) -> _Result:
    """Run ``action``, again after a wait where that can help.

    ``action`` must be safe to repeat: an answer that got lost is not a sign that nothing was done.

    Args:
        doing: for the message, such as ``"push to"``.
        again: whether it may be tried again at all.

    Raises:
        HubError: it cannot be done, or not after several tries; the message says what to do.
        InputError: a repository or revision name that the Hub does not allow.
    """
    tries = 0
    while True:
        tries += 1
        try:
            return action()
        except ProxySpexError:
            raise
        except _FOREIGN as error:
            wait = _wait_after(error, tries) if again else None
            if wait is None:
                raise _explained(error, repo_id, doing) from error
            _log.info("%s %s: %r; trying again in %.1f s", doing, repo_id, error, wait)
            time.sleep(wait)


def _first(error: BaseException, *kinds: type[BaseException]) -> BaseException | None:
    return next((e for e in causes(error) if isinstance(e, kinds)), None)


def _refusal(error: BaseException) -> BaseException | None:
    """The last answer that was no success. What led to asking may lie behind it in the chain."""
    found = _first(error, HfHubHTTPError, httpx2.HTTPStatusError, httpx2.TransportError)
    return None if isinstance(found, httpx2.TransportError) else found


def _status(error: BaseException) -> tuple[int, float | None]:
    """HTTP status and the seconds that the server asks to wait; 0 where there was no answer."""
    found = _refusal(error)
    response = getattr(found, "response", None)
    if response is None:
        return 0, None
    asked = response.headers.get("Retry-After", "")
    if asked.isdecimal():
        return int(response.status_code), float(asked)
    # The Hub itself says it so.
    limit = parse_ratelimit_headers(response.headers)
    spent = limit is not None and limit.remaining == 0
    return int(response.status_code), float(limit.reset_in_seconds) if limit and spent else None


def refused_writing(error: BaseException | None) -> bool:
    """Whether what the Hub refused was to change something, or whether one may; not to look."""
    response = getattr(error, "response", None)
    if response is None:
        return False
    asked = response.request
    return asked.method not in ("GET", "HEAD") or asked.url.path.endswith("/auth-check/write")


def _wait_after(error: BaseException, tries: int) -> float | None:
    """Seconds until the next try; None where another would not help."""
    if isinstance(error, RuntimeError) or _first(error, OfflineModeIsEnabled):
        return None  # an upload, which the client has tried several times itself
    status, asked = _status(error)
    lost = status == 0 and _first(error, httpx2.TransportError) is not None
    if not lost and status not in _TRANSIENT + CONFLICTS:
        return None
    if tries >= (_TRIES_IN_CONFLICT if status in CONFLICTS else _TRIES):
        return None
    if asked is not None:
        return asked + 0.1 if asked <= _MOST_PATIENCE else None
    limit = BASE_WAIT if status in CONFLICTS else _LONGEST_WAIT
    # Spread out, so that those who met once do not meet again.
    return min(limit, BASE_WAIT * 2.0 ** (tries - 1)) * random.uniform(0.5, 1.0)  # noqa: S311


def _explained(error: BaseException, repo_id: str, doing: str) -> HubError | InputError:
    named = _first(error, HFValidationError)
    if named is not None:
        return InputError(f"repo_id or revision is not a name on the Hub: {named}")
    why = " ".join(_why(error).split())
    end = "" if why.endswith((".", "!", "?")) else "."
    return HubError(f"cannot {doing} {repo_id!r}: {why}{end}")


def _why(error: BaseException) -> str:
    status, asked = _status(error)
    disk = next((e for e in causes(error) if isinstance(e, OSError) and e.errno), None)
    if disk is not None and disk.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"the disk is full ({disk.filename or 'cache'}). Free some space, or set HF_HOME to a "
            "directory on another disk."
        )
    if _first(error, OfflineModeIsEnabled):
        return "offline mode is on. Unset HF_HUB_OFFLINE and try again."
    refusal = _refusal(error)
    if isinstance(refusal, RevisionNotFoundError):
        return "the revision does not exist. Change revision= to a branch, tag or commit of it."
    if isinstance(refusal, GatedRepoError):
        return "access is gated. Ask for it on the repository's page, then pass token=."
    if status == 401:
        return (
            "no valid token was given, or the repository does not exist. Check the name; log in "
            "with `hf auth login`, set HF_TOKEN, or pass token=."
        )
    if isinstance(refusal, RepositoryNotFoundError):
        return (
            "there is no such data set, or your token may not see it. Check the name and its "
            "owner; for a private one, log in with `hf auth login` or pass token=."
        )
    said = str(getattr(refusal, "server_message", None) or "")[:300]
    if status == 403:
        told = f" The Hub says: {said}" if said else ""
        if not refused_writing(refusal):
            return f"your token may not read there: pass one that may (token=).{told}"
        return (
            "your token may not write there. Use one with write access (token=), or a repository "
            "of your own; push_to_hub and push_explanations take create_pr=True, which proposes "
            f"the change to its owner.{told}"
        )
    if status == 404:
        return "a file that should be there was not found. Try again; it may just have been moved."
    if status in CONFLICTS:
        return "others keep changing it at the same time. Try again in a minute."
    if status == 429:
        later = f"in {asked:g} s" if asked else "in a few minutes"
        return f"the Hub has had too many requests from you. Try again {later}."
    if status == 413:
        return "the Hub finds it too large. Push fewer explanations at a time."
    if status >= 500:
        return f"the Hub has trouble of its own (HTTP {status}). Try again in a few minutes."
    if status:
        return f"the Hub refused with HTTP {status}: {said or _short(error)}"
    if _first(error, httpx2.TransportError):
        return (
            f"the connection failed ({_short(error)}). Check the network, the proxy and "
            "HF_ENDPOINT, then try again."
        )
    if _first(error, LocalEntryNotFoundError):
        return f"the Hub could not be reached: {_short(error)}"
    return _short(error)


def _short(error: BaseException) -> str:
    if isinstance(error, RuntimeError) and error.__cause__ is not None:
        error = error.__cause__  # the client says only which file it was
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'no details'}"[:300]
