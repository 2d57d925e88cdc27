"""The third tab: data sets of explanations on the Hub, read by anyone, added to by their owners."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import gradio as gr
from gradio.utils import get_space

from proxyspex_hf.app.components import (
    chosen,
    done,
    error,
    listed,
    listing,
    notice,
    recurred,
    recurring,
)
from proxyspex_hf.app.errors_in_words import in_words
from proxyspex_hf.app.examples import load_example
from proxyspex_hf.app.session import Session
from proxyspex_hf.app.source import Pair, Source
from proxyspex_hf.app.state import Shared
from proxyspex_hf.errors import InputError
from proxyspex_hf.explanation import InteractionExplanation
from proxyspex_hf.hub.push import push as push_records
from proxyspex_hf.hub.rows import content_id
from proxyspex_hf.hub.tables import within_a_click
from proxyspex_hf.overview import hub_summary
from proxyspex_hf.viz.wording import visible

#: Explanations that are summarized on the page, from their columns: two seconds.
_MOST_SUMMARIZED = 5_000
_LIMIT: dict[str, Any] = {
    "show_progress": "minimal",
    "concurrency_limit": 4,
    "concurrency_id": "hub",
    "api_visibility": "private",
}

#: The same for what nobody pressed a button for.
QUIETLY = {**_LIMIT, "show_progress": "hidden"}


class Shelf:
    """The tab's components, laid out.

    Attributes:
        repo, config, revision: the data set, the collection in it, and its version.
        list: shows what it holds.
        found: what it holds.
        sum: summarizes it.
        recurring: which words and combinations recur in it.
        news: what came of it.
    """

    def __init__(self, sign_in: bool) -> None:
        with gr.Row():
            with gr.Column(scale=3, min_width=320):
                with gr.Row(equal_height=True):
                    self.repo = gr.Textbox(
                        label="Data set on the Hub",
                        placeholder="owner/name",
                        scale=4,
                        elem_id="repo",
                    )
                    self.list = gr.Button("Look", scale=1, min_width=80, elem_id="look")
                    self.sum = gr.Button("What recurs", scale=1, min_width=110, elem_id="recurs")
                with gr.Accordion("Collection and revision", open=False), gr.Row():
                    self.config = gr.Textbox("explanations", label="Collection")
                    self.revision = gr.Textbox(label="Revision (empty: the newest)")
                self.news = notice("hub-news")
                self.found = listing()
                self.recurring = recurring()
            with gr.Column(scale=2, min_width=280):
                gr.Markdown("### Add the shown explanation to a data set")
                if sign_in:
                    gr.LoginButton(elem_id="login")
                self.to = gr.Textbox(label="To", placeholder="owner/name", elem_id="to")
                self.private = gr.Checkbox(label="Private, if it is made now")
                self.push = gr.Button("Push", elem_id="push")
                self.pushed = notice("push-news")


def shelf(shared: Shared) -> Shelf:
    """Lay the tab out and wire it."""
    signs_in = shared.settings.account == "person" and _oauth_is_set_up()
    tab = Shelf(signs_in)

    def look(repo: str, config: str, revision: str, token: gr.OAuthToken | None) -> tuple[str, str]:
        try:
            where = _place(repo, config, revision)
            with within_a_click():
                entries = InteractionExplanation.list_hub(
                    where.repo_id,
                    config_name=where.config_name,
                    revision=where.revision,
                    token=token_of(shared, token),
                )
        except Exception as problem:  # noqa: BLE001 - whatever it is, the page says it in words
            return "[]", error(in_words(problem))
        return listed(entries), ""

    def recur(
        repo: str, config: str, revision: str, token: gr.OAuthToken | None
    ) -> tuple[str, str]:
        try:
            where = _place(repo, config, revision)
            with within_a_click():
                found = hub_summary(
                    where.repo_id,
                    config_name=where.config_name,
                    revision=where.revision,
                    token=token_of(shared, token),
                    most=_MOST_SUMMARIZED,
                )
        except Exception as problem:  # noqa: BLE001 - whatever it is, the page says it in words
            return "", error(in_words(problem))
        kind = visible(found.summarized[0].kind)
        about = f"In {len(found.summarized):,} explanations, mean effects in {kind}, ± 90%."
        return recurred(found, f"{about} {found.note}".strip()), ""

    def open_one(
        session: Session,
        repo: str,
        config: str,
        revision: str,
        event: gr.EventData,
        token: gr.OAuthToken | None,
    ) -> dict[Any, Any]:
        wanted = chosen(event._data)
        if wanted is None:
            return {tab.news: error("This explanation is not in the list: choose one that is.")}
        try:
            source = replace(_place(repo, config, revision), id=wanted)
            source, made = resolved(shared, source, token)
            return {**shared.show(session.showing(source, made)), tab.news: ""}
        except Exception as problem:  # noqa: BLE001 - whatever it is, the page says it in words
            return {tab.news: error(in_words(problem))}

    def pick_two(
        repo: str, config: str, revision: str, event: gr.EventData, token: gr.OAuthToken | None
    ) -> dict[Any, Any]:
        data = event._data if isinstance(event._data, dict) else {}
        wanted = [chosen({"id": each}) for each in list(data.get("ids") or ())[:2]]
        try:
            place = _place(repo, config, revision)
            first, second = (replace(place, id=each or "") for each in wanted)
            pair = Pair(first, second)
            shown = shared.show_beside(pair, lambda source: resolved(shared, source, token)[1])
            return {**shown, tab.news: ""}
        except ValueError:
            return {tab.news: error("These are not two explanations of the list: tick two of it.")}
        except Exception as problem:  # noqa: BLE001 - whatever it is, the page says it in words
            return {tab.news: error(in_words(problem))}

    def push(session: Session, repo: str, private: bool, token: gr.OAuthToken | None) -> str:
        if token_of(shared, token) is False:
            can = "sign in above first" if signs_in else "this app has no sign-in"
            return error(f"Pushing needs your own account: {can}.")
        try:
            where = _place(repo, "explanations", "")
            with within_a_click():
                result = push_records(
                    [session.explanation.record],
                    where.repo_id,
                    private=True if private else None,
                    token=token_of(shared, token),
                    # A visitor's explanation does not stay on the disk of whoever runs the app.
                    keep=shared.settings.account == "machine",
                )
        except Exception as problem:  # noqa: BLE001 - whatever it is, the page says it in words
            return error(in_words(problem))
        link = Source("hub", repo_id=result.repo_id, id=result.ids[0]).query()
        links = [{"text": "the link that opens it here", "query": link}]
        links.append({"text": "the commit", "url": result.url})
        return done("Pushed." if result.added else "It is there already.", links)

    inputs = [tab.repo, tab.config, tab.revision]
    gr.on([tab.list.click, tab.repo.submit], look, inputs, [tab.found, tab.news], **_LIMIT)
    tab.sum.click(recur, inputs, [tab.recurring, tab.news], **_LIMIT)
    tab.recurring.open(open_one, [shared.session, *inputs], [*shared.outputs, tab.news], **_LIMIT)
    tab.found.open(open_one, [shared.session, *inputs], [*shared.outputs, tab.news], **_LIMIT)
    tab.found.compare(pick_two, inputs, [*shared.beside_outputs, tab.news], **_LIMIT)
    tab.push.click(push, [shared.session, tab.to, tab.private], tab.pushed, **_LIMIT)
    return tab


def resolved(
    shared: Shared, source: Source, token: gr.OAuthToken | None
) -> tuple[Source, InteractionExplanation]:
    """What a source names, and the source with its whole id.

    Raises:
        InputError, HubError, SchemaError: there is none, or it is not kept any more.
    """
    if source.kind == "example":
        return source, load_example(source.name)
    if source.kind == "own":
        return source, shared.house.kept.get(source.name)
    with within_a_click():
        made = InteractionExplanation.from_hub(
            source.repo_id,
            source.id or None,
            config_name=source.config_name,
            revision=source.revision,
            token=token_of(shared, token),
        )
    return replace(source, id=content_id(made.record)), made


def _place(repo: str, config: str, revision: str) -> Source:
    """The data set that the form names.

    Raises:
        InputError: none, or a name that none can have.
    """
    if not str(repo or "").strip():
        raise InputError("no data set is named: write owner/name.")
    named = {"dataset": str(repo).strip(), "config": str(config or "explanations").strip()}
    if str(revision or "").strip():
        named["revision"] = str(revision).strip()
    try:
        found = Source.from_query(named)
    except InputError as problem:
        raise InputError(str(problem).replace("the link's ", "the ")) from None
    if found is None:
        raise InputError("no data set is named: write owner/name.")
    return found


def token_of(shared: Shared, token: gr.OAuthToken | None) -> str | bool | None:
    """Whose token, as the Hub's client takes it: False is nobody's, None is this machine's."""
    if shared.settings.account == "machine":
        return None
    if shared.settings.account == "nobody" or token is None:
        return False
    return token.token


def _oauth_is_set_up() -> bool:
    return get_space() is not None and "OAUTH_CLIENT_ID" in os.environ
