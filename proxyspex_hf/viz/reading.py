"""The input as the page shows it: image with its regions outlined, text with its features tinted.

Regions and words are elements of one kind, in the order of the features, so that a combination of
both lights up together. Every piece of the record in the markup went through :func:`escape`, but
for numbers and for the image, which is base64 of bytes that begin as a PNG file does.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import NamedTuple

from proxyspex_hf.inputs import Region
from proxyspex_hf.record import ExplanationRecord
from proxyspex_hf.viz.markup import escape, numbers
from proxyspex_hf.viz.terms import Term, main_effects
from proxyspex_hf.viz.wording import visible

__all__ = ["Piece", "legend", "outline", "pieces", "reading", "unsure_key"]

#: Steps of the tint; the style sheet has one class for each.
_TINTS = 8
#: Images with a shorter edge are enlarged pixel by pixel.
_SMALL = 128


class Piece(NamedTuple):
    """A stretch of the text.

    Attributes:
        text: its characters; side by side the pieces are the text, gaps and all.
        feature: the index of the feature it is, or None between features.
        fixed: whether it is text of its own that is never masked, not only what parts words.
    """

    text: str
    feature: int | None
    fixed: bool


def pieces(record: ExplanationRecord) -> list[Piece]:
    """The exact text, cut at the features; empty gaps are left out."""
    found, position = [], 0
    start = record.features.text_start
    for i, (left, right) in enumerate(record.features.spans, start):
        found.append(_between(record.text[position:left]))
        found.append(Piece(record.text[left:right], i, fixed=False))
        position = right
    found.append(_between(record.text[position:]))
    return [piece for piece in found if piece.text]


def reading(record: ExplanationRecord, shown: Sequence[Term]) -> str:
    """The input with one element a feature, tinted by what the score loses without it.

    The scale is that of the largest effect; effects that would not fill half a step stay plain, so
    that a tail of small ones does not underline every word. Those that cannot be told from zero
    are pale, and without a sign.
    """
    looks = [f"{look} {attributes}" for look, attributes in _looks(record, shown)]
    if record.features.kind == "features":
        return "".join(
            f"<span {look}>{escape(visible(label))}</span> "
            for look, label in zip(looks, record.features.labels, strict=True)
        )
    start = record.features.text_start
    return _picture(record, looks[:start]) + _text(record, looks[start:])


def legend(record: ExplanationRecord) -> str:
    """What else the reader must know to read the input."""
    if record.features.spans and any(piece.fixed for piece in pieces(record)):
        return ' <span class="key fixed">never masked</span>'
    return ""


def unsure_key(record: ExplanationRecord, shown: Sequence[Term]) -> str:
    """The legend of pale features, where there are any."""
    if any("unsure" in look for look, _ in _looks(record, shown)):
        return ' <span class="key unsure">unsure</span>'
    return ""


def _looks(record: ExplanationRecord, shown: Sequence[Term]) -> list[tuple[str, str]]:
    """Class and data attributes of each feature's element."""
    largest = max((abs(term.effect) for term in shown), default=0.0)
    combined = {i for term in shown if term.order > 1 for i in term.members}
    looks = []
    for i, effect in enumerate(main_effects(record)):
        level = min(_TINTS, round(_TINTS * (abs(effect.value) / largest))) if largest else 0
        if level and effect.is_sure:
            look = f"{'pos' if effect.value > 0 else 'neg'} t{level}"
        elif i in combined:
            look = "mix"
        else:
            look = "unsure" if level else "idle"
        looks.append((f'class="f {look}"', numbers(effect.value, effect.interval)))
    return looks


def _picture(record: ExplanationRecord, looks: Sequence[str]) -> str:
    picture = record.picture
    if picture is None:
        return ""
    paths = "".join(
        f'<path {look} fill-rule="evenodd" d="{outline(region)}">'
        f"<title>{escape(visible(label))}</title></path>"
        for look, region, label in zip(
            looks, record.features.regions, record.features.labels, strict=False
        )
    )
    small = " small" if min(picture.width, picture.height) < _SMALL else ""
    png = base64.b64encode(picture.png).decode("ascii")
    return (
        f'<svg class="picture{small}" viewBox="0 0 {picture.width} {picture.height}" '
        f'role="group" aria-label="The image">'
        f'<image width="{picture.width}" height="{picture.height}" '
        f'href="data:image/png;base64,{png}"/>{paths}</svg>'
    )


def outline(region: Region) -> str:
    """The region's rings as data of an SVG path: digits and the letters M, L and Z."""
    return "".join("M" + "L".join(f"{int(x)} {int(y)}" for x, y in ring) + "Z" for ring in region)


def _text(record: ExplanationRecord, looks: Sequence[str]) -> str:
    """One element a feature, another for what is never masked."""
    start = record.features.text_start
    parts = []
    for piece in pieces(record):
        text = escape(piece.text)
        if piece.feature is not None:
            text = f"<span {looks[piece.feature - start]}>{text}</span>"
        elif piece.fixed:
            text = f'<span class="fixed">{text}</span>'
        parts.append(text)
    return "".join(parts)


def _between(gap: str) -> Piece:
    return Piece(gap, None, fixed=any(character.isalnum() for character in gap))
