"""Masks as bits, in memory or on disk, read a block of rows at a time.

300,000 masks of 50,000 training points are 15 billion bits: 1.9 GB packed, 15 GB as booleans. A row
is what ``np.packbits`` makes of a mask: eight features a byte, the first in the highest bit.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proxyspex_hf.checks import BoolArray, FloatArray, as_fraction, as_integer, as_masks, quoted
from proxyspex_hf.errors import InputError
from proxyspex_hf.files import as_path, write_whole

#: Bytes of unpacked or drawn features held at once where the caller sets no bound of its own.
_BLOCK_BYTES = 64 * 2**20
#: How many bits of a byte are set.
_ONES = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)


#: What a file system says that cannot set room aside.
_CANNOT_RESERVE = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


def new_map(path: str | Path, dtype: Any, shape: tuple[int, ...]) -> Any:
    """A new ``.npy`` file of zeros as a memory map, with room on the disk for all of it: where a
    map finds none later, the system ends the process.

    Raises:
        OSError: the file cannot be made, or there is no room; nothing is left of it.
    """
    made = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    if not hasattr(os, "posix_fallocate"):
        return made
    try:
        with Path(path).open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
    except OSError as error:
        if error.errno not in _CANNOT_RESERVE:
            Path(path).unlink(missing_ok=True)
            raise
    return made


def _npy(path: str | Path) -> Path:
    """A path by whose name :meth:`PackedMasks.open` knows that a header comes before the rows."""
    named = as_path(path)
    if named.suffix != ".npy":
        raise InputError(f"packed masks are written to a .npy file, got the name {quoted(path)}.")
    return named


@dataclass(frozen=True, eq=False)
class PackedMasks:
    """m masks of n features, 1 = kept, as bits.

    Attributes:
        bits: (m, ceil(n / 8)) uint8, rows of ``np.packbits(masks, axis=1)``; an array or a memory
            map. Bits beyond the n-th are not read.
        n_features: n.

    Raises:
        InputError: another dtype, or a width that is not that of n features.

    Example:
        >>> packed = PackedMasks.pack(np.array([[1, 0, 1], [0, 1, 1]]))
        >>> packed.bits.tolist(), packed.n_features
        ([[160], [96]], 3)
    """

    bits: NDArray[np.uint8]
    n_features: int

    def __post_init__(self) -> None:
        n = as_integer("n_features", self.n_features, 1, 2**31 - 1)
        bits = np.asanyarray(self.bits)
        if bits.dtype != np.uint8 or bits.ndim != 2:
            raise InputError(
                "bits must be a (m, ceil(n / 8)) array of uint8, np.packbits(masks, axis=1); got "
                f"{bits.dtype} of shape {bits.shape}. For booleans use PackedMasks.pack(masks)."
            )
        if bits.shape[1] != _width(n) or not len(bits):
            raise InputError(
                f"bits of {n} features must have at least one row and {_width(n)} columns "
                f"(ceil(n_features / 8)), got shape {bits.shape}."
            )
        object.__setattr__(self, "bits", bits)
        object.__setattr__(self, "n_features", n)

    @classmethod
    def pack(cls, masks: Any) -> PackedMasks:
        """From booleans or 0/1 numbers, (m, n)."""
        rows = as_masks(masks)
        return cls(np.packbits(rows, axis=1), rows.shape[1])

    @classmethod
    def open(cls, path: str | Path, n_features: int) -> PackedMasks:
        """Map a ``.npy`` file of packed rows, or a raw file of them, without reading it.

        Raises:
            InputError: no such file, or not rows of ``n_features`` bits.
        """
        file, n = Path(path), as_integer("n_features", n_features, 1, 2**31 - 1)
        try:
            if file.suffix == ".npy":
                return cls(np.load(file, mmap_mode="r", allow_pickle=False), n)
            size = file.stat().st_size
            if size == 0 or size % _width(n):
                raise InputError(
                    f"{file} holds {size} bytes, which is not a whole number of rows of "
                    f"{_width(n)} bytes (ceil(n_features / 8) with n_features={n})."
                )
            return cls(np.memmap(file, np.uint8, "r", shape=(size // _width(n), _width(n))), n)
        except (OSError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{file} is not a file of packed masks: {error}") from error

    @classmethod
    def sample(
        cls,
        n_features: int,
        n_masks: int,
        *,
        density: float = 0.5,
        seed: int = 0,
        path: str | Path | None = None,
    ) -> PackedMasks:
        """Random masks, each feature kept independently with probability ``density``.

        The first rows are the same whatever ``n_masks`` is, so that a study can be enlarged. Rows
        may repeat where there are few features.

        Args:
            path: a ``.npy`` file to write to, block by block, and to map; None keeps the bits in
                memory.

        Raises:
            InputError: ``density`` outside (0, 1), no mask, no feature; a path that is no .npy or
                cannot be written, or a disk without room for all of them.
        """
        n = as_integer("n_features", n_features, 1, 2**31 - 1)
        m = as_integer("n_masks", n_masks, 1, 2**40)
        density = as_fraction("density", density)
        rng = np.random.default_rng(as_integer("seed", seed, 0, 2**63 - 1))
        shape = (m, _width(n))
        if path is None:
            bits: NDArray[np.uint8] = np.empty(shape, np.uint8)
        else:
            try:
                bits = new_map(_npy(path), np.uint8, shape)
            except OSError as error:
                raise InputError(f"cannot write {path}: {error.strerror or error}.") from error
        step = max(1, _BLOCK_BYTES // (8 * n))
        for start in range(0, m, step):
            count = min(step, m - start)
            bits[start : start + count] = _draw(rng, count, n, density)
        if isinstance(bits, np.memmap):
            bits.flush()
        return cls(bits, n)

    def save(self, path: str | Path) -> None:
        """Write the bits as a ``.npy`` file that :meth:`open` maps.

        The file stands whole or not at all: these masks may be mapped from the very one.

        Raises:
            InputError: a name that does not end in ``.npy``; the path cannot be written.
        """
        write_whole(_npy(path), lambda stream: np.save(stream, self.bits, allow_pickle=False))

    def __len__(self) -> int:
        return len(self.bits)

    def blocks(self, rows: int) -> Iterator[slice]:
        """Consecutive slices of at most ``rows`` masks."""
        step = max(1, rows)
        return (slice(start, min(start + step, len(self))) for start in range(0, len(self), step))

    def float_blocks(self, rows: int) -> Iterator[tuple[slice, FloatArray]]:
        """:meth:`blocks` and their masks as 0.0 and 1.0, in one array that the next overwrites."""
        buffer = np.empty((min(max(1, rows), len(self)), self.n_features))
        for block in self.blocks(rows):
            kept = buffer[: block.stop - block.start]
            np.copyto(kept, self.unpack(block))
            yield block, kept

    def unpack(self, rows: slice | NDArray[np.intp]) -> BoolArray:
        """The masks at ``rows`` as booleans, (len(rows), n)."""
        unpacked = np.unpackbits(np.asarray(self.bits[rows]), axis=1, count=self.n_features)
        return unpacked.view(np.bool_)

    def columns(self, features: NDArray[np.intp], rows: slice | None = None) -> BoolArray:
        """Whether masks keep ``features``: (len(rows), len(features)), by default of all masks.

        No row is unpacked.
        """
        features = np.asarray(features, dtype=np.intp)
        place, shift = features >> 3, (7 - (features & 7)).astype(np.uint8)
        first, last, _ = (rows or slice(None)).indices(len(self))
        out = np.empty((last - first, len(features)), np.bool_)
        step = max(1, _BLOCK_BYTES // max(len(features), self.bits.shape[1]))
        for start in range(first, last, step):
            stop = min(start + step, last)
            found = (np.asarray(self.bits[start:stop])[:, place] >> shift) & 1
            out[start - first : stop - first] = found
        return out

    def counts(self) -> NDArray[np.int64]:
        """How many features each mask keeps, (m,)."""
        out = np.empty(len(self), np.int64)
        for rows in self.blocks(_BLOCK_BYTES // self.bits.shape[1]):
            block = np.array(self.bits[rows])
            block[:, -1] &= _last_byte(self.n_features)
            out[rows] = _ONES[block].sum(axis=1, dtype=np.int64)
        return out


def _draw(rng: np.random.Generator, count: int, n: int, density: float) -> NDArray[np.uint8]:
    if density != 0.5:
        return np.packbits(rng.random((count, n)) < density, axis=1)
    # A fair coin is a random bit. Whole words a row: the first rows do not depend on the count.
    words = rng.integers(0, 2**64, size=(count, -(-n // 64)), dtype=np.uint64)
    bits = words.astype("<u8").view(np.uint8)[:, : _width(n)]
    bits[:, -1] &= _last_byte(n)
    return bits


def _last_byte(n_features: int) -> np.uint8:
    """The bits of a row's last byte that belong to features."""
    return np.uint8((0xFF << (-n_features % 8)) & 0xFF)


def _width(n_features: int) -> int:
    return -(-n_features // 8)
