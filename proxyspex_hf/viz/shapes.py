"""What a picture is made of, and the two forms it is written in: SVG as text, PNG by Pillow."""

from __future__ import annotations

import base64
import io
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from PIL import Image, ImageDraw, ImageFont

from proxyspex_hf.viz.markup import escape

FAMILY = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif"
#: (text, size, bold) -> pixels.
Measure = Callable[[str, float, bool], float]


@dataclass(frozen=True)
class Block:
    """A filled rectangle; ``line`` is drawn under it: solid, dashed, dotted, or none."""

    x: float
    y: float
    width: float
    height: float
    fill: str
    line: Literal["", "solid", "dashed", "dotted"] = ""
    ink: str = "#000000"


@dataclass(frozen=True)
class Write:
    """A line of text, ``width`` pixels wide, with its baseline at ``y``."""

    x: float
    y: float
    text: str
    width: float
    size: float
    ink: str
    bold: bool = False


@dataclass(frozen=True)
class Photo:
    """An image of the input, at a place."""

    x: float
    y: float
    width: float
    height: float
    png: bytes


@dataclass(frozen=True)
class Outline:
    """A closed outline over a photo; ``opacity`` is of its fill, ``line`` whether it is drawn."""

    points: tuple[tuple[float, float], ...]
    ink: str
    opacity: float
    dashed: bool = False
    line: bool = True


Shape = Block | Write | Photo | Outline

_JOINER, _SKINS = "\u200d", "\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"


