"""The parts of the page as static HTML. The script only adds behaviour to what stands here.

Every function returns markup; every piece of the record in it went through :func:`escape`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

from proxyspex_hf.record import DensityScore, ExplanationRecord
from proxyspex_hf.viz import summary
from proxyspex_hf.viz.markup import escape, numbers
from proxyspex_hf.viz.terms import Member, Term, adds_up, spell
from proxyspex_hf.viz.wording import (
    ADDS_UP,
    kind_words,
    near_input_warning,
    nouns,
    number,
    percent,
    r2_interval,
    r2_text,
    verdict,
)

__all__ = ["alerts", "finding", "headline", "provenance", "rows", "trust"]

_MINUS = "\N{MINUS SIGN}"
_TIMES = '<i aria-hidden="true">\N{MULTIPLICATION SIGN}</i>'
_GAP = f'{_TIMES}<i class="gap">…</i>'


def headline(record: ExplanationRecord, terms: Sequence[Term], decimals: int) -> str:
    """What the model said, and its strongest combination, or that none matters."""
    return "".join(_run(run) for run in summary.headline(record, terms, decimals))


def alerts(record: ExplanationRecord) -> str:
    """What changes the meaning of the page, before anything else is read."""
    notes = "".join(f"<li>{escape(text)}</li>" for text in summary.notes(record))
    warning = near_input_warning(record)
    if warning:
        notes += f'<li>{escape(warning)} <a href="#trust">How far to trust this</a></li>'
    return f'<ul class="alerts" aria-label="Please note">{notes}</ul>' if notes else ""


def finding(record: ExplanationRecord, terms: Sequence[Term]) -> str:
    """What the list says by what is not in it."""
    text = summary.nothing_found(record) if not terms else ""
    if terms and adds_up(record, terms):
        text = ADDS_UP.format(many=nouns(record)[1])
    return f'<p class="fine">{escape(text)}</p>\n' if text else ""


def rows(record: ExplanationRecord, terms: Sequence[Term], top: int, decimals: int) -> str:
    """The ranked list; rows after the first ``top`` are there, but hidden."""
    speller, direction = spell(record), _direction(record.text)
    largest = max((max(map(abs, (t.effect, *(t.interval or ())))) for t in terms), default=1.0)
    one, many = nouns(record)
    return "".join(
        f'<li{"" if rank < top else " hidden"}><div class="row {"neg" if t.effect < 0 else "pos"}" '
        f'data-members="{" ".join(map(str, t.members))}" {numbers(t.effect, t.interval)}>'
        f'<span class="value">{number(t.effect, t.interval, decimals, _MINUS)}</span>'
        f"{_bar(abs(t.effect) / largest, whisker=_whisker(t, largest))}"
        f'<span class="members" dir="{direction}">{_chips(speller(t))}{_kind(t)}</span>'
        f'<span class="order">{t.order}<span class="sr"> {one if t.order == 1 else many}</span>'
        "</span></div></li>\n"
        for rank, t in enumerate(terms)
    )


def _whisker(term: Term, largest: float) -> tuple[float, float] | None:
    """Both ends of the interval as shares of the scale: a sure effect's lie on one side of zero."""
    if term.interval is None or term.interval[0] == term.interval[1]:
        return None
    low, high = sorted(abs(end) / largest for end in term.interval)
    return low, high


def _kind(term: Term) -> str:
    """In words what the sign does not say: only combinations have more to say."""
    words = kind_words(term.kind, term.order)
    return f' <span class="kind">{escape(words)}</span>' if term.order > 1 else ""


