"""The largest effects as bars with their intervals: one SVG, for places that show no HTML."""

from __future__ import annotations

import unicodedata

from proxyspex_hf.errors import InputError
from proxyspex_hf.record.record import ExplanationRecord
from proxyspex_hf.viz.markup import escape
from proxyspex_hf.viz.shapes import width_of
from proxyspex_hf.viz.terms import Member, Term, ranked_terms, spell
from proxyspex_hf.viz.together import finding
from proxyspex_hf.viz.wording import decimals_for, number, visible

_POSITIVE, _NEGATIVE, _INK, _FAINT = "#B35806", "#2166AC", "#1a1a1a", "#595959"
_WIDTH, _ROW, _TOP, _MARGIN = 760, 30, 66, 16
_LABELS = 400
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif"
#: The size of all but the title, and the least room for a bar beside its number.
_SIZE, _LEAST = 14, 40
#: Columns of text that fit the labels' and the title's width.
_MOST_LABEL, _MOST_TITLE = 46, 84


def render_svg(record: ExplanationRecord, *, top: int = 10) -> str:
    """The ``top`` largest effects of one explanation as an SVG picture, dark on white.

    Raises:
        InputError: ``top`` is below one.
    """
    if top < 1:
        raise InputError(f"top must be at least 1, got {top}.")
    every = ranked_terms(record)
    terms, said = every[:top], finding(record, every)
    decimals = decimals_for(term.effect for term in terms[:1])
    words = spell(record)
    said_of = [number(t.effect, t.interval, decimals, "\N{MINUS SIGN}") for t in terms]
    widest = max((width_of(text, _SIZE) for text in said_of), default=0.0)
    room = max(_LEAST, _WIDTH - _LABELS - _MARGIN - 8 - 1.1 * widest)
    scale = room / max((_reach(term) for term in terms), default=1.0)
    height = _TOP + _ROW * (len(terms) + (said is not None)) + _MARGIN
    title = f"What moves {visible(record.target.label)}"
    of = f"{visible(record.provenance.model)}: {visible(record.text)}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'viewBox="0 0 {_WIDTH} {height}" role="img" font-family="{_FONT}" font-size="{_SIZE}">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        _text(_MARGIN, 28, title, _INK, 'font-size="17" font-weight="600"', _MOST_TITLE),
        _text(_MARGIN, 49, of, _FAINT, "", _MOST_TITLE),
    ]
    for row, (term, text) in enumerate(zip(terms, said_of, strict=True)):
        parts += _bar(_TOP + row * _ROW, words(term), term, scale, text)
    if said is not None:
        parts.append(_text(_MARGIN, _TOP + _ROW * len(terms) + 20, said, _INK, "", _MOST_TITLE))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _bar(y: int, members: list[Member], term: Term, scale: float, said: str) -> list[str]:
    color = _POSITIVE if term.effect > 0 else _NEGATIVE
    label = " × ".join(
        f"{member.label} ({member.occurrence})" if member.occurrence else member.label
        for member in members
    )
    length = max(1.0, scale * abs(term.effect))
    end = _LABELS + max(length, scale * _reach(term)) + 8
    return [
        _text(_LABELS - 12, y + 20, label, _INK, 'text-anchor="end"', _MOST_LABEL),
        f'<rect x="{_LABELS}" y="{y + 5}" width="{length:.1f}" height="{_ROW - 10}" rx="2" '
        f'fill="{color}"/>',
        *_whisker(term, scale, y + _ROW / 2),
        f'<text x="{end:.1f}" y="{y + 20}" fill="{color}">{said}</text>',
    ]


def _reach(term: Term) -> float:
    """How far the bar or its whisker goes."""
    low, high = term.interval or (0.0, 0.0)
    return max(abs(term.effect), abs(low), abs(high))


def _whisker(term: Term, scale: float, y: float) -> list[str]:
    """The interval as a line across the bar's end: a sure effect's lies on one side of zero."""
    if term.interval is None or term.interval[0] == term.interval[1]:
        return []
    low, high = sorted(_LABELS + scale * abs(end) for end in term.interval)
    ends = f"M{low:.1f} {y - 4:g}v8M{low:.1f} {y:g}H{high:.1f}M{high:.1f} {y - 4:g}v8"
    return [f'<path d="{ends}" stroke="{_INK}" stroke-width="1.5" fill="none"/>']


def _text(x: int, y: int, text: str, color: str, more: str, most: int) -> str:
    return f'<text x="{x}" y="{y}" fill="{color}" {more}>{escape(_cut(text, most))}</text>'


def _cut(text: str, most: int) -> str:
    """At most ``most`` columns; wide (CJK) characters count twice."""
    used = 0
    for position, character in enumerate(text):
        used += 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if used > most:
            return text[: max(0, position - 1)] + "…"
    return text
