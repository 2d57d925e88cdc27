"""What the page says, that strangers' text stays text, and that the page asks for nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from record_factory import (
    REVIEW,
    additive,
    constant,
    from_effects,
    make_record,
    random_spectrum,
    review_record,
    with_doubt,
    word_features,
)

from proxyspex_hf.core.faithfulness import DensityScore
from proxyspex_hf.errors import InputError
from proxyspex_hf.record.record import ExplanationRecord, Target
from proxyspex_hf.viz import render_html, render_notebook
from proxyspex_hf.viz.terms import ranked_terms
from proxyspex_hf.viz.verdict import percent_text, verdict_of
from proxyspex_hf.viz.view import view
from proxyspex_hf.viz.wording import (
    decimals_for,
    how_sure,
    listed_effects,
    number,
    r2_text,
    signed,
)

Parse = Callable[[str], Any]


def lost_without_each(record: ExplanationRecord) -> list[float]:
    """f̂(N) - f̂(N∖i) of every feature."""
    n = len(record.features)
    without = record.spectrum.evaluate(~np.eye(n, dtype=bool))
    return list(record.spectrum.evaluate(np.ones((1, n), bool)) - without)


def test_terms_are_effects_at_the_input_the_largest_first() -> None:
    record = make_record("a b c d e f g h", random_spectrum(8, 60, seed=3))
    terms = ranked_terms(record)
    sizes = [abs(term.effect) for term in terms]
    assert sizes == sorted(sizes, reverse=True)
    spectrum = record.spectrum

    def value(removed: tuple[int, ...]) -> float:
        mask = np.ones(8, bool)
        mask[list(removed)] = False
        return float(spectrum.evaluate(mask)[0])

    for term in terms:  # I(T) = Σ_{L⊆T} (-1)^|L| f(N∖L)
        expected = sum(
            (-1) ** size * value(part)
            for size in range(term.order + 1)
            for part in combinations(term.members, size)
        )
        assert term.effect == pytest.approx(expected, abs=1e-9)
    assert {t.members for t in terms if t.order == 1} == {
        (i,) for i, lost in enumerate(lost_without_each(record)) if abs(lost) > 1e-9
    }


def test_lopsided_intervals_are_given_by_their_ends() -> None:
    assert number(1.8, (1.6, 2.0), 2) == "+1.80 ± 0.20"
    assert number(1.8, (1.8, 1.8), 2) == "+1.80"
    assert number(-0.23, None, 2) == "-0.23"
    # What would be zeros, or hundreds of digits, has an exponent.
    assert number(1.234e-9, (1.13e-9, 1.338e-9)) == "+1.23e-09 ± 1.0e-10"
    assert number(-4.2e-5, (-5e-5, 1e-6)) == "-0.000042 (-0.000050 to +0.000001)"
    assert number(1e300, None) == "+1.00e+300"
    assert number(5e-324, None) == "+4.9e-324"
    assert [decimals_for([x]) for x in (0.0, 1e300, 1.0, 1e-9, 5e-324)] == [2, 1, 2, 11, 325]
    # Beside others: no finer than the largest, and a level that is none of them as it is.
    assert [signed(x, 11) for x in (-3e-11, 1e-13, -1e-20, 0.0, 0.5, 12.0)] == [
        *("−3e-11", "+1e-13", "+0", "+0", "+0.500000", "+12.000000")
    ]
    # Narrower than the digits that are shown.
    assert number(0.44, (0.4392, 0.4402), 2) == "+0.44"
    # ± 0.50 would tell 1.06 to 2.06.
    assert number(1.56, (0.58, 1.58), 2) == "+1.56 (+0.58 to +1.58)"
    # ± 0.24 would look as if zero were within.
    assert number(0.23, (0.02, 0.5), 2) == "+0.23 (+0.02 to +0.50)"
    assert number(-0.9, (-1.0, 0.1), 2, "−") == "−0.90 (−1.00 to +0.10)"
    # As rounded, ± 0.01 would hold zero.
    assert number(-0.014972, (-0.025916, -0.004028), 2) == "-0.01 (-0.03 to -0.004)"


@pytest.mark.parametrize("decimals", [1, 2, 3])
def test_a_number_holds_zero_as_printed_where_its_interval_does(decimals: int) -> None:
    rng = np.random.default_rng(decimals)
    seen = []
    for value, half, shift in rng.normal(size=(20_000, 3)) * (0.05, 0.05, 0.01):
        low, high = value + shift - abs(half), value + shift + abs(half)
        size, plus_minus, spread = number(value, (low, high), decimals).partition(" ± ")
        if plus_minus:
            told = low > 0.0 or high < 0.0
            assert (abs(float(size)) > float(spread)) == told
            seen.append(told)
    assert 100 < sum(seen) < len(seen) - 100


def test_only_zero_reads_as_zero() -> None:
    small = (-0.004, 0.0051, 0.0049, 9.6e-4, -3e-6, 2e-7, 2e-11)
    assert [signed(x, 2) for x in small] == [
        *("−0.004", "+0.01", "+0.005", "+0.001", "−0.000003", "+2e-07", "+0.00")
    ]
    assert [signed(x, 2) for x in (0.0, -0.0, -1e-17)] == ["+0.00"] * 3  # sums round
    assert number(0.002, (0.001, 0.003), 2) == "+0.002 ± 0.001"
    assert number(0.002, (0.0019, 0.0021), 2) == "+0.002"
    assert number(0.002, (0.0003, 0.5), 2) == "+0.002 (+0.0003 to +0.50)"
    # Beside an interval that holds zero the digits say nothing.
    assert number(-1e-7, (-0.5, 0.5), 2) == "+0.00 ± 0.50"


def test_halves_round_up_as_in_a_browser() -> None:
    assert [signed(x, 2) for x in (0.125, -0.375, 2.5)] == ["+0.13", "−0.38", "+2.50"]
    assert signed(1_125_000_000.0, 2) == "+1.13e+09"
    assert [percent_text(share) for share in (0.125, 0.625)] == ["13%", "63%"]
    # Never 0% or 100%.
    ends = (0.0, 0.00499, 0.005, 0.99499, 0.995, 1.0)
    assert [percent_text(share) for share in ends] == [
        *("under 1%", "under 1%", "1%", "99%", "over 99%", "over 99%")
    ]
    assert [r2_text(x) for x in (0.125, -0.125, None)] == ["0.13", "−0.13", "–"]


def test_a_listing_has_the_digits_of_its_largest_effect() -> None:
    def said(*effects: tuple[str, float]) -> str:
        return listed_effects(effects, lambda words: f"<{words}>")

    assert said(("a × b", 0.92), ("c", -0.78)) == "<a × b> +0.92, <c> −0.78"
    assert said(("a", 1.2e-3), ("b", -4e-4)) == "<a> +0.00120, <b> −0.00040"
    assert said(("a", 1.234e-9)) == "<a> +1.23e-09"
    assert said(("a", 3e12)) == "<a> +3.00e+12"
    assert said() == ""


def test_top_must_be_positive() -> None:
    with pytest.raises(InputError, match="top must be at least 1"):
        render_html(make_record("some text"), top=0)


@pytest.mark.parametrize(
    "text",
    [
        REVIEW,
        "  two  spaces,\ttab\n\nand lines\n",
        "windows\r\nlines\rtoo",
        "a<b & c>d \"quoted\" 'single' &amp;",
        "这部电影一点也不差",
        "הסרט הזה לא רע בכלל",
        "I 😍 it 👩‍👩‍👧 so",
    ],
)
def test_without_scripts_the_file_says_verdict_text_and_list(text: str, parse: Parse) -> None:
    record = make_record(text)
    page = parse(render_html(record, top=7))
    assert page.texts["h2"] == verdict_of(record, record.full_value).text
    (written,) = [v for t, v in page.tags if t == "div" and v.get("class") == "written plain"]
    assert written["dir"] == "auto"
    assert text in page.texts["section"]
    terms = ranked_terms(record)
    decimals = decimals_for(term.effect for term in terms[:1])
    said = [number(t.effect, t.interval, decimals, "\N{MINUS SIGN}") for t in terms[:7]]
    listed = page.texts["ol"]
    assert [part for part in said if part in listed] == said
    assert page.tags.count(("li", {})) >= min(7, len(terms))
    assert how_sure(record) in page.texts["section"]


def test_what_was_found_and_what_not_is_said_without_scripts(parse: Parse) -> None:
    alone = make_record("one two", from_effects({(): 0.5, (0,): 1.0}, 2))
    # Without intervals nothing can be said of combinations that were not found.
    assert "No combination was found among the words." in parse(render_html(alone)).texts["section"]
    sure = parse(render_html(additive(with_doubt(alone))))
    assert "No combination matters: the words add up." in sure.texts["section"]
    nothing = constant(make_record("one two", from_effects({(): 1.0}, 2)))
    assert "does not depend on the words" in parse(render_html(nothing)).texts["section"]
    pairs = parse(render_html(review_record())).texts["section"]
    assert "not₂ or bad: either is enough to lower it; they share 0.92" in pairs
    told = view(review_record(), most_rows=None)["together"]
    assert all("".join(text for _, text in each["parts"]) in pairs for each in told)
    assert [each["rank"] for each in told][-1].endswith("effects")


def test_what_changes_the_meaning_stands_at_the_top(parse: Parse) -> None:
    record = make_record(
        "some text here",
        target=Target("NEGATIVE", 0, "logit", "POSITIVE"),
        provenance={"notes": ("The text was cut after 512 tokens.",)},
        faithfulness=(DensityScore(0.5, 0.9, 0.5, 10), DensityScore(0.9, -0.2, 0.1, 10)),
    )
    top = parse(render_html(record)).texts["header"]
    assert "The text was cut after 512 tokens." in top
    assert "The model predicts POSITIVE" in top
    assert "worse than a constant" in top
    assert [v for t, v in parse(render_html(make_record("some text here"))).tags if t == "ul"] == [
        {"class": "together"}
    ]


@pytest.mark.parametrize(
    ("r2", "says"),
    [
        (0.8, "follows the model well: R² 0.80"),
        (0.79, "follows the model fairly: R² 0.79"),
        (0.49, "does not follow the model: R² 0.49"),
        (-0.01, "does not follow the model: R² −0.01"),
        (None, "was not measured"),
    ],
)
def test_how_sure_in_one_line(r2: float | None, says: str) -> None:
    record = make_record("some text", faithfulness=(DensityScore(0.9, r2, None, 1234),))
    assert says in how_sure(record)
    exact = replace(record, fit=replace(record.fit, method="exact", cv_r2=None))
    assert how_sure(exact) == "Exact: the model was asked about every subset of the words."
    assert "held" not in render_html(exact).split("<body>")[1].split("<script")[0]


def test_how_it_was_made_is_complete() -> None:
    record = review_record()
    made = str(view(record, most_rows=None)["facts"])
    for part in (
        *("acme/distil-sentiment", "3f1c2ab", "text-classification", "POSITIVE (output 1, logit)"),
        *("135 words", "replaced by [MASK]", "200: 160 fitted, 40 held out", "mixture of 0.5"),
        *("boosting", "depth 5, 1000 trees", "ridge on the kept", "0.84"),
        f"{len(record.spectrum) - 1} kept (limit 200) and ∅",
        *("highest order 4", "transformers 5.13.0", "2026-03-01", "fit 4.5"),
    ):
        assert part in made


def test_rendering_is_deterministic_and_a_notebook_s_cell_small() -> None:
    record = with_doubt(review_record())
    assert render_html(record) == render_html(record)
    cell = render_notebook(record)
    assert cell == render_notebook(record)
    assert len(cell.encode()) < 100_000
    assert len(render_html(record).encode()) < 400_000


def test_a_notebook_that_is_stripped_says_verdict_and_text(parse: Parse) -> None:
    record = review_record()
    stripped = re.sub(r"<(style|iframe).*?</\1>", "", render_notebook(record), flags=re.DOTALL)
    page = parse(stripped)
    assert {"script", "iframe", "style"}.isdisjoint(tag for tag, _ in page.tags)
    assert page.texts["h2"] == verdict_of(record, record.full_value).text
    assert record.text in page.texts["section"]


def test_too_many_coefficients_for_a_browser_leave_the_what_if_out() -> None:
    record = make_record("a b c d e f g h i j k l m n o", random_spectrum(15, 100), features=None)
    rng = np.random.default_rng(0)
    big = from_effects(
        {tuple(i for i in range(15) if r >> i & 1): float(rng.normal()) for r in range(1, 2**15)},
        15,
    )
    told = view(replace(record, spectrum=big), most_rows=None)
    assert told["support"] is None
    assert told["coefficients"] is None


def test_features_keep_their_own_names() -> None:
    record = make_record("One. Two.", features=word_features("One. Two.", kind="sentences"))
    assert view(record, most_rows=None)["counted"] == [("sentence", "sentences", 0, 2)]
