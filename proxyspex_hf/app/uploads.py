"""Where uploaded files lie, how much of them, and for how long."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from proxyspex_hf.app.presence import Client

#: What Gradio reads to know where uploads and the pictures that it shows lie.
_VARIABLE = "GRADIO_TEMP_DIR"
#: Seconds: a file is read at once, and a preview is fetched at once.
_KEPT = 600.0
#: Seconds after which a file may go where the room is needed.
_NEEDED = 30.0
#: Directories of the apps that run in this process: Gradio knows one for all of them.
_open: list[Path] = []


@contextmanager
def kept_in(folder: Path) -> Iterator[Path]:
    """Let Gradio keep files in ``folder`` while inside, or where an app around this one does."""
    before = os.environ.get(_VARIABLE)
    if _open:
        yield _open[0]
        return
    folder.mkdir(exist_ok=True)
    os.environ[_VARIABLE] = str(folder)
    _open.append(folder)
    try:
        yield folder
    finally:
        _open.remove(folder)
        if before is None:
            del os.environ[_VARIABLE]
        else:
            os.environ[_VARIABLE] = before


class Uploads:
    """The uploads of one app, bounded for each client and in all.

    Args:
        folder: where they lie.
        largest: bytes of one file.
        each: files of the largest size that a client may send in ten minutes.
        total: files of the largest size that may lie there at a time.
    """

    def __init__(self, folder: Path, largest: int, *, each: int = 8, total: int = 20) -> None:
        self.folder = folder
        self.largest = largest
        self._each, self._total = each * largest, total * largest
        self._lock = threading.Lock()
        self._sent: dict[str, deque[tuple[float, int]]] = {}
        self._coming = 0

    def begin(self, client: Client, size: int) -> str | None:
        """A client wants to send so much; None where it may, else why not, in words."""
        with self._lock:
            now = time.monotonic()
            for who, sent in list(self._sent.items()):
                while sent and now - sent[0][0] > _KEPT:
                    sent.popleft()
                if not sent:
                    del self._sent[who]
            near = sum(size for _, size in self._sent.get(client.address, ()))
            own = sum(size for _, size in self._sent.get(client.visitor, ()))
            # An address may be that of many people.
            if own + size > self._each or (client.address and near + size > self._total):
                return (
                    f"you have sent {max(own, near) / 2**20:.1f} MB in the last ten minutes, as "
                    "much as this app takes: wait a few minutes."
                )
            if self.held() + self._coming + size > self._total:
                self.sweep(_NEEDED)
                if self.held() + self._coming + size > self._total:
                    return "the room for pictures is full for the moment: try again in a minute."
            for who in {client.visitor, client.address} - {""}:
                self._sent.setdefault(who, deque()).append((now, size))
            self._coming += size
            return None

    def end(self, size: int) -> None:
        """What :meth:`begin` let in has come, or has not."""
        with self._lock:
            self._coming -= size

    def held(self) -> int:
        """Bytes that lie there."""
        return sum(size for _, size, _ in self._files())

    def remove(self, path: str | Path) -> None:
        """Remove a file that was used."""
        file = Path(path).resolve()
        if file.is_relative_to(self.folder.resolve()) and file != self.folder.resolve():
            file.unlink(missing_ok=True)
            with suppress(OSError):  # Gradio gives each a directory; others may be in it
                file.parent.rmdir()

    def sweep(self, older: float = _KEPT) -> None:
        """Remove what was used, or never."""
        for file, _, changed in list(self._files()):
            if time.time() - changed > older:
                self.remove(file)

    def _files(self) -> Iterator[tuple[Path, int, float]]:
        for place, _, names in os.walk(self.folder):
            for name in names:
                file = Path(place) / name
                with suppress(OSError):  # gone meanwhile
                    found = file.lstat()
                    yield file, found.st_size, found.st_mtime
