"""The page as it is read without scripts: verdict, text and list, as markup.

The scripts put the living page in its place. Every piece of the record in the markup went through
:func:`escape`, but for numbers and for the image, which is base64 of a PNG file's bytes.
"""

from __future__ import annotations

import base64
from typing import Any

from proxyspex_hf.record.record import ExplanationRecord
from proxyspex_hf.viz.markup import escape
from proxyspex_hf.viz.reading import CUT, cut, outline, pieces, tints
from proxyspex_hf.viz.terms import Term, ranked_terms, spell
from proxyspex_hf.viz.together import told_together
from proxyspex_hf.viz.verdict import flip as find_flip
from proxyspex_hf.viz.verdict import flip_parts, verdict_of
from proxyspex_hf.viz.wording import decimals_for, kind_words, number, visible

_CLASSES = {"for": "pos", "against": "neg", "joined": "mix", "unsure": "unsure", "idle": "idle"}
#: Images with a shorter edge are enlarged pixel by pixel.
_SMALL = 128


def static_page(record: ExplanationRecord, data: dict[str, Any], top: int) -> str:
    """The markup.

    Args:
        record: what to show.
        data: what :func:`proxyspex_hf.viz.view.view` says of it.
        top: effects in the list.
    """
    said = verdict_of(record, record.full_value)
    flip = _runs(data["flip"]["parts"])
    notes = [*data["notes"], *([data["warning"]] if data["warning"] else [])]
    alerts = "".join(f"<li>{escape(text)}</li>" for text in notes)
    together = "".join(f"<li>{_runs(told['parts'])}</li>" for told in data["together"])
    finding = f"<p>{escape(data['finding'])}</p>" if data["finding"] else ""
    hint = f"<p>{escape(data['scale']['hint'])}</p>" if data["scale"]["hint"] else ""
    terms = ranked_terms(record)
    return (
        f'<header><p class="kicker"><bdi>{escape(data["model"])}</bdi> · '
        f"<bdi>{escape(data['task'])}</bdi></p>"
        f"<h2>{escape(said.before)}<strong><bdi>{escape(said.name)}</bdi></strong>"
        f"{escape(said.after)}</h2>"
        + (f'<p class="flip">{flip}</p>' if flip else "")
        + (f'<ul class="alerts">{alerts}</ul>' if alerts else "")
        + "</header>"
        f'<section class="card story"><h3>What matters</h3>{_picture(record, data)}'
        f'<div class="written plain" dir="auto">{_text(record, data)}</div>{hint}'
        f'<h3>Together</h3>{finding}<ul class="together">{together}</ul>'
        f'<p class="sure">{escape(data["sure"])}</p></section>'
        f'<section class="card"><h3>The strongest effects</h3><ol class="plain-rows">'
        f"{_rows(record, terms[:top])}</ol>{_more(terms, top)}</section>"
    )


def story(record: ExplanationRecord) -> str:
    """Verdict, what flips it, the tinted input and the combinations, without the rest."""
    said, flip = verdict_of(record, record.full_value), flip_parts(record, find_flip(record))
    together = "".join(f"<li>{_runs(parts)}</li>" for parts in told_together(record))
    looks = {"tints": tints(record)}
    return (
        f"<h3>{escape(said.before)}<strong><bdi>{escape(said.name)}</bdi></strong>"
        f"{escape(said.after)}</h3>"
        + (f'<p class="flip">{_runs(flip)}</p>' if flip else "")
        + _picture(record, looks)
        + f'<div class="written plain" dir="auto">{_text(record, looks)}</div>'
        f'<ul class="together">{together}</ul>'
    )


def _runs(parts: list[tuple[str, str]]) -> str:
    """Pieces of a sentence: what is quoted is untrusted, and stands apart."""
    kinds = {
        "quoted": '<em class="quoted"><bdi>{}</bdi></em>',
        "number": '<span class="num">{}</span>',
    }
    return "".join(kinds.get(kind, "{}").format(escape(text)) for kind, text in parts)


def _text(record: ExplanationRecord, data: dict[str, Any]) -> str:
    """One element a feature: bold where it speaks for what the model said, italic where against."""

    def feature(i: int, text: str) -> str:
        look, step = data["tints"][i]
        tag = {"for": "b", "against": "i"}.get(look, "span")
        tint = f" t{step}" if step else ""
        return f'<{tag} class="f {_CLASSES[look]}{tint}">{text}</{tag}>'

    if not record.features.spans:
        if record.features.regions:
            return ""
        labels = record.features.labels
        return " ".join(feature(i, escape(visible(label))) for i, label in enumerate(labels))
    written = []
    for piece in pieces(record):
        text = escape(piece.text)
        if piece.feature is not None:
            text = feature(piece.feature, text)
        written.append(f'<span class="fixed">{text}</span>' if piece.fixed else text)
    return "".join(written)


def _picture(record: ExplanationRecord, data: dict[str, Any]) -> str:
    """The image with its regions outlined and tinted."""
    picture = record.picture
    if picture is None:
        return ""
    png = base64.b64encode(picture.png).decode("ascii")
    small = " small" if min(picture.width, picture.height) < _SMALL else ""
    paths = "".join(
        f'<path class="f {_CLASSES[look]}{f" t{step}" if step else ""}" fill-rule="evenodd" '
        f'd="{outline(region)}"><title>{escape(visible(label))}</title></path>'
        for region, label, (look, step) in zip(
            record.features.regions, record.features.labels, data["tints"], strict=False
        )
    )
    found = cut(record)
    margin = f'<path class="cut" fill-rule="evenodd" d="{found[1]}"/>' if found else ""
    return (
        f'<svg class="picture{small}" viewBox="0 0 {picture.width} {picture.height}" role="img" '
        f'aria-label="The image"><image width="{picture.width}" height="{picture.height}" '
        f'href="data:image/png;base64,{png}"/>{margin}{paths}</svg>'
        + (f'<p class="fine">{CUT}</p>' if margin else "")
    )


def _rows(record: ExplanationRecord, terms: list[Term]) -> str:
    speller, decimals = spell(record), decimals_for(term.effect for term in terms[:1])
    rows = []
    for term in terms:
        members = " \N{MULTIPLICATION SIGN} ".join(
            f"<bdi>{escape(member.label)}</bdi>"
            + (f"<sub>{member.occurrence}</sub>" if member.occurrence else "")
            for member in speller(term)
        )
        kind = f" ({escape(kind_words(term.kind, term.order))})" if term.order > 1 else ""
        said = number(term.effect, term.interval, decimals, "\N{MINUS SIGN}")
        rows.append(f'<li><span class="num">{said}</span> {members}{kind}</li>')
    return "".join(rows)


def _more(terms: list[Term], top: int) -> str:
    return f"<p>… and {len(terms) - top:,} more.</p>" if len(terms) > top else ""
