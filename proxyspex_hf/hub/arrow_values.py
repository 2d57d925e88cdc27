"""Arrow's values: whether they are of a type, how large they get in Python, and there they are."""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def text_bytes(array: pa.Array) -> int:
    """Bytes of all texts in ``array`` once each stands for itself: a small file can repeat a long
    one a million times."""
    if pa.types.is_dictionary(array.type):
        lengths = pc.take(pc.binary_length(array.dictionary), array.indices.drop_null())
        return int(pc.sum(lengths).as_py() or 0)
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        return text_bytes(array.flatten())
    if pa.types.is_struct(array.type):
        return sum(map(text_bytes, array.flatten()))
    return 0


def weight(array: pa.Array) -> int:
    """What the values take as Python objects, in units of a number; plain numbers stay an array."""
    kinds = pa.types
    if kinds.is_list(array.type) or kinds.is_large_list(array.type):
        floats = kinds.is_floating(array.type.value_type)
        return 3 * len(array) + (0 if floats else weight(array.flatten()))
    if kinds.is_struct(array.type):
        return 8 * len(array) + sum(map(weight, array.flatten()))
    return len(array) if kinds.is_integer(array.type) else 2 * len(array)


def values_of(array: pa.Array) -> list[Any]:
    """The same as Arrow's ``to_pylist``, several times as fast; lists of numbers stay arrays."""
    kinds = pa.types
    if kinds.is_list(array.type) or kinds.is_large_list(array.type):
        inner = array.flatten()
        lengths = pc.list_value_length(array).to_pylist()
        if kinds.is_floating(inner.type) and not inner.null_count:
            values: Any = inner.to_numpy().astype(np.float64)
        else:
            values = values_of(inner)
        ends = [0, *accumulate(length or 0 for length in lengths)]
        parts = zip(lengths, pairwise(ends), strict=True)
        return [None if length is None else values[a:b] for length, (a, b) in parts]
    if kinds.is_struct(array.type) and not array.null_count:
        names = [field.name for field in array.type]
        columns = [values_of(part) for part in array.flatten()]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    if kinds.is_dictionary(array.type) and not array.null_count:
        if len(array.dictionary) <= len(array):
            texts = array.dictionary.to_pylist()
            return [texts[i] for i in array.indices.to_numpy().tolist()]
        return list(array.dictionary_decode().to_pylist())
    plain = kinds.is_integer(array.type) or kinds.is_floating(array.type)
    return list(array.to_numpy().tolist() if plain and not array.null_count else array.to_pylist())


def fits(found: pa.DataType, expected: pa.DataType) -> bool:
    """Whether ``found`` holds the same kind of values, whatever the width of its numbers."""
    kinds = pa.types
    if kinds.is_null(found):
        return True
    if kinds.is_list(expected):
        nested = kinds.is_list(found) or kinds.is_large_list(found)
        return nested and fits(found.value_type, expected.value_type)
    if kinds.is_struct(expected):
        return kinds.is_struct(found) and all(
            len(found.get_all_field_indices(part.name)) == 1
            and fits(found.field(part.name).type, part.type)
            for part in expected
        )
    if kinds.is_string(expected):
        return bool(kinds.is_string(found) or kinds.is_large_string(found))
    if kinds.is_binary(expected):
        return bool(kinds.is_binary(found) or kinds.is_large_binary(found))
    if kinds.is_integer(expected):
        return bool(kinds.is_integer(found))
    return bool(kinds.is_floating(found))
