"""Arguments as people give them: read once, checked, and as one plain type afterwards.

Lists, generators, arrays of any memory layout, tensors and the columns of data frames are taken
alike. What cannot be meant is an :class:`InputError` that says what came and what to give.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from proxyspex_hf.errors import InputError

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int32]
FloatArray = NDArray[np.float64]
_Named = TypeVar("_Named", bound=Mapping[str, Any])

#: Characters of an argument that an error quotes: convention.
_QUOTED = 80
#: Types whose own spelling is quoted.
_SHORT = (str, bytes, int, float, complex, tuple, list, type(None), np.generic)


def quoted(value: Any) -> str:
    """What came, for an error: short, on one line, whatever it is."""
    kind = type(value).__name__
    if isinstance(value, int) and not -(10**_QUOTED) < value < 10**_QUOTED:
        return f"an integer of {value.bit_length():,} bits"
    if not isinstance(value, _SHORT):
        shape = getattr(value, "shape", None)
        if isinstance(shape, tuple):
            return f"{kind} of shape {tuple(shape)}"
        return f"an {kind}" if kind[:1] in "AEIOUaeiou" else f"a {kind}"
    if isinstance(value, (str, bytes)):
        value = value[: _QUOTED + 1]
    elif isinstance(value, (tuple, list)) and len(value) > _QUOTED:
        return f"a {kind} of {len(value):,}"
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - a foreign object inside may fail in any way
        return f"a {kind}"
    return text if len(text) <= _QUOTED else f"{text[:_QUOTED]}…"


def as_integer(name: str, value: Any, least: int, most: int | None = None) -> int:
    """An option that counts something, as a Python int.

    Raises:
        InputError: not an integer, or out of range.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise InputError(f"{name} must be an integer, got {quoted(value)}.")
    number = int(value)
    if number < least or (most is not None and number > most):
        bounds = f"be at least {least}" if most is None else f"lie between {least} and {most}"
        raise InputError(f"{name} must {bounds}, got {quoted(number)}.")
    return number


def as_integers(
    name: str, given: Any, least: int, most: int | None = None, *, or_one: bool = False
) -> tuple[int, ...]:
    """Several integers from anything that can be gone through once; ``or_one`` takes one, too.

    Raises:
        InputError: no list of integers (a mask of booleans is none), or one out of range.
    """
    one = or_one and not isinstance(given, Iterable)
    items = [given] if one else as_list(name, given, "integers")
    if any(isinstance(i, (bool, np.bool_)) for i in items):
        raise InputError(
            f"{name} must hold integers, got booleans: of a mask, give np.flatnonzero(mask)."
        )
    return tuple(as_integer(f"each of {name}", i, least, most) for i in items)


def as_indices(name: str, given: Any, n_features: int) -> tuple[int, ...]:
    """Features by index: ascending, each once.

    Raises:
        InputError: as :func:`as_integers`.
    """
    return tuple(sorted(set(as_integers(name, given, 0, n_features - 1))))


def as_list(name: str, given: Any, of: str = "items") -> list[Any]:
    """What a list, an array of one dimension, a column or a generator holds, gone through once.

    Raises:
        InputError: a text, a mapping, a single item, or an array of several dimensions.
    """
    unlisted = isinstance(given, (str, bytes, dict)) or not isinstance(given, Iterable)
    if unlisted or len(getattr(given, "shape", (1,))) != 1:
        raise InputError(f"{name} must be a list of {of}, got {quoted(given)}.")
    return [item.item() if isinstance(item, np.generic) else item for item in given]


def as_fraction(name: str, value: Any) -> float:
    """An option that is a probability, neither 0 nor 1.

    Raises:
        InputError: not a number, or out of range.
    """
    if not (_is_real(value) and 0 < value < 1):
        raise InputError(f"{name} must lie strictly between 0 and 1, got {quoted(value)}.")
    return float(value)


def as_positive(name: str, value: Any, *, advice: str = "") -> float:
    """A finite number above 0.

    Raises:
        InputError: anything else.
    """
    try:
        if _is_real(value) and value > 0 and math.isfinite(value):
            return float(value)
    except OverflowError:
        pass
    raise InputError(f"{name} must be a positive number, got {quoted(value)}{advice}.")


def one_of(name: str, value: Any, choices: Sequence[Any]) -> None:
    """An option with a few values.

    Raises:
        InputError: none of them.
    """
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        known = ", ".join(map(repr, choices))
        raise InputError(f"{name} must be one of {known}, got {quoted(value)}.")


