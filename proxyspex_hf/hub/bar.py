"""A progress bar as the Hub's client has them: silenced by the same switches."""

from __future__ import annotations

from typing import Any

from huggingface_hub.utils.tqdm import are_progress_bars_disabled
from tqdm.auto import tqdm

#: Shorter work needs no bar.
_FROM = 20


def bar_of(total: int, doing: str) -> Any:
    """A bar with count and time left, on a terminal; nothing for a few."""
    quiet = total < _FROM or are_progress_bars_disabled()
    return tqdm(total=total, desc=doing, disable=True if quiet else None)
