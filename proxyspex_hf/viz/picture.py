"""The story as one picture, dark on white: verdict, what flips it, the input tinted, combinations.

For places that show no page: a slide, a paper, a post. Drawn without a browser.
"""

from __future__ import annotations

import numbers
import re
from dataclasses import replace

from proxyspex_hf.checks import quoted
from proxyspex_hf.errors import InputError
from proxyspex_hf.record.record import ExplanationRecord
from proxyspex_hf.viz.direction import Word, places, runs_left
from proxyspex_hf.viz.reading import CUT, cut, pieces, tints
from proxyspex_hf.viz.shapes import (
    Block,
    Measure,
    Outline,
    Photo,
    Shape,
    Write,
    drawn_width,
    png_of,
    svg_of,
    width_of,
)
from proxyspex_hf.viz.together import told_together
from proxyspex_hf.viz.verdict import flip, flip_parts, verdict_of
from proxyspex_hf.viz.wording import (
    how_sure,
    shortened,
    visible,
)

_WIDTH, _MARGIN = 760, 28
_INK, _FAINT = "#1d1b19", "#5f5a54"
#: For and against what the model said, and how they tint at full strength: the page's colours.
_INKS = {"for": "#b35806", "against": "#2166ac"}
_TINTS = {"for": (224, 130, 20), "against": (67, 147, 215)}
#: How much of a margin that is not read is covered: what it shows can still be made out.
_DIMMED = 0.65
#: Lines of a text that is longer than a picture.
_MOST_LINES = 24
#: Of a text's size, as most fonts have it.
_SPACE = 0.26


def render_picture(record: ExplanationRecord) -> str:
    """The picture as SVG."""
    shapes, height = _layout(record, width_of)
    return svg_of(shapes, _WIDTH, height, verdict_of(record, record.full_value).text)


def render_picture_png(record: ExplanationRecord, *, scale: float = 2.0) -> bytes:
    """The picture as a PNG file, in a font of this machine.

    Args:
        record: what to show.
        scale: pixels to each unit, of which the picture is 760 wide.

    Raises:
        InputError: ``scale`` is not from 0.5 to 8.
    """
    if not isinstance(scale, numbers.Real) or not 0.5 <= scale <= 8:
        raise InputError(f"scale must be from 0.5 to 8, got {quoted(scale)}.")
    shapes, height = _layout(record, drawn_width)
    return png_of(shapes, _WIDTH, height, scale)


class _Pen:
    """Writes words from left to right, line under line."""

    def __init__(self, y: float, size: float, leading: float, measure: Measure) -> None:
        self.shapes: list[Shape] = []
        self.x, self.y, self.size, self.leading = float(_MARGIN), y + size, size, leading
        self.lines, self._measure = 1, measure
        #: Whether the text as a whole runs to the left; what a word belongs to: see Word.
        self.leftwards, self.group = False, 0
        self._words: list[tuple[int, Word, int]] = []

    @property
    def bottom(self) -> float:
        return self.y + self.leading - self.size

    def down(self) -> None:
        """Begin a new line."""
        self.x, self.y, self.lines = float(_MARGIN), self.y + self.leading, self.lines + 1

    def space(self) -> None:
        if self.x > _MARGIN:
            self.x += _SPACE * self.size

    def word(
        self, text: str, ink: str, *, bold: bool = False, look: str = "", step: int = 0
    ) -> None:
        """One word, on the next line where this one is full, tinted by ``step`` of 8."""
        room = _WIDTH - 2 * _MARGIN
        while text:
            width = self._measure(text, self.size, bold)
            if self.x > _MARGIN and self.x + width > _MARGIN + room:
                self.down()
            fits = text[: self._fitting(text, room, bold=bold)]
            width = self._measure(fits, self.size, bold)
            first = len(self.shapes)
            if step:
                self.shapes.append(self._tint(width, look, step))
            self.shapes.append(Write(self.x, self.y, fits, width, self.size, ink, bold))
            self._words.append((self.lines, Word(fits, self.x, width, self.group), first))
            self.x += width
            text = text[len(fits) :]

    def in_reading_order(self) -> list[Shape]:
        """The shapes, where words of scripts that run to the left stand as they are read."""
        shapes = list(self.shapes)
        ends = [first for _, _, first in self._words[1:]] + [len(shapes)]
        for line in {line for line, _, _ in self._words}:
            here = [k for k, (other, _, _) in enumerate(self._words) if other == line]
            words = [self._words[k][1] for k in here]
            lefts = places(words, leftwards=self.leftwards, right=_WIDTH - _MARGIN)
            for k, word, left in zip(here, words, lefts, strict=True):
                for i in range(self._words[k][2], ends[k]):
                    shape = shapes[i]
                    if isinstance(shape, (Block, Write)):
                        shapes[i] = replace(shape, x=shape.x + left - word.left)
        return shapes

    def _fitting(self, text: str, room: float, *, bold: bool) -> int:
        """How many characters fit into a line; at least one."""
        low, high = 1, len(text)
        while low < high:
            middle = (low + high + 1) // 2
            fits = self._measure(text[:middle], self.size, bold) <= room
            low, high = (middle, high) if fits else (low, middle - 1)
        return low

    def _tint(self, width: float, look: str, step: int) -> Block:
        share = 0.05 + 0.41 * (step - 1) / 7
        fill = "#" + "".join(f"{round(255 - (255 - c) * share):02x}" for c in _TINTS[look])
        line = "solid" if look == "for" else "dashed"
        top = self.y - self.size * 0.95
        return Block(self.x, top, width, self.size * 1.2, fill, line, _INKS[look])  # type: ignore[arg-type]


