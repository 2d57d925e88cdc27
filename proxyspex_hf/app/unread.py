"""Whether a model can read a text at all: what its tokenizer does not know, it does not see."""

from __future__ import annotations

from typing import Any

#: From this share of unknown tokens on, an answer says little of the text: convention.
_MOST = 0.5


def unread(pipe: Any, text: str) -> str:
    """A sentence where most of a text is unknown to the model; else nothing."""
    tokenizer = getattr(pipe, "tokenizer", None)
    unknown = getattr(tokenizer, "unk_token_id", None)
    if tokenizer is None or unknown is None or not text.strip():
        return ""
    ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    missing = sum(token == unknown for token in ids)
    if not ids or missing / len(ids) <= _MOST:
        return ""
    return (
        f"The model cannot read most of this text: {missing} of {len(ids)} tokens are unknown "
        "to it, so its answer says little of what stands there."
    )
