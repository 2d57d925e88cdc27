"""What a reader does with the picture, in a real browser against a real server."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from record_factory import (
    additive,
    captioned_record,
    from_effects,
    make_record,
    random_spectrum,
    review_record,
    with_doubt,
)

from proxyspex_hf.app import components
from proxyspex_hf.app.examples import load_example
from proxyspex_hf.errors import InputError
from proxyspex_hf.explanation import InteractionExplanation
from proxyspex_hf.viz.verdict import flip, flip_parts, verdict_of
from proxyspex_hf.viz.view import view

Show = Callable[..., Any]


def test_it_opens_with_the_verdict_and_the_text_in_reading_order(show: Show) -> None:
    shown = show(review_record())
    written = shown.page.locator(".psx .written").evaluate(
        "e => [...e.childNodes].filter(n => n.nodeName !== 'svg').map(n => n.textContent).join('')"
    )
    assert written == shown.explanation.text
    record = shown.explanation.record
    assert shown.part("verdict").inner_text() == verdict_of(record, record.full_value).text
    said = "".join(text for _, text in flip_parts(record, flip(record)))
    assert shown.part("flip").inner_text().removesuffix(" See it") == said
    # Of the whole input the model's own number is known.
    assert shown.value() == record.full_value
    assert shown.removed() == []


def test_the_strongest_combinations_are_sentences_and_at_most_five_are_bracketed(
    show: Show,
) -> None:
    shown = show(review_record())
    combined = [i.members for i in shown.explanation.top(60) if i.order > 1]
    sentences = shown.page.locator(".psx .sentence")
    keys = sentences.evaluate_all("all => all.map(e => e.dataset.key)")
    assert keys == ["-".join(map(str, members)) for members in combined[:5]]
    first = "not\u2082 or bad: either is enough to lower it; they share 0.92"
    assert sentences.nth(0).locator(".said").inner_text() == first
    brackets = shown.page.locator(".psx .overlay .lane.member")
    assert brackets.count() == sum(map(len, combined[:2]))
    shown.experts()
    for members in combined[2:7]:
        shown.page.locator(f'.psx .row[data-key="{"-".join(map(str, members))}"]').click()
    pressed = '.psx .sentence[aria-pressed="true"]'
    assert shown.page.locator(pressed).count() == 5  # also those from further down have one
    marks = shown.page.locator(f"{pressed} .mark").all_inner_texts()
    assert sorted(marks) == list("12345")
    assert brackets.count() == sum(map(len, combined[2:7]))


def test_a_bracket_lies_under_its_words(show: Show) -> None:
    shown = show(review_record())
    members = next(i for i in shown.explanation.top(5) if i.order > 1).members
    word = shown.feature(members[0]).bounding_box()
    bracket = shown.page.locator(".psx .overlay .lane.member").nth(0).bounding_box()
    assert bracket["x"] == pytest.approx(word["x"], abs=3)
    assert bracket["width"] == pytest.approx(word["width"], abs=4)
    assert 0 <= bracket["y"] - word["y"] - word["height"] + 6 < 20


def test_hover_lights_a_combination_in_the_text_and_a_word_in_the_list(show: Show) -> None:
    shown = show(review_record())
    shown.experts()
    best = next(i for i in shown.explanation.top(10) if i.order > 1)
    key = "-".join(map(str, best.members))
    shown.page.locator(f'.psx .row[data-key="{key}"]').hover()
    lit = "all => all.filter(e => e.classList.contains('on')).map(e => +e.dataset.i)"
    assert shown.page.locator(".psx .input .f").evaluate_all(lit) == list(best.members)
    shown.feature(best.members[0]).hover()
    rows = shown.page.locator(".psx .rows li.on .row").evaluate_all(
        "all => all.map(e => e.dataset.key)"
    )
    assert rows == [
        "-".join(map(str, members)) for members, _ in shown.rows() if best.members[0] in members
    ]


def test_the_text_is_lit_no_more_when_what_was_under_the_pointer_is_drawn_anew(show: Show) -> None:
    shown = show(review_record())
    shown.experts()
    dim = "() => document.querySelector('.psx .input').classList.contains('dim')"
    for hovered in (".sentence", ".row[data-key*='-']"):
        shown.page.locator(f".psx {hovered}").first.hover()
        assert shown.page.evaluate(dim)
        # As when numbers that were asked for arrive: other rows in the same places.
        redraw = "all => all.forEach(e => e.replaceWith(e.cloneNode(true)))"
        shown.page.locator(f".psx {hovered}").evaluate_all(redraw)
        shown.page.mouse.move(2, 2)
        assert not shown.page.evaluate(dim)
    # The keyboard goes on where the mouse was.
    shown.page.locator(".psx .sentence").first.focus()
    shown.page.keyboard.press("Tab")
    assert not shown.page.evaluate(dim)
    shown.page.keyboard.press("Shift+Tab")
    assert shown.page.evaluate(dim)


def test_clicks_remove_and_the_number_is_the_explanation_s(show: Show) -> None:
    shown = show(with_doubt(review_record()))
    record = shown.explanation.record
    rng = np.random.default_rng(3)
    for i in rng.choice(len(shown.explanation.features), 8, replace=False).tolist():
        before = shown.removed()
        shown.feature(i).click()
        assert shown.removed() == sorted({*before, i})
        assert shown.value() == pytest.approx(shown.predicted(), abs=1e-6)
        assert shown.part("verdict").inner_text() == verdict_of(record, shown.predicted()).text
    # The interval comes from Python, where the page was not given it.
    mask = np.ones((1, len(shown.explanation.features)), dtype=bool)
    mask[0, shown.removed()] = False
    low, high = shown.explanation.predict_interval(mask)[0]
    said = f"90%: {low:+.2f} to {high:+.2f}".replace("-", "\N{MINUS SIGN}")
    shown.page.wait_for_function(
        "said => document.querySelector('.psx [data-id=range]').textContent === said", arg=said
    )
    assert "8 of 135 words taken out" in shown.page.locator(".psx .ask").inner_text()
    shown.page.get_by_role("button", name="Restore all").click()
    assert shown.removed() == []
    assert shown.value() == record.full_value


def test_what_flips_the_verdict_is_a_click_away(show: Show) -> None:
    record = load_example("short").record
    shown = show(record)
    found = flip(record)
    assert found.flips
    head = shown.part("verdict")
    share = 1 / (1 + np.exp(-record.full_value))
    assert head.inner_text().startswith(f"{round(100 * share)}% POSITIVE")
    shown.part("try").click()
    assert tuple(shown.removed()) == found.members
    turned = 1 / (1 + np.exp(found.value))
    assert head.inner_text().startswith(f"{round(100 * turned)}% NEGATIVE")
    assert turned > 0.5
    assert "Whole input: " in shown.part("was").inner_text()


def test_the_keyboard_alone_is_enough(show: Show) -> None:
    shown = show(review_record())
    page = shown.page
    shown.feature(0).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert shown.removed() == [2]
    page.keyboard.press("End")
    page.keyboard.press("Space")
    assert shown.removed() == [2, len(shown.explanation.features) - 1]
    assert shown.value() == pytest.approx(shown.predicted(), abs=1e-6)
    at = "document.activeElement"
    for _ in range(40):  # on by tabs to what is folded
        page.keyboard.press("Tab")
        if page.evaluate(f"{at}.tagName === 'SUMMARY' && {at}.parentElement.matches('.details')"):
            break
    page.keyboard.press("Enter")
    page.wait_for_selector(".psx .row")
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate(f"{at}.classList.contains('row')"):
            break
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    second = shown.rows()[1][0]
    assert page.evaluate(f"{at}.dataset.key") == "-".join(map(str, second))
    assert page.evaluate(f"{at}.getAttribute('aria-pressed')") == "true"
    tab = page.get_by_role("tab", name="All effects")
    tab.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator('.psx [role="tab"][aria-selected="true"]').inner_text() == "How sure"


def late(monkeypatch: pytest.MonkeyPatch, what: str) -> threading.Event:
    """``what`` the server sends comes when the event is set."""
    come, made = threading.Event(), getattr(components, what)

    def wait(*given: Any) -> Any:
        come.wait(30)
        return made(*given)

    monkeypatch.setattr(components, what, wait)
    return come


def late_tables(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    return late(monkeypatch, "index_tables")


def focused(page: Any) -> str:
    """What names the element that has the keyboard's focus."""
    name = "({ dataset, ariaLabel, textContent, tagName }) => "
    name += "dataset.key ?? dataset.i ?? dataset.id ?? ariaLabel ?? (textContent.trim() || tagName)"
    return str(page.evaluate(f"({name})(document.activeElement)"))


