"""A text or a pair made ready for masking: its features found, cut to what the model takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from proxyspex_hf.errors import InputError, ModelError
from proxyspex_hf.hf.evaluating import evaluating
from proxyspex_hf.hf.failures import is_out_of_memory
from proxyspex_hf.hf.options import FeatureOptions
from proxyspex_hf.hf.stages import Stages
from proxyspex_hf.hf.text.features import check_characters, text_features
from proxyspex_hf.hf.text.limits import Limit, stated_limit, table_limit, truncation_limit
from proxyspex_hf.hf.text.mask_token import resolve_mask_token
from proxyspex_hf.hf.text.masking import MaskedText
from proxyspex_hf.hf.text.tokens import tokens_read, with_types
from proxyspex_hf.hf.text.unread import unread_notes
from proxyspex_hf.record.inputs import Features, Part

#: What stands between the two texts of a pair in the explained text.
_BETWEEN = "\n\n"
Halves = tuple[tuple[int, int], tuple[int, int]]


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


#: From one text, or the two of a pair, to the model inputs that the pipeline makes of them.
Reading = Callable[[tuple[str, ...]], Any]


def read_words(
    pipe: Any,
    value: Any,
    options: FeatureOptions,
    *,
    read: Reading | None = None,
    truncates: bool = False,
    fixed_pair: str | None = None,
    fixed: tuple[int, int] | None = None,
    most: int | None = None,
    settings: Mapping[str, Any] | None = None,
    takes: str = "a pair {'text': str, 'text_pair': str}",
) -> Words:
    """A text, or ``{"text": …, "text_pair": …}``, cut to what the model takes.

    Args:
        pipe: the pipeline.
        value: the user's input.
        options: the user's choices.
        read: how the pipeline reads texts; default the tokenizer's own way.
        truncates: whether ``read`` cuts what is too long, masked forms too.
        fixed_pair: a second text that is never masked.
        fixed: a range of the text that is never masked; features that touch it are left out.
        most: tokens that may be used; default what the model takes.
        settings: further arguments of each call of the tokenizer.
        takes: what the task takes beside a text, in words; anything but the default takes no pair.

    Raises:
        InputError: neither a text nor a pair, an empty text, or an option that does not fit.
    """
    tokenizer = pipe.tokenizer
    if tokenizer is None:
        raise InputError("the pipeline has no tokenizer; make it with tokenizer=...")
    mask_token = resolve_mask_token(tokenizer, options.masking, options.mask_token)
    first, second = _texts(value, takes)
    for text in (first, second or ""):
        check_characters(text)
    limit = _limit(pipe, most, asked=read is not None)
    if truncates and limit is not None and (truncation_limit(pipe) or math.inf) <= limit.tokens:
        limit = None  # nothing that the pipeline reads is longer

    def masked(text: str, features: Features, halves: Halves | None = None) -> MaskedText:
        if fixed is not None:
            features = _without(features, fixed)
        if fixed_pair is not None:
            text, halves = _joined(text, fixed_pair)
        made = MaskedText(
            tokenizer,
            text,
            features,
            options.masking,
            mask_token,
            halves=halves,
            settings=settings,
            official=None
            if read is None
            else lambda mask: tokens_read(read(made.masked_texts(mask))),
        )
        return made

    def reads(form: tuple[str, ...]) -> bool:
        return read is not None and most is None and _answers(pipe, read, form)

    if second is not None:
        return _pair(tokenizer, first, second, options, mask_token, limit, masked, reads)
    notes: tuple[str, ...] = ()
    kept = first
    if read is not None and fixed is None and isinstance(options.features, str):
        kept = _part_read(tokenizer, first, read, fixed_pair)
        if kept != first:
            tokens = len(tokenizer(kept, verbose=False)["input_ids"])
            how = "truncates it at" if truncates else "reads only"
            notes = (_cut_note(first, kept, f"the pipeline {how} {tokens} tokens"),)
    kept, found = _fit(tokenizer, kept, options, masked, limit, reads)
    if not notes and len(kept) < len(first.rstrip()):
        notes = (_cut_note(first, kept, _reason(tokenizer, first, limit, mask_token)),)
    return Words(found, mask_token, (*notes, *unread_notes(found)))


def _limit(pipe: Any, most: int | None, *, asked: bool) -> Limit | None:
    """How many tokens may be used. Where the pipeline can be asked, only the end of the model's
    table of positions is known to be one: what is stated beside it, it may exceed."""
    if most is not None:
        return Limit(most, certain=True)
    return (table_limit(pipe) if asked else None) or stated_limit(pipe)


def _answers(pipe: Any, read: Reading, form: tuple[str, ...]) -> bool:
    """Whether the pipeline takes a text, or a pair, that is longer than is stated."""
    try:
        with evaluating(pipe.model):
            Stages(pipe).run(read(form))
    except ModelError:
        return False
    except Exception as error:
        if is_out_of_memory(error):
            return False
        raise
    return True


def _exceeds(found: MaskedText, limit: Limit | None, reads: Callable[..., bool]) -> bool:
    """Whether a masked form is longer than the model takes. What is only stated is tried once, on
    the text with all its features kept or all masked, whichever is longer."""
    if limit is None or found.longest() <= limit.tokens:
        return False
    if limit.certain:
        return True
    n = len(found.features.spans)
    masks = [np.ones(n, dtype=np.bool_), np.zeros(n, dtype=np.bool_)]
    mask = max(masks, key=lambda mask: len(found.plain_tokens(mask)))
    tried = len(found.plain_tokens(mask)) > limit.tokens and reads(found.masked_texts(mask))
    return not tried


def _cut_note(whole: str, kept: str, reason: str) -> str:
    side = "first" if whole.endswith(kept) and not whole.startswith(kept) else "last"
    return (
        f"The text was cut: {reason}, so the {side} {len(whole) - len(kept):,} of {len(whole):,} "
        "characters were not read and are not explained."
    )


def _reason(tokenizer: Any, text: str, limit: Limit | None, mask_token: str | None) -> str:
    """Why a text was cut: it is too long itself, or only its masked forms are."""
    if limit is None:
        return "the pipeline reads no more"
    length = len(tokenizer(text, verbose=False)["input_ids"])
    if length <= limit.tokens:
        return (
            f"it has only {length} tokens, but with its features replaced by {mask_token!r} it has "
            f"more than the {limit.tokens} that the model takes (another mask_token may be shorter)"
        )
    return limit.reason


def _part_read(tokenizer: Any, text: str, read: Reading, pair: str | None) -> str:
    """The part of a text that the pipeline reads; the whole text where that cannot be told."""
    texts = (text,) if pair is None else (text, pair)
    tokens = tokens_read(read(texts)) if text.strip() else None
    if tokens is None or not getattr(tokenizer, "is_fast", False):
        return text
    if len(tokens) >= len(tokenizer(*texts, verbose=False)["input_ids"]):
        return text
    encoded = tokenizer(
        *texts,
        truncation="only_first" if pair is not None else True,
        max_length=len(tokens),
        return_offsets_mapping=True,
    )
    offsets = [
        (start, stop)
        for (start, stop), half in zip(
            encoded["offset_mapping"], encoded.sequence_ids(0), strict=True
        )
        if half == 0 and start < stop
    ]
    if not offsets or not np.array_equal(with_types({**_as_rows(encoded)})[0], tokens):
        return text
    part = text[offsets[0][0] : offsets[-1][1]]
    again = tokens_read(read((part,) if pair is None else (part, pair)))
    return part if again is not None and np.array_equal(again, tokens) else text


def _as_rows(encoded: Any) -> dict[str, Any]:
    return {name: [encoded[name]] for name in ("input_ids", "token_type_ids") if name in encoded}


def _texts(value: Any, takes: str) -> tuple[str, str | None]:
    if isinstance(value, str):
        return value, None
    got = type(value).__name__
    if isinstance(value, Mapping):
        pairs = "text_pair" in takes
        first, second = value.get("text"), value.get("text_pair")
        known = set(value) <= {"text", "text_pair"} and (pairs or "text_pair" not in value)
        if known and isinstance(first, str) and (second is None or isinstance(second, str)):
            if second is not None and not second.strip():
                raise InputError(
                    "the pair's 'text_pair' is empty: give a text with words, or the first alone."
                )
            return first, second
        parts = (f"{key!r}: {type(part).__name__}" for key, part in value.items())
        got = f"{{{', '.join(parts)}}}"
    raise InputError(f"this task explains a text (str), or {takes}; got {got:.200}.")


def _without(features: Features, fixed: tuple[int, int]) -> Features:
    rows = [
        (label, span)
        for label, span in zip(features.labels, features.spans, strict=True)
        if span[1] <= fixed[0] or fixed[1] <= span[0]
    ]
    if not rows:
        raise InputError(
            "every feature holds a part of the text that is never masked: use smaller ones, such "
            "as features='words', or a longer text."
        )
    return Features(tuple(r[0] for r in rows), tuple(r[1] for r in rows), features.kind)


def _joined(first: str, second: str) -> tuple[str, Halves]:
    start = len(first) + len(_BETWEEN)
    return first + _BETWEEN + second, ((0, len(first)), (start, start + len(second)))


def _pair(
    tokenizer: Any,
    first: str,
    second: str,
    options: FeatureOptions,
    mask_token: str | None,
    limit: Limit | None,
    make: Callable[[str, Features, Halves], MaskedText],
    reads: Callable[[tuple[str, ...]], bool],
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
    masked = make(text, features, halves)
    if limit is not None and _exceeds(masked, limit, reads):
        raise InputError(
            f"the pair has {masked.longest()} tokens, {limit.reason}: shorten one of the texts."
        )
    parts = (Part("text", *halves[0]), Part("text_pair", *halves[1]))
    return Words(masked, mask_token, unread_notes(masked), parts)


def _fit(
    tokenizer: Any,
    text: str,
    options: FeatureOptions,
    masked: Any,
    limit: Limit | None,
    reads: Callable[[tuple[str, ...]], bool],
) -> tuple[str, MaskedText]:
    """The longest beginning of the text (its end, where the tokenizer truncates on the left), cut
    at a feature, that fits in every masked form."""
    left = isinstance(options.features, str) and tokenizer.truncation_side == "left"
    features = text_features(text, options.features, _spans_if(tokenizer, text, options))
    found: MaskedText = masked(text, features)
    if limit is None or not _exceeds(found, limit, reads):
        return text, found
    if not isinstance(options.features, str):
        # What stands behind the last user-supplied span is fixed text: it goes first.
        text = text[: features.spans[-1][1]]
    while True:
        features = text_features(text, options.features, _spans_if(tokenizer, text, options))
        found = masked(text, features)
        length = found.longest()
        if length <= limit.tokens:
            return text, found
        # Cut in proportion, always by at least one feature; a few rounds settle it.
        n = len(features)
        keep = min(n - 1, max(1, int(n * limit.tokens / length)))
        if n == 1:
            raise InputError(
                f"the text up to the end of its first feature has {length} tokens, "
                f"{limit.reason}: use smaller features (words), or a shorter text."
            )
        text = text[features.spans[n - keep][0] :] if left else text[: features.spans[keep - 1][1]]
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
            "'words' or character ranges."
        )
    encoded = tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
    return [(int(start), int(stop)) for start, stop in encoded["offset_mapping"]]
