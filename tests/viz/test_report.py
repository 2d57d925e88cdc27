"""What the page says, that strangers' text stays text, and that the page asks for nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from record_factory import (
    REVIEW,
    from_effects,
    make_record,
    random_spectrum,
    review_record,
    with_doubt,
    word_features,
)

from proxyspex_hf.errors import InputError
from proxyspex_hf.record import DensityScore, ExplanationRecord, Target
from proxyspex_hf.viz import render_html
from proxyspex_hf.viz.terms import ranked_terms
from proxyspex_hf.viz.wording import number

Parse = Callable[[str], Any]


def lost_without_each(record: ExplanationRecord) -> list[float]:
    """f̂(N) - f̂(N∖i) of every feature."""
    n = len(record.features)
    without = record.spectrum.evaluate(~np.eye(n, dtype=bool))
    return list(record.spectrum.evaluate(np.ones((1, n), bool)) - without)


@pytest.mark.parametrize(
    "text",
    [
        REVIEW,
        "  two  spaces,\ttab\n\nand lines\n",
        "\nstarts with a line feed",
        "windows\r\nlines\rtoo",
        "a<b & c>d \"quoted\" 'single' &amp;",
        "这部电影一点也不差",
        "הסרט הזה לא רע בכלל",
        "I 😍 it 👩‍👩‍👧 so",
    ],
)
def test_the_text_is_shown_exactly(text: str, parse: Parse) -> None:
    record = make_record(text)
    page = parse(render_html(record))
    assert page.texts["text"] == text
    spans = [v for tag, v in page.tags if tag == "span" and "data-effect" in v]
    assert [float(str(v["data-effect"])) for v in spans] == pytest.approx(
        lost_without_each(record), abs=1e-12
    )


def test_the_headline_names_the_score_and_the_strongest_combination(parse: Parse) -> None:
    record = review_record()
    headline = parse(render_html(record)).texts["h1"]
    full, empty = (f"{v:+.2f}" for v in (record.full_value, record.empty_value))
    assert headline == (
        f"The model\u2019s score for POSITIVE is {full} (all words masked: {empty}). "
        "\u201cnot\u201d or \u201cbad\u201d is enough to lower it: +0.92."
    )


def test_the_headline_without_combinations(parse: Parse) -> None:
    alone = make_record("one two", from_effects({(): 0.5, (0,): 1.0}, 2))

    def headline(record: ExplanationRecord) -> str:
        return str(parse(render_html(record)).texts["h1"])

    # Without intervals nothing can be said of combinations that were not found.
    said = "No combination was found among the words. Most of all, “one” raises it: +1.00."
    assert said in headline(alone)
    sure = with_doubt(alone)
    assert (
        "No combination matters here: the words add up. Most of all, “one” raises it: +1.00 (+"
        in (headline(sure))
    )
    nothing = make_record("one two", from_effects({(): 1.0}, 2))
    assert "does not depend on the words" in headline(nothing)
    faint = with_doubt(make_record("one two", from_effects({(): 0.5, (0,): 0.001}, 2)), noise=1.0)
    assert "No effect of a word or of a combination can be told from zero." in headline(faint)


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


def test_what_cannot_be_told_from_zero_is_pale_and_not_listed(parse: Parse) -> None:
    text = "one two three four five six"
    effects = {(): 0.5, (0,): 1.0, (2,): -1.0, (4,): 0.2, (0, 2): 0.9, (1, 5): 0.1}
    record = with_doubt(make_record(text, from_effects(effects, 6)), noise=0.1)
    by_members = {found.members: found for found in record.effects}
    unsure, sure = by_members[4,], by_members[0,]
    assert unsure.interval is not None
    assert sure.interval is not None
    assert unsure.interval[0] < 0 < unsure.interval[1]
    assert sure.interval[0] > 0
    page = parse(render_html(record))
    looks = [str(v["class"]) for t, v in page.tags if t == "span" and "data-effect" in v]
    assert looks[4] == "f unsure"
    assert looks[0].startswith("f pos")
    assert looks[2].startswith("f neg")
    assert "unsure" in page.texts["body"].split("What if?")[0]
    rows = [v for t, v in page.tags if t == "div" and "data-members" in v]
    listed = {tuple(map(int, str(row["data-members"]).split())): row for row in rows}
    assert set(listed) == {e.members for e in record.effects if e.is_sure}
    assert (4,) not in listed
    assert float(str(listed[0,]["data-low"])) == sure.interval[0]
    assert float(str(listed[0,]["data-high"])) == sure.interval[1]
    for members in ((0,), (2,)):
        shown = by_members[members]
        said = number(shown.value, shown.interval, 2, "\N{MINUS SIGN}")
        assert said in page.texts["rows"]


def test_lopsided_intervals_are_given_by_their_ends() -> None:
    assert number(1.8, (1.6, 2.0), 2) == "+1.80 ± 0.20"
    assert number(1.8, (1.8, 1.8), 2) == "+1.80"
    assert number(-0.23, None, 2) == "-0.23"
    # Narrower than the digits that are shown.
    assert number(0.44, (0.4392, 0.4402), 2) == "+0.44"
    # ± 0.50 would tell 1.06 to 2.06.
    assert number(1.56, (0.58, 1.58), 2) == "+1.56 (+0.58 to +1.58)"
    # ± 0.24 would look as if zero were within.
    assert number(0.23, (0.02, 0.5), 2) == "+0.23 (+0.02 to +0.50)"
    assert number(-0.9, (-1.0, 0.1), 2, "−") == "−0.90 (−1.00 to +0.10)"


def test_r2_has_its_interval_and_masks_say_where_they_are_from(parse: Parse) -> None:
    held_out = parse(render_html(make_record("some text")))
    assert "not used for fitting" in held_out.texts["trust"]
    assert "90% interval" not in held_out.texts["trust"]
    left_out = parse(render_html(with_doubt(make_record("some text"))))
    assert "0.87 (0.79 to 0.92)" in left_out.texts["trust"]
    assert "each predicted by a fit without it" in left_out.texts["trust"]
    assert "Held out" not in left_out.texts["trust"]
    assert "held out (" not in left_out.texts["dl"]


def test_rows_beyond_top_are_there_but_hidden(parse: Parse) -> None:
    record = review_record()
    page = parse(render_html(record, top=7))
    items = [values for tag, values in page.tags if tag == "li"]
    assert sum("hidden" not in values for values in items) == 7
    assert len(items) == len(ranked_terms(record))
    assert page.texts["count"] == f"7 of {len(items)}"


def test_what_changes_the_meaning_stands_at_the_top() -> None:
    record = make_record(
        "some text here",
        target=Target("NEGATIVE", 0, "logit", "POSITIVE"),
        provenance={"notes": ("The text was cut after 512 tokens.",)},
        faithfulness=(DensityScore(0.5, 0.9, 0.5, 10), DensityScore(0.9, -0.2, 0.1, 10)),
    )
    top = render_html(record).split("<main>")[0]
    assert "The text was cut after 512 tokens." in top
    assert "The model predicts POSITIVE" in top
    assert "worse than a constant" in top
    calm = render_html(make_record("some text here")).split("<main>")[0]
    assert "alerts" not in calm.split("</style>")[1]


@pytest.mark.parametrize(
    ("r2", "word"),
    [
        (0.8, "good"),
        (0.79, "fair"),
        (0.5, "fair"),
        (0.49, "poor"),
        (-0.01, "worse than a constant"),
        (None, "not measured"),
    ],
)
def test_verdicts(r2: float | None, word: str, parse: Parse) -> None:
    record = make_record("some text", faithfulness=(DensityScore(0.5, r2, None, 1234),))
    page = parse(render_html(record))
    assert word in page.texts["tbody"]
    assert "1,234" in page.texts["tbody"]
    assert "keeps 50% of the words" in page.texts["tbody"]


def test_an_exact_explanation_needs_no_held_out_masks(parse: Parse) -> None:
    record = make_record("some text", faithfulness=())
    assert "was not measured" in parse(render_html(record)).texts["trust"]
    exact = replace(record, fit=replace(record.fit, method="exact", cv_r2=None))
    assert "Every subset of the words was asked" in parse(render_html(exact)).texts["trust"]


def test_how_it_was_made_is_complete(parse: Parse) -> None:
    record = review_record()
    made = parse(render_html(record)).texts["dl"]
    for part in (
        *("acme/distil-sentiment", "3f1c2ab", "text-classification", "POSITIVE (output 1, logit)"),
        *("135 words", "replaced by [MASK]", "200: 160 fitted, 40 held out", "mixture of 0.5"),
        *(
            "boosting",
            "depth 5, 1000 trees",
            "ridge on the kept",
            "0.84",
            f"{len(record.spectrum) - 1} kept (limit 200) and ∅",
        ),
        *("highest order 4", "transformers 5.13.0", "2026-03-01", "fit 4.5"),
    ):
        assert part in made


def test_labels_that_read_the_same_are_numbered(parse: Parse) -> None:
    record = make_record("the cat the dog", from_effects({(0, 2): 1.0, (1,): 0.5}, 4))
    assert "the1\N{MULTIPLICATION SIGN}…the2" in parse(render_html(record)).texts["rows"]


def test_rendering_is_deterministic_and_small() -> None:
    page = render_html(review_record())
    assert page == render_html(review_record())
    assert len(page.encode()) < 150_000


def test_five_hundred_features_and_coefficients_stay_small() -> None:
    text = " ".join(f"word{i}" for i in range(500))
    record = make_record(text, random_spectrum(500, 500))
    assert len(render_html(record).encode()) < 600_000


def test_too_many_coefficients_for_a_browser_leave_the_what_if_out() -> None:
    record = make_record("a b c d e f g h i j k l m n o", random_spectrum(15, 100), features=None)
    rng = np.random.default_rng(0)
    big = from_effects(
        {tuple(i for i in range(15) if r >> i & 1): float(rng.normal()) for r in range(1, 2**15)},
        15,
    )
    page = render_html(replace(record, spectrum=big))
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert data["support"] is None
    assert data["coefficients"] is None
    assert len(page) < 600_000


def test_top_must_be_positive() -> None:
    with pytest.raises(InputError, match="top must be at least 1"):
        render_html(make_record("some text"), top=0)


def test_features_keep_their_own_names(parse: Parse) -> None:
    record = make_record("One. Two.", features=word_features("One. Two.", kind="sentences"))
    assert "all sentences masked" in parse(render_html(record)).texts["h1"]