def test_what_is_tried_by_keyboard_leaves_it_in_the_input(show: Show) -> None:
    shown = show(review_record())
    attempt = shown.part("try")
    attempt.focus()
    shown.page.keyboard.press("Enter")
    assert sorted(shown.told()["flip"]["members"]) == shown.removed() != [0]
    assert attempt.is_hidden()
    assert focused(shown.page) == str(shown.told()["flip"]["members"][0])
    restore = shown.page.get_by_role("button", name="Restore all")
    restore.focus()
    for _ in range(2):  # the second does nothing
        shown.page.keyboard.press("Enter")
        assert shown.removed() == []
        assert focused(shown.page) == "Restore all"
        assert restore.is_disabled()
    assert attempt.is_visible()


def test_a_combination_that_leaves_the_story_hands_the_keyboard_to_the_next(show: Show) -> None:
    shown = show(review_record())
    shown.experts()
    told = [found["members"] for found in shown.told()["together"]]
    sentences = shown.page.locator(".psx .together .sentence")
    before = sentences.count()
    more = [members for members, _ in shown.rows() if list(members) not in told][:2]
    for members in more:
        shown.page.locator(f'.psx .row[data-key="{"-".join(map(str, members))}"]').click()
    keys = sentences.evaluate_all("all => all.map((node) => node.dataset.key)")
    assert len(keys) == before + 2
    for left in (keys[:-2] + keys[-1:], keys[:-2]):  # the next one; of the last, that before it
        sentences.nth(before).focus()
        shown.page.keyboard.press("Enter")
        assert sentences.evaluate_all("all => all.map((node) => node.dataset.key)") == left
        assert focused(shown.page) == left[min(before, len(left) - 1)]


