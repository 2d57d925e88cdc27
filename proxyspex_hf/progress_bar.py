"""Progress shown to a person: one tqdm bar a phase, on standard error."""

from __future__ import annotations

import sys
from typing import Any

from tqdm.auto import tqdm

from proxyspex_hf.core.progress import Progress, ProgressCallback
from proxyspex_hf.errors import InputError

#: Fewer steps of the Hub's need no bar.
_FROM = 20


class ProgressBar:
    """A callback that draws bars; phases of a single step are not worth one."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._phase = ""

    def __call__(self, progress: Progress) -> None:
        if progress.total <= 1:
            return
        if progress.phase != self._phase or progress.done == 0:
            self.close()
            self._phase = progress.phase
            self._bar = tqdm(total=progress.total, desc=progress.phase, file=sys.stderr)
        if self._bar is not None:
            self._bar.total = progress.total  # it grows where the end was not known
            self._bar.update(progress.done - self._bar.n)
            if progress.done >= progress.total:
                self.close()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def progress_callback(wanted: bool | ProgressCallback | None) -> ProgressCallback | None:
    """What ``progress=`` means: a callable, True (a bar), False (nothing), None (a bar if seen).

    Raises:
        InputError: anything else.
    """
    if wanted is None:
        wanted = sys.stderr.isatty() or "ipykernel" in sys.modules
    if wanted is False:
        return None
    if wanted is True:
        return ProgressBar()
    if not callable(wanted):
        raise InputError(f"progress must be True, False, None or a callable, got {wanted!r}.")
    return wanted


def hub_bar(total: int, doing: str) -> Any:
    """A bar as the Hub's client has them, silenced as those are; nothing for a few steps."""
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled

    quiet = total < _FROM or are_progress_bars_disabled()
    return tqdm(total=total, desc=doing, disable=True if quiet else None)
