"""The input as the page shows it: image with its regions outlined, text with its features tinted.

Regions and words are elements of one kind, in the order of the features, so that a combination of
both lights up together. Every piece of the record in the markup went through :func:`escape`, but
for numbers and for the image, which is base64 of bytes that begin as a PNG file does.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

from proxyspex_hf.inputs import Region
from proxyspex_hf.record import ExplanationRecord
from proxyspex_hf.viz.markup import escape
from proxyspex_hf.viz.terms import Term, main_effects
from proxyspex_hf.viz.wording import visible

__all__ = ["legend", "reading"]

#: Steps of the tint; the style sheet has one class for each.
_TINTS = 8
#: Images with a shorter edge are enlarged pixel by pixel.
_SMALL = 128


def reading(record: ExplanationRecord, shown: Sequence[Term]) -> str:
    """The input with one element a feature, tinted by its effect on its own.

    The scale is that of the bars; effects that would not fill half a step stay plain, so that a
    tail of small coefficients does not underline every word.
    """
    looks = _looks(record, shown)
    if record.features.kind == "features":
        return "".join(
            f"<span {look}>{escape(visible(label))}</span> "
            for look, label in zip(looks, record.features.labels, strict=True)
        )
    start = record.features.text_start
    return _picture(record, looks[:start]) + _text(record, looks[start:])


def legend(record: ExplanationRecord) -> str:
    """What else the reader must know to read the input."""
    gaps = _gaps(record) if record.features.spans else []
    if any(_is_fixed(gap) for gap in gaps):
        return ' <span class="key fixed">never masked</span>'
    return ""


def _looks(record: ExplanationRecord, shown: Sequence[Term]) -> list[str]:
    """Class and data attributes of each feature's element."""
    effects = main_effects(record)
    largest = max((abs(term.effect) for term in shown), default=0.0)
    combined = {i for term in shown if term.order > 1 for i in term.members}
    looks = []
    for i, effect in enumerate(effects):
        level = round(_TINTS * abs(effect) / largest) if largest else 0
        look = f"{'pos' if effect > 0 else 'neg'} t{level}" if level else "mix"
        kind = look if level or i in combined else "idle"
        looks.append(f'class="f {kind}" data-effect="{effect!r}"')
    return looks


def _picture(record: ExplanationRecord, looks: Sequence[str]) -> str:
    picture = record.picture
    if picture is None:
        return ""
    paths = "".join(
        f'<path {look} fill-rule="evenodd" d="{_outline(region)}">'
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


def _outline(region: Region) -> str:
    return "".join("M" + "L".join(f"{int(x)} {int(y)}" for x, y in ring) + "Z" for ring in region)


def _text(record: ExplanationRecord, looks: Sequence[str]) -> str:
    """The exact text, gaps and all."""
    parts = []
    gaps = _gaps(record)
    for look, (start, stop), gap in zip(looks, record.features.spans, gaps, strict=False):
        parts.append(_gap(gap))
        parts.append(f"<span {look}>{escape(record.text[start:stop])}</span>")
    parts.append(_gap(gaps[-1]))
    return "".join(parts)


def _gaps(record: ExplanationRecord) -> list[str]:
    edges = [0, *(edge for span in record.features.spans for edge in span), len(record.text)]
    return [record.text[edges[i] : edges[i + 1]] for i in range(0, len(edges), 2)]


def _gap(gap: str) -> str:
    return f'<span class="fixed">{escape(gap)}</span>' if _is_fixed(gap) else escape(gap)


def _is_fixed(gap: str) -> bool:
    """Whether a gap is text of its own, not only what stands between words."""
    return any(character.isalnum() for character in gap)
