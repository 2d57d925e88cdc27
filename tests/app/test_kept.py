"""What was explained on a page is found again by its address, for a while."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from proxyspex_hf.app.examples import load_example
from proxyspex_hf.app.kept import Kept
from proxyspex_hf.app.source import Source
from proxyspex_hf.errors import InputError

Visit = Callable[..., Any]


def test_it_is_kept_for_an_hour_under_a_name_that_cannot_be_guessed() -> None:
    now = [0.0]
    kept, explanation = Kept(lambda: now[0]), load_example("short")
    name = kept.put(explanation)
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", name)
    assert Source.from_query({"own": name}) == Source("own", name=name)
    assert Source("own", name=name).query() == f"own={name}"
    now[0] = 3599.0
    assert kept.get(name) is explanation
    now[0] = 3601.0
    with pytest.raises(InputError, match="no longer kept"):
        kept.get(name)


def test_there_is_room_for_a_hundred() -> None:
    kept, explanation = Kept(), load_example("short")
    names = [kept.put(explanation) for _ in range(102)]
    assert len(set(names)) == 102
    for name in names[:2]:
        with pytest.raises(InputError):
            kept.get(name)
    assert kept.get(names[2]) is explanation


@pytest.mark.parametrize("name", ["../../etc/passwd", "x" * 23, "<b>", "x"])
def test_only_names_of_its_kind_are_looked_for(name: str) -> None:
    with pytest.raises(InputError, match="cannot be the name of one"):
        Source.from_query({"own": name})


def test_one_s_own_survives_reload_back_and_a_second_tab(visit: Visit) -> None:
    opened = visit()
    opened.tab("Explain your own")
    opened.page.get_by_label("Text", exact=True).fill("Not bad, not dull")
    opened.page.get_by_role("button", name="Explain", exact=True).click()
    opened.shown("dull")
    opened.page.wait_for_url("**/?own=*")
    opened.page.locator('.psx .input [data-i="1"]').click()
    opened.page.wait_for_url("**#out=1")
    address = opened.page.url
    verdict = opened.page.locator(".psx [data-id=verdict]").inner_text()
    opened.page.reload()
    opened.shown("Without bad,")
    assert opened.page.locator(".psx [data-id=verdict]").inner_text() == verdict
    other = visit(address.split("/")[-1])
    other.shown("Without bad,")
    opened.page.go_back()
    opened.shown("minute.")
    opened.page.go_forward()
    opened.shown("Without bad,")


def test_a_name_that_is_gone_is_said(visit: Visit) -> None:
    opened = visit(f"?own={'A' * 22}")
    opened.news("news").filter(has_text="no longer kept").wait_for()
