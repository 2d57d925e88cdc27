"""Gradio's own parts in the colours and fonts of the picture: one design language."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.themes.utils.fonts import Font

_SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif")
#: Light and dark of each, as the picture's style sheet has them.
_PAGE, _CARD = ("#faf8f5", "#141311"), ("#ffffff", "#1d1c19")
_INK, _MUTED = ("#1d1b19", "#ece8e1"), ("#5f5a54", "#aca69d")
_LINE, _SOFT = ("#e5e0d8", "#37342f"), ("#f3f0ea", "#282622")
_FOCUS = ("#6b3fa0", "#c9a6ff")


def theme() -> Any:
    """Fonts of the reader's own system, so nothing is fetched; contrast of 4.5:1 or more."""
    base = gr.themes.Base(
        primary_hue="violet",
        neutral_hue="stone",
        radius_size="lg",
        font=[Font(name) for name in _SANS],
        font_mono=[Font("ui-monospace"), Font("DejaVu Sans Mono"), Font("monospace")],
    )
    return base.set(
        **_both("body_background_fill", _PAGE),
        **_both("background_fill_primary", _CARD),
        **_both("background_fill_secondary", _SOFT),
        **_both("body_text_color", _INK),
        **_both("body_text_color_subdued", _MUTED),
        **_both("block_background_fill", _CARD),
        **_both("block_border_color", _LINE),
        **_both("block_title_text_color", _INK),
        **_both("block_label_text_color", _MUTED),
        **_both("block_info_text_color", _MUTED),
        **_both("border_color_primary", _LINE),
        **_both("border_color_accent", _FOCUS),
        **_both("color_accent_soft", _SOFT),
        **_both("input_background_fill", _CARD),
        **_both("input_border_color", _LINE),
        **_both("input_border_color_focus", _FOCUS),
        **_both("input_placeholder_color", _MUTED),
        **_both("slider_color", _FOCUS),
        **_both("checkbox_background_color_selected", _FOCUS),
        **_both("checkbox_label_background_fill", _CARD),
        **_both("checkbox_label_border_color", _LINE),
        **_both("checkbox_label_background_fill_selected", _SOFT),
        **_both("button_primary_background_fill", _INK),
        **_both("button_primary_background_fill_hover", _MUTED),
        **_both("button_primary_text_color", _CARD),
        **_both("button_secondary_background_fill", _CARD),
        **_both("button_secondary_background_fill_hover", _SOFT),
        **_both("button_secondary_text_color", _INK),
        **_both("button_secondary_border_color", _LINE),
        **_both("button_primary_border_color", _INK),
        button_border_width="1px",
        input_border_width="1px",
        checkbox_label_border_width="1px",
        block_border_width="1px",
        block_shadow="none",
        input_shadow="none",
        button_primary_shadow="none",
        button_secondary_shadow="none",
    )


def _both(name: str, colors: tuple[str, str]) -> dict[str, str]:
    return {name: colors[0], f"{name}_dark": colors[1]}