def svg_of(shapes: Sequence[Shape], width: int, height: int, title: str) -> str:
    """The picture as SVG: numbers of ours, and text that went through :func:`escape`."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" role="img" font-family="{FAMILY}">',
            f"<title>{escape(title)}</title>",
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
            *map(_svg, shapes),
            "</svg>",
            "",
        ]
    )


def _svg(shape: Shape) -> str:
    if isinstance(shape, Write):
        weight = ' font-weight="600"' if shape.bold else ""
        return (
            f'<text x="{shape.x:.1f}" y="{shape.y:.1f}" font-size="{shape.size:g}" '
            f'fill="{shape.ink}"{weight} textLength="{shape.width:.1f}" '
            f'lengthAdjust="spacingAndGlyphs">{escape(shape.text)}</text>'
        )
    if isinstance(shape, Photo):
        png = base64.b64encode(shape.png).decode("ascii")
        return (
            f'<image x="{shape.x:.1f}" y="{shape.y:.1f}" width="{shape.width:.1f}" '
            f'height="{shape.height:.1f}" href="data:image/png;base64,{png}"/>'
        )
    if isinstance(shape, Outline):
        points = "L".join(f"{x:.1f} {y:.1f}" for x, y in shape.points)
        dash = ' stroke-dasharray="5 3"' if shape.dashed else ""
        stroke = f' stroke="{shape.ink}"{dash}' if shape.line else ""
        return (
            f'<path d="M{points}Z" fill="{shape.ink}" fill-opacity="{shape.opacity:.2f}"{stroke}/>'
        )
    made = (
        f'<rect x="{shape.x:.1f}" y="{shape.y:.1f}" width="{shape.width:.1f}" '
        f'height="{shape.height:.1f}" rx="2" fill="{shape.fill}"/>'
    )
    if not shape.line:
        return made
    dash = {"solid": "", "dashed": "6 4", "dotted": "2 3"}[shape.line]
    at = shape.y + shape.height
    return (
        f'{made}<path d="M{shape.x:.1f} {at:.1f}h{shape.width:.1f}" stroke="{shape.ink}" '
        f'stroke-width="2" stroke-dasharray="{dash}"/>'
    )


def width_of(text: str, size: float, bold: bool = False) -> float:
    """Pixels of a text in a common sans serif, the same on every machine; SVG is fitted to it."""
    plain = "".join(c if c.isascii() else "n" for c in text if not _is_wide(c) and not _is_mark(c))
    # What follows a joiner, as in an emoji of a family, and a colour of skin have no width.
    pairs = zip(f" {text}", text, strict=False)
    wide = sum(_is_wide(c) and not (before == _JOINER or c in _SKINS) for before, c in pairs)
    known = float(_built_in(100).getlength(plain)) * size / 100.0
    return (known + wide * size) * (1.06 if bold else 1.0)


def drawn_width(text: str, size: float, bold: bool = False) -> float:
    """Pixels of a text as :func:`png_of` draws it, in the font of this machine that has it."""
    return float(_font(text, round(4 * size), bold).getlength(text)) / 4.0


def png_of(shapes: Sequence[Shape], width: int, height: int, scale: float = 2.0) -> bytes:
    """The picture as a PNG file, ``scale`` pixels to each unit."""
    image = Image.new("RGB", (round(width * scale), round(height * scale)), "#ffffff")
    for shape in shapes:
        _draw(image, shape, scale)
    stream = io.BytesIO()
    image.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _draw(image: Image.Image, shape: Shape, scale: float) -> None:
    draw = ImageDraw.Draw(image, "RGBA")
    if isinstance(shape, Write):
        _write(draw, shape, scale)
    elif isinstance(shape, Photo):
        with Image.open(io.BytesIO(shape.png), formats=["PNG"]) as opened:
            size = (max(1, round(shape.width * scale)), max(1, round(shape.height * scale)))
            image.paste(
                opened.convert("RGB").resize(size, Image.Resampling.NEAREST),
                (round(shape.x * scale), round(shape.y * scale)),
            )
    elif isinstance(shape, Outline):
        points = [(x * scale, y * scale) for x, y in shape.points]
        ink = _rgb(shape.ink)
        draw.polygon(points, fill=(*ink, round(255 * shape.opacity)))
        if shape.line:
            draw.line([*points, points[0]], fill=ink, width=round(scale))
    else:
        left, top = shape.x * scale, shape.y * scale
        right, bottom = left + shape.width * scale, top + shape.height * scale
        draw.rectangle((left, top, right, bottom), fill=shape.fill)
        dash, gap = {"dashed": (6, 4), "dotted": (2, 3)}.get(shape.line, (shape.width, 0))
        at = 0.0
        while shape.line and at < shape.width:
            end = min(shape.width, at + dash)
            draw.line(
                (left + at * scale, bottom, left + end * scale, bottom),
                fill=shape.ink,
                width=round(2 * scale),
            )
            at = end + gap


def _write(draw: ImageDraw.ImageDraw, shape: Write, scale: float) -> None:
    font = _font(shape.text, round(shape.size * scale), shape.bold)
    draw.text(
        (shape.x * scale, shape.y * scale), shape.text, fill=shape.ink, font=font, anchor="ls"
    )


#: Fonts of common systems, by file name, of which the first is taken that has every character.
_FONTS = (
    *("NotoSans-Regular.ttf", "DejaVuSans.ttf", "segoeui.ttf", "Arial.ttf", "arial.ttf"),
    *("NotoSansCJK-Regular.ttc", "NotoSansHebrew-Regular.ttf", "NotoSansArabic-Regular.ttf"),
    *("NotoSansDevanagari-Regular.ttf", "Arial Unicode.ttf", "PingFang.ttc", "msgothic.ttc"),
)
_BOLD = (
    "NotoSans-Bold.ttf",
    "DejaVuSans-Bold.ttf",
    "segoeuib.ttf",
    "Arial Bold.ttf",
    "arialbd.ttf",
)
#: No font has it: what stands for a missing character looks like this one.
_MISSING = "\U0010fffd"
_Font = ImageFont.FreeTypeFont


@cache
def _built_in(size: int) -> _Font:
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise OSError("this Pillow was built without FreeType")
    return font


@cache
def _opened(name: str, size: int) -> _Font | None:
    try:
        return ImageFont.truetype(name, size)
    except OSError:
        return None


@cache
def _has(name: str, character: str) -> bool:
    font = _opened(name, 32)
    return font is not None and bytes(font.getmask(character)) != bytes(font.getmask(_MISSING))


def _font(text: str, size: int, bold: bool) -> _Font:
    letters = {c for c in text if not c.isspace() and not _is_mark(c)}
    names = (*_BOLD, *_FONTS) if bold else _FONTS
    for name in names:
        found = _opened(name, size)
        if found is not None and all(_has(name, c) for c in letters):
            return found
    for name in names:  # some characters are shown as missing
        found = _opened(name, size)
        if found is not None:
            return found
    return _built_in(size)


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"


def _is_mark(character: str) -> bool:
    return unicodedata.category(character) in ("Mn", "Me", "Cf")


def _rgb(ink: str) -> tuple[int, int, int]:
    return int(ink[1:3], 16), int(ink[3:5], 16), int(ink[5:7], 16)
