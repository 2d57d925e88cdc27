"""Where the model's answers lie while a page is open, and the flag that stops asking for more."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path

__all__ = ["Folders", "is_stopped"]

_STOP = "stop"


class Folders:
    """A directory for each open page: the answers of the model, and whether to stop asking.

    Which one follows from the page's own secret name, so that nothing need be remembered, and a
    flag in it reaches a process that runs the model elsewhere.
    """

    def __init__(self) -> None:
        # Removed when the app ends; what a page left is removed with the page.
        self._root = tempfile.TemporaryDirectory(prefix="proxyspex_hf-")

    def of(self, page: str | None) -> Path:
        """The directory of one page; made where there is none."""
        folder = self.place(page)
        folder.mkdir(exist_ok=True)
        return folder

    def place(self, page: str | None) -> Path:
        return Path(self._root.name) / hashlib.sha256(str(page).encode()).hexdigest()[:32]

    def stop(self, page: str | None) -> None:
        """Ask the running explanation of a page to stop."""
        folder = self.place(page)
        if folder.is_dir():
            (folder / _STOP).touch()

    def go(self, page: str | None) -> Path:
        """Take that back before a new one begins; gives the directory."""
        folder = self.of(page)
        (folder / _STOP).unlink(missing_ok=True)
        return folder

    def remove(self, page: str | None) -> None:
        shutil.rmtree(self.place(page), ignore_errors=True)

    def close(self) -> None:
        """Remove all of them."""
        self._root.cleanup()


def is_stopped(folder: Path) -> bool:
    """Whether the page of ``folder`` asked to stop, or is gone."""
    return (folder / _STOP).exists() or not folder.is_dir()
