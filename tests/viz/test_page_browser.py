"""The file in a real browser with the network off: the same program as the app's page."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from contrast import CONTRAST
from record_factory import (
    captioned_record,
    from_effects,
    make_record,
    random_spectrum,
    review_record,
    with_doubt,
)

from proxyspex_hf.core.intervals import prediction_intervals
from proxyspex_hf.core.proxies.sibling import Sibling
from proxyspex_hf.record.record import ExplanationRecord, Target
from proxyspex_hf.viz import render_notebook
from proxyspex_hf.viz.page import script
from proxyspex_hf.viz.terms import ranked_terms
from proxyspex_hf.viz.verdict import percent_text, verdict_of
from proxyspex_hf.viz.wording import decimals_for, number, signed

Open = Callable[..., Any]


def evaluate(record: ExplanationRecord, out: list[int]) -> float:
    mask = np.ones(len(record.features), bool)
    mask[out] = False
    return float(record.spectrum.evaluate(mask)[0])


def part(view: Any, name: str) -> Any:
    return view.page.locator(f'.psx [data-id="{name}"]')


def test_a_file_says_without_scripts_what_it_says_with_them(open_page: Open) -> None:
    record = with_doubt(review_record())
    still = open_page(record, java_script_enabled=False)
    live = open_page(record)
    for where in ("h2", ".written", ".sure"):
        said = [v.page.locator(f".psx {where}").first.inner_text() for v in (still, live)]
        assert said[0].strip() in said[1]
    flips = [v.page.locator(".psx .flip").first.inner_text() for v in (still, live)]
    assert flips[1].removesuffix(" See it") == flips[0]
    sentences = [v.page.locator(".psx .together li").all_inner_texts() for v in (still, live)]
    for quiet, spoken in zip(*sentences, strict=True):
        assert quiet in spoken
    assert still.page.locator("button:visible, input:visible").count() == 0
    assert still.page.locator(".plain-rows li").count() == len(ranked_terms(record))


@pytest.mark.parametrize("told", [False, True])
def test_the_number_after_clicks_is_the_package_s(open_page: Open, *, told: bool) -> None:
    plain = review_record()
    sibling = Sibling(random_spectrum(len(plain.features), 40)) if told else None
    record = with_doubt(plain, sibling=sibling)
    view = open_page(record)
    assert view.value() == record.full_value
    out: list[int] = []
    for i in (5, 60, 61, 0, 134):
        view.word(i).click()
        out.append(i)
        assert view.value() == pytest.approx(evaluate(record, out), abs=1e-9)
        verdict = verdict_of(record, evaluate(record, out)).text
        assert part(view, "verdict").inner_text() == verdict
    # How sure that is, the page works out for any set: the same as the package.
    view.page.locator('[data-id="range"]', has_text="90%").wait_for()
    mask = np.ones((1, len(record.features)), bool)
    mask[0, out] = False
    expected = prediction_intervals(record.spectrum, record.posterior, mask)[0]
    shown = part(view, "range").inner_text().replace("\N{MINUS SIGN}", "-")
    ends = [float(number) for number in re.findall(r"[+-][\d.]+", shown)]
    digits = len(shown.split(".")[-1])
    assert ends == pytest.approx(expected, abs=0.51 * 10**-digits)
    assert expected[1] - expected[0] > 4 * 10**-digits
    view.page.get_by_role("button", name="Restore all").click()
    view.word(5).click()
    assert "90%: " in part(view, "range").inner_text()  # each alone is in the file
    # Nothing asks what a file cannot answer.
    assert view.page.get_by_role("button", name="Check with the model").count() == 0
    assert view.page.get_by_role("button", name="Share this view").count() == 0


def test_the_page_writes_numbers_as_the_package_does(open_page: Open) -> None:
    effects = {(): 2e-7, (0,): 1.234e-9, (1, 2): -4.5e-10}
    record = make_record("alpha beta gamma", from_effects(effects, 3))
    view = open_page(
        replace(record, queries=replace(record.queries, values=np.zeros(len(record.queries))))
    )
    assert "4.5e-10" in view.page.locator(".psx .together li").first.inner_text()
    assert view.complaints == []
    program = script()
    start, end = (program.index(text) for text in ("const scientific =", "// ± half of the"))
    clamped = "const clamp = (x, low, high) => Math.max(low, Math.min(high, x)), MINUS = '−';"
    halves = [k / 8 for k in range(1, 40)] + [1.125e9, 62.5, 0.5]
    sizes = [1.3 * 10.0**k for k in range(-320, 306, 3)] + halves
    values = [s * size for size in [*sizes, 0.014972] for s in (1, -1)]
    cases = [(v, decimals_for([w])) for v in values for w in (v, 1.0, 1e-5, 3e-9, 1e12)]
    # As ±, by its ends, narrower than what is shown, around zero, none.
    spans = [(0.9, 1.1), (0.1, 1.1), (0.99999, 1.0), (-0.5, 1.5), (-40.0, 40.0), None]
    spans += [(0.27, 1.73), (-0.05, 1.95)]  # beside zero, which rounding may cross
    ends = [span and sorted((span[0] * v, span[1] * v)) for v, _ in cases for span in spans]
    given = [case for case in cases for _ in spans]
    said = view.page.evaluate(
        f"cases => {{ {clamped} {program[start:end]} "
        "return cases.map(([x, decimals]) => [signed(x, decimals), digitsFor(x)]); }",
        cases,
    )
    start, end = (program.index(text) for text in ("const scientific =", "const endsText ="))
    spoken = view.page.evaluate(
        f"cases => {{ {clamped} {program[start:end]} return cases.map(([[x, decimals], ends]) => "
        "withHalf(x, ...(ends ?? [null, null]), decimals)); }",
        list(zip(given, ends, strict=True)),
    )
    for (value, decimals), span, text in zip(given, ends, spoken, strict=True):
        assert text == number(value, span and tuple(span), decimals, "\N{MINUS SIGN}")
    near = [k / 200 + step for k in range(201) for step in (-1e-9, -1e-17, 0.0, 1e-17, 1e-9)]
    shares = [*near, 0.005, 0.995, math.nextafter(0.005, 0), math.nextafter(0.995, 0)]
    start, end = (program.index(text) for text in ("const percentText =", "const shareOf ="))
    percents = view.page.evaluate(
        f"shares => {{ {program[start:end]} return shares.map(percentText); }}", shares
    )
    assert percents == [percent_text(share) for share in shares]
    for (value, decimals), (text, digits) in zip(cases, said, strict=True):
        assert digits == decimals_for([value])
        assert text == signed(value, decimals)


def test_likelihood_goes_up_where_log_perplexity_goes_down(open_page: Open) -> None:
    target = Target("Oslo", None, "log-perplexity", "Oslo")
    effects = {(): 1.0, (0,): -0.5, (2,): 0.3}
    record = make_record("Jim bakes there", from_effects(effects, 3), target=target)
    view = open_page(record)
    likely = round(100 * np.exp(-record.full_value))
    assert part(view, "verdict").inner_text() == f"“Oslo” is {likely}% likely, token by token."
    assert "Lower means likelier" in view.page.locator(".legend").inner_text()
    assert "makes it likelier" in view.page.locator(".legend .key.pos").inner_text()
    classes = [view.word(i).get_attribute("class") for i in (0, 2)]
    assert "pos" in classes[0]
    assert "neg" in classes[1]
    view.word(0).click()
    less = round(100 * np.exp(-evaluate(record, [0])))
    assert less < likely
    assert part(view, "verdict").inner_text().startswith(f"“Oslo” is {less}% likely")


@pytest.mark.parametrize(
    ("predicted", "adverb", "flip"),
    [("sports", "", "Without alpha: 15% sports. See it"), ("arts", ", just not", "")],
)
def test_a_label_of_many_is_just_not_where_another_is_predicted(
    open_page: Open, predicted: str, adverb: str, flip: str
) -> None:
    target = Target("sports", 3, "probability", predicted)
    spectrum = from_effects({(): 0.45, (0,): 0.3, (2,): 0.04}, 3)
    record = make_record("alpha beta gamma", spectrum, target=target)
    values = spectrum.evaluate(record.queries.masks)
    view = open_page(replace(record, queries=replace(record.queries, values=values)))
    assert part(view, "verdict").inner_text() == f"45% sports{adverb}."
    if flip:
        assert part(view, "flip").inner_text() == flip
    view.word(2).click()
    assert part(view, "verdict").inner_text() == f"41% sports{adverb}."


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
def test_the_first_click_has_a_visible_result(open_page: Open, width: int, height: int) -> None:
    view = open_page(review_record(), viewport={"width": width, "height": height})
    last = view.word(134)
    last.scroll_into_view_if_needed()
    last.click()
    box = part(view, "prediction").bounding_box()
    assert 0 <= box["y"] < height - box["height"]
    assert 0 <= box["x"] < width
    assert view.page.evaluate("document.documentElement.scrollWidth") <= width
    below = view.page.evaluate(
        "document.documentElement.scrollHeight - document.querySelector('.details')"
        ".getBoundingClientRect().bottom - scrollY"
    )
    assert below < 120  # nothing blank under it


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_a_contrast_of_at_least_4_5(open_page: Open, scheme: str) -> None:
    still = {"color_scheme": scheme, "reduced_motion": "reduce"}  # no colour on its way to another
    view = open_page(with_doubt(review_record()), **still)
    view.word(7).click()
    view.page.mouse.move(2, 2)
    ratios = view.page.locator(".psx *:not(svg, svg *)").evaluate_all(CONTRAST)
    assert len(ratios) > 180
    assert [(round(ratio, 2), text[:40]) for ratio, text in ratios if ratio < 4.5] == []
    ground = view.page.locator("#explanation").evaluate("e => getComputedStyle(e).backgroundColor")
    assert (ground == "rgb(20, 19, 17)") == (scheme == "dark")


@pytest.mark.parametrize("width", [320, 720])
def test_no_horizontal_scroll(open_page: Open, width: int) -> None:
    """720 is half of 1440: the page at 200% zoom."""
    label = "supercalifragilistic" * 8
    record = make_record(
        f"{label} is not bad",
        from_effects({(0, 2, 3): 1.0, (0,): -0.5}, 4),
        target=Target(label, 0, "logit", label + "!"),
        provenance={"model": label, "notes": (label,)},
    )
    for each in (record, captioned_record()):
        view = open_page(each, viewport={"width": width, "height": 800})
        view.word(0).click()
        view.page.locator(".details > summary").click()
        assert view.page.evaluate("document.documentElement.scrollWidth") <= width


def test_names_of_the_scale_do_not_overprint(open_page: Open) -> None:
    record = make_record("one two", from_effects({(): 0.5, (0,): 0.001, (1,): -0.001}, 2))
    view = open_page(record)
    boxes = view.page.locator(".scale text").evaluate_all(
        "all => all.map(e => e.getBoundingClientRect()).map(r => [r.left, r.right, r.top])"
    )
    (a, b) = sorted(boxes)
    assert a[2] != b[2] or a[1] < b[0]


def test_right_to_left_text(open_page: Open) -> None:
    text = "הסרט הזה לא רע בכלל"
    view = open_page(make_record(text, from_effects({(2, 3): 1.0, (3,): -0.5}, 5)))
    written = view.page.locator(".psx .written")
    assert written.evaluate("e => getComputedStyle(e).direction") == "rtl"
    first, second = (view.word(i).bounding_box() for i in (0, 1))
    assert first["x"] > second["x"]
    view.word(0).focus()
    view.page.keyboard.press("ArrowLeft")
    assert view.active() == text.split()[1]


def test_print_is_the_story_alone(open_page: Open) -> None:
    view = open_page(review_record(), reduced_motion="reduce")
    assert view.word(0).evaluate("e => getComputedStyle(e).transitionDuration") == "0s"
    view.page.emulate_media(media="print")
    assert view.page.locator("input:visible, .whatif:visible, .details:visible").count() == 0
    assert view.page.locator(".sentence:visible").count() == 5


def test_a_long_text_that_is_never_masked_is_folded_on_a_phone(open_page: Open) -> None:
    fixed = "You are a patient film critic. " * 20
    record = make_record("It is not bad")
    start = len(fixed)
    spans = tuple((a + start, b + start) for a, b in record.features.spans)
    record = replace(
        record, text=fixed + record.text, features=replace(record.features, spans=spans)
    )
    wide, narrow = (
        open_page(record, viewport={"width": width, "height": 800}) for width in (1200, 390)
    )
    assert wide.page.locator(".written").inner_text().count("critic") == 20
    assert wide.page.locator(".fold:visible").count() == 0
    written = narrow.page.locator(".written")
    assert written.inner_text().count("critic") == 4
    tall = written.bounding_box()["height"]
    narrow.page.get_by_role("button", name="The whole of the text").click()
    assert written.inner_text().count("critic") == 20
    assert written.bounding_box()["height"] > 2 * tall
    narrow.page.get_by_role("button", name="The whole of the text").click()
    assert written.inner_text().count("critic") == 4


def test_a_notebook_s_frame_is_the_whole_page(open_page: Open) -> None:
    record = with_doubt(review_record())
    view = open_page(record, content=f"<!DOCTYPE html>{render_notebook(record)}")
    frame = view.page.frames[-1]
    frame.wait_for_selector('.psx[aria-busy="false"]')
    frame.locator('.input [data-i="5"]').click()
    value = float(frame.locator('[data-id="prediction"]').get_attribute("data-value"))
    assert value == pytest.approx(evaluate(record, [5]), abs=1e-9)
    assert view.page.locator(".psx-plain").is_hidden()
    script = """all => all.filter(e => !(e.textContent.trim() || e.getAttribute('aria-label')
      || e.labels?.length)).map(e => e.outerHTML)"""
    assert frame.locator("button, input, select, summary").evaluate_all(script) == []


def test_the_picture_is_saved_as_svg_and_png(open_page: Open) -> None:
    view = open_page(captioned_record())
    view.page.get_by_text("Save", exact=True).click()
    for name, start in (("svg", b"<svg "), ("png", b"\x89PNG\r\n")):
        with view.page.expect_download() as download:
            part(view, name).click()
        assert download.value.suggested_filename == f"this-a-red-dot.{name}"
        assert download.value.path().read_bytes().startswith(start)
