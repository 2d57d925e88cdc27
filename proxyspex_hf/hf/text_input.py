"""Tasks that read tokens: one masked text (or pair), padded into batches for an encoder's forward.

A task derives from :class:`TokenInput`, says what the model's outputs are (``read``) and which
number is explained (``score``).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from proxyspex_hf.core.masks import BoolArray, as_masks
from proxyspex_hf.errors import InputError
from proxyspex_hf.hf.bound import BoundInput
from proxyspex_hf.hf.engine import answer, model_device
from proxyspex_hf.hf.features import text_features
from proxyspex_hf.hf.masking import _TYPE_BIT, MaskedText, resolve_mask_token, token_arrays
from proxyspex_hf.hf.options import FeatureOptions
from proxyspex_hf.inputs import Features, Part

__all__ = ["TokenInput", "Words", "longest_input", "padded", "read_words", "token_spans"]


@dataclass(frozen=True)
class Words:
    """A text (or pair) made ready for masking: cut to what the model takes, with its features."""

    masked: MaskedText
    mask_token: str | None
    notes: tuple[str, ...]
    parts: tuple[Part, ...] = ()

    @property
    def text(self) -> str:
        return self.masked.text

    @property
    def features(self) -> Features:
        return self.masked.features


class TokenInput(BoundInput):
    """A masked text under a model that takes token ids.

    Args:
        pipe: the pipeline, for its model and tokenizer.
        words: the text, see :func:`read_words`.
        options: the user's choices.
    """

    def __init__(self, pipe: Any, words: Words, options: FeatureOptions) -> None:
        self.model = pipe.model
        self.tokenizer = pipe.tokenizer
        self.text = words.text
        self.features = words.features
        self.mask_token = words.mask_token
        self.notes = words.notes
        self.parts = words.parts
        self.batch_size = options.batch_size
        self._masked = words.masked

    @abstractmethod
    def read(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """The model's outputs for padded inputs (b, t): input_ids, attention_mask, …"""

    def items(self, masks: BoolArray) -> list[bytes]:
        return self._masked.items(as_masks(masks, self.n_features))

    def size(self, item: bytes) -> int:
        return len(item) // 8

    def outputs(self, items: Sequence[bytes]) -> torch.Tensor:
        rows, typed = token_arrays(items)
        if self._pad_token is not None:
            return self.read(self._inputs(rows, typed))
        # Models without a padding token refuse batches.
        return torch.cat([self.read(self._inputs([row], typed)) for row in rows])

    def masked_input(self, mask: NDArray[np.bool_]) -> Any:
        row = as_masks(mask, self.n_features, "mask")[0]
        texts = self._masked.masked_texts(row)
        return texts[0] if len(texts) == 1 else {"text": texts[0], "text_pair": texts[1]}

    def masked_text(self, mask: NDArray[np.bool_]) -> str:
        """The text that the model reads under one mask, shape (n,)."""
        return self._masked.masked_text(as_masks(mask, self.n_features, "mask")[0])

    @property
    def sharing(self) -> Hashable:
        return (type(self), id(self.model), id(self.tokenizer), self.batch_size)

    def may_mix(self) -> bool:
        return self._padding_is_neutral

    @property
    def _pad_token(self) -> int | None:
        # Decoders find their last token by the model's own padding token, not the tokenizer's.
        if getattr(self.model.config, "pad_token_id", None) is None:
            return None
        token: int | None = self.tokenizer.pad_token_id
        return token

    @cached_property
    def _padding_is_neutral(self) -> bool:
        """Whether padding leaves this model's output alone, found by trying.

        It does not where positions are counted from a padded left end, or where the last position
        stands for the whole text.
        """
        if self._pad_token is None:
            return False
        item = self.items(np.ones((1, self.n_features), dtype=np.bool_))[0]
        short = self.shortened(item)
        alone, beside = answer(self, [short])[0], answer(self, [short, item])[0]
        tolerance = 1e-4 if self.model.dtype == torch.float32 else 2e-2
        return bool(np.abs(alone - beside).max() <= tolerance * max(1.0, np.abs(alone).max()))

    def shortened(self, item: bytes) -> bytes:
        """An item with the first half of its tokens."""
        return item[: 8 * max(1, len(item) // 16)]

    def _inputs(self, rows: list[NDArray[np.int64]], typed: bool) -> dict[str, torch.Tensor]:
        return padded(
            rows,
            self._pad_token or 0,
            self.tokenizer.padding_side,
            model_device(self.model),
            types=typed,
        )


def padded(
    rows: Sequence[NDArray[np.int64]],
    pad: int,
    side: str,
    device: torch.device,
    *,
    types: bool = False,
) -> dict[str, torch.Tensor]:
    """Token rows as one tensor with its attention mask, (b, t) each, on ``device``."""
    lengths = {len(row) for row in rows}
    longest = max(lengths)
    if len(lengths) == 1:
        ids = np.stack(rows)
        attention = np.ones_like(ids)
    else:
        ids = np.full((len(rows), longest), pad, dtype=np.int64)
        attention = np.zeros_like(ids)
        for place, row in enumerate(rows):
            columns = slice(longest - len(row), None) if side == "left" else slice(len(row))
            ids[place, columns] = row
            attention[place, columns] = 1
    out = {"attention_mask": torch.from_numpy(attention)}
    if types:
        out["token_type_ids"] = torch.from_numpy(ids >> _TYPE_BIT)
        ids = ids & ((1 << _TYPE_BIT) - 1)
    return {
        name: value.to(device)
        for name, value in {"input_ids": torch.from_numpy(ids), **out}.items()
    }


def read_words(
    pipe: Any,
    value: Any,
    options: FeatureOptions,
    *,
    fixed_pair: str | None = None,
    fixed: tuple[int, int] | None = None,
    most: int | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Words:
    """A text, or ``{"text": …, "text_pair": …}``, cut to what the model takes.

    Args:
        pipe: the pipeline.
        value: the user's input.
        options: the user's choices.
        fixed_pair: a second text that is never masked.
        fixed: a range of the text that is never masked; features that touch it are left out.
        most: tokens that may be used; default what the model takes.
        settings: further arguments of each call of the tokenizer.

    Raises:
        InputError: neither a text nor a pair, an empty text, or an option that does not fit.
    """
    tokenizer = pipe.tokenizer
    if tokenizer is None:
        raise InputError("the pipeline has no tokenizer; make it with tokenizer=...")
    mask_token = resolve_mask_token(tokenizer, options.masking, options.mask_token)
    first, second = _texts(value)
    longest = longest_input(pipe) if most is None else most
    if second is not None:
        return _pair(tokenizer, first, second, options, mask_token, longest, settings)

    def masked(text: str, features: Features) -> MaskedText:
        features = features if fixed is None else _without(features, fixed)
        if fixed_pair is None:
            return MaskedText(
                tokenizer, text, features, options.masking, mask_token, settings=settings
            )
        whole, halves = _joined(text, fixed_pair)
        return MaskedText(
            tokenizer,
            whole,
            features,
            options.masking,
            mask_token,
            halves=halves,
            settings=settings,
        )

    kept, found = _fit(tokenizer, first, options, masked, longest)
    notes: tuple[str, ...] = ()
    if len(kept) < len(first.rstrip()):
        notes = (
            f"The text was cut: the model takes {longest} tokens, so the last "
            f"{len(first) - len(kept):,} of {len(first):,} characters were not read and are not "
            "explained.",
        )
    return Words(found, mask_token, notes)


def _texts(value: Any) -> tuple[str, str | None]:
    if isinstance(value, Mapping) and set(value) == {"text", "text_pair"}:
        first, second = value["text"], value["text_pair"]
        if isinstance(first, str) and isinstance(second, str):
            return first, second
    if not isinstance(value, str):
        raise InputError(
            "this task explains a text (str), or a pair {'text': str, 'text_pair': str}; got "
            f"{type(value).__name__}."
        )
    return value, None


def _without(features: Features, fixed: tuple[int, int]) -> Features:
    rows = [
        (label, span)
        for label, span in zip(features.labels, features.spans, strict=True)
        if span[1] <= fixed[0] or fixed[1] <= span[0]
    ]
    if not rows:
        raise InputError("nothing is left to mask beside the fixed part of the text.")
    return Features(tuple(r[0] for r in rows), tuple(r[1] for r in rows), features.kind)


_BETWEEN = "\n\n"


def _joined(first: str, second: str) -> tuple[str, tuple[tuple[int, int], tuple[int, int]]]:
    start = len(first) + len(_BETWEEN)
    return first + _BETWEEN + second, ((0, len(first)), (start, start + len(second)))


def _pair(
    tokenizer: Any,
    first: str,
    second: str,
    options: FeatureOptions,
    mask_token: str | None,
    longest: int | None,
    settings: Mapping[str, Any] | None,
) -> Words:
    text, halves = _joined(first, second)
    if isinstance(options.features, str):
        one = text_features(first, options.features, _spans_if(tokenizer, first, options))
        two = text_features(second, options.features, _spans_if(tokenizer, second, options))
        offset = halves[1][0]
        features = Features(
            one.labels + two.labels,
            one.spans + tuple((a + offset, b + offset) for a, b in two.spans),
            one.kind,
        )
    else:
        features = text_features(text, options.features)
        if any(a < halves[0][1] < b or a < halves[1][0] < b for a, b in features.spans):
            raise InputError(
                "a span reaches from the first text into the second: spans of a pair count "
                "characters of first + '\\n\\n' + second."
            )
    masked = MaskedText(
        tokenizer, text, features, options.masking, mask_token, halves=halves, settings=settings
    )
    length = masked.longest()
    if longest is not None and length > longest:
        raise InputError(
            f"the pair has {length} tokens, the model takes {longest}: shorten one of the texts."
        )
    parts = (Part("text", *halves[0]), Part("text_pair", *halves[1]))
    return Words(masked, mask_token, (), parts)


def longest_input(pipe: Any) -> int | None:
    """Tokens the model takes, special ones included; None where neither part states a limit."""
    limits = [pipe.tokenizer.model_max_length]
    limits += [v for k, v in pipe._preprocess_params.items() if k == "max_length"]
    config = getattr(pipe.model.config, "text_config", pipe.model.config)
    positions = getattr(config, "max_position_embeddings", None)
    if isinstance(positions, int) and positions > 0:
        # RoBERTa's family counts positions from the padding index on.
        offset = getattr(config, "pad_token_id", None)
        family = config.model_type in ("roberta", "xlm-roberta", "camembert", "longformer", "mpnet")
        limits.append(positions - (offset or 0) - 1 if family else positions)
    stated = [limit for limit in limits if isinstance(limit, int) and 0 < limit < 10**7]
    return min(stated, default=None)


def _fit(
    tokenizer: Any,
    text: str,
    options: FeatureOptions,
    masked: Any,
    longest: int | None,
) -> tuple[str, MaskedText]:
    """The longest beginning of the text, cut after a feature, that fits in every masked form."""
    if not isinstance(options.features, str):
        # What stands behind the last span of one's own is fixed text: it goes first.
        own = text_features(text, options.features)
        if masked(text, own).longest() > (longest or math.inf):
            text = text[: own.spans[-1][1]]
    while True:
        features = text_features(text, options.features, _spans_if(tokenizer, text, options))
        found: MaskedText = masked(text, features)
        length = found.longest()
        if longest is None or length <= longest:
            return text, found
        # Cut in proportion, always by at least one feature; a few rounds settle it.
        n = len(features)
        keep = min(n - 1, max(1, int(n * longest / length)))
        if n == 1:
            raise InputError(
                f"the text up to the end of its first feature has {length} tokens, the model "
                f"takes {longest}: use smaller features (words), or a shorter text."
            )
        text = text[: features.spans[keep - 1][1]]
        if not isinstance(options.features, str):
            options = replace(options, features=features.spans[:keep])


def _spans_if(tokenizer: Any, text: str, options: FeatureOptions) -> list[tuple[int, int]]:
    """Character ranges of the tokens, where tokens are the features."""
    wanted = isinstance(options.features, str) and options.features == "tokens"
    return token_spans(tokenizer, text) if wanted else []


def token_spans(tokenizer: Any, text: str) -> list[tuple[int, int]]:
    """The character range of each token of a text.

    Raises:
        InputError: the tokenizer does not tell.
    """
    if not tokenizer.is_fast:
        raise InputError(
            f"features='tokens' needs a fast tokenizer, {type(tokenizer).__name__} is not one; use "
            "'words' or your own spans."
        )
    encoded = tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
    return [(int(start), int(stop)) for start, stop in encoded["offset_mapping"]]
