"""Dividing a text into features: words, sentences, tokens, or character ranges."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import regex
import sentencex

from proxyspex_hf.errors import InputError
from proxyspex_hf.record.inputs import Features, TextKind

Span = tuple[int, int]

#: Scripts written without spaces: a run between spaces holds many words.
_UNSPACED = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]"
)
_RUN = regex.compile(r"\S+")
_WORD_BREAK = regex.compile(r"\b", regex.WORD | regex.V1)
_WORDLIKE = regex.compile(r"[\p{L}\p{N}\p{S}\p{M}]")
_OPENING = regex.compile(r"[\p{Ps}\p{Pi}]")


def check_characters(text: str) -> None:
    """Raises: InputError: half characters, which no tokenizer reads."""
    if not _is_unicode(text):
        raise InputError(
            "the text holds bytes that are not characters (lone surrogates): read it with its own "
            "encoding, or with errors='replace'."
        )


def text_features(
    text: str,
    features: TextKind | Sequence[Span],
    token_spans: Sequence[Span] = (),
) -> Features:
    """Divide ``text``.

    Args:
        text: the input, as the model will read it.
        features: ``"words"`` (what stands between spaces; scripts without spaces are divided by
            Unicode's word rule, UAX #29), ``"sentences"``, ``"tokens"`` (the tokenizer's own), or
            (start, stop) character ranges. What no span covers is never masked.
        token_spans: character range of each token, for ``"tokens"``.

    Raises:
        InputError: nothing to mask, an unknown kind, or spans out of order or out of range.
    """
    if not isinstance(text, str):
        raise InputError(f"expected a text (str), got {type(text).__name__}.")
    check_characters(text)
    if not text.strip():
        raise InputError("the text is empty: there is nothing to mask. Give a text with words.")
    if isinstance(features, str):
        if features not in ("words", "sentences", "tokens"):
            raise InputError(
                f"features={features!r} is unknown; use 'words', 'sentences', 'tokens', or a list "
                "of (start, stop) character ranges."
            )
        if features == "words":
            spans = list(_words(text))
        elif features == "sentences":
            spans = list(_sentences(text))
        else:
            spans = _merged(token_spans)
        kind: TextKind = features
    else:
        spans, kind = _own_spans(text, features), "spans"
    if not spans:
        raise InputError(f"the text {text[:40]!r} has no {kind} to mask.")
    return Features(tuple(text[a:b] for a, b in spans), tuple(spans), kind)


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _words(text: str) -> Iterator[Span]:
    for run in _RUN.finditer(text):
        if _UNSPACED.search(run.group()):
            yield from _unspaced_words(run.group(), run.start())
        else:
            yield run.span()


def _unspaced_words(run: str, offset: int) -> Iterator[Span]:
    """UAX #29 words; punctuation joins the word before it, or the first word after it."""
    start: int | None = None
    has_word = False
    position = 0
    for piece in _WORD_BREAK.split(run):
        if not piece:
            continue
        wordlike = _WORDLIKE.search(piece) is not None
        if start is None:
            start = position
        elif has_word and (wordlike or _OPENING.match(piece)):
            yield offset + start, offset + position
            start, has_word = position, False
        has_word = has_word or wordlike
        position += len(piece)
    if start is not None:
        yield offset + start, offset + position


def _sentences(text: str) -> Iterator[Span]:
    # The language only decides which abbreviations end no sentence; English covers Latin script.
    position = 0
    for sentence in sentencex.segment("en", text):
        start = text.find(sentence, position)
        if start < 0:  # the segmenter normalised something: keep its count, not its text
            start = position
        stripped = sentence.strip()
        if stripped:
            inner = text.find(stripped, start)
            if inner >= 0:
                yield inner, inner + len(stripped)
        position = start + len(sentence)


def _merged(token_spans: Sequence[Span]) -> list[Span]:
    """Token ranges as features; tokens that share characters (bytes of an emoji) become one."""
    spans: list[Span] = []
    for start, stop in token_spans:
        if start >= stop:
            continue
        if spans and start < spans[-1][1]:
            spans[-1] = (spans[-1][0], max(stop, spans[-1][1]))
        else:
            spans.append((start, stop))
    return spans


def _own_spans(text: str, spans: Any) -> list[Span]:
    out: list[Span] = []
    try:
        pairs = [(int(start), int(stop)) for start, stop in spans]
    except (TypeError, ValueError):
        raise InputError(
            "features must be 'words', 'sentences', 'tokens' or (start, stop) character ranges, "
            f"got {spans!r:.80}."
        ) from None
    for start, stop in pairs:
        if not 0 <= start < stop <= len(text):
            raise InputError(
                f"span ({start}, {stop}) lies outside the text of {len(text)} characters, or is "
                "empty."
            )
        if out and start < out[-1][1]:
            raise InputError(f"spans must be ordered and disjoint: {(start, stop)} and {out[-1]}.")
        out.append((start, stop))
    return out
