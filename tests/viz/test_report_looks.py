"""How the page looks in a real browser: contrast, width, direction, print, no script."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from contrast import CONTRAST
from record_factory import from_effects, make_record, review_record

from proxyspex_hf.record import Target

Open = Callable[..., Any]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_a_contrast_of_at_least_4_5(open_page: Open, scheme: str) -> None:
    record = make_record(
        review_record().text,
        review_record().spectrum,
        target=Target("NEGATIVE", 0, "logit", "POSITIVE"),
        provenance={"notes": ("The text was cut.",)},
    )
    view = open_page(record, color_scheme=scheme)
    view.word(7).click()
    view.page.locator(".row").nth(0).click()
    view.page.keyboard.press("Escape")
    view.page.mouse.move(2, 2)
    view.page.wait_for_timeout(300)  # the fade of the highlight
    ratios = view.page.locator("body, body *:not(svg, svg *, script)").evaluate_all(CONTRAST)
    low = [(round(ratio, 2), text[:40]) for ratio, text in ratios if ratio < 4.5]
    assert len(ratios) > 300
    assert low == []
    background = view.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background)[:3])) < 200) == (scheme == "dark")


def test_signs_do_not_rest_on_colour(open_page: Open) -> None:
    view = open_page(review_record())
    script = "all => all.map(e => getComputedStyle(e).borderBottomStyle)"
    assert set(view.page.locator("#text .f.pos").evaluate_all(script)) == {"solid"}
    assert set(view.page.locator("#text .f.neg").evaluate_all(script)) == {"dashed"}


@pytest.mark.parametrize("width", [320, 380, 700, 1200])
def test_no_horizontal_scroll(open_page: Open, width: int) -> None:
    label = "supercalifragilistic" * 8
    record = make_record(
        f"{label} is not bad",
        from_effects({(0, 2, 3): 1.0, (0,): -0.5}, 4),
        target=Target(label, 0, "logit", label + "!"),
        provenance={"model": label, "notes": (label,)},
    )
    for each in (record, review_record()):
        view = open_page(each, viewport={"width": width, "height": 800})
        view.word(0).hover()
        view.page.locator(".row").nth(0).click()
        assert view.page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_answer_stays_in_sight_on_a_phone(open_page: Open) -> None:
    view = open_page(review_record(), viewport={"width": 390, "height": 500})
    view.word(0).click()
    box = view.page.locator("#prediction").bounding_box()
    assert 0 < box["y"] < 500 - box["height"]


def test_right_to_left_text(open_page: Open) -> None:
    text = "הסרט הזה לא רע בכלל"
    record = make_record(text, from_effects({(2, 3): 1.0, (3,): -0.5}, 5))
    view = open_page(record)
    assert view.page.locator("#text").evaluate("e => getComputedStyle(e).direction") == "rtl"
    first, second = (view.word(i).bounding_box() for i in (0, 1))
    assert first["x"] > second["x"]
    chips = view.page.locator(".row").first.locator("b")
    assert chips.nth(0).bounding_box()["x"] > chips.nth(1).bounding_box()["x"]
    view.page.keyboard.press("Tab")
    view.page.keyboard.press("ArrowLeft")
    assert view.active() == text.split()[1]


def test_reduced_motion_and_print(open_page: Open) -> None:
    view = open_page(review_record(), reduced_motion="reduce")
    durations = "e => getComputedStyle(e).transitionDuration"
    assert view.word(0).evaluate(durations) == "0s"
    view.page.emulate_media(media="print")
    assert view.page.locator("button:visible, input:visible").count() == 0
    assert view.page.locator(".row:visible").count() == 30


def test_the_page_is_complete_without_javascript(open_page: Open) -> None:
    record = review_record()
    view = open_page(record, java_script_enabled=False)
    assert view.page.locator(".row:visible").count() == 30
    assert view.page.locator("button:visible, input:visible").count() == 0
    assert view.page.locator("#text").inner_text() == record.text
    assert "0.62" in view.page.locator("#trust").inner_text()
