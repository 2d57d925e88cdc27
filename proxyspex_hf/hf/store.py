"""Values on disk: every answer of a model under a key of all that decides it.

One file per key, ``<sha256 of the key>.values``:

- 8 bytes ``PSPXVAL1``, the width w of a mask in bytes and the length of the key (uint32 each,
  little endian), the key as JSON;
- then records of one size: w bytes of bit-packed mask, the value as float64 (little endian), and
  the CRC-32 of both (uint32).

The key says which function was asked: the model's name, revision and class, hashes of its config,
of its modules (their classes, settings, hooks and adapters), of its weights, of the pipeline's
parameters, tokenizer and processors, the input, and the number that is explained; see
:mod:`proxyspex_hf.hf.identity`. What no key can hold, such as what a hook computes, is found out by
asking some masks again: see :mod:`proxyspex_hf.hf.memory`.

Records are only appended, each batch in one write under a lock, so a killed process loses at most
the batch it was computing, and processes may share a directory. A write that fails is taken back.
A record whose checksum is wrong is not read, and its mask is asked again; a torn end is cut off
before the next write, and a damaged header is written anew: the file's name says whose it is. A
directory that cannot be written is read.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import struct
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from proxyspex_hf.errors import InputError, ProxySpexWarning

_MAGIC = b"PSPXVAL1"
_HEAD = struct.Struct("<8sII")
_VALUE = struct.Struct("<d")
_CHECK = struct.Struct("<I")
#: What a file system without locks says (network shares); a lock file then stands for the lock.
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
_NOT_WRITABLE = {errno.EROFS, errno.EACCES, errno.EPERM}
#: Seconds after which a wait for another process is told: convention.
_PATIENCE = 5.0


class ValueStore:
    """The values of one key.

    Args:
        directory: where the files lie; made if it is missing.
        key: all that decides a value, as JSON data.
        n_features: width of the masks.

    Attributes:
        damaged: whether records were lost: batches are then known in part.
        read_only: the directory cannot be written.

    Raises:
        InputError: the directory cannot be used.
    """

    def __init__(self, directory: str | Path, key: Mapping[str, Any], n_features: int) -> None:
        text = json.dumps(key, sort_keys=True, ensure_ascii=True).encode()
        self._width = -(-n_features // 8)
        self._record = self._width + _VALUE.size + _CHECK.size
        self._header = _HEAD.pack(_MAGIC, self._width, len(text)) + text
        self.path = Path(directory) / f"{hashlib.sha256(text).hexdigest()}.values"
        self._read_to = 0
        self.damaged = self.read_only = False
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock: BaseFileLock = FileLock(self.path.with_suffix(".lock"))
            with self._locked():
                self._repair()
        except (OSError, ValueError) as error:  # ValueError: a null byte in the path
            if getattr(error, "errno", None) not in _NOT_WRITABLE or not self.path.parent.is_dir():
                raise InputError(
                    f"cache_dir={str(directory)!r:.200} cannot be used: {error}."
                ) from error
            self.read_only = True
            self._read_to = len(self._header)
            warnings.warn(
                f"cache_dir={str(directory)!r} cannot be written: answers that lie there are read, "
                "new ones are not kept.",
                ProxySpexWarning,
                stacklevel=2,
            )

    def new(self) -> dict[bytes, float]:
        """Values that were added since the last call, by packed mask; damaged ones are left out.

        Raises:
            InputError: the file cannot be read.
        """
        try:
            with self.path.open("rb") as file:
                file.seek(self._read_to)
                data = file.read()
        except FileNotFoundError:  # emptied by hand, or never written: the next batch makes it
            return {}
        except OSError as error:
            raise InputError(f"cannot read {self.path}: {error.strerror or error}.") from error
        whole = len(data) - len(data) % self._record
        self._read_to += whole
        found: dict[bytes, float] = {}
        for start in range(0, whole, self._record):
            body = data[start : start + self._record - _CHECK.size]
            (check,) = _CHECK.unpack_from(data, start + len(body))
            if zlib.crc32(body) == check:
                (found[body[: self._width]],) = _VALUE.unpack_from(body, self._width)
            else:
                self.damaged = True
        return found

    def add(self, values: Mapping[bytes, float]) -> None:
        """Append values by packed mask.

        Raises:
            InputError: the file cannot be written.
        """
        lines = []
        for mask, value in values.items():
            body = mask + _VALUE.pack(value)
            lines.append(body + _CHECK.pack(zlib.crc32(body)))
        if self.read_only:
            return
        try:
            with self._locked():
                self._repair()
                size = self.path.stat().st_size
                try:
                    with self.path.open("ab") as file:
                        file.write(b"".join(lines))
                except OSError:
                    # Half a batch would be known, and the rest of it asked in another shape.
                    os.truncate(self.path, size)
                    raise
        except OSError as error:
            raise InputError(f"cannot write {self.path}: {error.strerror or error}.") from error

    def clear(self) -> None:
        """Drop all values, those of other processes too.

        Raises:
            InputError: the file cannot be written.
        """
        if self.read_only:
            return
        try:
            with self._locked():
                self.path.write_bytes(self._header)
        except OSError as error:
            raise InputError(f"cannot write {self.path}: {error.strerror or error}.") from error
        self._read_to = len(self._header)

    def _repair(self) -> None:
        """Give the file its header and an end between records; call with the lock held."""
        size = self.path.stat().st_size if self.path.exists() else 0
        start = len(self._header)
        with self.path.open("r+b" if size else "w+b") as file:
            if file.read(start) != self._header:
                self.damaged = self.damaged or size > 0
                file.seek(0)
                file.write(self._header)
                size = max(size, start)
            torn = (size - start) % self._record
            if torn:
                self.damaged = True
                file.truncate(size - torn)
        self._read_to = max(self._read_to, start)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Nobody else writes the file; a long wait for another process is told."""
        try:
            held = self._acquired()
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            self._lock = SoftFileLock(self.path.with_suffix(".softlock"))
            held = self._acquired()
        with held:
            yield

    def _acquired(self) -> AbstractContextManager[Any]:
        try:
            return self._lock.acquire(timeout=_PATIENCE)
        except Timeout:
            warnings.warn(
                f"waiting for another process that holds {self._lock.lock_file}.",
                ProxySpexWarning,
                stacklevel=2,
            )
            return self._lock.acquire()
