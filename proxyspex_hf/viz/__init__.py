"""Pictures of an explanation: a record in, a page or a text out."""

from __future__ import annotations

from proxyspex_hf.viz.bars import render_svg
from proxyspex_hf.viz.page import render_html, render_notebook
from proxyspex_hf.viz.picture import render_picture, render_picture_png
from proxyspex_hf.viz.text import render_text

__all__ = [
    "render_html",
    "render_notebook",
    "render_picture",
    "render_picture_png",
    "render_svg",
    "render_text",
]
