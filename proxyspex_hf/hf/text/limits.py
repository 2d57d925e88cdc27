"""How many tokens a model takes, and where that is said."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import torch

#: Tokenizers state limits of this size or more where there is none.
_UNLIMITED = 10**7
#: Names of tables of positions: a token beyond their last row has none.
_TABLE = re.compile(r"(^|_)pos(ition)?s?(_|$)|^wpe$|^distance_embedding")
#: Rows that such a table may have beyond the positions that it is for, as OPT's and RoBERTa's.
_MORE_ROWS = 4


@dataclass(frozen=True)
class Limit:
    """How many tokens fit.

    Attributes:
        tokens: their number, special ones included.
        source: who states it, in words; empty where the caller knows.
        certain: whether they cannot be more: a table of the model's ends there. What is only
            stated, a model may exceed.
    """

    tokens: int
    source: str = ""
    certain: bool = False

    @property
    def reason(self) -> str:
        source = f" ({self.source})" if self.source else ""
        return f"the model takes {self.tokens} tokens{source}"


def longest_input(pipe: Any) -> int | None:
    """Tokens the model takes, special ones included; None where neither part states a limit."""
    stated = stated_limit(pipe)
    return None if stated is None else stated.tokens


def stated_limit(pipe: Any) -> Limit | None:
    """The lowest that the tokenizer, the pipeline or the model's config states."""
    found = [(pipe.tokenizer.model_max_length, "its tokenizer's model_max_length")]
    found += [
        (value, "the pipeline's max_length")
        for name, value in pipe._preprocess_params.items()
        if name == "max_length"
    ]
    limits = [Limit(tokens, source) for tokens, source in found if _is_limit(tokens)]
    positions = _positions(pipe.model)
    return min([*limits, *([positions] if positions else [])], key=_tokens, default=None)


def table_limit(pipe: Any) -> Limit | None:
    """The end of the model's table of positions, where it has one."""
    positions = _positions(pipe.model)
    return positions if positions is not None and positions.certain else None


def truncation_limit(pipe: Any) -> int | None:
    """Tokens that a truncating pipeline keeps."""
    own = pipe._preprocess_params
    limit = own.get("max_length", own.get("tokenizer_kwargs", {}).get("max_length"))
    limit = pipe.tokenizer.model_max_length if limit is None else limit
    return limit if _is_limit(limit) else None


def _tokens(limit: Limit) -> int:
    return limit.tokens


def _is_limit(value: Any) -> bool:
    return isinstance(value, int) and 0 < value < _UNLIMITED


def _positions(model: Any) -> Limit | None:
    """What the model's config states, and whether a table ends there."""
    config = getattr(model.config, "text_config", model.config)
    positions = getattr(config, "max_position_embeddings", None)
    if not isinstance(positions, int) or positions <= 0:
        return None
    tokens = positions - _first_position(model)
    if not _is_limit(tokens):
        return None
    source = "its config's max_position_embeddings"
    return Limit(tokens, source, _has_table(model, positions))


def _has_table(model: Any, positions: int) -> bool:
    for name, module in model.named_modules():
        if not isinstance(module, torch.nn.Embedding) or not _TABLE.search(name.split(".")[-1]):
            continue
        rows = module.num_embeddings
        if 0 <= rows - positions <= _MORE_ROWS or rows == 2 * positions - 1:
            return True
    return False


def _first_position(model: Any) -> int:
    """Positions that hold no token: RoBERTa's kind counts from behind its padding index."""
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, torch.nn.Embedding):
            return 0 if module.padding_idx is None else module.padding_idx + 1
    return 0