def test_asking_the_model_leaves_the_keyboard_on_the_button(
    show: Show, monkeypatch: pytest.MonkeyPatch, shelf: Any
) -> None:
    come = late(monkeypatch, "answered")
    shown = show(review_record())
    check, asked = shown.part("check"), len(shelf.checks)
    check.focus()
    shown.page.keyboard.press("Enter")
    assert (check.inner_text(), focused(shown.page)) == ("Asking the model …", "check")
    assert check.is_disabled()
    shown.page.keyboard.press("Enter")
    come.set()
    shown.part("model-value").wait_for()
    assert (check.inner_text(), focused(shown.page)) == ("Check with the model", "check")
    assert check.is_enabled()
    assert len(shelf.checks) == asked + 1


def test_an_answer_that_comes_late_leaves_the_keyboard_where_it_is(
    show: Show, monkeypatch: pytest.MonkeyPatch
) -> None:
    come = late(monkeypatch, "answered")
    shown = show(review_record())
    shown.part("check").click()
    shown.part("try").focus()
    come.set()
    shown.part("model-value").wait_for()
    assert focused(shown.page) == "try"


def test_tables_that_come_late_leave_the_keyboard_on_a_combination(
    show: Show, monkeypatch: pytest.MonkeyPatch
) -> None:
    come = late_tables(monkeypatch)
    page = show(review_record()).page
    page.locator(".psx .details > summary").click()
    button = page.locator('.psx .together [aria-label^="Take out"]').nth(1)
    button.focus()
    name = button.get_attribute("aria-label")
    come.set()
    page.wait_for_function("document.querySelectorAll('.psx [data-id=index] option').length > 1")
    assert focused(page) == name


