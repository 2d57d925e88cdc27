"""How the live page looks: contrast in both themes, a phone's width, signs without colour."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from contrast import CONTRAST
from record_factory import captioned_record, review_record

Show = Callable[..., Any]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_text_has_a_contrast_of_at_least_4_5(show: Show, theme: str) -> None:
    still = {"color_scheme": theme, "reduced_motion": "reduce"}  # no colour on its way to another
    shown = show(review_record(), rest=f"&__theme={theme}", **still)
    shown.feature(7).click()
    ratios = []
    for tab in ("list", "trust", "structure", "code", "facts"):
        shown.experts(tab)
        shown.page.mouse.move(2, 2)
        ratios += shown.page.locator(".psx *:not(svg, svg *)").evaluate_all(CONTRAST)
    assert len(ratios) > 800
    assert [(round(ratio, 2), text[:40]) for ratio, text in ratios if ratio < 4.5] == []
    dark = shown.page.evaluate("document.body.classList.contains('dark')")
    assert dark == (theme == "dark")


@pytest.mark.parametrize("record", [review_record, captioned_record])
def test_a_phone_shows_all_of_it_without_scrolling_sideways(show: Show, record: Any) -> None:
    shown = show(record(), viewport={"width": 390, "height": 844})
    page = shown.page
    for tab in ("list", "upset", "matrix", "waterfall", "code", "trust"):
        shown.experts(tab)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    edges = page.locator(".psx .card").evaluate_all(
        "all => all.map(e => e.getBoundingClientRect()).map(r => [r.left, r.right])"
    )
    assert all(left >= 0 and right <= 390 for left, right in edges)


def test_signs_do_not_rest_on_colour(show: Show) -> None:
    shown = show(review_record())
    shown.experts()
    page = shown.page
    looks = "e => { const s = getComputedStyle(e); return [s.borderBottomStyle, s.fill]; }"
    effects = {tuple(m): value for m, value, *_ in shown.told()["terms"] if len(m) == 1}
    strong = sorted(effects, key=lambda m: -abs(effects[m]))[:8]
    for (i,) in strong[:4]:
        style = shown.feature(i).evaluate(looks)[0]
        assert style == ("solid" if effects[(i,)] > 0 else "dashed")
    bars = page.locator(".psx .row.neg svg.bar rect").first
    assert "psx-hatch" in bars.evaluate(looks)[1]
    for _, value in shown.rows():
        assert value[0] in "+\N{MINUS SIGN}"


def test_a_screen_reader_hears_the_summary_and_each_word(show: Show) -> None:
    shown = show(review_record())
    summary = shown.page.locator(".psx header .sr").text_content()
    assert summary.startswith("Strongest effects: not[2] × bad +0.92; bad \N{MINUS SIGN}0.78; ")
    assert "Close to this input the explanation follows the model fairly: R² 0.62" in summary
    name = shown.feature(0).get_attribute("aria-label")
    assert name.startswith("I")
    shown.feature(0).click()
    assert shown.feature(0).get_attribute("aria-label").endswith(", taken out")
    assert shown.feature(0).get_attribute("aria-pressed") == "true"
