"""One explanation as one page, for two hosts: a file that stands alone, and the app.

Both run the same style and scripts on the same JSON (:mod:`proxyspex_hf.viz.view`). The file's
markup says text, verdict and list without scripts, and asks nothing of any network. The text, the
labels, the names and the notes are untrusted: they enter escaped, or as text nodes, and a content
security policy admits only the package's own style and script, by their hashes.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import math
from functools import cache
from importlib.resources import files
from string import Template
from typing import Any

from proxyspex_hf.errors import InputError
from proxyspex_hf.record.record import ExplanationRecord
from proxyspex_hf.viz.doubt import doubt_data
from proxyspex_hf.viz.markup import embed_json, escape
from proxyspex_hf.viz.picture import render_picture
from proxyspex_hf.viz.static import static_page
from proxyspex_hf.viz.view import view
from proxyspex_hf.viz.wording import visible

#: In this order they are one program.
_SCRIPTS = (
    *("dom", "model", "doubt", "verdict", "reading", "together", "whatif", "ranking", "plots"),
    *("picture", "details", "main"),
)
#: Rows of each index in a notebook, where a cell must stay small, and bytes of masks and weights,
#: which do not pack: of a short text's few hundred masks.
_NOTEBOOK_ROWS, _NOTEBOOK_DOUBT = 30, 8_000


def render_html(record: ExplanationRecord, *, top: int = 30) -> str:
    """The page as one self-contained HTML file.

    Args:
        record: what to show.
        top: effects of the list that is read without scripts.

    Raises:
        InputError: ``top`` is below one.
    """
    if top < 1:
        raise InputError(f"top must be at least 1, got {top}.")
    data = {**page_data(record), "doubt": doubt_data(record)}
    alone = f"{_asset('file.js')}\n{script()}\n}})();"
    return _page(
        record,
        policy=_policy(alone),
        style=f"<style>{style()}</style>",
        frame=frame(static_page(record, data, top)),
        script=f'<script type="application/json" id="data">{embed_json(data)}</script>\n'
        f"<script>{alone}</script>",
    )


def render_notebook(record: ExplanationRecord, *, top: int = 10) -> str:
    """The same page in a sandboxed frame, for a notebook's ``_repr_html_``.

    Its style, script and data are packed, so that a cell stays small. Where a viewer strips frames
    and styles from notebooks, what is read without scripts is left.
    """
    data = page_data(record, most_rows=_NOTEBOOK_ROWS)
    data["doubt"] = doubt_data(record, most_bytes=_NOTEBOOK_DOUBT)
    static = static_page(record, data, top)
    alone = f"{_asset('file.js')}\n{script()}\n}})();"
    packed = json.dumps({"style": style(), "script": alone, "data": embed_json(data)})
    body = base64.b64encode(gzip.compress(packed.encode(), 9, mtime=0)).decode()
    page = _page(
        record,
        policy=_policy(alone, _asset("unpack.js")),
        style="",
        frame=frame("Opening …"),
        script=f'<script type="text/plain" id="packed">{body}</script>\n'
        f"<script>{_asset('unpack.js')}</script>",
    )
    # ASCII: the frame reads the same whatever encoding a notebook is exported in.
    inner = html.escape(page, quote=True).encode("ascii", "xmlcharrefreplace").decode("ascii")
    plain = static.encode("ascii", "xmlcharrefreplace").decode("ascii")
    lines = math.ceil(len(record.text) / 70) + record.text.count("\n")
    height = min(900, max(640, 460 + 32 * lines + (380 if record.picture else 0)))
    return (
        "<style>.psx-plain{display:none}</style>"
        f'<iframe srcdoc="{inner}" sandbox="allow-scripts allow-downloads allow-modals" '
        f'title="Explanation" width="100%" height="{height}" frameborder="0"></iframe>'
        f'<div class="psx-plain">{plain}</div>'
    )


def plain_page(title: str, body: str) -> str:
    """A page without scripts in the same style.

    Args:
        title: untrusted; it is escaped here.
        body: markup of ours, in which everything untrusted went through :func:`escape`.
    """
    policy = f"default-src 'none'; style-src '{_hash(style())}'; img-src data:; base-uri 'none'"
    return Template(_asset("page.html")).substitute(
        policy=policy,
        title=escape(visible(title)),
        style=f"<style>{style()}</style>",
        frame=frame(body),
        script="",
    )


def page_data(record: ExplanationRecord, **limits: Any) -> dict[str, Any]:
    """What both hosts give to the page's scripts, as plain JSON."""
    data, image = view(record, **limits), render_picture(record)
    if data["picture"] is not None:  # once is enough: the scripts put it in its place
        image = image.replace(f';base64,{data["picture"]["png"]}"', ';base64,@png@"')
    return {**data, "image": image}


def frame(page: str = "") -> str:
    """The page's empty element, or with markup of ours in it."""
    return Template(_asset("frame.html")).substitute(page=page).strip()


@cache
def script() -> str:
    """The page's program. It needs ``element``, ``props``, ``trigger`` and ``watch`` around it."""
    return "\n".join(_asset(f"{name}.js") for name in _SCRIPTS)


@cache
def dom_script() -> str:
    """What makes elements of text, for a page of another host's own."""
    return _asset("dom.js")


@cache
def style() -> str:
    """The style sheet: all of its rules are within ``#explanation``, but for those of print."""
    return _asset("story.css")


def _page(record: ExplanationRecord, **pieces: str) -> str:
    title = f"{visible(record.target.label)}: why? {visible(record.text[:80] or record.task)}"
    return Template(_asset("page.html")).substitute(pieces, title=escape(title))


def _policy(*scripts: str) -> str:
    admitted = " ".join(f"'{_hash(text)}'" for text in scripts)
    return (
        f"default-src 'none'; script-src {admitted}; style-src '{_hash(style())}'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


@cache
def _asset(name: str) -> str:
    text = (files("proxyspex_hf.viz") / "assets" / name).read_text(encoding="utf-8")
    return text.replace("\r\n", "\n")


@cache
def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