def _layout(record: ExplanationRecord, measure: Measure) -> tuple[list[Shape], int]:
    shapes: list[Shape] = []
    kicker = _Pen(_MARGIN - 8, 12, 18, measure)
    _sentence(
        kicker, [("text", shortened(f"{record.provenance.model} · {record.task}", 90))], _FAINT
    )
    said = verdict_of(record, record.full_value)
    head = _Pen(kicker.bottom + 6, 24, 32, measure)
    _sentence(head, [("text", said.before), ("bold", said.name), ("text", said.after)], _INK)
    pens, y = [kicker, head], head.bottom
    turned = flip_parts(record, flip(record))
    if turned:
        under = _Pen(y + 2, 16, 24, measure)
        _sentence(under, turned, _INK)
        pens.append(under)
        y = under.bottom
    y += 12
    looks = tints(record)
    if record.picture is not None:
        shapes, y = _image(record, looks, y, measure)
        y += 8
    text = _Pen(y, 18, 30, measure)
    text.leftwards = bool(runs_left(record.text or " ".join(record.features.labels)))
    _text(text, record, looks)
    if text.shapes:
        pens.append(text)
        y = text.bottom
    y += 10
    for told in told_together(record):
        line = _Pen(y, 15, 22, measure)
        _sentence(line, told, _INK)
        pens.append(line)
        y = line.bottom + 2
    sure = _Pen(y + 6, 12, 18, measure)
    _sentence(sure, [("text", how_sure(record))], _FAINT)
    pens.append(sure)
    for pen in pens:
        shapes += pen.in_reading_order()
    return shapes, round(sure.bottom + _MARGIN - 8)


def _sentence(pen: _Pen, parts: list[tuple[str, str]], ink: str) -> None:
    """Pieces of a sentence, what is quoted in bold; words break where lines end."""
    for part, (kind, text) in enumerate(parts, 1):
        pen.group = part if kind in ("quoted", "bold") else 0
        bold = kind in ("quoted", "bold")
        words = visible(text).split(" ") if bold else text.split(" ")
        for place, word in enumerate(words):
            if place:
                pen.space()
            if word:
                pen.word(word, ink, bold=bold)


def _text(pen: _Pen, record: ExplanationRecord, looks: list[tuple[str, int]]) -> None:
    features = record.features
    if not features.spans:
        labels = [] if features.regions else features.labels
        for i, label in enumerate(labels):
            _feature(pen, visible(label), looks[i])
            pen.space()
        return
    for piece in pieces(record):
        if pen.lines > _MOST_LINES:
            pen.word("…", _FAINT)
            return
        if piece.feature is not None:
            _feature(pen, piece.text, looks[piece.feature])
            continue
        for place, part in enumerate(piece.text.split("\n")):
            if place:
                pen.down()
            for spot, word in enumerate(re.split(r"\s", part)):
                if spot:
                    pen.space()
                if word:
                    pen.word(visible(word), _FAINT)


def _feature(pen: _Pen, text: str, look: tuple[str, int]) -> None:
    name, step = look
    ink = _FAINT if name == "unsure" else _INK
    for place, word in enumerate(re.split(r"\s", text) if text.strip() else text.split(" ")):
        if place:
            pen.space()
        if word:
            pen.word(visible(word), ink, look=name, step=step)


def _image(
    record: ExplanationRecord, looks: list[tuple[str, int]], y: float, measure: Measure
) -> tuple[list[Shape], float]:
    """The image, as large as the picture has room for, with its tinted regions."""
    picture = record.picture
    if picture is None:
        return [], y
    scale = min((_WIDTH - 2 * _MARGIN) / picture.width, 360 / picture.height)
    width, height = picture.width * scale, picture.height * scale
    left = (_WIDTH - width) / 2
    shapes: list[Shape] = [Photo(left, y, width, height, picture.png)]
    found = cut(record)
    if found is not None:
        right, bottom = picture.width, picture.height
        (x0, y0), _, (x1, y1), _ = found[0][1]
        # Four bars: an outline of a PNG has no hole.
        for a, b, c, d in (
            (0, 0, right, y0),
            (0, y1, right, bottom),
            (0, y0, x0, y1),
            (x1, y0, right, y1),
        ):
            if a < c and b < d:
                corners = ((a, b), (c, b), (c, d), (a, d))
                points = tuple((left + scale * u, y + scale * v) for u, v in corners)
                shapes.append(Outline(points, "#ffffff", _DIMMED, line=False))
    for region, (look, step) in zip(record.features.regions, looks, strict=False):
        if not step:
            continue
        for ring in region:
            points = tuple((left + scale * a, y + scale * b) for a, b in ring)
            shapes.append(Outline(points, _INKS[look], 0.55 * step / 8, look == "against"))
    if found is None:
        return shapes, y + height
    why = _Pen(y + height + 4, 12, 18, measure)
    _sentence(why, [("text", CUT)], _FAINT)
    return shapes + why.in_reading_order(), why.bottom
