"""The picture as a component: what Python tells the page, and what the page may ask of Python.

Everything goes to the page as one JSON *text* a property: the template is static, so nothing a
user wrote becomes markup, and Gradio never sees an object that it could take for a file. The
page builds its elements with ``textContent``.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import count
from threading import Lock
from typing import Any

import gradio as gr
import numpy as np

from proxyspex_hf.app.source import Source
from proxyspex_hf.core.removal import RemovalSolution
from proxyspex_hf.errors import InputError
from proxyspex_hf.explanation import InteractionExplanation
from proxyspex_hf.hub.rows import content_id
from proxyspex_hf.viz.index_tables import index_tables
from proxyspex_hf.viz.markup import embed_json
from proxyspex_hf.viz.page import frame, page_data, script, style

__all__ = [
    "CSS",
    "answered",
    "asked",
    "doubted",
    "failed",
    "indexed",
    "key_of",
    "removed_sets",
    "same",
    "saved",
    "shown",
    "viewer",
]

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
    from proxyspex_hf.serialize import dumps

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


#: The style sheet, for ``launch(css=...)``: all of its rules are within these elements.
CSS = style().replace("#explanation", ":is(#explanation, #comparison)")
