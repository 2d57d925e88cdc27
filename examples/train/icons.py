"""The icons that pictures are composed of: Noto Color Emoji, by their names in Unicode."""

from __future__ import annotations

import unicodedata
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

#: Where Debian's fonts-noto-color-emoji puts the font (OFL 1.1; its images Apache 2.0).
FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
#: The only size that the font's bitmaps have.
_FONT_SIZE = 109
#: Edges in pixels at which icons are placed.
EDGES = (32, 48, 64)

_THINGS = (
    "🐕🐈🐎🐄🐖🐑🐘🐒🐓🐧🐢🐍🐌🐙🐝🐟🐬🐋🐊🐅🐇🐉🐜🕷🐸🐼🐻🦁🦊🦄🦒🦓🦋🦉🦆🦀🦚🦩"
    "🍎🍏🍌🍇🍉🍋🍍🍐🍒🍓🥑🥕🥦🍅🍆🍄🍞🥐🥨🥚🍔🍟🌭🌮🍩🎂🍭🌲🌴🌵🌷🌹🌻🍁"
    "☁🌈❄🌙☂☃🔥💧🌋🌟🚗🚕🚌🚒🚜🚲✈🚀⛵🚢🚂🛸⚓🔑🔒🔔🔨🪑🚪🧹📷📺📱⏰🔭💎👑👓👔👖👗🎩🎸🎺🎈🎁🏆⚽🏈🎲🧸🤖👻💀✏📎💣🧲⛺🎡"
)
_COLOURED = "💙💚💛💜🖤🔴🔵🟡🟢🟥🟦🟨🟩📗📘📙"
ICONS = tuple(_THINGS + _COLOURED)
#: Never seen in training, though other things of their colour and other colours of them are.
UNSEEN = tuple("💚🔵🟨📗")

_WITHOUT_ARTICLE = frozenset(
    ("bread", "broccoli", "cherries", "eyeglasses", "fire", "french fries", "grapes", "jeans")
)


def name_of(icon: str) -> str:
    """An icon's name in Unicode, without the words that only tell glyphs apart."""
    words = unicodedata.name(icon).lower().split()
    return " ".join(word for word in words if word not in ("face", "large"))


NAMES = tuple(name_of(icon) for icon in ICONS)


def phrase_of(name: str) -> str:
    """The name with its article: "a dog", "an owl", "grapes"."""
    if name in _WITHOUT_ARTICLE:
        return name
    return f"{'an' if name[0] in 'aeiou' and name != 'unicorn' else 'a'} {name}"


@cache
def drawings() -> dict[int, np.ndarray]:
    """Every icon at every edge: {edge: (icons, edge, edge, 4) of uint8, alpha last}."""
    if not FONT.is_file():
        raise SystemExit(f"there is no {FONT}: install Debian's fonts-noto-color-emoji")
    font = ImageFont.truetype(str(FONT), _FONT_SIZE)
    whole = [_drawn(icon, font) for icon in ICONS]
    return {
        edge: np.stack([np.asarray(each.resize((edge, edge), _SMOOTH)) for each in whole])
        for edge in EDGES
    }


_SMOOTH = Image.Resampling.LANCZOS


def _drawn(icon: str, font: ImageFont.FreeTypeFont) -> Image.Image:
    """One icon, cut to its ink and centred on a square."""
    sheet = Image.new("RGBA", (160, 160))
    ImageDraw.Draw(sheet).text((8, 8), icon, font=font, embedded_color=True)
    box = sheet.getbbox()
    if box is None:
        raise SystemExit(f"the font draws nothing for {icon!r}")
    ink = sheet.crop(box)
    edge = max(ink.size)
    square = Image.new("RGBA", (edge, edge))
    square.paste(ink, ((edge - ink.width) // 2, (edge - ink.height) // 2))
    return square
