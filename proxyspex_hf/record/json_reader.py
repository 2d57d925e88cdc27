"""Untrusted JSON: parsed within bounds, then read by type. Each complaint names the path
and what came."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections import Counter
from itertools import islice
from typing import Any

import numpy as np

from proxyspex_hf.checks import FloatArray
from proxyspex_hf.errors import InputError, SchemaError
from proxyspex_hf.record.inputs import check_text

#: Bytes that a text may take once it is parsed: what it and its values are as Python objects.
MAX_PARSED = 224 * 2**20
_EXCERPT = 60


def parsed(text: bytes, otherwise: str, most: int = MAX_PARSED) -> Any:
    """The value that a JSON text in UTF-8 stands for.

    Args:
        otherwise: how the complaint begins, such as ``"cv is not JSON"``.
        most: bytes that it may take once it is parsed.

    Raises:
        SchemaError: it is not JSON, has a key twice, or would take more memory than ``most``.
    """
    needed = parsed_bytes(text)
    if needed > most:
        raise SchemaError(
            f"{otherwise}: once read it would take some {needed >> 20} MB, at most {most >> 20} MB "
            "are expected."
        )
    try:
        return json.loads(
            text.decode("utf-8"), object_pairs_hook=_each_once, parse_constant=_no_number
        )
    # ValueError: also an integer of more digits than Python converts.
    except (ValueError, RecursionError) as error:
        raise SchemaError(f"{otherwise}: {str(error)[:200].rstrip('.')}.") from error


def parsed_bytes(text: bytes) -> int:
    """At least what ``text`` takes once it is parsed, from its bytes alone.

    A character takes as many bytes as the widest one, and there are about as many values as commas
    and brackets: three bytes of ``[],`` become a list of 64.
    """
    width = 4 if _has_bytes(text, 0xF0) else 2 if _has_bytes(text, 0xC4) else 1
    values = 40 * text.count(b",") + 90 * text.count(b"[") + 250 * text.count(b"{")
    return width * len(text) + values + 100 * text.count(b":")


def _has_bytes(text: bytes, least: int) -> bool:
    return bool(text.translate(None, bytes(range(least)))) if not text.isascii() else False


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        (twice, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise SchemaError(f"the field {short(twice)} appears more than once")
    return out


def _no_number(token: str) -> Any:
    raise SchemaError(f"{token} is not a finite number")


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
        return value if value.isascii() else whole_text(value, self._at(name))

    def optional_text(self, name: str, longest: int) -> str | None:
        return None if self._get(name) is None else self.text(name, longest)

    def binary(self, name: str, most: int) -> bytes:
        """Bytes as they are, as a row has them, or in base64, as a file does."""
        value = self._get(name)
        if isinstance(value, str) and len(value) <= 4 * most // 3 + 4:
            try:
                value = base64.b64decode(value, validate=True)
            except (binascii.Error, ValueError) as error:
                raise SchemaError(f"{self._at(name)} is not base64: {error}.") from error
        if not isinstance(value, bytes) or len(value) > most:
            raise SchemaError(
                f"{self._at(name)} must be at most {most} bytes, in base64; got {short(value)}."
            )
        return value

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
        if type(value) is float and math.isfinite(value):
            return value
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

    def texts(self, name: str, longest: int, together: int) -> tuple[str, ...]:
        """A list of texts of at most ``together`` characters in all."""
        values = self.array(name, longest)
        if not all(isinstance(value, str) for value in values):
            raise SchemaError(f"{self._at(name)} must be a list of texts.")
        if sum(map(len, values)) > together:
            raise SchemaError(f"{self._at(name)} must have at most {together} characters.")
        return tuple(whole_text(value, self._at(name)) for value in values)

    def numbers(self, name: str, longest: int) -> FloatArray:
        found = self._get(name)
        if isinstance(found, np.ndarray) and found.ndim == 1 and len(found) <= longest:
            # As a row has them; anything else goes the way of a list.
            if found.dtype == np.float64 and np.isfinite(found).all():
                return found.copy()
            found = found.tolist()
        values = Reader({name: found}, self.path).array(name, longest)
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


def whole_text(value: str, where: str) -> str:
    """``value``, if it can be encoded.

    Raises:
        SchemaError: it holds half a character.
    """
    try:
        check_text(value, where)
    except InputError as error:
        raise SchemaError(str(error)) from None
    return value


def short(value: Any) -> str:
    """``value`` as a message can hold it; only its beginning is looked at."""
    text = _beginning(value)
    return text if len(text) <= _EXCERPT else text[: _EXCERPT - 3] + "..."


def _beginning(value: Any, depth: int = 3) -> str:
    if isinstance(value, (str, bytes)):
        return repr(value[: _EXCERPT + 1])
    if isinstance(value, int) and value.bit_length() > 256:
        return f"an integer of {value.bit_length()} bits"
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)
    if isinstance(value, np.ndarray):
        return f"{_beginning(value.ravel()[:20].tolist())} ({value.size} numbers)"
    if isinstance(value, (list, tuple, dict)) and depth:
        first = islice(value.items() if isinstance(value, dict) else value, 20)
        if isinstance(value, dict):
            shown = [f"{_beginning(k, 1)}: {_beginning(v, depth - 1)}" for k, v in first]
        else:
            shown = [_beginning(item, depth - 1) for item in first]
        inner = ", ".join(shown)
        return f"{{{inner}}}" if isinstance(value, dict) else f"[{inner}]"
    return f"{type(value).__name__} ..."


def plain(value: Any, where: str, depth: int = 4) -> Any:
    """Plain JSON data of finite numbers, no deeper than ``depth``."""
    if isinstance(value, str):
        return whole_text(value, where)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float)) and _finite(value):
        return value
    if isinstance(value, list) and depth:
        return [plain(item, where, depth - 1) for item in value]
    if isinstance(value, dict) and depth:
        return {
            whole_text(str(name), where): plain(item, where, depth - 1)
            for name, item in value.items()
        }
    raise SchemaError(f"{where} must hold plain data, got {short(value)}.")
