"""What the page's address asks for: an explanation, two beside each other, a run."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import gradio as gr

from proxyspex_hf.app.components import error, found_again, said
from proxyspex_hf.app.errors_in_words import in_words
from proxyspex_hf.app.hub_tab import QUIETLY, Shelf, resolved
from proxyspex_hf.app.session import Session
from proxyspex_hf.app.source import Pair, Source
from proxyspex_hf.app.state import EXPLORE, HUB, Shared
from proxyspex_hf.errors import InputError

#: Characters of an address's query; ours have a few hundred at most.
_MOST_QUERY = 2000


def open_link(shared: Shared, tab: Shelf, demo: gr.Blocks) -> None:
    """Show what the page's address asks for, when it is opened and on the way back."""

    def load(session: Session, request: gr.Request, token: gr.OAuthToken | None) -> dict[Any, Any]:
        query = dict(request.query_params)
        updates = opened(session, query, token)
        if "run" not in query:
            return updates
        try:
            run = shared.house.underway.find(query["run"], str(request.session_hash))
        except InputError as problem:
            return {**updates, shared.news: error(in_words(problem), run="")}
        return {**updates, shared.news: found_again(run.name)}

    def back(session: Session, event: gr.EventData, token: gr.OAuthToken | None) -> dict[Any, Any]:
        data = event._data
        query = data.get("query") if isinstance(data, dict) else None
        if not isinstance(query, str) or len(query) > _MOST_QUERY:
            return {shared.news: error("This address names nothing that can be opened.")}
        # Shown already it may be, and under another tab.
        selected = {shared.tabs: gr.Tabs(selected=EXPLORE)}
        return selected | opened(session, dict(parse_qsl(query)), token)

    def opened(
        session: Session, query: dict[str, str], token: gr.OAuthToken | None
    ) -> dict[Any, Any]:
        try:
            pair, source = Pair.from_query(query), Source.from_query(query)
            if pair is not None:
                return shared.show_beside(pair, lambda each: resolved(shared, each, token)[1])
            if source is None:
                return {shared.news: ""}
            if source == session.source:  # shown already
                return {shared.news: ""}
            if source.kind != "hub" or source.id:
                return shared.show(session.showing(*resolved(shared, source, token)))
        except Exception as problem:  # noqa: BLE001 - whatever it is, the page says it in words
            return {shared.news: error(in_words(problem))}
        return {
            shared.tabs: gr.Tabs(selected=HUB),
            tab.repo: source.repo_id,
            tab.config: source.config_name,
            tab.revision: source.revision or "",
            tab.news: said("Press Look to see what this data set holds."),
        }

    outputs = [*shared.outputs, *(shared.beside.view, shared.beside.news)]
    outputs += [tab.repo, tab.config, tab.revision, tab.news]
    demo.load(load, shared.session, outputs, **QUIETLY)
    shared.view.back(back, shared.session, outputs, **QUIETLY)
