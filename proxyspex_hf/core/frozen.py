"""Data that never changes: equal by content, hashable, and read-only however it is copied."""

from __future__ import annotations

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


def _hashable(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype.kind == "f":
        value = value + 0.0  # -0.0 equals 0.0
    return value.shape, value.tobytes()
