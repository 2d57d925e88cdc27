"""The features of a text in named parts, of which some are masked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from proxyspex_hf.hf.text.features import text_features
from proxyspex_hf.hf.text.prepared import token_spans
from proxyspex_hf.prompts import Prompt
from proxyspex_hf.record.inputs import Features, Part, TextKind

Span = tuple[int, int]


def prompt_features(
    text: str,
    prompt: Prompt,
    start: int,
    features: TextKind | Sequence[Span],
    tokenizer: Any,
) -> tuple[Features, tuple[Part, ...]]:
    """The features of a rendered prompt, and its named parts.

    Args:
        text: the rendered prompt.
        prompt: its parts.
        start: where they begin in ``text``.
        features: as :func:`text_features`, or ``"documents"``: each masked part is one feature;
            own ranges count characters of ``prompt.text``.
        tokenizer: it divides ``"tokens"``.

    Raises:
        InputError: nothing to mask, or ranges outside the prompt.
    """
    # The space around it, a template may have taken away.
    inside = (len(prompt.text) - len(prompt.text.lstrip()), len(prompt.text.rstrip()))
    sections = sections_of(prompt, start, (start + inside[0], start + inside[1]))
    found = divided(tokenizer, text, sections, features, prompt.text, start)
    return found, tuple(part for part, _ in sections)


def sections_of(prompt: Prompt, start: int, limits: Span) -> list[tuple[Part, bool]]:
    """The parts of a prompt that begins at ``start``, and whether each is masked; what lies
    outside the limits (space that a chat template took away) belongs to none."""
    sections = []
    for part in prompt.parts:
        stop = start + len(part.text)
        inside = [min(max(edge, limits[0]), limits[1]) for edge in (start, stop)]
        sections.append((Part(part.name, *inside), part.masked))
        start = stop
    return sections


def divided(
    tokenizer: Any,
    text: str,
    sections: Sequence[tuple[Part, bool]],
    features: TextKind | Sequence[Span],
    own: str,
    start: int,
) -> Features:
    """The features of the masked sections of a text.

    Ranges of the user's own count characters of ``own``, which begins at ``start``.
    """
    labels: list[str] = []
    spans: list[Span] = []
    if not isinstance(features, str):
        found = text_features(own, features)
        moved = tuple((a + start, b + start) for a, b in found.spans)
        return Features(found.labels, moved, "spans")
    for part, masked in sections:
        body = text[part.start : part.stop]
        if not masked or not body.strip():
            continue
        if features == "documents":
            begin = part.start + len(body) - len(body.lstrip())
            labels.append(part.name)
            spans.append((begin, begin + len(body.strip())))
            continue
        tokens = token_spans(tokenizer, body) if features == "tokens" else ()
        found = text_features(body, features, tokens)
        labels += found.labels
        spans += [(a + part.start, b + part.start) for a, b in found.spans]
    return Features(tuple(labels), tuple(spans), features)
