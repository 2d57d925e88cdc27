"""The small components around the picture: a line of news, and a list of explanations.

As in :mod:`proxyspex_hf.app.viewer`, everything goes to the page as one JSON text, and the page
makes text nodes of it: untrusted text cannot become markup or a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import gradio as gr

from proxyspex_hf.app.jobs import Step
from proxyspex_hf.app.wording import seconds_text
from proxyspex_hf.hub.entries import HubEntry, is_id
from proxyspex_hf.overview import Overview, Recurring
from proxyspex_hf.viz.markup import embed_json
from proxyspex_hf.viz.wording import number, r2_text, shortened, signed, visible

__all__ = [
    "CSS",
    "chosen",
    "done",
    "error",
    "found_again",
    "listed",
    "listing",
    "notice",
    "recurred",
    "recurring",
    "said",
    "step",
]

_EXCERPT = 160
#: Rows of what recurs, and labels that have a list of their own.
_MOST_RECURRING, _MOST_LABELS = 60, 20


def notice(name: str, *, render: bool = True) -> gr.HTML:
    """A line that says what is going on; ``name`` is its element's id.

    The run that its news name is kept in the address. Told of one that is :func:`found_again`,
    its event ``attach`` carries that ``run``.
    """
    return gr.HTML(
        value="",
        html_template=_asset("notice.html"),
        js_on_load=_asset("notice.js"),
        apply_default_css=False,
        elem_id=name,
        render=render,
    )


def said(text: str, run: str | None = None) -> str:
    """The value of a notice: plain news.

    Args:
        run: the name for the address; empty where none belongs there any more, None leaves it.
    """
    return embed_json({"kind": "said" if text else "", "text": text, "run": run})


def error(text: str, run: str | None = None) -> str:
    """Something that did not work; ``run`` as for :func:`said`."""
    return embed_json({"kind": "error", "text": text, "run": run})


def done(text: str, links: Sequence[dict[str, str]] = ()) -> str:
    """Something that worked; links have ``text``, and ``query`` (of this page) or ``url``."""
    return embed_json({"kind": "done", "text": text, "links": list(links)})


def found_again(run: str) -> str:
    """The page's address names a run of its visitor's."""
    return embed_json({"kind": "", "attach": run})


def step(now: Step, run: str | None = None) -> str:
    """Where a running job stands; ``run`` as for :func:`said`."""
    count = f" {now.done:,} of {now.total:,}" if now.total > 1 else ""
    # What takes no time is not news.
    left = now.eta if now.eta is not None and now.eta >= 1 else None
    rest = "" if left is None else f", {seconds_text(left)} left"
    phase = now.phase[:1].upper() + now.phase[1:]
    return embed_json(
        {
            "kind": "step",
            "run": run,
            "phase": phase,
            "text": f"{phase}{count}{rest}",
            "done": now.done if now.total > 1 else 0,
            "total": now.total if now.total > 1 else 0,
        }
    )


def listing() -> gr.HTML:
    """The explanations of a data set; its event ``open`` carries the ``id`` of one, ``compare`` the
    ``ids`` of the two that were ticked."""
    return gr.HTML(
        value="[]",
        html_template=_asset("listing.html"),
        js_on_load=_asset("listing.js"),
        apply_default_css=False,
        elem_id="listing",
    )


def listed(entries: Sequence[HubEntry]) -> str:
    """The value of a listing."""
    return embed_json([_row(entry) for entry in entries])


def _row(entry: HubEntry) -> dict[str, str]:
    strongest = ", ".join(
        f"{visible(words)[:_EXCERPT]} {signed(effect, 2)}" for words, effect in entry.strongest
    )
    near = max(entry.faithfulness, default=None)
    faithful = "" if near is None else f" · R² {r2_text(near[1])} at {near[0]:.0%}"
    about = (
        f"{visible(entry.created)[:10]} · {visible(entry.target)[:_EXCERPT]} of "
        f"{visible(entry.model)[:_EXCERPT]} · {entry.n_features} {visible(entry.feature_kind)}"
    )
    return {
        "id": entry.id,
        "title": shortened(visible(entry.text or entry.task), _EXCERPT),
        "strongest": strongest or "no effect can be told from zero",
        "about": f"{about}{faithful}",
    }


def recurring() -> gr.HTML:
    """What recurs in a data set; its event ``open`` carries the ``id`` of one explanation."""
    return gr.HTML(
        value="",
        html_template=_asset("listing.html"),
        js_on_load=_asset("recurring.js"),
        apply_default_css=False,
        elem_id="recurring",
    )


def recurred(overview: Overview, about: str) -> str:
    """The value of what recurs in a data set: for all labels together, and for each."""
    titles = [
        {"id": each.id, "title": shortened(visible(each.title), _EXCERPT)}
        for each in overview.summarized
    ]
    groups = [("", overview.recurring)]
    if len(overview.by_label) > 1:
        groups += list(overview.by_label.items())
    return embed_json(
        {
            "about": about,
            "groups": [
                {
                    "label": visible(label)[:_EXCERPT] if label else "",
                    "rows": [_recurring_row(found, titles) for found in rows[:_MOST_RECURRING]],
                }
                for label, rows in groups[:_MOST_LABELS]
            ],
        }
    )


def _recurring_row(found: Recurring, titles: list[dict[str, str]]) -> dict[str, Any]:
    return {
        "words": " \N{MULTIPLICATION SIGN} ".join(word[:_EXCERPT] for word in found.words),
        "count": f"{found.count:,} of {found.total:,}",
        "mean": number(found.mean, found.interval, 2, "\N{MINUS SIGN}"),
        "examples": [titles[i] for i in found.examples],
    }


def chosen(data: Any) -> str | None:
    """The id that an ``open`` of the listing names; None where it names none."""
    wanted = data.get("id") if isinstance(data, dict) else None
    return wanted if isinstance(wanted, str) and is_id(wanted) else None


def _asset(name: str) -> str:
    text = (files("proxyspex_hf.app") / "assets" / name).read_text(encoding="utf-8")
    return text.replace("\r\n", "\n").strip()


#: The style sheet of the page around the picture.
CSS = _asset("page.css")
