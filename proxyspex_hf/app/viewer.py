"""The picture as a component: what Python tells the page, and what the page may ask of Python.

Everything goes to the page as one JSON *text* a property: the template is static, so nothing a
stranger wrote becomes markup, and Gradio never sees an object that it could take for a file. The
page builds its elements with ``textContent``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from itertools import count
from typing import Any

import gradio as gr

from proxyspex_hf.app.source import Source
from proxyspex_hf.core.removal import RemovalSolution
from proxyspex_hf.errors import InputError
from proxyspex_hf.explanation import InteractionExplanation
from proxyspex_hf.hub.rows import content_id
from proxyspex_hf.viz.markup import embed_json
from proxyspex_hf.viz.view import view

__all__ = [
    "CSS",
    "answered",
    "asked",
    "failed",
    "key_of",
    "removed_sets",
    "same",
    "saved",
    "shown",
    "viewer",
]

_SCRIPTS = ("dom", "model", "reading", "ranking", "whatif", "details", "plots", "main")
#: Makes equal answers differ, so that the page hears of each.
_turn = count(1)


def viewer(first: str = "") -> gr.HTML:
    """The component; ``first`` is what :func:`shown` gives for the explanation it opens on.

    Events: ``check`` (ask the model about removed features), ``removals`` (best removal sets),
    ``save`` (the explanation's file); each with the ``key`` of what was shown. Properties that
    answer them: ``answer``, ``removals``, ``file``.
    """
    script = "\n".join(_asset(f"{name}.js") for name in _SCRIPTS)
    return gr.HTML(
        value=first,
        html_template=_asset("viewer.html"),
        js_on_load=f'"use strict";\nconst EVENTS = ["check", "removals", "save"];\n{script}',
        apply_default_css=False,
        elem_id="explanation",
        answer="",
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
    return _text(
        view(explanation.record)
        | {"key": key_of(explanation), "source": source.query(), "cannot_ask": model}
    )


def answered(explanation: InteractionExplanation, removed: Sequence[int], value: float) -> str:
    """The property ``answer``: what the model itself gives without the features ``removed``."""
    return _text({"key": key_of(explanation), "removed": list(removed), "value": value})


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


@cache
def _asset(name: str) -> str:
    text = (files("proxyspex_hf.app") / "assets" / name).read_text(encoding="utf-8")
    return text.replace("\r\n", "\n")


#: The style sheet, for ``launch(css=...)``: all of its rules are within ``#explanation``.
CSS = _asset("viewer.css")
