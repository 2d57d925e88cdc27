"""Where the model's answers lie while a page is open, and the flag that stops asking for more."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from proxyspex_hf.app.leftovers import OwnDirectory

_STOP = "stop"


class Folders:
    """A directory for each open page: the answers of the model, and whether to stop asking.

    Which one follows from the page's own secret name, so that nothing need be remembered, and a
    flag in it reaches a process that runs the model elsewhere.

    Args:
        kept: seconds that answers outlive the last run that used them. All go when the app ends.
    """

    def __init__(self, kept: float = 6 * 3600.0) -> None:
        self.kept = kept
        self._own = OwnDirectory()
        self._root = self._own.path / "pages"
        self._root.mkdir()
        self._lock = threading.Lock()
        self._busy: Counter[Path] = Counter()

    @property
    def uploads(self) -> Path:
        """Where files lie that came from pages, until they are read."""
        return self._own.path / "uploads"

    def of(self, page: str | None) -> Path:
        """The directory of one page; made where there is none."""
        folder = self.place(page)
        with self._lock:
            folder.mkdir(exist_ok=True)
            os.utime(folder)  # it is in use
        return folder

    @contextmanager
    def running(self, page: str | None) -> Iterator[Path]:
        """The directory of one page, which is not removed while inside, however long that is."""
        place = self.place(page)
        with self._lock:
            self._busy[place] += 1
        try:
            yield self.of(page)
        finally:
            self.of(page)
            with self._lock:
                self._busy[place] -= 1

    def place(self, page: str | None) -> Path:
        return self._root / hashlib.sha256(str(page).encode()).hexdigest()[:32]

    def stop(self, page: str | None) -> None:
        """Ask the running explanation of a page to stop."""
        folder = self.place(page)
        if folder.is_dir():
            (folder / _STOP).touch()

    def go(self, page: str | None) -> Path:
        """Take that back before a new one begins; gives the directory."""
        self.sweep()
        folder = self.of(page)
        (folder / _STOP).unlink(missing_ok=True)
        return folder

    def sweep(self) -> None:
        """Remove those that no run has used for long."""
        with self._lock:
            for folder in list(self._root.iterdir()):
                old = time.time() - folder.stat().st_mtime > self.kept
                if old and not self._busy[folder]:
                    shutil.rmtree(folder, ignore_errors=True)
            self._busy = +self._busy

    def close(self) -> None:
        """Remove all of them."""
        self._own.close()


def is_stopped(folder: Path) -> bool:
    """Whether the page of ``folder`` asked to stop, or is gone."""
    return (folder / _STOP).exists() or not folder.is_dir()