@pytest.mark.parametrize("place", [".row >> nth=1", '[data-id="contains"]', "text=Pairs >> nth=0"])
def test_tables_that_come_late_leave_the_keyboard_where_it_is(
    show: Show, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    come = late_tables(monkeypatch)
    page = show(review_record()).page
    page.locator(".psx .details > summary").click()
    page.locator(f".psx .ranking >> {place}").focus()
    at = "[document.activeElement.tagName, document.activeElement.textContent]"
    before = page.evaluate(at)
    assert page.locator(".psx [data-id=index] option").count() == 1
    come.set()
    page.wait_for_function("document.querySelectorAll('.psx [data-id=index] option').length > 1")
    assert page.evaluate(at) == before


def test_tables_that_come_late_leave_what_is_being_typed(
    show: Show, monkeypatch: pytest.MonkeyPatch
) -> None:
    come = late_tables(monkeypatch)
    page = show(review_record()).page
    page.locator(".psx .details > summary").click()
    page.locator('.psx [data-id="contains"]').focus()
    page.keyboard.type("mu")
    come.set()
    page.wait_for_function("document.querySelectorAll('.psx [data-id=index] option').length > 1")
    page.keyboard.type("ch")
    assert page.locator('.psx [data-id="contains"]').input_value() == "much"


def test_filters_by_order_sign_and_word(show: Show) -> None:
    shown = show(review_record())
    shown.experts()
    page, effects = shown.page, shown.told()["terms"]
    page.get_by_role("button", name="Pairs", exact=True).click()
    pairs = [tuple(m) for m, *_ in effects if len(m) == 2]
    assert [members for members, _ in shown.rows()] == pairs[:30]
    page.get_by_role("button", name="below zero", exact=True).click()
    lowering = [tuple(m) for m, value, *_ in effects if len(m) == 2 and value < 0]
    assert [members for members, _ in shown.rows()] == lowering[:30]
    page.get_by_role("button", name="Show all").click()
    assert [members for members, _ in shown.rows()] == lowering
    shown.part("contains").fill("MUCH")
    labels = shown.explanation.features.labels
    having = [m for m in lowering if any("much" in labels[i].lower() for i in m)]
    assert [members for members, _ in shown.rows()] == having
    shown.part("contains").fill("no such word")
    assert shown.rows() == []


@pytest.mark.parametrize(
    ("key", "index", "order"),
    [
        ("Shapley", "SV", None),
        ("Influence", "Influence", None),
        ("Moebius", "Moebius", None),
        ("OR", "OR", None),
        ("BII", "BII", None),
        ("STII.2", "STII", 2),
        ("FSII.3", "FSII", 3),
    ],
)
def test_any_index_is_the_explanation_s_own(
    show: Show, key: str, index: str, order: int | None
) -> None:
    shown = show(make_record("one two three four five six seven eight nine ten", seed=4))
    shown.experts()
    shown.part("index").select_option(key)
    found = shown.explanation.interactions(index, order).to_dict()
    expected = sorted(
        ((members, value) for members, value in found.items() if members and value),
        key=lambda row: -abs(row[1]),
    )
    rows = shown.rows()
    assert len(rows) == min(30, len(expected))
    for (members, text), (wanted, value) in zip(rows, expected, strict=False):
        assert members == wanted
        digits = len(text.split(".")[1])
        assert float(text.replace("\N{MINUS SIGN}", "-")) == pytest.approx(value, abs=10**-digits)


def test_effects_and_their_intervals_are_the_explanation_s(show: Show) -> None:
    shown = show(with_doubt(review_record()))
    shown.experts()
    record = shown.explanation.record
    best = shown.explanation.top(30)
    assert [members for members, _ in shown.rows()] == [i.members for i in best]
    for (_, text), found in zip(shown.rows(), best, strict=True):
        low, high = found.interval
        said = f"{found.effect:+.2f} ± {(high - low) / 2:.2f}"
        off = abs(found.effect - (low + high) / 2)
        # ± would tell other ends, or look as if zero were within.
        if off > (high - low) / 4 or abs(found.effect) <= (high - low) / 2:
            said = f"{found.effect:+.2f} ({low:+.2f} to {high:+.2f})"
        assert text == said.replace("-", "\N{MINUS SIGN}")
    low, high = best[0].interval
    title = shown.page.locator(".psx .row").nth(0).get_attribute("title")
    assert title == f"90%: {low:+.2f} to {high:+.2f}".replace("-", "\N{MINUS SIGN}")
    combined = next(i for i in best if i.order > 1)
    key = "-".join(map(str, combined.members))
    kind = shown.page.locator(f'.psx .row[data-key="{key}"] .kind').inner_text().strip()
    assert kind == "either one lowers it"
    assert shown.page.locator(".psx .row .whisker").count() == len(best)
    # Every word is tinted by what the value loses without it; unsure ones are pale.
    by_feature = {e.members[0]: e for e in record.effects if e.order == 1}
    script = "all => all.map(e => e.getAttribute('class'))"
    looks = shown.page.locator(".psx .written .f").evaluate_all(script)
    assert any("unsure" in look for look in looks)
    largest = max(abs(e.value) for e in by_feature.values() if e.is_sure)
    for i, look in enumerate(looks):
        effect = by_feature[i]
        tinted = effect.is_sure and abs(effect.value) >= largest / 8
        assert (" pos" in look or " neg" in look) == tinted
        assert ("unsure" in look) <= (not effect.is_sure)
    unsure = next(i for i, look in enumerate(looks) if "unsure" in look)
    assert ": unsure, alone " in shown.feature(unsure).get_attribute("aria-label")
    assert shown.part("sure").inner_text().startswith("How sure? Close to this input")
    shown.part("figures").click()
    trust = shown.page.locator(".psx .panel").inner_text()
    assert "0.87" in trust
    assert "(0.79 to 0.92)" in trust
    assert "each predicted by a fit without it" in trust
    assert "they were fitted" in trust


def test_that_the_words_add_up_is_said(show: Show) -> None:
    record = make_record("one two three", from_effects({(): 0.5, (0,): 1.0, (2,): -1.0}, 3))
    shown = show(additive(with_doubt(record)))
    assert shown.part("finding").inner_text() == "No combination matters: the words add up."
    assert shown.page.locator(".psx .sentence").count() == 0
    plain = show(record)  # nothing could tell
    assert plain.part("finding").inner_text() == "No combination was found among the words."


def test_singles_are_what_the_value_loses_without_each() -> None:
    record = review_record()
    n = len(record.features)
    lost = record.spectrum.evaluate(np.ones((1, n), bool)) - record.spectrum.evaluate(
        ~np.eye(n, dtype=bool)
    )
    told = view(record, most_rows=None)["singles"]
    assert [single[0] for single in told] == pytest.approx(list(lost), abs=1e-9)
    assert {(low, high) for _, low, high in told} == {(None, None)}


@pytest.mark.parametrize("index", ["Shapley", "BII", "FSII"])
def test_indices_have_the_explanation_s_own_intervals(index: str) -> None:
    record = with_doubt(make_record("one two three four five six", random_spectrum(6, seed=1)))
    table = next(t for t in view(record)["indices"] if t["name"] == index)
    found = InteractionExplanation(record).interactions(index, table["order"])
    ends = dict(zip(found.to_dict(), found.intervals.tolist(), strict=True))
    assert len(table["rows"]) > 5
    for members, _, low, high in table["rows"]:
        assert [low, high] == pytest.approx(ends[members])


def test_the_k_curve_of_fitted_masks_says_so() -> None:
    record = with_doubt(review_record())
    curve = view(record, most_rows=None)["curve"]
    assert curve["fitted"]
    drawn = record.queries.densities == 0.7
    masks, values = record.queries.masks[drawn], record.queries.values[drawn]
    cut = record.spectrum.top(curve["ks"][3]).evaluate(masks)
    expected = 1 - np.sum((values - cut) ** 2) / np.sum((values - values.mean()) ** 2)
    assert curve["lines"][0]["r2"][3] == pytest.approx(expected, abs=1e-9)
    assert not view(review_record(), most_rows=None)["curve"]["fitted"]


def test_the_model_s_own_answer_stands_beside_with_the_gap(show: Show, shelf: Any) -> None:
    shown = show(review_record())
    shown.feature(4).click()
    shown.part("check").click()
    answer = shown.part("model-value")
    answer.wait_for()
    assert float(answer.get_attribute("data-value")) == pytest.approx(shown.predicted() + 0.25)
    assert "0.25 apart" in shown.part("answer").inner_text()
    assert shelf.checks[-1]["removed"] == [4]
    shown.feature(5).click()  # the answer was to another question
    assert shown.part("answer").inner_text() == ""
    shown.feature(6).click()
    shown.part("check").click()
    shown.page.wait_for_function(
        "document.querySelector('.psx [data-id=answer]').textContent.includes('three is')"
    )
    assert shown.part("answer").inner_text() == "three is <b>too</b> many"


def test_where_the_model_cannot_be_asked_the_page_says_why(show: Show) -> None:
    shown = show(review_record(), name="closed-review")
    assert shown.part("check").is_disabled()
    assert shown.part("answer").inner_text() == "The model is not at hand."


def test_the_best_removals_are_the_solver_s(show: Show) -> None:
    record = make_record("one two three four five six seven eight nine ten", seed=2)
    values = record.queries.values.copy()
    values[0] += 0.3
    shown = show(replace(record, queries=replace(record.queries, values=values)))
    shown.page.get_by_text("Best removals").click()
    slider = shown.part("sizes")
    slider.fill("4")
    solution = shown.explanation.removal(4)
    shown.page.wait_for_function("document.querySelectorAll('.psx .input .f.out').length === 4")
    assert tuple(shown.removed()) == solution.removed
    assert shown.value() == pytest.approx(solution.predicted, abs=1e-9)
    assert "Proven to move the prediction most" in shown.part("set").inner_text()
    # From what the explanation predicts of the whole input, not from the model's own answer.
    moved = f"by {solution.change:+.1f},".replace("-", "\N{MINUS SIGN}")
    assert moved in shown.part("set").inner_text()
    for size in (9, 1):
        slider.fill(str(size))
        assert tuple(shown.removed()) == shown.explanation.removal(size).removed
    shown.page.get_by_role("button", name="Play the best removals").click()
    shown.page.wait_for_function("document.querySelectorAll('.psx .input .f.out').length >= 3")
    shown.page.get_by_role("button", name="Pause").click()


def test_the_address_is_the_view(show: Show) -> None:
    shown = show(review_record(), name="shared")
    shown.feature(3).click()
    shown.feature(8).click()
    shown.experts()
    shown.part("index").select_option("BII")
    shown.page.get_by_role("button", name="Pairs", exact=True).click()
    shown.part("contains").fill("not")
    shown.page.locator(".psx .row").nth(1).click()
    rows = shown.rows()
    shown.part("share").click()
    link = shown.part("link").input_value()
    assert "?example=shared#" in link
    shown.page.wait_for_function("link => location.href === link", arg=link)
    again = show(review_record(), name="shared", rest="#" + link.split("#")[1])
    assert again.removed() == [3, 8]
    again.page.wait_for_selector('.psx [data-id="index"] option:nth-child(2)', state="attached")
    assert again.rows() == rows
    assert again.value() == shown.value()
    assert again.part("contains").input_value() == "not"
    pressed = '.psx .sentence[aria-pressed="true"], .psx [role="tab"][aria-selected="true"]'
    texts = [p.page.locator(pressed).all_inner_texts() for p in (shown, again)]
    assert texts[0] == texts[1]
    again.page.reload()
    again.page.wait_for_selector('.psx[aria-busy="false"]')
    assert again.removed() == [3, 8]


def test_a_broken_link_state_is_ignored(show: Show) -> None:
    state = "#index=<b>&order=9&sign=x&out=3.999.-1&shown=1-2-3-4-99.zz&tab=__proto__"
    shown = show(review_record(), rest=state)
    assert shown.removed() == []
    shown.page.wait_for_selector('.psx [data-id="index"] option:nth-child(2)', state="attached")
    assert len(shown.rows()) == 30
    assert shown.page.locator('.psx [role="tab"][aria-selected="true"]').count() == 1


def test_image_and_caption_are_linked(show: Show) -> None:
    shown = show(captioned_record())
    assert shown.page.locator(".psx .picture path.f").count() == 4
    assert shown.page.locator(".psx .picture .region").count() == 2  # of (0, 5) and (3, 4, 6)
    shown.page.locator('.psx .sentence[data-key="0-5"]').hover()
    lit = "all => all.filter(e => e.classList.contains('on')).map(e => +e.dataset.i)"
    assert shown.page.locator(".psx .input .f").evaluate_all(lit) == [0, 5]
    shown.feature(0).click()
    shown.feature(5).click()
    assert shown.removed() == [0, 5]
    counted = "1 of 4 patches and 1 of 3 words taken out"
    assert counted in shown.page.locator(".psx .ask").inner_text()
    assert shown.value() == pytest.approx(shown.predicted(), abs=1e-9)


def test_the_file_is_what_save_writes(show: Show, tmp_path: Path) -> None:
    shown = show(review_record())
    shown.experts("code")
    with shown.page.expect_download() as download:
        shown.part("save").click()
    path = tmp_path / "e.json"
    download.value.save_as(path)
    assert InteractionExplanation.load(path) == shown.explanation
    assert shown.part("code").inner_text().startswith("from transformers import pipeline")


def test_the_k_curve_is_that_of_the_held_out_masks() -> None:
    record = review_record()
    shown = view(record, most_rows=None)
    assert json.loads(json.dumps(shown, allow_nan=False))["curve"] == shown["curve"]
    assert shown["curve"]["ks"][-1] == len(record.spectrum) - 1
    (line,) = shown["curve"]["lines"]  # the test masks of this record have one density
    queries = record.queries
    masks, values = queries.masks[queries.n_fit :], queries.values[queries.n_fit :]
    cut = record.spectrum.top(shown["curve"]["ks"][3]).evaluate(masks)
    expected = 1 - np.sum((values - cut) ** 2) / np.sum((values - values.mean()) ** 2)
    assert line["r2"][3] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    "removed",
    [None, "1", [1.0], [True], [-1], [3], [0, 0], ["0"], [[0]], {"0": 1}, [0, 1, 2, 0]],
)
def test_what_the_page_sends_is_checked(removed: Any) -> None:
    explanation = InteractionExplanation(make_record("one two three", random_spectrum(3)))
    with pytest.raises(InputError, match="removed must"):
        components.asked({"removed": removed}, explanation)
    assert components.asked({"removed": [2, 0]}, explanation) == (0, 2)
    for data in (None, [], {"key": 3}, {}):
        with pytest.raises(InputError, match="does not come from the page"):
            components.same(data, explanation)
