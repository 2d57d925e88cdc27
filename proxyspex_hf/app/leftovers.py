"""A directory that goes with its process: at its end, or at the next start where it crashed."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

_PREFIX = "proxyspex_hf-"
#: The system lets go of it when its process ends, however it does.
_LOCK = "alive.lock"
#: Seconds after which a directory without a lock is not one that is being made.
_OLD = 24 * 3600.0


class OwnDirectory:
    """A temporary directory. Making one removes those of processes that have ended."""

    def __init__(self) -> None:
        _remove_leftovers()
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._lock = FileLock(self.path / _LOCK)
        self._lock.acquire()

    def close(self) -> None:
        """Remove it with all that is in it."""
        self._lock.release()
        shutil.rmtree(self.path, ignore_errors=True)


def _remove_leftovers() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):  # another start removes it at this moment
            if _is_ours(folder) and _is_left(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _is_ours(folder: Path) -> bool:
    """Others can make directories there, too, and links to anywhere."""
    found = folder.lstat()
    return folder.is_dir() and not folder.is_symlink() and found.st_uid == _user(found.st_uid)


def _user(otherwise: int) -> int:
    return os.getuid() if hasattr(os, "getuid") else otherwise


def _is_left(folder: Path) -> bool:
    if not (folder / _LOCK).exists():
        return time.time() - folder.stat().st_mtime > _OLD
    lock = FileLock(folder / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    lock.release()
    return True
