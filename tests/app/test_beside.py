"""Two explanations beside each other on the page: before and after an edit, by a link, escaped."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from record_factory import make_record

from proxyspex_hf import InteractionExplanation, compare
from proxyspex_hf.app.compare_tab import _names
from proxyspex_hf.app.examples import load_example
from proxyspex_hf.app.session import Session
from proxyspex_hf.app.source import Pair, Source
from proxyspex_hf.errors import InputError

Visit = Callable[..., Any]
SHORT, REVIEW = Source("example", name="short"), Source("example", name="review")
LINK = f"?compare={quote('example=short')}&with={quote('example=review')}"


def test_a_pair_is_named_by_the_queries_of_both() -> None:
    hub = Source("hub", repo_id="me/x", id="abcdef", revision="v1", config_name="mine")
    for pair in (Pair(SHORT, REVIEW), Pair(hub, SHORT), Pair(Source("own", name="A" * 22), hub)):
        from urllib.parse import parse_qsl

        assert Pair.from_query(dict(parse_qsl(pair.query()))) == pair
    assert Pair(Source("own"), SHORT).query() == ""  # it is kept nowhere
    assert Pair.from_query({"example": "short"}) is None


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"compare": "example=short"}, "with names no explanation"),
        ({"compare": "", "with": "example=short"}, "compare names no explanation"),
        ({"compare": "dataset=a/b", "with": "example=short"}, "compare names no explanation"),
        ({"compare": "example=../x", "with": "example=short"}, "cannot be the name of one"),
        ({"compare": "compare=x", "with": "example=short"}, "compare names no explanation"),
    ],
)
def test_a_link_to_no_pair_is_refused(query: dict[str, str], said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        Pair.from_query(query)


@pytest.mark.parametrize(
    ("texts", "names"),
    [
        (("a b c d e", "a b c x e"), ("…b c d e", "…b c x e")),
        (("a b", "a b c"), ("a b", "a b c")),
        (("x " * 60, "y " * 60), (f"{'x ' * 16}".strip() + "…", f"{'y ' * 16}".strip() + "…")),
        (("a b", "a b"), ("The one before", "this one")),
    ],
)
def test_two_are_called_by_what_tells_them_apart(
    texts: tuple[str, str], names: tuple[str, str]
) -> None:
    first, second = (InteractionExplanation(make_record(text.strip())) for text in texts)
    assert _names(first, second) == names


def test_the_page_remembers_one_step() -> None:
    short = Session()
    review = short.showing(REVIEW, load_example("review"))
    assert review.made is None  # all pages share an example
    assert review.before == short
    again = review.showing(REVIEW, None)
    assert again.before == short
    own = review.showing(Source("own", name="x"), load_example("caption"))
    assert own.before == Session(REVIEW)


def test_others_explanations_cannot_be_compared_by_guessing(app: Any) -> None:
    link = f"?compare={quote('own=' + 'A' * 22)}&with={quote('example=short')}"
    answer = app.person().ask("load", None, query=link)
    assert "no longer kept" in answer["output"]["data"][6]
    kinds = f"?compare={quote('example=short')}&with={quote('example=caption')}"
    answer = app.person().ask("load", None, query=kinds)
    assert "their effects have different units" in answer["output"]["data"][6]
    assert answer["output"]["data"][5] == ""


def _table(opened: Any) -> list[list[str]]:
    rows = opened.page.locator("#comparison tbody tr")
    rows.first.wait_for()
    return [row.locator("th, td").all_inner_texts() for row in rows.all()]


def test_before_and_after_an_edit(visit: Visit, app: Any) -> None:
    opened = visit()
    texts = ("<i>It</i> is not bad, not dull.", "<i>It</i> is bad, not dull.")
    for text in texts:
        opened.tab("Explain your own")
        opened.page.get_by_label("Text", exact=True).fill(text)
        opened.page.get_by_role("button", name="Explain", exact=True).click()
        opened.page.locator('#explanation [data-id="page"]', has_text=text).first.wait_for()
    names = re.findall("own=([^&#]+)", opened.page.url)
    opened.page.get_by_role("button", name="Compare with the one before").click()
    opened.page.wait_for_url("**/?compare=own*with=own*")
    shelf = app.running.house.kept
    second = shelf.get(names[0])
    first = shelf.get(re.findall("compare=own%3D([^&#]+)", opened.page.url)[0])
    assert (first.text, second.text) == texts
    expected = compare(first, second)
    shown = _table(opened)
    assert len(shown) == min(30, len(expected.top(1000))) > 2
    for row, found in zip(shown, expected.top(30), strict=True):
        assert row[0] == " × ".join(found.labels)
        first_number = float(row[1].replace("\N{MINUS SIGN}", "-").split(" ")[0])
        assert first_number == pytest.approx(found.difference, abs=0.051)
    heading = opened.page.locator("#comparison h2").inner_text()
    assert heading == "<i>It</i> is not bad, not dull. beside <i>It</i> is bad, not dull."
    stories = opened.page.locator("#comparison .pair > section")
    assert [texts[i] in stories.nth(i).inner_text() for i in (0, 1)] == [True, True]
    assert opened.page.locator("#comparison :is(img, script, iframe, a)").count() == 0
    # The way back, and a reload of the pair.
    opened.page.go_back()
    opened.page.locator('#explanation [data-id="page"]', has_text=texts[1]).first.wait_for()
    explore = opened.page.get_by_role("tab", name="Explore")
    opened.page.wait_for_function(
        "tab => tab.getAttribute('aria-selected') === 'true'", arg=explore.element_handle()
    )
    opened.page.go_forward()
    assert _table(opened) == shown
    opened.page.reload()
    assert _table(opened) == shown


def test_a_link_opens_two_examples_side_by_side(visit: Visit) -> None:
    opened = visit(LINK)
    shown = _table(opened)
    expected = compare(load_example("short"), load_example("review"))
    assert [row[0] for row in shown] == [" × ".join(d.labels) for d in expected.top(30)]
    tab = opened.page.get_by_role("tab", name="Compare")
    assert tab.get_attribute("aria-selected") == "true"
    assert str(shown).count("±") > 3
