"""Tokens with their types, as one array per text, and as the bytes that the engine compares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: A token's type (such as 0 or 1, of the first or the second text) rides in the bits above its id.
TYPE_BIT = 40
#: What a pipeline's ``preprocess`` adds that its model does not read.
_UNREAD = {
    "candidate_label",
    "is_last",
    "offset_mapping",
    "overflow_to_sample_mapping",
    "prompt_text",
    "sentence",
    "sequence",
    "special_tokens_mask",
}


def tokens_read(inputs: Any) -> NDArray[np.int64] | None:
    """The tokens of one input of a pipeline's ``preprocess``, (t,), with their types; None where
    the model reads more than these. Padding is left out."""
    if not isinstance(inputs, Mapping) and not hasattr(inputs, "keys"):
        return None
    known = {"input_ids", "attention_mask", "token_type_ids"}
    if "input_ids" not in inputs or set(inputs.keys()) - known - _UNREAD:
        return None
    rows = {name: np.asarray(inputs[name]) for name in known if name in inputs}
    if any(row.ndim != 2 or len(row) != 1 for row in rows.values()):
        return None
    ids: NDArray[np.int64] = rows["input_ids"][0].astype(np.int64)
    if "token_type_ids" in rows:
        ids = ids | (rows["token_type_ids"][0].astype(np.int64) << TYPE_BIT)
    attended = rows["attention_mask"][0] if "attention_mask" in rows else np.ones_like(ids)
    attended_ids: NDArray[np.int64] = ids[attended != 0]
    return attended_ids


def token_arrays(items: Sequence[bytes]) -> tuple[list[NDArray[np.int64]], bool]:
    """The token ids of items, and whether any carries a type above 0 (then in the high bits)."""
    rows = [np.frombuffer(item, dtype=np.int64) for item in items]
    return rows, any(int(row.max(initial=0)) >> TYPE_BIT for row in rows)


def with_types(encoded: Any) -> list[NDArray[np.int64]]:
    """The rows of a tokenizer's answer, each with its types in the high bits."""
    ids = [np.array(row, dtype=np.int64) for row in encoded["input_ids"]]
    types = encoded.get("token_type_ids")
    if types is None:
        return ids
    return [
        row | (np.array(kind, np.int64) << TYPE_BIT) for row, kind in zip(ids, types, strict=True)
    ]
