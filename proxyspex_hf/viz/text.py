"""One explanation for a terminal: plain characters, and nothing untrusted that acts on it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator

from proxyspex_hf.core.queries import Queries
from proxyspex_hf.errors import InputError
from proxyspex_hf.record.record import ExplanationRecord
from proxyspex_hf.viz.summary import is_left_out, notes_of_making
from proxyspex_hf.viz.terms import Member, Term, ranked_terms, spell
from proxyspex_hf.viz.together import finding
from proxyspex_hf.viz.verdict import flip, flip_parts, scale_of, verdict_of
from proxyspex_hf.viz.wording import (
    all_gone,
    decimals_for,
    in_quotes,
    kind_words,
    near_input_warning,
    nouns,
    number,
    percent,
    r2_interval,
    r2_text,
    score_name,
    shortened,
    signed,
    verdict,
    visible,
)

_NARROWEST = 40
_POSITIVE, _NEGATIVE, _RESET = "\x1b[33m", "\x1b[34m", "\x1b[0m"


def render_text(
    record: ExplanationRecord, *, top: int = 10, width: int = 80, color: bool = False
) -> str:
    """The ranked effects, how far to trust them, and the notes.

    Args:
        record: what to show.
        top: how many effects.
        width: columns of the terminal; wide (CJK) characters count twice.
        color: add ANSI colours to the values and bars.

    Raises:
        InputError: ``top`` below one or ``width`` below 40.
    """
    if top < 1:
        raise InputError(f"top must be at least 1, got {top}.")
    if width < _NARROWEST:
        raise InputError(f"width must be at least {_NARROWEST} columns, got {width}.")
    terms = ranked_terms(record)
    decimals = decimals_for(term.effect for term in terms[:1])
    lines = [
        *_head(record, decimals, width),
        "",
        *_ranking(record, terms, top, width, decimals, color),
        "",
        *_trust(record, width),
    ]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _head(record: ExplanationRecord, decimals: int, width: int) -> Iterator[str]:
    target, scale = record.target, scale_of(record.target)
    if scale.share is not None or scale.even is not None:
        said = verdict_of(record, record.full_value).text
        turned = in_quotes(flip_parts(record, flip(record)))
        yield from wrapped(visible(f"{said} {turned}"), width)
    if scale.hint is not None:
        yield from wrapped(
            f"{visible(target.kind)}: {scale.hint}".replace("\N{MINUS SIGN}", "-"), width
        )
    yield from wrapped(
        f"{visible(shortened(target.label))}: {score_name(target)} "
        f"{signed(record.full_value, decimals, '-')} "
        f"({all_gone(record)}: {signed(record.empty_value, decimals, '-')}), "
        f"{visible(record.provenance.model)}",
        width,
    )
    if target.predicted not in (None, target.label):
        yield from wrapped(f"The model predicts {visible(str(target.predicted))}.", width)
    for note in notes_of_making(record):
        yield from wrapped(f"Note: {visible(note)}", width, "      ")


def _ranking(
    record: ExplanationRecord,
    terms: list[Term],
    top: int,
    width: int,
    decimals: int,
    color: bool,
) -> Iterator[str]:
    said = finding(record, terms)
    if not terms and said is not None:
        yield from wrapped(said, width)
        return
    shown, speller = terms[:top], spell(record)
    values = [number(term.effect, term.interval, decimals) for term in shown]
    sure = any(term.interval is not None and len(set(term.interval)) > 1 for term in shown)
    head = "effect ± 90%" if sure else "effect"
    value_width = max(len(head), *map(len, values))
    bar_width = max(4, min(20, (width - value_width) // 5))
    indent = " " * (value_width + bar_width + 4)
    yield f"{head:>{value_width}}  {'':{bar_width}}  combination"
    for term, value in zip(shown, values, strict=True):
        length = max(1, round(bar_width * abs(term.effect / terms[0].effect)))
        bar = ("█" if term.effect > 0 else "░") * length + " " * (bar_width - length)
        start = f"{value:>{value_width}}  {bar}  "
        kind = f" ({kind_words(term.kind, term.order)})" if term.order > 1 else ""
        spelled = wrapped(_spelled(speller(term)) + kind, width - len(indent))
        if color:
            start = f"{_POSITIVE if term.effect > 0 else _NEGATIVE}{start}{_RESET}"
        for line in spelled:
            yield start + line
            start = indent
    if len(terms) > top:
        yield f"{indent}… {len(terms) - top:,} more"
    if said is not None:
        yield from wrapped(said, width)


def _spelled(members: list[Member]) -> str:
    text = ""
    for position, member in enumerate(members):
        if position:
            text += " \N{MULTIPLICATION SIGN} " + ("… " if member.after_gap else "")
        text += member.label + (f"[{member.occurrence}]" if member.occurrence else "")
    return text


def _trust(record: ExplanationRecord, width: int) -> Iterator[str]:
    many, queries = nouns(record)[1], record.queries
    left_out = is_left_out(record)
    for score in sorted(record.faithfulness, key=lambda score: score.density):
        masks = "1 mask" if score.n_masks == 1 else f"{score.n_masks:,} masks"
        masks = f"worth {masks}" if left_out else masks
        yield from wrapped(
            f"keeps {percent(score.density):>3} of the {many}: R² {r2_text(score.r2, '-'):>5}"
            f"{r2_interval(score, '-')} {verdict(score.r2)}, additive "
            f"{r2_text(score.linear_r2, '-')} ({masks})",
            width,
            "  ",
        )
    if not record.faithfulness:
        exact = record.fit.method == "exact"
        yield "exact: every subset was asked" if exact else "faithfulness was not measured"
    warning = near_input_warning(record, "-")
    if warning:
        yield from wrapped(f"Warning: {warning}", width, "         ")
    yield from wrapped(f"{len(queries):,} model calls{_divided(queries)}", width, "  ")


def _divided(queries: Queries) -> str:
    held_out = len(queries) - queries.n_fit
    return f" ({queries.n_fit:,} fitted, {held_out:,} held out)" if held_out else ""


def _columns(text: str) -> int:
    """Terminal columns of ``text``: wide characters take two, combining ones none."""
    return sum(map(_character_columns, text))


def _character_columns(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """``text`` in lines of at most ``width`` columns, broken at spaces, or inside a longer word."""
    lines, line = [], ""
    for piece in _pieces(text.split(" "), width - len(indent)):
        joined = f"{line} {piece}" if line.strip() else line + piece
        if line.strip() and _columns(joined) > width:
            lines.append(line)
            joined = indent + piece
        line = joined
    return [*lines, line]


def _pieces(words: Iterable[str], width: int) -> Iterator[str]:
    for word in words:
        piece, used = "", 0
        for character in word:
            columns = _character_columns(character)
            if piece and used + columns > width:
                yield piece
                piece, used = "", 0
            piece, used = piece + character, used + columns
        yield piece
