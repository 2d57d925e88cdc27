"""Typed access to JSON that strangers wrote: each complaint names the path and what came."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from proxyspex_hf.checks import FloatArray
from proxyspex_hf.errors import SchemaError

__all__ = ["Reader", "integers", "plain", "short"]


class Reader:
    """Typed access to one JSON object, with the path in every complaint."""

    def __init__(self, data: Any, path: str) -> None:
        if not isinstance(data, dict):
            raise SchemaError(f"{path or 'the file'} must be a JSON object, got {short(data)}.")
        self.data: dict[str, Any] = data
        self.path = path

    def _at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def _get(self, name: str) -> Any:
        if name not in self.data:
            raise SchemaError(f"the field {self._at(name)} is missing.")
        return self.data[name]

    def child(self, name: str) -> Reader:
        return Reader(self._get(name), self._at(name))

    def text(self, name: str, longest: int) -> str:
        value = self._get(name)
        if not isinstance(value, str) or len(value) > longest:
            raise SchemaError(
                f"{self._at(name)} must be a text of at most {longest} characters, "
                f"got {short(value)}."
            )
        return value

    def optional_text(self, name: str, longest: int) -> str | None:
        return None if self._get(name) is None else self.text(name, longest)

    def choice(self, name: str, known: tuple[str, ...]) -> str:
        value = self._get(name)
        if not isinstance(value, str) or value not in known:
            raise SchemaError(
                f"{self._at(name)} is {short(value)}, expected one of {', '.join(known)}."
            )
        return value

    def optional_choice(self, name: str, known: tuple[str, ...]) -> str | None:
        return None if self._get(name) is None else self.choice(name, known)

    def number(self, name: str) -> float:
        value = self._get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not _finite(value):
            raise SchemaError(f"{self._at(name)} must be a finite number, got {short(value)}.")
        return float(value)

    def optional_number(self, name: str) -> float | None:
        return None if self._get(name) is None else self.number(name)

    def integer(self, name: str, low: int, high: int) -> int:
        value = self._get(name)
        if type(value) is not int or not low <= value <= high:
            raise SchemaError(
                f"{self._at(name)} must be an integer from {low} to {high}, got {short(value)}."
            )
        return value

    def optional_integer(self, name: str, low: int, high: int) -> int | None:
        return None if self._get(name) is None else self.integer(name, low, high)

    def array(self, name: str, longest: int) -> list[Any]:
        value = self._get(name)
        if not isinstance(value, list) or len(value) > longest:
            raise SchemaError(
                f"{self._at(name)} must be a list of at most {longest}, got {short(value)}."
            )
        return value

    def texts(self, name: str, longest: int) -> tuple[str, ...]:
        values = self.array(name, longest)
        if not all(isinstance(value, str) for value in values):
            raise SchemaError(f"{self._at(name)} must be a list of texts.")
        return tuple(values)

    def numbers(self, name: str, longest: int) -> FloatArray:
        values = self.array(name, longest)
        # Thousands of them: looked at one by one only where something is wrong.
        if set(map(type, values)) <= {float}:
            array = np.array(values, dtype=np.float64)
            if np.isfinite(array).all():
                return array
        for value in values:
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not _finite(value):
                raise SchemaError(f"{self._at(name)} must hold finite numbers, got {short(value)}.")
        return np.asarray(values, dtype=np.float64)


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond float64
        return False


def integers(value: Any, where: str, length: int | None) -> list[int]:
    """``value`` as a list of integers, of ``length`` if given.

    Raises:
        SchemaError: it is something else.
    """
    if not isinstance(value, list) or any(type(i) is not int for i in value):
        raise SchemaError(f"{where} must hold lists of integers, got {short(value)}.")
    if length is not None and len(value) != length:
        raise SchemaError(f"{where} must hold lists of {length} integers, got {short(value)}.")
    return value


def short(value: Any) -> str:
    """``value`` as a message can hold it."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def plain(value: Any, where: str, depth: int = 4) -> Any:
    """Plain JSON data of finite numbers, no deeper than ``depth``."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, (int, float)) and _finite(value):
        return value
    if isinstance(value, list) and depth:
        return [plain(item, where, depth - 1) for item in value]
    if isinstance(value, dict) and depth:
        return {str(name): plain(item, where, depth - 1) for name, item in value.items()}
    raise SchemaError(f"{where} must hold plain data, got {short(value)}.")
