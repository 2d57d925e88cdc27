"""What the page says, that strangers' text stays text, and that the page asks for nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from record_factory import (
    REVIEW,
    from_effects,
    make_record,
    random_spectrum,
    review_record,
    word_features,
)

from proxyspex_hf.errors import InputError
from proxyspex_hf.record import DensityScore, Target
from proxyspex_hf.viz import render_html
from proxyspex_hf.viz.terms import main_effects, ranked_terms

Parse = Callable[[str], Any]


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
    assert [float(str(v["data-effect"])) for v in spans] == pytest.approx(main_effects(record))


def test_the_headline_names_the_score_and_the_strongest_combination(parse: Parse) -> None:
    record = review_record()
    headline = parse(render_html(record)).texts["h1"]
    full, empty = (f"{v:+.2f}" for v in (record.full_value, record.empty_value))
    assert headline == (
        f"The model\u2019s score for POSITIVE is {full} (all words masked: {empty}). "
        "Strongest combination: \u201cnot\u201d with \u201cbad\u201d (+0.92)."
    )


def test_the_headline_without_combinations(parse: Parse) -> None:
    alone = make_record("one two", from_effects({(0,): 1.0}, 2))
    assert (
        "each word acts on its own, most of all “one” (+1.00)"
        in parse(render_html(alone)).texts["h1"]
    )
    nothing = make_record("one two", from_effects({(): 1.0}, 2))
    assert "does not depend on the words" in parse(render_html(nothing)).texts["h1"]


def test_terms_are_ranked_and_mean_what_the_page_says() -> None:
    record = make_record("a b c d e f g h", random_spectrum(8, 60, seed=3))
    terms = ranked_terms(record)
    sizes = [abs(term.effect) for term in terms]
    assert sizes == sorted(sizes, reverse=True)
    assert len(terms) == len(record.spectrum) - 1
    full = record.spectrum.evaluate(np.ones(8, bool))[0]
    for i in range(8):  # leaving i out breaks every combination that it belongs to
        mask = np.ones(8, bool)
        mask[i] = False
        lost = sum(term.effect for term in terms if i in term.members)
        assert full - record.spectrum.evaluate(mask)[0] == pytest.approx(lost, abs=1e-12)
    banzhaf = {m: f * (-2.0) ** len(m) for m, f in record.spectrum.to_dict().items()}
    for term in terms:
        assert term.effect * 2 ** (term.order - 1) == pytest.approx(banzhaf[term.members])


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
            "149 kept (limit 200) and ∅",
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
