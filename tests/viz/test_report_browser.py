"""What the page says and does in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from record_factory import (
    make_record,
    random_spectrum,
    review_record,
    with_doubt,
    word_features,
)

from proxyspex_hf.record import ExplanationRecord
from proxyspex_hf.viz.terms import ranked_terms
from proxyspex_hf.viz.wording import kind_words, number

Open = Callable[..., Any]


def evaluate(record: ExplanationRecord, out: list[int]) -> float:
    mask = np.ones(len(record.features), bool)
    mask[out] = False
    return float(record.spectrum.evaluate(mask)[0])


def test_rows_say_what_the_record_says(open_page: Open) -> None:
    record = review_record()
    rows = open_page(record).page.locator(".row:visible").all_inner_texts()
    terms = ranked_terms(record)[:30]
    labels = record.features.labels
    assert len(rows) == 30
    for row, term in zip(rows, terms, strict=True):
        value, members, size = re.split(r"\n+", row.strip())[:3]
        assert value.replace("\N{MINUS SIGN}", "-") == f"{term.effect:+.2f}"
        spelled = members.split("\N{MULTIPLICATION SIGN}")
        plain = [re.sub(r"\d$", "", member.strip(" …")) for member in spelled]
        if term.order > 1:
            kind = kind_words(term.kind, term.order)
            assert plain[-1].endswith(f" {kind}")
            plain[-1] = re.sub(r"\d$", "", plain[-1].removesuffix(f" {kind}"))
        assert plain == [labels[i] for i in term.members]
        assert size.split()[0] == str(term.order)


def test_hovering_a_row_lights_exactly_its_members(open_page: Open) -> None:
    record = review_record()
    view = open_page(record)
    for rank, term in list(enumerate(ranked_terms(record)))[:12]:
        view.page.locator(".row").nth(rank).hover()
        assert view.lit("#text .f") == list(term.members)
    view.page.mouse.move(2, 2)
    assert view.lit("#text .f") == []


def test_hovering_a_word_lights_exactly_its_rows(open_page: Open) -> None:
    record = review_record()
    view = open_page(record)
    bad = record.features.labels.index("bad")
    view.word(bad).hover()
    terms = ranked_terms(record)
    assert view.lit("#rows li") == [r for r, t in enumerate(terms) if bad in t.members]
    tip = view.page.locator("#tip").inner_text()
    change = evaluate(record, [bad]) - evaluate(record, [])
    assert "lost without it: \N{MINUS SIGN}0.78" in tip
    assert change == pytest.approx(0.78)
    assert f"taking it out: {change:+.2f}".replace("-", "\N{MINUS SIGN}") in tip


def test_a_click_pins_a_row_and_escape_unpins_it(open_page: Open) -> None:
    record = review_record()
    view = open_page(record)
    first, second = view.page.locator(".row").nth(0), view.page.locator(".row").nth(1)
    first.click()
    view.page.mouse.move(2, 2)
    assert view.lit("#text .f") == list(ranked_terms(record)[0].members)
    assert first.get_attribute("aria-pressed") == "true"
    detail = view.page.locator(".detail").inner_text()
    assert "What the 2 do at the input only together: +0.92." in detail
    not_, bad = ranked_terms(record)[0].members
    whole = evaluate(record, [])
    one_by_one = 2 * whole - evaluate(record, [not_]) - evaluate(record, [bad])
    at_once = whole - evaluate(record, [not_, bad])
    assert one_by_one - at_once == pytest.approx(0.92)
    assert "they cost 0.92 more in sum than both at once" in detail
    second.click()
    assert first.get_attribute("aria-pressed") == "false"
    view.page.keyboard.press("Escape")
    view.page.mouse.move(2, 2)
    assert view.lit("#text .f") == []
    assert view.page.locator(".detail").count() == 0


def test_intervals_stand_in_the_rows_the_tip_and_the_detail(open_page: Open) -> None:
    record = with_doubt(review_record())
    view = open_page(record)
    term = ranked_terms(record)[0]
    assert term.interval is not None
    low, high = term.interval
    row = view.page.locator(".row").nth(0)
    said = number(term.effect, term.interval, 2, "\N{MINUS SIGN}")
    assert row.locator(".value").inner_text() == said
    ends = f"(90%: {low:+.2f} to {high:+.2f})".replace("-", "\N{MINUS SIGN}")
    row.click()
    assert ends in view.page.locator(".detail").inner_text()
    unsure = next(e for e in record.effects if e.order == 1 and not e.is_sure and e.value)
    view.word(unsure.members[0]).hover()
    tip = view.page.locator("#tip").inner_text()
    assert "unsure" in tip
    assert "(90%: \N{MINUS SIGN}" in tip


def test_taking_words_out_gives_the_explanations_answer(open_page: Open) -> None:
    record = review_record()
    view = open_page(record)
    assert view.value() == pytest.approx(evaluate(record, []), abs=1e-9)
    out: list[int] = []
    for i in (5, 60, 61, 0, 134, 99):
        view.word(i).click()
        out.append(i)
        assert view.value() == pytest.approx(evaluate(record, out), abs=1e-9)
        assert view.word(i).get_attribute("aria-pressed") == "true"
    assert "line-through" in view.word(5).evaluate("e => getComputedStyle(e).textDecorationLine")
    assert "6 words taken out" in view.page.locator("#ask").inner_text()
    was = f"(was {evaluate(record, []):+.2f})".replace("-", "\N{MINUS SIGN}")
    assert view.page.locator("#was").inner_text() == was
    view.word(5).click()
    assert view.value() == pytest.approx(evaluate(record, out[1:]), abs=1e-9)
    view.page.locator("#restore").click()
    assert view.value() == pytest.approx(evaluate(record, []), abs=1e-9)
    assert view.page.locator("#restore").is_disabled()


def test_a_whole_combination_can_be_taken_out(open_page: Open) -> None:
    record = review_record()
    view = open_page(record)
    members = list(ranked_terms(record)[6].members)
    view.page.locator(".row").nth(6).click()
    button = view.page.locator(".detail button")
    expected = evaluate(record, members)
    assert f"predicts {expected:+.2f}".replace("-", "\N{MINUS SIGN}") in button.inner_text()
    button.click()
    assert view.value() == pytest.approx(expected, abs=1e-9)
    assert view.page.locator(".detail button").is_disabled()


def test_the_caveat_follows_the_share_of_words_kept(open_page: Open) -> None:
    record = make_record("a b c d e f g h i j", random_spectrum(10, 30))
    view = open_page(record)
    said = []
    for i in range(8):
        said.append(view.page.locator("#caveat").inner_text())
        view.word(i).click()
    assert "keep 90% of the words it is fair: R² 0.62" in said[1]
    assert "keep 70% of the words it is good: R² 0.83" in said[3]
    assert "keep 50% of the words it is good: R² 0.87" in said[5]
    assert "was not measured" in view.page.locator("#caveat").inner_text()


def test_everything_works_from_the_keyboard(open_page: Open) -> None:
    record = review_record()
    view = open_page(record)
    keyboard = view.page.keyboard
    keyboard.press("Tab")
    assert view.active() == "I"
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft"):
        keyboard.press(key)
    assert view.active() == "went"
    assert view.page.locator("#tip").is_visible()
    keyboard.press("End")
    keyboard.press("Enter")
    keyboard.press("Home")
    keyboard.press("Space")
    assert view.value() == pytest.approx(evaluate(record, [0, 134]), abs=1e-9)
    keyboard.press("Escape")
    assert view.page.locator("#tip").is_hidden()
    keyboard.press("Tab")
    assert view.active() == "Restore all"
    keyboard.press("Enter")
    assert view.value() == pytest.approx(evaluate(record, []), abs=1e-9)
    view.page.locator("#contains").focus()
    keyboard.press("Tab")
    assert "bad" in view.active()
    keyboard.press("ArrowDown")
    keyboard.press("ArrowDown")
    assert view.lit("#text .f") == list(ranked_terms(record)[2].members)
    keyboard.press("Enter")
    keyboard.press("ArrowUp")
    assert view.lit("#text .f") == list(ranked_terms(record)[1].members)
    assert view.page.locator('.row[aria-pressed="true"]').count() == 1
    keyboard.press("Escape")
    assert view.page.locator('.row[aria-pressed="true"]').count() == 0


def test_filters(open_page: Open) -> None:
    record = review_record()
    view, terms = open_page(record), ranked_terms(record)

    def shown() -> list[int]:
        script = "all => all.flatMap((e, i) => e.hidden ? [] : [i])"
        return list(view.page.locator("#rows li").evaluate_all(script))

    def expected(keep: Callable[[Any], bool], limit: int = 30) -> list[int]:
        return [r for r, term in enumerate(terms) if keep(term)][:limit]

    assert shown() == expected(lambda t: True)
    for name, keep in (
        ("Single", lambda t: t.order == 1),
        ("Pairs", lambda t: t.order == 2),
        ("3+", lambda t: t.order >= 3),
    ):
        view.page.locator("#by-order button", has_text=name).click()
        assert shown() == expected(keep)
    view.page.locator('#by-sign [data-sign="-1"]').click()
    assert shown() == expected(lambda t: t.order >= 3 and t.effect < 0)
    view.page.locator("#by-order button", has_text="All").click()
    view.page.locator('#by-sign [data-sign="0"]').click()
    view.page.locator("#contains").fill("BAD")
    bad = record.features.labels.index("bad")
    assert shown() == expected(lambda t: bad in t.members)
    view.page.locator("#contains").fill("")
    view.page.locator("#more").click()
    assert shown() == expected(lambda t: True, len(terms))
    assert view.page.locator("#count").inner_text() == f"{len(terms)} of {len(terms)}"


def test_five_hundred_features_answer_a_click(open_page: Open) -> None:
    text = " ".join(f"word{i}" for i in range(500))
    record = make_record(text, random_spectrum(500, 500), features=word_features(text))
    view = open_page(record)
    view.page.locator("#text .f").nth(499).click()
    assert view.value() == pytest.approx(evaluate(record, [499]), abs=1e-6)
