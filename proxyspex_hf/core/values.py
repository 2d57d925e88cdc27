"""Value functions: masks in, one number per mask out. The only thing the core knows of a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from proxyspex_hf.checks import BoolArray, FloatArray, as_masks
from proxyspex_hf.core.progress import ProgressCallback, Reporter
from proxyspex_hf.errors import InputError, ModelError

#: Features that a message lists by index: convention.
_FEW_NAMED = 12
#: Sums of more values than a spectrum has terms stay finite: convention.
_LARGEST = 1e306
#: Differences that are rounding, relative to the largest value: two units in the last place.
_ROUNDING = 4.0 * float(np.finfo(np.float64).eps)


@runtime_checkable
class ValueFunction(Protocol):
    """A set function f. Pure: a mask's value depends neither on its row's place nor its batch.

    Example:
        >>> isinstance(FunctionOfMasks(lambda masks: masks.sum(1), n_features=3), ValueFunction)
        True
    """

    @property
    def n_features(self) -> int: ...

    def __call__(self, masks: BoolArray, /) -> FloatArray:
        """(b, n) bool, 1 = kept -> (b,) float64."""
        ...


class FunctionOfMasks:
    """Any callable on masks as a value function.

    Raises:
        InputError: ``n_features`` below one, or ``function`` not callable.

    Example:
        >>> f = FunctionOfMasks(lambda masks: masks.sum(1), n_features=3)
        >>> f(np.array([[True, False, True]]))
        array([2.])
    """

    def __init__(self, function: Callable[[BoolArray], FloatArray], n_features: int) -> None:
        if not callable(function) or n_features < 1:
            raise InputError("expected a callable on masks (b, n) and n_features of at least 1.")
        self._function = function
        self._n = n_features

    @property
    def n_features(self) -> int:
        """n, as it was given."""
        return self._n

    def __call__(self, masks: BoolArray) -> FloatArray:
        return np.asarray(self._function(masks), dtype=np.float64)


class Cached:
    """Asks each distinct mask once, remembers its value, and checks what comes back.

    Values arrive in chunks and are kept as they arrive, so an interrupted run has lost at most one
    chunk: asking again continues where it stopped.

    Attributes:
        calls: masks the wrapped function has answered.

    Example:
        >>> asked = Cached(FunctionOfMasks(lambda masks: masks.sum(1), n_features=3))
        >>> asked(np.ones((2, 3), bool)), asked.calls
        (array([3., 3.]), 1)
    """

    def __init__(self, function: ValueFunction, *, chunk: int = 64) -> None:
        self._function = function
        self._chunk = chunk
        self._known: dict[bytes, float] = {}
        self.calls = 0

    @property
    def n_features(self) -> int:
        """n, as the wrapped function has it."""
        return self._function.n_features

    def __call__(self, masks: BoolArray, progress: ProgressCallback | None = None) -> FloatArray:
        """Values of ``masks`` (b, n) -> (b,).

        Raises:
            InputError: masks of the wrong shape.
            ModelError: values of the wrong shape, NaN or infinite.
        """
        rows = as_masks(masks, self.n_features)
        keys = [row.tobytes() for row in np.packbits(rows, axis=1)]
        first: dict[bytes, int] = {}
        for position, key in enumerate(keys):
            if key not in self._known:
                first.setdefault(key, position)
        missing = list(first.values())
        report = Reporter(progress, "model calls", len(missing))
        for start in range(0, len(missing), self._chunk):
            asked = missing[start : start + self._chunk]
            values, usable, error = checked_values(self._function(rows[asked]), rows[asked])
            learnt = [keys[i] for i, ok in zip(asked, usable, strict=True) if ok]
            self._known.update(zip(learnt, values[usable].tolist(), strict=True))
            self.calls += len(asked)
            if error is not None:
                raise error
            report.advance(len(asked))
        return np.array([self._known[key] for key in keys], dtype=np.float64)


def is_constant(values: FloatArray) -> bool:
    """Whether finite values differ by no more than float64 rounds sums of their size."""
    largest = float(np.abs(values).max(initial=0.0))
    return largest == 0.0 or float(np.ptp(values / largest)) <= _ROUNDING


def level_and_scale(values: FloatArray) -> tuple[float, float]:
    """Mean and standard deviation, safe for values of any finite magnitude; constants have 0."""
    if is_constant(values):
        return float(values[0]), 0.0
    largest = float(np.abs(values).max())
    unit = values / largest
    return float(unit.mean()) * largest, float(unit.std()) * largest


def rounding_of(values: FloatArray) -> float:
    """How far off rounding alone may have left a finite value: half a unit in the last place of the
    largest, of single precision where each of them is a number of that. Whole numbers are exact.
    """
    largest = float(np.abs(values).max(initial=0.0))
    with np.errstate(over="ignore"):
        is_single = bool((values.astype(np.float32) == values).all())
    unit = largest * float(np.finfo(np.float32 if is_single else np.float64).eps)
    return 0.0 if unit < 1.0 and (values == np.rint(values)).all() else unit / 2.0


def checked_values(
    values: FloatArray, masks: BoolArray, called: str = "the model"
) -> tuple[FloatArray, NDArray[np.bool_], ModelError | None]:
    """What a value function gave for masks (b, n): (b,) floats, which of them can be used, and
    what is wrong with the others.

    Raises:
        ModelError: values of the wrong shape.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.shape != (len(masks),):
        raise ModelError(
            f"the value function gave shape {array.shape} for {len(masks)} masks; expected "
            f"({len(masks)},)."
        )
    usable = np.isfinite(array) & (np.abs(array) <= _LARGEST)
    if usable.all():
        return array, usable, None
    row = int((~usable).argmax())
    advice = (
        "check the model's weights and dtype (half precision can overflow), or choose another "
        "target or masking."
        if called.startswith("the model")
        else "let it give one of every input, however much of it is masked."
    )
    error = ModelError(
        f"{called} gave {array[row]} for {int((~usable).sum())} of {len(masks)} masked inputs, the "
        f"first {described(masks[row])}. An explanation needs finite values, of at most "
        f"{_LARGEST:g}: {advice}"
    )
    return array, usable, error


def described(mask: BoolArray) -> str:
    """A mask (n,) in words: how many features it keeps, and which, where they are few."""
    kept = int(mask.sum())
    fewer = min(kept, len(mask) - kept)
    which = ""
    if 0 < fewer <= _FEW_NAMED:
        verb, members = ("kept", mask) if kept == fewer else ("removed", ~mask)
        which = f" ({verb}: {', '.join(map(str, np.flatnonzero(members)))})"
    return f"with {kept} of {len(mask)} features kept{which}"
