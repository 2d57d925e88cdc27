"""Files: written whole or not at all, read up to a bound."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

from proxyspex_hf.checks import quoted
from proxyspex_hf.errors import InputError, SchemaError

#: Where the system lists what a process has open, by number.
_OPEN = "/dev/fd"
#: What puts a file's content into a stream.
_Write = Callable[[BinaryIO], object]
#: As many links as Linux follows.
_MOST_LINKS = 40


def as_path(path: Any) -> Path:
    """The path of a file, as people give it.

    Raises:
        InputError: no path at all.
    """
    if not isinstance(path, (str, os.PathLike)) or path == "":
        raise InputError(f"a file's path must be a text or a Path, got {quoted(path)}.")
    return Path(path)


def write_whole(path: str | Path, content: str | bytes | _Write) -> None:
    """Write a file through a temporary one beside it: interrupted, the old one is still there.

    ``content`` may write itself into a stream: what is too large to be held twice.

    What stands at the path keeps its nature: of a link, the file it leads to is written; a file
    keeps its mode, and its owner where root writes it; a device, a pipe or an open file
    (``/dev/stdout``) is written into.

    Raises:
        InputError: the place cannot be written, or the text cannot be encoded.
    """
    target = as_path(path)
    try:
        write = content if callable(content) else _writer(content)
        opened = _open_file(target)
        there = None if opened is not None else _status(target)
        if opened is not None:
            _write(os.dup(opened), write)
        elif there is not None and not stat.S_ISREG(there.st_mode):
            # Neither made nor emptied; a folder is refused by the system.
            _write(os.open(target, os.O_WRONLY), write)
        else:
            _replace(Path(os.path.realpath(target)), write, there)
    except OSError as error:
        raise InputError(f"cannot write {target}: {error.strerror or error}.") from error
    except ValueError as error:  # half a character in the text, or a null byte in the path
        raise InputError(f"cannot write {str(target)!r}: {error}.") from error


def check_writable(path: Path) -> None:
    """Find out beforehand whether :func:`write_whole` could write there, without writing anything.

    Raises:
        InputError: it could not, and why.
    """
    try:
        opened, there = _open_file(path), _status(path)
        if opened is not None:
            os.write(opened, b"")  # whoever owns what it leads to, it may be open for us
            return
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}.") from error
    if there is not None and stat.S_ISDIR(there.st_mode):
        raise InputError(f"cannot write {path}: it is a directory.")
    if there is not None and not stat.S_ISREG(there.st_mode):
        if not os.access(path, os.W_OK):
            raise InputError(f"cannot write {path}: it is not writable.")
        return
    directory = Path(os.path.realpath(path)).parent
    if not directory.is_dir():
        raise InputError(f"cannot write {path}: {directory} is not a directory.")
    if not os.access(directory, os.W_OK):
        raise InputError(f"cannot write {path}: the directory {directory} is not writable.")


def replaces(path: Path, other: Path) -> bool:
    """Whether :func:`write_whole` would replace ``other`` by what is written to ``path``.

    A device, a pipe or an open file is written into, and nothing is replaced.
    """
    there = _status(path)
    if _open_file(path) is not None or (there is not None and not stat.S_ISREG(there.st_mode)):
        return False
    try:
        return path.samefile(other)
    except OSError:  # one of them is not there yet
        return os.path.realpath(path) == os.path.realpath(other)


def _status(target: Path) -> os.stat_result | None:
    """Of what a path leads to; None where there is nothing yet."""
    try:
        return target.stat()
    except FileNotFoundError:
        return None


def _open_file(target: Path) -> int | None:
    """The number of the open file that a path such as ``/dev/stdout`` stands for, else None.

    Its links lead to ``/dev/fd/1``. Beyond, they may name a file, but that name says neither where
    in it the next byte goes nor that others go on writing there.
    """
    for _ in range(_MOST_LINKS):
        if target.name.isdecimal() and os.path.realpath(target.parent) == os.path.realpath(_OPEN):
            return int(target.name)
        if not target.is_symlink():
            return None
        target = target.parent / target.readlink()
    return None


def _writer(content: str | bytes) -> _Write:
    data = content if isinstance(content, bytes) else content.encode("utf-8")
    return lambda stream: stream.write(data)


def _write(handle: int, write: _Write) -> None:
    with os.fdopen(handle, "wb") as stream:
        write(stream)


def _replace(target: Path, write: _Write, there: os.stat_result | None) -> None:
    """Put a new file in the place of what is ``there``, with its mode and owner."""
    temporary = target.parent / f".{uuid4().hex}.part"
    # The permissions of any new file: the system applies the umask, which cannot be read without
    # changing it for every thread. In the place of another, nobody else's until it has that one's.
    mode = 0o666 if there is None else 0o600
    handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
    try:
        _write(handle, write)
        if there is not None:
            if hasattr(os, "geteuid") and os.geteuid() == 0:
                os.chown(temporary, there.st_uid, there.st_gid)
            os.chmod(temporary, stat.S_IMODE(there.st_mode))
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_bounded(path: str | Path, most: int) -> bytes:
    """The bytes of an untrusted file, at most ``most`` of them.

    Raises:
        SchemaError: it is larger.
        InputError: it cannot be read.
    """
    source = as_path(path)
    try:
        with source.open("rb") as stream:
            data = stream.read(most + 1)
    except OSError as error:
        raise InputError(f"cannot read {source}: {error.strerror or error}.") from error
    except ValueError as error:  # such as a null byte in the path
        raise InputError(f"cannot read {str(source)!r}: {error}.") from error
    if len(data) > most:
        raise SchemaError(f"{source} is larger than any explanation ({most} B).")
    return data
