"""What one running app allows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from proxyspex_hf.app.access import Access
from proxyspex_hf.app.models import Models


@dataclass(frozen=True)
class Limits:
    """What a person may ask for at once. Each refusal names the limit and what to change.

    Attributes:
        characters: of a text, or of a context with its question.
        features: n, words or patches or what else is masked.
        calls: model calls of one explanation.
        upload_bytes, pixels: of a picture.
        seconds: of one run; its answers stay, and the next run resumes from there.
        away: seconds for which a run continues while no page watches it: a reload takes less, on a
            slow connection, too.
    """

    characters: int = 6_000
    features: int = 200
    calls: int = 6_000
    upload_bytes: int = 5 * 2**20
    pixels: int = 20_000_000
    seconds: float = 600.0
    away: float = 20.0


@dataclass(frozen=True)
class Settings:
    """How the app is run.

    Attributes:
        models: what can be asked.
        limits: see there.
        account: whose account the Hub tab uses. ``"machine"``: whoever is logged in on this
            machine, so only for apps that nobody else can reach; ``"person"``: who signed in on the
            page, which only a Space can have; ``"nobody"``: none, public data sets are read and
            nothing is pushed.
        gpu: wraps the functions that run a model, such as ``spaces.GPU(duration=120)`` on a ZeroGPU
            Space. They are generators and functions of plain data, so that they may run in a
            process of their own; then nothing is run but what a person asked for by a button.
        access: the names that it answers to, and whose word it takes for who asks. By default it
            answers to this machine's own names alone.
    """

    models: Models
    limits: Limits = field(default_factory=Limits)
    account: Literal["machine", "person", "nobody"] = "machine"
    gpu: Callable[[Callable[..., Any]], Callable[..., Any]] | None = None
    access: Access = field(default_factory=Access)
