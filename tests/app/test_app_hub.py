"""The app and a Hub on loopback: browsing, opening, links, pushing, and what goes wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from hub_server import HubServer
from hub_server.clients import point_to
from record_factory import make_record, review_record

from proxyspex_hf import InteractionExplanation, push_explanations
from proxyspex_hf.app.folders import Folders
from proxyspex_hf.app.page import build
from proxyspex_hf.app.session import Session
from proxyspex_hf.hub.outbox import outbox_home
from proxyspex_hf.hub.rows import content_id
from proxyspex_hf.overview import explanations_summary

Visit = Callable[..., Any]
REPO = "me/explanations"
#: What a stranger's row may say; each would be run where a text is taken for markup or code.
PAYLOADS = [
    "<img src=x onerror='window.pwned=1'>",
    "<script>window.pwned=1</script>",
    "<svg onload=window.pwned=1>",
    "[x](javascript:window.pwned=1)",
    "![x](x' onerror='window.pwned=1)",
    "{{value.constructor.constructor('window.pwned=1')()}}",
    "${window.pwned=1}",
    "`${window.pwned=1}`",
    "</script><script>window.pwned=1</script>",
    "</textarea><img src=x onerror=window.pwned=1>",
    "'><iframe srcdoc='<script>parent.window.pwned=1</script>'>",
    "<a href='javascript:window.pwned=1'>x</a>",
    "<details open ontoggle=window.pwned=1>",
    "<style>@import 'http://127.0.0.1:1/x'</style>",
    "$$\\href{javascript:window.pwned=1}{x}$$",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=window.pwned=1>",
    "\u202e<b onmouseover=window.pwned=1>\x1b[31m",
    '{"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}',
]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    with pytest.MonkeyPatch.context() as patch, HubServer() as server:
        server.add_user("hf_me", "me")
        server.add_user("hf_you", "you")
        point_to(server, patch, tmp_path_factory.mktemp("home"))
        push_explanations(
            [
                InteractionExplanation(review_record()),
                *(
                    InteractionExplanation(make_record(f"{name} is not a bad film", seed=i))
                    for i, name in enumerate(("Anna", "Bodil", "Clara", "Dora"))
                ),
            ],
            REPO,
        )
        push_explanations([hostile(*pair) for pair in enumerate(PAYLOADS)], "me/hostile")
        yield server


def hostile(seed: int, payload: str) -> InteractionExplanation:
    """A valid explanation with the payload wherever a text may stand."""
    record = make_record(f"{payload} is not a good film-{seed}-", seed=seed)
    path = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}
    return InteractionExplanation(
        replace(
            record,
            target=replace(record.target, label=payload, predicted=payload),
            provenance=replace(record.provenance, model=payload, notes=(payload,)),
            settings=replace(record.settings, arguments={"candidate_labels": [payload], "x": path}),
        )
    )


@pytest.fixture
def visit(hub: HubServer, visit: Visit) -> Visit:
    """The pages of the app, with the Hub there."""
    return visit


def look(opened: Any, repo: str) -> Any:
    opened.tab("From the Hub")
    opened.page.get_by_label("Data set on the Hub").fill(repo)
    opened.page.get_by_role("button", name="Look").click()
    return opened.page.locator("#listing .open")


def test_a_data_set_is_browsed_filtered_and_opened(visit: Visit) -> None:
    opened = visit()
    rows = look(opened, REPO)
    rows.nth(4).wait_for()
    assert rows.count() == 5
    opened.page.get_by_label("Filter").fill("clara film")
    assert rows.count() == 1
    assert "1 of 5 explanations" in opened.page.locator("#listing .count").inner_text()
    rows.first.focus()
    opened.page.keyboard.press("Enter")
    opened.shown("Clara")
    assert opened.page.get_by_role("tab", name="Explore").get_attribute("aria-selected") == "true"
    # Nobody here has that model.
    assert "acme/distil-sentiment" in opened.page.locator("[data-id=answer]").inner_text()
    assert opened.page.locator("[data-id=check]").is_disabled()


def test_a_link_opens_an_explanation_of_the_hub(visit: Visit, hub: HubServer) -> None:
    wanted = InteractionExplanation(review_record())
    identity, commit = content_id(wanted.record), hub.repo(REPO).log()[0].sha
    opened = visit(f"?dataset={REPO}&id={identity[:12]}&revision={commit}")
    opened.shown("masterpiece")
    opened = visit(f"?dataset={REPO}")
    opened.page.get_by_label("Data set on the Hub").wait_for()
    assert opened.page.get_by_label("Data set on the Hub").input_value() == REPO


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("?example=nothing", "There is no example 'nothing'"),
        ("?dataset=../../etc&id=aaaaaa", "The link's dataset is"),
        (f"?dataset={REPO}&id=ffffffffff", "no explanation whose id begins with"),
        ("?dataset=me/missing&id=aaaaaa", "There is no such data set"),
        (f"?dataset={REPO}&id=aaaaaa&revision=gone", "revision does not exist"),
    ],
)
def test_links_to_nothing_say_so(app: Any, hub: HubServer, query: str, said: str) -> None:
    answer = app.person().ask("load", None, query=query)
    assert answer["success"]
    assert said in answer["output"]["data"][3]
    assert "value" not in answer["output"]["data"][1]  # the picture stays


def test_one_pushes_and_gets_a_link(visit: Visit, hub: HubServer) -> None:
    opened = visit("?example=question")
    opened.shown("bakes")
    opened.tab("From the Hub")
    opened.page.get_by_label("To", exact=True).fill("me/mine")
    opened.page.get_by_label("Private").check()
    opened.page.get_by_role("button", name="Push").click()
    news = opened.news("push-news")
    news.filter(has_text="Pushed.").wait_for()
    assert hub.repo("me/mine").private
    link = news.get_by_role("link", name="the link that opens it here").get_attribute("href")
    other = visit(link[link.index("?") :])
    other.shown("bakes")
    opened.page.get_by_label("To", exact=True).fill("you/theirs")
    opened.page.get_by_role("button", name="Push").click()
    news.filter(has_text="You may not write there.").wait_for()
    said = news.inner_text()
    assert "HF_HOME" not in said
    assert not re.search(r"/(tmp|root|home)/", said)


def test_the_hub_in_trouble_is_told_in_words(visit: Visit, hub: HubServer) -> None:
    opened = visit()
    news = opened.news("hub-news")
    for repo, said in [
        ("", "No data set is named: write owner/name."),
        ("../x", "The dataset is '../x', which cannot be the name of one."),
        ("me/missing", "There is no such data set on the Hub, or it is private"),
    ]:
        look(opened, repo)
        news.filter(has_text=said).wait_for()
    hub.fail("GET", f"/api/datasets/{REPO}", action="status", status=507, times=1)
    look(opened, REPO)
    news.filter(has_text="the Hub has trouble of its own (HTTP 507)").wait_for()


def test_what_strangers_wrote_is_text(visit: Visit) -> None:
    opened = visit()
    opened.page.evaluate("window.pwned = 0")
    rows = look(opened, "me/hostile")
    rows.nth(len(PAYLOADS) - 1).wait_for()
    assert rows.count() == len(PAYLOADS)
    assert PAYLOADS[0][:20] in opened.page.locator("#listing").inner_text()
    for i in range(len(PAYLOADS)):
        opened.page.get_by_label("Filter").fill(f"film-{i}-")
        assert rows.count() == 1
        rows.first.click()
        opened.shown(f"film-{i}-")
        opened.tab("From the Hub")
    # Two that are ticked stand side by side, and stay text there.
    opened.page.get_by_label("Filter").fill("film-")
    compare = opened.page.locator("#listing .compare")
    assert compare.is_disabled()
    for i in (2, 0):
        opened.page.locator("#listing li", has_text=f"film-{i}-").get_by_role("checkbox").check()
    compare.click()
    sides = opened.page.locator("#comparison .pair > section")
    sides.nth(1).wait_for()
    shown = sides.all_inner_texts()
    assert ["film-2-" in shown[0], "film-0-" in shown[1]] == [True, True]
    opened.page.wait_for_url(re.compile(r"\?compare=dataset.*hostile.*&with=dataset"))
    inside = opened.page.locator("#comparison :is(script, img, iframe, a, style, form)")
    assert inside.count() == 0
    assert opened.page.evaluate("window.pwned") == 0
    assert "root:" not in opened.page.content()


def test_what_the_form_and_links_say_is_text(visit: Visit) -> None:
    opened = visit()
    opened.page.evaluate("window.pwned = 0")
    opened.tab("From the Hub")
    repo, button = opened.page.get_by_label("Data set on the Hub"), opened.page.locator("#look")
    for payload in PAYLOADS:
        repo.fill(payload)
        button.click()
        opened.news("hub-news").filter(has_text="cannot be the name of one").wait_for()
    opened.tab("Explain your own")
    opened.page.get_by_role("button", name="Target and seed").click()
    news = opened.news("own-news")
    for payload in PAYLOADS[:4]:
        opened.page.get_by_label("Text", exact=True).fill(f"{payload} bad")
        opened.page.locator("#target textarea").fill(payload)
        opened.page.get_by_role("button", name="Explain", exact=True).click()
        news.filter(has_text=payload[:12]).wait_for()
        opened.page.get_by_role("button", name="Explain", exact=True).wait_for()
    assert opened.page.evaluate("window.pwned") == 0
    from urllib.parse import quote

    everywhere = quote(" ".join(PAYLOADS[:12]))
    linked = visit(f"?dataset={everywhere}&id={everywhere}&example={everywhere}")
    linked.news("news").filter(has_text="cannot be the name of one").wait_for()
    assert linked.page.evaluate("window.pwned") is None


def test_on_a_space_only_the_persons_own_token_is_used(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, app: Any
) -> None:
    demo = build(replace(app.settings, account="person"), folders := Folders())
    handlers = {getattr(fn.fn, "__name__", ""): fn.fn for fn in demo.fns.values() if fn.fn}
    session, private, push = Session(), False, handlers["push"]
    # This machine is logged in as "me": that must not matter.
    assert "Pushing needs your own account" in push(session, "me/x", private, None)
    with pytest.raises(KeyError):
        hub.repo("me/x")
    yours = gr.OAuthToken(token="hf_you", scope="", expires_at=2**40)
    assert "Pushed." in push(session, "you/x", private, yours)
    left = list(outbox_home().glob("*"))
    assert "You may not write there" in push(session, "me/x", private, yours)
    assert list(outbox_home().glob("*")) == left  # nothing of a visitor stays on this disk
    _, news = handlers["look"]("me/mine", "explanations", "", None)
    assert "There is no such data set" in news
    folders.close()


def test_an_app_that_others_can_reach_uses_no_account(hub: HubServer, app: Any) -> None:
    demo = build(replace(app.settings, account="nobody"), folders := Folders())
    handlers = {getattr(fn.fn, "__name__", ""): fn.fn for fn in demo.fns.values() if fn.fn}
    private = False
    push_explanations([InteractionExplanation(review_record())], "me/secret", private=True)
    # This machine is logged in as "me", and Gradio lends that login out where there is no Space.
    for token in (None, gr.OAuthToken(token="hf_me", scope="", expires_at=2**40)):
        said = handlers["push"](Session(), "me/stolen", private, token)
        assert "Pushing needs your own account: this app has no sign-in" in said
        with pytest.raises(KeyError):
            hub.repo("me/stolen")
        listed, news = handlers["look"]("me/secret", "explanations", "", token)
        assert listed == "[]"
        assert "There is no such data set" in news
        listed, news = handlers["look"](REPO, "explanations", "", token)
        assert "acme/distil-sentiment" in listed
        assert news == ""
    folders.close()


def test_what_recurs_in_a_data_set_and_a_click_opens_one(visit: Visit) -> None:
    opened = visit()
    look(opened, REPO).first.wait_for()
    opened.page.get_by_role("button", name="What recurs").click()
    rows = opened.page.locator("#recurring li")
    rows.first.wait_for()
    given = [
        InteractionExplanation(make_record(f"{name} is not a bad film", seed=i))
        for i, name in enumerate(("Anna", "Bodil", "Clara", "Dora"))
    ]
    found = explanations_summary([InteractionExplanation(review_record()), *given])
    shown = rows.locator("summary").all_inner_texts()
    assert len(shown) == min(60, len(found.recurring))
    expected = {
        " × ".join(r.words): f"{r.count} of {r.total}" for r in found.recurring if r.count > 1
    }
    assert len(expected) > 3
    for text in shown[:4]:
        words = next(w for w in sorted(expected, key=len, reverse=True) if text.strip().endswith(w))
        assert text.startswith(expected[words])
    row = rows.filter(has_text="clara").first
    row.locator("summary").click()
    row.get_by_role("button", name="Clara is not a bad film").click()
    opened.shown("Clara")
    opened.page.wait_for_url(re.compile(r"\?dataset=.*&id="))


def test_what_recurs_among_payloads_stays_text(visit: Visit) -> None:
    opened = visit()
    opened.page.evaluate("window.pwned = 0")
    look(opened, "me/hostile").first.wait_for()
    opened.page.get_by_role("button", name="What recurs").click()
    opened.page.locator("#recurring li").first.wait_for()
    choice = opened.page.locator("#recurring select")
    for place in range(choice.locator("option").count()):
        choice.select_option(index=place)
    opened.page.locator("#recurring summary").first.click()
    assert opened.page.evaluate("window.pwned") == 0
    inside = opened.page.locator("#recurring :is(script, img, iframe, a, style, form)")
    assert inside.count() == 0
