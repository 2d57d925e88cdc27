"""The page's components: the picture, a line of news, and the lists of explanations.

What Python tells the page, and what the page may ask of Python. Everything goes to the page as one
JSON *text* a property: the templates are static, so nothing a user wrote becomes markup, and Gradio
never sees an object that it could take for a file. The page builds its elements with
``textContent``.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from importlib.resources import files
from itertools import count
from threading import Lock
from typing import Any, get_args

import gradio as gr
import numpy as np

from proxyspex_hf.app.errors_in_words import seconds_text
from proxyspex_hf.app.jobs import Step
from proxyspex_hf.app.source import Source
from proxyspex_hf.core.removal.best import RemovalSolution
from proxyspex_hf.errors import InputError
from proxyspex_hf.explanation import InteractionExplanation
from proxyspex_hf.hub.entries import HubEntry, is_id
from proxyspex_hf.hub.rows import content_id
from proxyspex_hf.overview import Overview, Recurring
from proxyspex_hf.record.inputs import TextKind
from proxyspex_hf.viz.index_tables import index_tables
from proxyspex_hf.viz.markup import embed_json
from proxyspex_hf.viz.page import dom_script, frame, page_data, script, style
from proxyspex_hf.viz.wording import (
    decimals_for,
    listed_effects,
    number,
    of_kind,
    r2_text,
    shortened,
    visible,
)

#: Makes equal answers differ, so that the page hears of each.
_turn = count(1)


def viewer(first: str = "") -> gr.HTML:
    """The component; ``first`` is what :func:`shown` gives for the explanation it opens on.

    Events: ``check`` (ask the model about removed features), ``sure`` (the interval of what is
    predicted without them), ``tables`` (every index), ``removals`` (best removal sets), ``save``
    (the explanation's file); each with the ``key`` of what was shown. Properties that answer them:
    ``answer``, ``interval``, ``indices``, ``removals``, ``file``. And
    ``back``, with the ``query`` of the address to go back to.
    """
    return gr.HTML(
        value=first,
        html_template=frame("<p>Opening …</p>"),
        js_on_load=f'"use strict";\n{script()}',
        apply_default_css=False,
        elem_id="explanation",
        answer="",
        interval="",
        indices="",
        removals="",
        file="",
    )


def shown(explanation: InteractionExplanation, *, source: Source, model: str | None) -> str:
    """The property ``value``: the explanation as the page shows it.

    Args:
        explanation: what to show.
        source: where it comes from: what a share link says.
        model: None where the model can be asked, else why not, in words.
    """
    key = key_of(explanation)
    return _text(
        _drawn(explanation, key) | {"key": key, "source": source.query(), "cannot_ask": model}
    )


#: What was drawn lately, by the explanation's key: most who come look at the same examples.
_lately: OrderedDict[str, dict[str, Any]] = OrderedDict()
_MOST_DRAWN = 16
_lock = Lock()


def _drawn(explanation: InteractionExplanation, key: str) -> dict[str, Any]:
    with _lock:
        found = _lately.get(key)
    if found is None:
        found = page_data(explanation.record, most_rows=None)
        with _lock:
            _lately[key] = found
            while len(_lately) > _MOST_DRAWN:
                _lately.popitem(last=False)
    return found


def answered(explanation: InteractionExplanation, removed: Sequence[int], value: float) -> str:
    """The property ``answer``: what the model itself gives without the features ``removed``."""
    return _text({"key": key_of(explanation), "removed": list(removed), "value": value})


def doubted(explanation: InteractionExplanation, removed: Sequence[int]) -> str:
    """The property ``interval``: 90% of what is predicted without the features ``removed``."""
    mask = np.ones((1, len(explanation.features)), dtype=np.bool_)
    mask[0, list(removed)] = False
    low, high = explanation.predict_interval(mask)[0].tolist()
    if not math.isfinite(low + high):
        return failed(explanation, "this explanation has no interval here.")
    data = {"key": key_of(explanation), "removed": list(removed), "low": low, "high": high}
    return _text(data)


def indexed(explanation: InteractionExplanation) -> str:
    """The property ``indices``: the tables of every index, which take a second or more."""
    tables = index_tables(explanation.record)
    return _text({"key": key_of(explanation), "tables": tables})


def removed_sets(explanation: InteractionExplanation, solutions: Sequence[RemovalSolution]) -> str:
    """The property ``removals``: the best set of each size."""
    sets = [
        {"removed": list(s.removed), "predicted": s.predicted, "proven": s.status == "optimal"}
        for s in solutions
    ]
    return _text({"key": key_of(explanation), "sets": sets})


def saved(explanation: InteractionExplanation) -> str:
    """The property ``file``: the text of the file that ``explanation.save`` writes."""
    from proxyspex_hf.record.serialize import dumps

    return _text({"key": key_of(explanation), "text": dumps(explanation.record)})


def failed(explanation: InteractionExplanation, message: str) -> str:
    """Instead of an answer: what went wrong, in words."""
    return _text({"key": key_of(explanation), "error": message})


def same(data: Any, explanation: InteractionExplanation) -> bool:
    """Whether what the page sent is about this explanation, not one shown before.

    Raises:
        InputError: it is nothing that the page sends.
    """
    if not isinstance(data, Mapping) or not isinstance(data.get("key"), str):
        raise InputError("this request does not come from the page: it names no explanation.")
    return bool(data["key"] == key_of(explanation))


def asked(data: Any, explanation: InteractionExplanation) -> tuple[int, ...]:
    """The removed features of a ``check``, ascending.

    Raises:
        InputError: not distinct indices of the explanation's features.
    """
    n = len(explanation.features)
    removed = data.get("removed") if isinstance(data, Mapping) else None
    if not isinstance(removed, list) or len(removed) > n:
        raise InputError(f"removed must be a list of at most {n} features.")
    if any(type(i) is not int or not 0 <= i < n for i in removed):
        raise InputError(f"removed must hold indices of features, from 0 to {n - 1}.")
    if len(set(removed)) != len(removed):
        raise InputError("removed must name each feature once.")
    return tuple(sorted(removed))


def key_of(explanation: InteractionExplanation) -> str:
    """What the page calls the explanation: the first digits of its id."""
    return content_id(explanation.record)[:16]


def _text(data: dict[str, Any]) -> str:
    # No "<" in it either: Gradio looks for markup in what it is given.
    return embed_json(data | {"turn": next(_turn)})


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
        js_on_load=_program("notice.js"),
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
        js_on_load=_program("listing.js"),
        apply_default_css=False,
        elem_id="listing",
    )


def listed(entries: Sequence[HubEntry]) -> str:
    """The value of a listing."""
    return embed_json([_row(entry) for entry in entries])


def _row(entry: HubEntry) -> dict[str, str]:
    strongest = listed_effects(entry.strongest, lambda words: visible(words)[:_EXCERPT])
    near = max(entry.faithfulness, default=None)
    faithful = "" if near is None else f" · R² {r2_text(near[1])} at {near[0]:.0%}"
    # Of an image with a text, a listing knows the kind of the text's features alone.
    both = "image" in entry.task and entry.text and entry.feature_kind in get_args(TextKind)
    about = (
        f"{visible(entry.created)[:10]} · {visible(entry.target)[:_EXCERPT]} of "
        f"{visible(entry.model)[:_EXCERPT]} · "
        f"{of_kind(entry.n_features, 'features' if both else entry.feature_kind)}"
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
        js_on_load=_program("recurring.js"),
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
                    "rows": _recurring_rows(rows[:_MOST_RECURRING], titles),
                }
                for label, rows in groups[:_MOST_LABELS]
            ],
        }
    )


def _recurring_rows(
    rows: Sequence[Recurring], titles: list[dict[str, str]]
) -> list[dict[str, Any]]:
    decimals = decimals_for(found.mean for found in rows)
    return [
        {
            "words": " \N{MULTIPLICATION SIGN} ".join(word[:_EXCERPT] for word in found.words),
            "count": f"{found.count:,} of {found.total:,}",
            "mean": number(found.mean, found.interval, decimals, "\N{MINUS SIGN}"),
            "examples": [titles[i] for i in found.examples],
        }
        for found in rows
    ]


def chosen(data: Any) -> str | None:
    """The id that an ``open`` of the listing names; None where it names none."""
    wanted = data.get("id") if isinstance(data, dict) else None
    return wanted if isinstance(wanted, str) and is_id(wanted) else None


def _program(name: str) -> str:
    return f'"use strict";\n{dom_script()}\n{_asset(name)}'


def _asset(name: str) -> str:
    text = (files("proxyspex_hf.app") / "assets" / name).read_text(encoding="utf-8")
    return text.replace("\r\n", "\n").strip()


#: The style sheets, for ``launch(css=...)``: the picture's, all of whose rules are within these
#: elements, and that of the page around it.
CSS = style().replace("#explanation", ":is(#explanation, #comparison)") + "\n" + _asset("page.css")
