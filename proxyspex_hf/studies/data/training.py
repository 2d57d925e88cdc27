"""Training on many subsets, in parallel, kept on disk: f(S) of the paper's equation 5.

The directory of a study holds ``masks.npy`` (packed rows), ``margins.npy`` (m, t) float64, NaN
where a subset is not trained yet, and ``study.json``, which says what they belong to. Both arrays
are memory-mapped; margins are written as they arrive, so that a killed run has lost the trainings
that were under way and nothing else.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from proxyspex_hf.checks import FloatArray, as_integer
from proxyspex_hf.core.progress import ProgressCallback, Reporter
from proxyspex_hf.errors import InputError, ModelError
from proxyspex_hf.files import write_whole
from proxyspex_hf.studies.data.packed import PackedMasks, new_map

#: (indices of the training points kept, seed) -> margins of the t test points.
Trainer = Callable[[NDArray[np.intp], int], ArrayLike]

_VERSION = 1
#: Trainings between two flushes of the margins.
_FLUSH = 256


def retrain(
    train: Trainer,
    masks: PackedMasks,
    directory: str | Path,
    *,
    key: str,
    n_tests: int,
    groups: Any = None,
    seed: int = 0,
    n_jobs: int = 1,
    progress: ProgressCallback | None = None,
) -> FloatArray:
    """Train on every subset and keep the margins; what the directory holds is not trained again.

    Args:
        train: called as ``train(kept, seed)`` with the ascending indices of the training points
            that are kept (there may be none) and a seed made of ``seed`` and the subset. Returns
            the t margins (equation 5). Its BLAS and OpenMP threads are limited to one, so that
            margins do not depend on ``n_jobs``.
        masks: the subsets of features. More rows than the directory has enlarge it; the rows that
            it has must be the first of these.
        directory: where the study is kept; made if it is missing.
        key: names trainer, data and test points: all that decides a margin and cannot be seen from
            here. A directory made under another key, or with other groups, is refused.
        n_tests: t.
        groups: (n_points,) the feature that each training point belongs to, from 0 to n - 1; None
            for one feature per point.
        n_jobs: processes (joblib's meaning); the result does not depend on it.
        progress: told after each training; may raise to cancel.

    Returns:
        (m, t) float64, a read-only memory map of ``margins.npy``.

    Raises:
        InputError: an argument that cannot be used, a directory of another study, or in use.
        ModelError: ``train`` failed or gave something else than t finite numbers; the margins of
            other subsets stay.
    """
    if not callable(train):
        raise InputError(f"train must be a callable train(kept, seed), got {train!r}.")
    if not isinstance(key, str):
        raise InputError(f"key must be a string, got {key!r}.")
    n_tests = as_integer("n_tests", n_tests, 1, 10**9)
    seed = as_integer("seed", seed, 0, 2**63 - 1)
    n_jobs = as_integer("n_jobs", n_jobs, -(10**4), 10**4)
    if n_jobs == 0:
        raise InputError(
            "n_jobs must not be 0: give a number of processes, or -1 for one per core."
        )
    points = _points_of(groups, masks.n_features)
    says = {
        "version": _VERSION,
        "key": key,
        "n_features": masks.n_features,
        "n_tests": n_tests,
        "seed": seed,
        "groups": None if points is None else _digest_of(points),
    }
    folder = Path(directory)
    lock = FileLock(folder / "study.lock", timeout=0)
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
            margins = _open(folder, masks, says)
        except Timeout as error:
            raise InputError(f"directory={str(directory)!r} is in use by another run.") from error
        except OSError as error:
            raise InputError(f"directory={str(directory)!r} cannot be used: {error}.") from error
        _fill(train, masks, margins, points, seed, n_jobs, progress)
        _flush(margins)
    finally:
        lock.release()
    kept: FloatArray = np.load(folder / "margins.npy", mmap_mode="r", allow_pickle=False)
    return kept[: len(masks)]


def _fill(
    train: Trainer,
    masks: PackedMasks,
    margins: FloatArray,
    points: NDArray[np.intp] | None,
    seed: int,
    n_jobs: int,
    progress: ProgressCallback | None,
) -> None:
    """Train what is missing; equal subsets once."""
    digests = [blake2b(row, digest_size=16).digest() for row in _rows(masks)]
    known = np.logical_and.reduce(np.isfinite(margins), axis=1)
    first: dict[bytes, int] = {}
    for row in [*np.flatnonzero(known).tolist(), *np.flatnonzero(~known).tolist()]:
        first.setdefault(digests[row], row)
    missing = [row for row in first.values() if not known[row]]
    report = Reporter(progress, "training", len(missing))

    def tasks() -> Iterator[Any]:
        for row in missing:
            kept = np.flatnonzero(masks.unpack(slice(row, row + 1))[0])
            chosen = kept if points is None else np.flatnonzero(np.isin(points, kept))
            own_seed = blake2b(digests[row], digest_size=4, key=str(seed).encode()).digest()
            yield delayed(_train_one)(train, row, chosen, int.from_bytes(own_seed, "big"))

    results = Parallel(n_jobs=n_jobs, return_as="generator_unordered")(tasks())
    try:
        for done, (row, values) in enumerate(results, start=1):
            margins[row] = _checked(values, margins.shape[1], row)
            if done % _FLUSH == 0:
                _flush(margins)
            report.advance()
    except BrokenProcessPool as error:
        raise ModelError(
            "a training process died, perhaps for lack of memory. The margins that it had given "
            "are kept: run the same call again, with a smaller n_jobs."
        ) from error
    finally:
        with warnings.catch_warnings():
            # That trainings under way are cut off is what is wanted here.
            warnings.simplefilter("ignore", UserWarning)
            results.close()
    for row in np.flatnonzero(~known).tolist():
        margins[row] = margins[first[digests[row]]]


def _flush(margins: FloatArray) -> None:
    if isinstance(margins, np.memmap):
        margins.flush()


def _train_one(
    train: Trainer, row: int, kept: NDArray[np.intp], seed: int
) -> tuple[int, ArrayLike]:
    with threadpool_limits(limits=1):
        try:
            return row, train(kept, seed)
        except Exception as error:
            raise ModelError(
                f"train failed on subset {row} ({len(kept)} training points, seed {seed}): "
                f"{type(error).__name__}: {error}"
            ) from error


def _checked(values: ArrayLike, n_tests: int, row: int) -> FloatArray:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ModelError(f"train gave no numbers for subset {row}: {error}") from error
    if array.shape != (n_tests,):
        raise ModelError(
            f"train gave shape {array.shape} for subset {row}; expected ({n_tests},), one margin "
            "a test point (n_tests)."
        )
    if not np.isfinite(array).all():
        raise ModelError(f"train gave margins for subset {row} that are not finite.")
    return array


def _rows(masks: PackedMasks) -> Iterator[bytes]:
    for rows in masks.blocks(max(1, 2**24 // masks.bits.shape[1])):
        for row in np.asarray(masks.bits[rows]):
            yield row.tobytes()


def _points_of(groups: Any, n_features: int) -> NDArray[np.intp] | None:
    if groups is None:
        return None
    points = np.asarray(groups)
    if points.ndim != 1 or points.dtype.kind not in "iu" or not len(points):
        raise InputError(
            "groups must be (n_points,) integers, the feature of each training point; got "
            f"{points.dtype} of shape {points.shape}."
        )
    if points.min() < 0 or points.max() >= n_features:
        raise InputError(
            f"groups must lie in 0 to {n_features - 1} (the masks have {n_features} features), got "
            f"{points.min()} to {points.max()}."
        )
    return points.astype(np.intp)


def _digest_of(points: NDArray[np.intp]) -> str:
    return blake2b(points.astype("<i8").tobytes(), digest_size=16).hexdigest()


def _open(folder: Path, masks: PackedMasks, says: dict[str, Any]) -> FloatArray:
    """The margins to fill, as many rows as there are masks; checks that the study is this one."""
    head, masks_at, margins_at = (folder / f for f in ("study.json", "masks.npy", "margins.npy"))
    done, n_tests = 0, says["n_tests"]
    if head.exists():
        _same_study(head, says)
        if masks_at.exists():
            before = PackedMasks.open(masks_at, masks.n_features)
            _same_rows(before, masks, folder)
            done = len(before)
    elif masks_at.exists() or margins_at.exists():
        raise InputError(
            f"directory={str(folder)!r} holds masks or margins without study.json, which says what "
            "they belong to; choose another directory."
        )
    else:
        write_whole(head, json.dumps(says, indent=2) + "\n")
    if done:
        margins = _mapped(margins_at, done, n_tests)
        if done >= len(masks):
            return margins[: len(masks)]
    # A larger study is written beside the old one and takes its place. The masks go last: a row of
    # margins counts only once its mask is there.
    written = folder / "margins.new.npy"
    larger: FloatArray = new_map(written, np.float64, (len(masks), n_tests))
    for rows in masks.blocks(2**16):
        larger[rows] = np.nan
    if done:
        larger[:done] = margins[:done]
    _flush(larger)
    masks.save(folder / "masks.new.npy")
    written.replace(margins_at)
    (folder / "masks.new.npy").replace(masks_at)
    return larger


def _same_study(head: Path, says: dict[str, Any]) -> None:
    try:
        found = json.loads(head.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{head} is damaged: {error}") from error
    # Files of earlier versions do not mention groups; they count as made without.
    held = {"groups": None, **found} if isinstance(found, dict) else {}
    if held != says:
        differs = [name for name in says if held.get(name) != says[name]]
        parts = ", ".join(f"{name}={held.get(name)!r}" for name in differs)
        asked = ", ".join(f"{name}={says[name]!r}" for name in differs)
        raise InputError(
            f"{head.parent} holds another study ({parts}; asked for {asked}); choose another "
            "directory, or give the arguments it was made with."
        )


def _same_rows(before: PackedMasks, masks: PackedMasks, folder: Path) -> None:
    shared = min(len(before), len(masks))
    step = max(1, 2**24 // masks.bits.shape[1])
    for start in range(0, shared, step):
        rows = slice(start, min(start + step, shared))
        if not np.array_equal(before.bits[rows], masks.bits[rows]):
            raise InputError(
                f"{folder} was made with other masks: the rows it has must be the first of the "
                "masks given. Choose another directory, or the masks' own seed and density."
            )


def _mapped(path: Path, rows: int, n_tests: int) -> FloatArray:
    try:
        margins: FloatArray = np.load(path, mmap_mode="r+", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    wrong = margins.ndim != 2 or margins.dtype != np.float64 or len(margins) < rows
    if wrong or margins.shape[1] != n_tests:
        raise InputError(
            f"{path} is damaged: expected float64 of shape ({rows}, {n_tests}), got "
            f"{margins.dtype} of shape {margins.shape}."
        )
    return margins