def trust(record: ExplanationRecord) -> str:
    """R² of masks that were not fitted by density, the additive explanation's beside it."""
    many = nouns(record)[1]
    if not record.faithfulness:
        return (
            f"<p>Every subset of the {many} was asked, so nothing had to be estimated.</p>"
            if record.fit.method == "exact"
            else "<p>Faithfulness was not measured for this explanation.</p>"
        )
    body = "".join(
        f'<tr data-density="{s.density!r}" data-verdict="{verdict(s.r2)}">'
        f'<th scope="row">keeps {percent(s.density)} of the {many}</th>'
        f'<td>{_score(s.r2)}<span class="range">{r2_interval(s)}</span> '
        f'<span class="verdict">{verdict(s.r2)}</span></td>'
        f"<td>{_score(s.linear_r2)}</td><td>{s.n_masks:,}</td></tr>"
        for s in sorted(record.faithfulness, key=lambda s: s.density)
    )
    column, measured = "Held out", "on masks that were not used for fitting"
    if record.fit.method == "exact":
        column, measured = "Asked", "over all subsets, by how likely each is when so many are kept"
    elif summary.is_left_out(record):
        column = "Worth masks"
        measured = (
            "on masks that were drawn at random, each predicted by a fit without it; masks count "
            "by how likely they are when so many are kept, and the last column says how many they "
            "are worth together"
        )
    ends = ""
    if any(s.interval is not None and s.interval[0] != s.interval[1] for s in record.faithfulness):
        ends = "In parentheses: its 90% interval. "
    return (
        "<table><thead><tr><th scope='col'>Masks</th><th scope='col'>This explanation, R²</th>"
        f"<th scope='col'>Additive only, R²</th><th scope='col'>{column}</th></tr></thead>"
        f"<tbody>{body}</tbody></table><p class='fine'>{_gain(record.faithfulness)}"
        f"R² {measured}: 1 is perfect, 0 no better than a constant. {ends}"
        "Good: 0.8 or more; fair: 0.5 or more; poor: below. “Additive only” is the best "
        "explanation without combinations (LASSO).</p>"
    )


def provenance(record: ExplanationRecord) -> str:
    """How it was made, enough to make it again."""
    return "".join(
        f"<dt>{escape(name)}</dt><dd dir='auto'>{escape(value)}</dd>"
        for name, value in summary.facts(record)
    )


def _run(run: summary.Run) -> str:
    text = escape(run.text)
    if run.kind == "text":
        return text
    if run.kind == "name":
        return f"<strong><bdi>{text}</bdi></strong>"
    if run.kind == "quoted":
        return f"“<bdi>{text}</bdi>”"
    return f'<span class="num {run.kind}">{text}</span>'


def _label(member: Member) -> str:
    number = f"<sub>{member.occurrence}</sub>" if member.occurrence else ""
    return f"<bdi>{escape(member.label)}{number}</bdi>"


def _chips(members: Sequence[Member]) -> str:
    first, *others = members
    rest = "".join(f"{_GAP if m.after_gap else _TIMES}<b>{_label(m)}</b>" for m in others)
    return f"<b>{_label(first)}</b>{rest}"


def _bar(share: float, name: str = "bar", whisker: tuple[float, float] | None = None) -> str:
    """A bar of ``share`` of its width: attributes, since the page allows no inline style."""
    width = f"{100 * min(max(share, 0.0), 1.0):.2f}"
    ends = ""
    if whisker is not None:
        low, high = (f"{100 * end:.2f}" for end in whisker)
        ends = f'<path class="whisker" d="M{low} 2V8M{low} 5H{high}M{high} 2V8"/>'
    return (
        f'<svg class="{name}" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="track" width="100" height="10"/><rect width="{width}" height="10"/>{ends}'
        "</svg>"
    )


def _score(r2: float | None) -> str:
    return f'{_bar(r2 or 0.0, "meter")}<span class="num">{r2_text(r2)}</span>'


def _gain(scores: Iterable[DensityScore]) -> str:
    gains = [s.r2 - s.linear_r2 for s in scores if s.r2 is not None and s.linear_r2 is not None]
    if not gains:
        return ""
    low, high = min(gains), max(gains)
    if low <= 0.01:
        where = "any" if high <= 0.01 else "every"
        return f"Combinations do not beat the additive explanation at {where} density. "
    return f"Combinations add {low:.2f} to {high:.2f} of R². "


def _direction(text: str) -> str:
    """The base direction of ``text``, by its first letter that has one."""
    found = (unicodedata.bidirectional(character) for character in text)
    return "rtl" if next((d for d in found if d in ("L", "R", "AL")), "L") != "L" else "ltr"
