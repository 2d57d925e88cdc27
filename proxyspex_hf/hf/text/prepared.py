"""A text or a pair made ready for masking: its features found, cut to what the model takes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from proxyspex_hf.errors import InputError
from proxyspex_hf.hf.options import FeatureOptions
from proxyspex_hf.hf.text.features import text_features
from proxyspex_hf.hf.text.masking import MaskedText, resolve_mask_token
from proxyspex_hf.inputs import Features, Part

__all__ = ["Words", "longest_input", "read_words", "token_spans"]


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
