"""Data that never changes: equal by content, hashable, and read-only however it is copied."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, Self

import numpy as np


class Frozen:
    """What a frozen dataclass (``eq=False``) that holds arrays inherits.

    Two are equal if their fields are, arrays by shape and content; fields with ``compare=False``
    do not count. A copy is the object itself, and what comes out of a pickle is read-only again.
    """

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        pairs = ((getattr(self, name), getattr(other, name)) for name in self._compared())
        return all(np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b for a, b in pairs)

    def __hash__(self) -> int:
        return hash(tuple(_hashable(getattr(self, name)) for name in self._compared()))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __setstate__(self, state: dict[str, Any]) -> None:
        for value in state.values():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False
        self.__dict__.update(state)

    def _compared(self) -> list[str]:
        return [field.name for field in fields(self) if field.compare]  # type: ignore[arg-type]


class FrozenMap(Mapping[str, Any]):
    """Plain data by name. Lists and mappings within are given out as copies."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, Any]) -> None:
        self._items = copy.deepcopy(dict(items))

    def __getitem__(self, name: str) -> Any:
        value = self._items[name]
        return copy.deepcopy(value) if isinstance(value, (list, dict)) else value

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(_hashable(self._items))

    def __repr__(self) -> str:
        return repr(self._items)

    def __copy__(self) -> FrozenMap:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> FrozenMap:
        return self

    def __reduce__(self) -> tuple[type[FrozenMap], tuple[dict[str, Any]]]:
        return FrozenMap, (self._items,)


def _hashable(value: Any) -> Any:
    """Equal for equal values."""
    if isinstance(value, np.ndarray):
        # -0.0 equals 0.0.
        return value.shape, (value + 0.0 if value.dtype.kind == "f" else value).tobytes()
    if isinstance(value, Mapping):
        return frozenset((name, _hashable(item)) for name, item in value.items())
    if isinstance(value, (list, tuple)):
        return tuple(map(_hashable, value))
    return value
