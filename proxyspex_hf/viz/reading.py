"""The input as it is read: its text in pieces, its regions as outlines, and how each is tinted."""

from __future__ import annotations

from typing import NamedTuple

from proxyspex_hf.record.inputs import Region
from proxyspex_hf.record.record import ExplanationRecord
from proxyspex_hf.viz.terms import main_effects, ranked_terms
from proxyspex_hf.viz.verdict import scale_of

#: Steps of the tint; the style sheet has one class for each.
_TINTS = 8
#: Regions that fill what is read; of others, no margin tells what is not.
_TILES = ("patches", "superpixels")
#: Why a margin of the picture is dimmed.
CUT = "Dimmed: cut off by the model's processor, not read."
#: Effects among which a feature is looked for that matters only in combination: the page's list.
_JOINED = 30


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


def tints(record: ExplanationRecord) -> list[tuple[str, int]]:
    """(n) the look of each feature and the step of its tint, 0 to 8.

    The look says what taking it out of the whole input does: ``"for"`` and ``"against"`` what the
    model said; ``"unsure"`` where that cannot be told from zero; ``"joined"`` where it matters
    only in combination; else ``"idle"``. The scale is that of the largest effect of one feature.
    Effects that would not fill a step are idle: a tail of small ones would tint every word.
    """
    singles, up = main_effects(record), scale_of(record.target).up
    largest = max((abs(effect.value) for effect in singles if effect.is_sure), default=0.0)
    joined = {i for term in ranked_terms(record)[:_JOINED] if term.order > 1 for i in term.members}
    found = []
    for i, effect in enumerate(singles):
        step = min(_TINTS, int(_TINTS * (abs(effect.value) / largest))) if largest else 0
        if step and effect.is_sure:
            found.append(("for" if effect.value * up > 0 else "against", step))
        else:
            unsure = effect.interval is not None and not effect.is_sure
            look = "joined" if i in joined else "unsure" if unsure else "idle"
            found.append((look, 0))
    return found


def cut(record: ExplanationRecord) -> tuple[Region, str] | None:
    """What the processor cuts off of the picture: the rings around it, as of a region, with the
    hole that is read; and that as data of an SVG path. None where the regions fill the picture."""
    picture, regions = record.picture, record.features.regions
    if picture is None or not regions or record.features.region_kind not in _TILES:
        return None
    corners = [corner for region in regions for ring in region for corner in ring]
    (left, right), (top, bottom) = ((min(xs), max(xs)) for xs in zip(*corners, strict=True))
    if (left, top, right, bottom) == (0, 0, picture.width, picture.height):
        return None
    read = ((left, top), (right, top), (right, bottom), (left, bottom))
    width, height = picture.width, picture.height
    found: Region = (((0, 0), (width, 0), (width, height), (0, height)), read)
    return found, outline(found)


def outline(region: Region) -> str:
    """The region's rings as data of an SVG path: digits and the letters M, L and Z."""
    return "".join("M" + "L".join(f"{int(x)} {int(y)}" for x, y in ring) + "Z" for ring in region)


def _between(gap: str) -> Piece:
    return Piece(gap, None, fixed=any(character.isalnum() for character in gap))
