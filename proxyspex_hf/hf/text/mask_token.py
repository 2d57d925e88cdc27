"""What stands in the place of a masked feature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from proxyspex_hf.errors import InputError

Masking = Literal["mask", "delete"]

#: What replaces a feature where the tokenizer has nothing for it, as shap's text masker has it.
NEUTRAL = "..."
#: Letters of scripts that few have written for long: runes, Vai, cuneiform and hieroglyphs.
_RARE = "ᚠ ꔀ 𒀀 𓀀"


def resolve_mask_token(tokenizer: Any, masking: Masking, mask_token: str | None) -> str | None:
    """The text that stands for a masked feature; None where features are deleted.

    Default the tokenizer's mask token; else its unknown token, where it stands for unknown text;
    else ``NEUTRAL``.

    Raises:
        InputError: the options contradict, or a mask_token that cannot be read.
    """
    if masking == "delete":
        if mask_token is not None:
            raise InputError("mask_token has no meaning with masking='delete': give one of them.")
        return None
    if masking != "mask":
        raise InputError(f"masking must be 'mask' or 'delete', got {masking!r}.")
    if mask_token is not None:
        printable = isinstance(mask_token, str) and mask_token.isprintable()
        if not printable or not mask_token.strip():
            raise InputError(
                f"mask_token must be a printable text that is not blank, got {mask_token!r}."
            )
        return mask_token
    if tokenizer.mask_token is not None:
        return str(tokenizer.mask_token)
    return str(tokenizer.unk_token) if _means_unknown(tokenizer) else NEUTRAL


def _means_unknown(tokenizer: Any) -> bool:
    """Whether the model has read the unknown token for what it could not read.

    Tokenizers that fall back on bytes can read everything. What they name their unknown token is
    another's, such as that for the end of a document, and would say so to the model. So the
    tokenizer is asked: the token must be its answer to letters that hardly any vocabulary holds.
    """
    if tokenizer.unk_token is None or tokenizer.unk_token in (
        tokenizer.eos_token,
        tokenizer.bos_token,
        tokenizer.pad_token,
    ):
        return False
    read = tokenizer(_RARE, add_special_tokens=False, verbose=False)["input_ids"]
    # By name: asked for the id of a token that it does not have, a tokenizer asks itself forever.
    return str(tokenizer.unk_token) in tokenizer.convert_ids_to_tokens(read)


def tokens_of(
    tokenizer: Any,
    text: str,
    halves: Sequence[tuple[int, int]],
    spans: Sequence[tuple[int, int]],
) -> list[int]:
    """How many tokens of the text end inside each span; at least one."""
    if not spans:
        return []
    if not getattr(tokenizer, "is_fast", False):
        words = [text[start:stop] for start, stop in spans]
        encoded = tokenizer(words, add_special_tokens=False)["input_ids"]
        return [max(1, len(ids)) for ids in encoded]
    counts = [0] * len(spans)
    stops = [stop for _, stop in spans]
    for begin, end in halves:
        encoded = tokenizer(
            text[begin:end], add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        for start, stop in encoded["offset_mapping"]:
            last = begin + stop - 1
            feature = int(np.searchsorted(stops, last, side="right"))
            if start < stop and feature < len(spans) and spans[feature][0] <= last:
                counts[feature] += 1
    return [max(1, count) for count in counts]


def replacements_of(
    tokenizer: Any, counts: Sequence[int], masking: Masking, mask_token: str | None
) -> Sequence[str | None]:
    """What stands in each masked feature's place; None where it is deleted."""
    if masking == "delete" or mask_token is None:
        return [None] * len(counts)
    if mask_token not in tokenizer.get_added_vocab() and mask_token not in (
        tokenizer.all_special_tokens
    ):
        return [mask_token] * len(counts)
    return [mask_token * count for count in counts]
