"""The only way untrusted text enters the page: escaped, or as JSON that cannot end its script."""

from __future__ import annotations

import html
import json
from typing import Any

#: What a page cannot hold as it is becomes a visible symbol. A carriage return must be a reference,
#: as the parser would turn it into a line feed; a lone surrogate cannot be encoded.
_CONTROLS = {code: 0x2400 + code for code in range(0x20) if code not in b"\t\n\r"}
_TABLE: dict[int, int | str] = {
    **_CONTROLS,
    0x7F: 0x2421,
    0x0D: "&#13;",
    **dict.fromkeys(range(0x80, 0xA0), "\N{REPLACEMENT CHARACTER}"),
    **dict.fromkeys(range(0xD800, 0xE000), "\N{REPLACEMENT CHARACTER}"),
}


def escape(text: str) -> str:
    """``text`` for element content and for quoted attributes."""
    return html.escape(text, quote=True).translate(_TABLE)


def embed_json(data: Any) -> str:
    """``data`` for a ``<script type="application/json">``: ASCII, no ``<``, ``>`` or ``&``."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"), ensure_ascii=True)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