def check_names(given: _Named, known: Iterable[str], what: str = "option") -> _Named:
    """Keyword arguments, each of which is one of ``known``.

    Raises:
        InputError: one that is not; the likeliest is named.
    """
    names = list(known)
    for name in sorted(set(given) - set(names)):
        near = get_close_matches(name, names, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise InputError(f"unknown {what} {name!r}; the {what}s are {', '.join(names)}.{hint}")
    return given


def as_numbers(name: str, given: Any) -> FloatArray:
    """Real numbers of any shape as float64 in C order: the bits do not depend on the layout.

    Raises:
        InputError: complex numbers, texts, missing or hidden (masked) entries, no array at all.
    """
    array = _plain(name, given)
    if array.dtype.kind == "O":
        array = _of_reals(name, array)
    if array.dtype.kind not in "biuf":
        raise InputError(f"{name} must hold real numbers, got {array.dtype}.")
    return np.ascontiguousarray(array, dtype=np.float64).reshape(array.shape)


def as_masks(masks: Any, n_features: int | None = None, name: str = "masks") -> BoolArray:
    """``masks`` as a (m, n) bool array in C order; accepts 0/1 numbers and a single row.

    Raises:
        InputError: not two-dimensional, not 0/1, or not ``n_features`` wide.
    """
    array = _plain(name, masks)
    shape = array.shape
    if array.dtype.kind in "US":
        raise InputError(f"{name} must hold booleans (or 0 and 1), 1 = kept; got texts.")
    if array.ndim == 1:
        array = array[None, :]
    if array.ndim != 2 or array.shape[1] == 0:
        raise InputError(f"{name} must have shape (m, n) with n >= 1, got {shape}.")
    if n_features is not None and array.shape[1] != n_features:
        raise InputError(f"{name} must have {n_features} columns, got {array.shape[1]}.")
    if array.dtype.kind == "O":
        array = _of_reals(name, array)
    if array.dtype != np.bool_:
        if array.dtype.kind not in "iuf" or not ((array == 0) | (array == 1)).all():
            raise InputError(
                f"{name} must hold booleans (or 0 and 1), 1 = kept; got {array.dtype}."
            )
        array = array.astype(np.bool_)
    return np.ascontiguousarray(array)


def as_labels(name: str, given: Any, count: int | None = None) -> NDArray[Any]:
    """(count,) integers or strings, from a list, an array or a column of a data frame.

    Raises:
        InputError: other types, missing entries, or another length.
    """
    if isinstance(given, (list, tuple)):
        # NumPy would spell a number among strings as one of them.
        one_kind = len({isinstance(item, str) for item in given}) == 1
        given = np.array(given, dtype=None if one_kind else object)
    array = _plain(name, given)
    if array.dtype.kind == "O":
        items = array.ravel().tolist()
        if items and all(isinstance(item, str) for item in items):
            array = np.array(items, dtype=np.str_).reshape(array.shape)
        elif items and all(_is_whole(item) for item in items):
            array = np.array(items).reshape(array.shape)
    if array.dtype.kind not in "iubU" or array.ndim != 1 or count not in (None, len(array)):
        wanted = "a list of" if count is None else f"({count},)"
        raise InputError(
            f"{name} must be {wanted} integers or strings, got {_spelled(array)} of shape "
            f"{array.shape}."
        )
    return array


def _is_real(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_))


def _is_whole(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, (bool, np.bool_))


def _plain(name: str, given: Any) -> NDArray[Any]:
    """Any array-like as an array, nothing of it hidden."""
    if isinstance(given, np.ma.MaskedArray):
        hidden = int(np.ma.getmaskarray(given).sum())
        if hidden:
            raise InputError(
                f"{name} is a masked array that hides {hidden:,} entries: leave those rows out, "
                "or fill them."
            )
        return np.asarray(given.data)
    if hasattr(given, "toarray") and hasattr(given, "nnz"):
        raise InputError(f"{name} is a sparse matrix: give {name}.toarray().")
    try:
        if isinstance(given, Iterable) and not hasattr(given, "__array__"):
            # A generator can be gone through only once; strings and mappings are not arrays.
            given = given if isinstance(given, (Sequence, dict, set)) else list(given)
        array = np.asarray(given)
    except Exception as error:  # array-likes of others fail in their own ways
        raise InputError(f"{name} is not an array: {str(error)[:200]}") from error
    if array.dtype.kind == "O" and array.ndim == 0:
        raise InputError(f"{name} must be an array or a list, got {quoted(given)}.")
    return array


def _of_reals(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """An array of objects, as data frames make them, whose entries are numbers or booleans."""
    items = array.ravel().tolist()
    if all(isinstance(item, (bool, np.bool_)) for item in items):
        return array.astype(np.bool_)
    for item in items:
        if not isinstance(item, numbers.Real):
            raise InputError(f"{name} must hold numbers, got {quoted(item)} among them.")
    try:
        return np.array([float(item) for item in items]).reshape(array.shape)
    except OverflowError:
        raise InputError(f"{name} holds a number beyond the range of float64.") from None


def _spelled(array: NDArray[Any]) -> str:
    if array.dtype.kind != "O":
        return str(array.dtype)
    kinds = sorted({type(item).__name__ for item in array.ravel().tolist()[:1000]})
    return " and ".join(kinds[:3])
