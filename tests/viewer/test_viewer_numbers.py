"""Numbers and colours of the live page answer the question, whatever their scale."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

from record_factory import from_effects, make_record, review_record

from proxyspex_hf.record.record import Target

Show = Callable[..., Any]


def test_of_the_whole_input_too_the_model_stands_beside_the_explanation(show: Show) -> None:
    record = review_record()
    values = record.queries.values.copy()
    values[0] = 0.6  # the model's own, where the explanation has 0.21
    shown = show(replace(record, queries=replace(record.queries, values=values)))
    assert shown.value() == 0.6
    shown.part("check").click()
    shown.part("model-value").wait_for()
    said = "The model says +0.46, the explanation +0.21: 0.25 apart."
    assert shown.part("answer").inner_text() == said


def test_an_or_has_one_colour_wherever_it_stands(show: Show) -> None:
    effects: dict[Any, float] = {(): 1.0}
    for k in range(8):  # more than are told as sentences
        a, b = 2 * k, 2 * k + 1
        effects |= {(a,): 1.0 - k / 20, (b,): 1.0 - k / 20, (a, b): k / 20 - 0.9}
    text = " ".join(f"w{i}" for i in range(16))
    shown = show(make_record(text, from_effects(effects, 16)))
    last = "14-15"
    shown.experts()
    row = shown.page.locator(f'.psx .row[data-key="{last}"]')
    assert row.locator(".value").inner_text() == "\N{MINUS SIGN}0.55"
    assert row.locator(".kind").inner_text().strip() == "either is enough"
    row.click()
    for where in (".rows .row", ".sentence"):
        found = shown.page.locator(f'.psx {where}[data-key="{last}"]')
        assert "pos" in found.get_attribute("class").split(), where
    assert shown.page.locator(".psx .overlay .lane.neg").count() == 0
    for tab in ("upset", "matrix"):
        shown.experts(tab)
        assert shown.page.locator(".psx .block.pos").count() > 0
        assert shown.page.locator(".psx .block.neg").count() == 0
    assert "hatched lowers it" in shown.page.locator(".psx .panel").inner_text()


def test_hatched_is_what_makes_an_answer_less_likely(show: Show) -> None:
    target = Target("Oslo", None, "log-perplexity", "Oslo")
    spectrum = from_effects({(): 1.0, (0,): -0.5, (1,): 0.25}, 3)
    shown = show(make_record("alpha beta gamma", spectrum, target=target))
    shown.experts("matrix")
    assert "hatched makes it less likely" in shown.page.locator(".psx .panel").inner_text()
    titles = shown.page.locator(".psx .block.neg title").all_text_contents()
    assert titles == ["beta: +0.25"]


def test_what_is_chosen_by_another_index_has_its_score(show: Show) -> None:
    # Any one of three is enough: at the input only all of them together have an effect.
    shown = show(make_record("alpha beta gamma", from_effects({(): 0.4, (0, 1, 2): 0.4}, 3)))
    shown.experts()
    said = shown.page.locator('.psx .sentence[data-key="0"] .said')
    for index, title in (("Moebius", "Möbius"), ("Influence", "Influence")):
        shown.part("index").select_option(index)
        of_index = dict(shown.rows())
        row = shown.page.locator('.psx .row[data-key="0"]')
        if row.get_attribute("aria-pressed") == "true":
            row.click()  # put back
        row.click()
        assert said.inner_text() == f"alpha, {title}: {of_index[0,]}"
    assert of_index[0,] == "+0.0100"  # four coefficients of 0.05; effects have two digits
    assert "the part of the variance" in shown.page.locator(".psx .ranking").inner_text()


def test_numbers_of_the_columns_do_not_overprint(show: Show) -> None:
    effects = {(): 3e12, (0,): 1.234e12, (1, 2): -4.5e11, (3, 4): 7e11, (4,): 6.9e11}
    shown = show(make_record("alpha beta gamma delta epsilon", from_effects(effects, 5)))
    shown.experts("upset")
    script = """all => all.map(e => e.getBoundingClientRect())
      .map(({ left, right, top, bottom }) => [left, right, top, bottom])"""
    boxes = shown.page.locator(".psx .plot text.tiny").evaluate_all(script)
    assert len(boxes) == 4
    ordered = sorted(boxes)
    assert all(one[1] <= other[0] for one, other in pairwise(ordered))


def test_a_link_shows_what_only_an_index_knows(show: Show) -> None:
    record = make_record("alpha beta gamma", from_effects({(): 0.4, (0, 1, 2): 0.4}, 3))
    shown = show(record, rest="#shown=0-1-2.0.7.1-1.zz")
    said = shown.page.locator('.psx .sentence[data-key="0"] .said')
    said.wait_for()
    assert said.inner_text().startswith("alpha, ")
    pressed = shown.page.locator('.psx .sentence[aria-pressed="true"]')
    assert pressed.evaluate_all("all => all.map(e => e.dataset.key)") == ["0-1-2", "0"]
    shown.page.wait_for_function("location.hash.includes('shown=0-1-2.0')")
