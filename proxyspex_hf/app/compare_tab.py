"""Two explanations beside each other: which, resolved, shown in a tab, named in the address."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files

import gradio as gr

from proxyspex_hf.app.components import notice
from proxyspex_hf.app.session import Session
from proxyspex_hf.app.source import Pair, Source
from proxyspex_hf.comparison import check_comparable, compare
from proxyspex_hf.errors import InputError
from proxyspex_hf.explanation import InteractionExplanation
from proxyspex_hf.viz.markup import embed_json
from proxyspex_hf.viz.page import dom_script, frame
from proxyspex_hf.viz.wording import visible

BESIDE = "beside"
#: Characters of an input by which it is called in a table's head, and words of it that stand before
#: those in which two differ.
_NAME, _BEFORE = 32, 2
_HOW = (
    "Nothing is compared yet. Explain an input, change a word, and explain it again: “Compare with "
    "the one before” then stands above the picture. Or tick two explanations of a data set in "
    "“From the Hub”."
)

#: What a source names -> its explanation.
Resolve = Callable[[Source], InteractionExplanation]


class Beside:
    """The tab's components, of which other tabs know before they are laid out.

    Attributes:
        news: what went wrong.
        view: both stories and what differs; one JSON text, as of the picture.
    """

    def __init__(self) -> None:
        self.news = notice("beside-news", render=False)
        self.view = gr.HTML(
            value="",
            html_template=frame(f'<p class="fine">{_HOW}</p>'),
            js_on_load=f'"use strict";\n{dom_script()}\n{_asset("beside.js")}',
            apply_default_css=False,
            elem_id="comparison",
            render=False,
        )

    def lay_out(self) -> None:
        """Put them where the page is now."""
        self.news.render()  # type: ignore[no-untyped-call]
        self.view.render()  # type: ignore[no-untyped-call]


def before_button() -> gr.Button:
    """Above the picture, while something comparable was shown before."""
    return gr.Button(
        "Compare with the one before", size="sm", visible=False, elem_id="compare-before"
    )


def can_compare(session: Session) -> bool:
    """Whether what is shown can be compared with what was shown before."""
    if session.before is None or not Pair(session.before.source, session.source).query():
        return False
    try:
        check_comparable(session.before.explanation, session.explanation)
    except InputError:
        return False
    return True


def pair_data(pair: Pair, resolve: Resolve) -> str:
    """The value of the tab's view.

    Raises:
        InputError, HubError, SchemaError: one of the two cannot be read, or they are of
            different kinds.
    """
    first, second = resolve(pair.first), resolve(pair.second)
    found = compare(first, second, _names(first, second))
    return embed_json(found.page_data() | {"query": pair.query()})


def _names(first: InteractionExplanation, second: InteractionExplanation) -> tuple[str, str]:
    """By what tells them apart: their inputs where these begin to differ, else their models."""
    texts = [visible(each.text).split() for each in (first, second)]
    pairs = enumerate(zip(*texts, strict=False))
    same = next((i for i, (one, other) in pairs if one != other), min(map(len, texts)))
    models = [visible(each.record.provenance.model).split() for each in (first, second)]
    for words, start in ((texts, max(0, same - _BEFORE)), (models, 0)):
        names = [_excerpt(each, start) for each in words]
        if names[0] != names[1] and all(names):
            return names[0], names[1]
    return "The one before", "this one"


def _excerpt(words: list[str], start: int) -> str:
    """Some words from ``start`` on, with ellipses for the others."""
    plain = " ".join(words[start:])
    if len(plain) > _NAME:
        plain = f"{plain[: _NAME - 1].rstrip()}…"
    return f"…{plain}" if start else plain


def _asset(name: str) -> str:
    text = (files("proxyspex_hf.app") / "assets" / name).read_text(encoding="utf-8")
    return text.replace("\r\n", "\n").strip()
