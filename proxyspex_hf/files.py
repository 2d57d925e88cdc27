"""Files: written whole or not at all, read up to a bound."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from uuid import uuid4

from proxyspex_hf.checks import quoted
from proxyspex_hf.errors import InputError, SchemaError


def as_path(path: Any) -> Path:
    """The path of a file, as people give it.

    Raises:
        InputError: no path at all.
    """
    if not isinstance(path, (str, os.PathLike)) or path == "":
        raise InputError(f"a file's path must be a text or a Path, got {quoted(path)}.")
    return Path(path)


def write_whole(path: str | Path, content: str | bytes) -> None:
    """Write a file through a temporary one beside it: interrupted, the old one is still there.

    Raises:
        InputError: the place cannot be written, or the text cannot be encoded.
    """
    target = as_path(path)
    # Made with the permissions of any new file: the system applies the umask, which cannot be read
    # without changing it for every thread.
    temporary = target.parent / f".{uuid4().hex}.part"
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
    made = False
    try:
        data = content if isinstance(content, bytes) else content.encode("utf-8")
        handle = os.open(temporary, flags, 0o666)
        made = True
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        os.replace(temporary, target)
        made = False
    except OSError as error:
        raise InputError(f"cannot write {target}: {error.strerror or error}.") from error
    except ValueError as error:  # half a character in the text, or a null byte in the path
        raise InputError(f"cannot write {str(target)!r}: {error}.") from error
    finally:
        if made:
            temporary.unlink(missing_ok=True)


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
