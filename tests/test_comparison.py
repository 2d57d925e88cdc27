"""Two explanations side by side: matched features, differences, intervals, and the page."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from payloads import PAYLOADS
from record_factory import (
    captioned_record,
    from_effects,
    make_record,
    random_spectrum,
    review_record,
    with_doubt,
)
from viz_pages import Page

from proxyspex_hf import (
    InteractionExplainer,
    InteractionExplanation,
    compare,
    explanations_summary,
)
from proxyspex_hf.core.effects import effect_intervals
from proxyspex_hf.errors import InputError
from proxyspex_hf.record.record import Target


def explained(text: str, effects: dict[Any, float], **changes: Any) -> InteractionExplanation:
    return InteractionExplanation(
        make_record(text, from_effects(effects, len(text.split())), **changes)
    )


BEFORE = explained("it is not bad", {(): 0.5, (2, 3): 1.0, (3,): -0.5})
AFTER = explained("it is really bad", {(): 0.5, (3,): -0.7, (0, 1): 0.2})


def test_what_both_have_is_subtracted_and_what_one_has_stands_last() -> None:
    found = compare(BEFORE, AFTER, ("before", "after"))
    ours = {e.members: e.value for e in BEFORE.record.effects}
    theirs = {e.members: e.value for e in AFTER.record.effects}
    by = {d.labels: d for d in found.differences}
    bad = by["bad",]
    assert bad.effects == (ours[3,], theirs[3,])
    assert bad.difference == pytest.approx(theirs[3,] - ours[3,])
    assert by["it", "is"].effects == (0.0, theirs[0, 1])
    assert by["not",].second is None
    assert by["not",].difference is None
    assert by["not", "bad"].effects[0] == ours[2, 3]
    sizes = [abs(d.difference) for d in found.differences if d.difference is not None]
    assert sizes == sorted(sizes, reverse=True)
    assert [d.difference is None for d in found.differences][-2:] == [True, True]
    frame = found.to_dataframe()
    assert list(frame.labels)[: len(found.top(2))] == [" × ".join(d.labels) for d in found.top(2)]
    assert "before: Logit" in str(found)


def test_intervals_add_up_as_those_of_independent_errors() -> None:
    first = InteractionExplanation(with_doubt(review_record()))
    second = InteractionExplanation(with_doubt(review_record(seed=1, n_extra=60), noise=0.0001))
    found = compare(first, second)
    ours = {e.members: e for e in first.record.effects}
    theirs = {e.members: e for e in second.record.effects}
    checked = 0
    for d in found.differences[:40]:
        if d.first not in ours or d.second not in theirs:
            continue
        x, y = ours[d.first], theirs[d.second]
        low = math.hypot(y.value - y.interval[0], x.interval[1] - x.value)
        high = math.hypot(y.interval[1] - y.value, x.value - x.interval[0])
        assert d.interval == pytest.approx((d.difference - low, d.difference + high))
        assert d.is_sure == (d.interval[0] > 0 or d.interval[1] < 0)
        checked += 1
    assert checked > 10
    same = compare(first, first)
    assert same.top() == []
    assert "No difference can be told from zero." in str(same)


def test_a_set_that_one_spectrum_has_no_term_of_is_zero_and_how_sure_is_known() -> None:
    text = "one two three four five six"
    first, second = (
        InteractionExplanation(with_doubt(make_record(text, from_effects(effects, 6))))
        for effects in ({(0,): 1.0, (4,): 0.3}, {(0,): 1.0, (2, 3): -0.9})
    )
    found = next(d for d in compare(first, second).differences if d.first == (2, 3))
    theirs = {e.members: e for e in second.record.effects}[2, 3]
    assert found.effects == (0.0, theirs.value)
    ends = effect_intervals(first.record.posterior, [(2, 3)], np.zeros(1))[0]
    assert ends[0] < 0 < ends[1]
    low = math.hypot(theirs.value - theirs.interval[0], ends[1])
    assert found.interval[0] == pytest.approx(found.difference - low)


def test_an_effect_beyond_those_that_are_listed_is_what_it_is() -> None:
    n = 11
    names = [f"w{i}" for i in range(n)]
    sets = [t for size in (2, 3, 4) for t in combinations(range(n), size)]
    assert len(sets) > 400  # more than an explanation lists
    strong = {t: 2.0 + r / len(sets) for r, t in enumerate(sets)} | {(0, 1): 1.0}

    def losing(effects: dict[tuple[int, ...], float]) -> InteractionExplanation:
        """f(N∖R) = Σ_{T⊆R} (-1)^|T| I(T)."""

        def function(masks: np.ndarray) -> np.ndarray:
            inside = [(-1) ** len(t) * v * ~masks[:, t].any(axis=1) for t, v in effects.items()]
            return np.sum(inside, axis=0)

        explainer = InteractionExplainer(function, progress=False, budget=2**n, n_coefficients=2**n)
        return explainer(names)

    first, second = losing(strong), losing({(0, 1): 1.0})
    assert (0, 1) not in {e.members for e in first.record.effects}
    found = next(d for d in compare(first, second).differences if d.first == (0, 1))
    assert found.effects == (pytest.approx(1.0), pytest.approx(1.0))
    assert found.difference == pytest.approx(0.0, abs=1e-9)
    assert found.interval == pytest.approx((0.0, 0.0), abs=1e-9)


def test_an_effect_that_is_not_listed_is_stretched_to_its_own_number() -> None:
    record = with_doubt(review_record())
    listed = [e for e in record.effects if e.order > 1][:5]
    again = record.effects_of([e.members for e in listed])
    for one, other in zip(listed, again, strict=True):
        assert other.value == pytest.approx(one.value)
        assert other.interval == pytest.approx(one.interval)
        assert other.kind == one.kind
    assert record.effects_of([]) == ()


def test_images_are_matched_by_place() -> None:
    first = InteractionExplanation(captioned_record())
    second = InteractionExplanation(captioned_record(from_effects({(0,): 0.5, (0, 5): 2.0}, 7)))
    by = {d.first: d for d in compare(first, second).differences}
    assert by[0,].second == (0,)
    assert by[0, 5].labels == ("row 1, column 1", "red")


def test_what_cannot_be_compared_is_refused() -> None:
    other = Target("POSITIVE", 1, "probability", "POSITIVE")
    with pytest.raises(InputError, match=r"a logit, the second a probability.*same value="):
        compare(BEFORE, explained("it is", {(): 1.0}, target=other))
    with pytest.raises(InputError, match=r"names must be two, such as .*, got "):
        compare(BEFORE, AFTER, ("one",))
    with pytest.raises(InputError, match="got 'ab'"):
        compare(BEFORE, AFTER, "ab")  # type: ignore[arg-type]
    two = [
        explained("a b", {(0,): 1.0}, target=Target(label, i, "logit", label, other=against))
        for i, (label, against) in enumerate([("NO", "YES"), ("YES", "NO")])
    ]
    with pytest.raises(InputError, match=r"every sign is reversed.*target='NO'"):
        compare(*two)


def test_the_other_one_of_two_labels_is_turned() -> None:
    first, second = (
        explained("a b", {(0,): effect}, target=Target(label, i, "log-odds", label, other=against))
        for i, (label, against, effect) in enumerate([("NO", "YES", 1.0), ("YES", "NO", -3.0)])
    )
    found = compare(first, second)
    assert found.differences[0].labels == ("a",)
    assert found.differences[0].effects == (1.0, 3.0)  # on NO, in both
    assert found.differences[0].difference == 2.0
    assert "On NO: those of the second, which explains YES, are turned to it." in " ".join(
        found.to_text().split()
    )
    # With intervals: a second explanation of the same, by the other label, differs in nothing.
    record = with_doubt(review_record())
    turned = replace(
        record,
        target=replace(record.target, label="B", other="A", kind="log-odds"),
        spectrum=replace(record.spectrum, coefficients=-record.spectrum.coefficients),
    )
    same = replace(record, target=replace(record.target, label="A", other="B", kind="log-odds"))
    pair = compare(InteractionExplanation(same), InteractionExplanation(turned))
    assert all(d.difference == pytest.approx(0.0, abs=1e-9) for d in pair.differences)
    ends = [d.interval for d in pair.differences if d.interval is not None]
    assert len(ends) > 5
    assert all(low <= 1e-9 and high >= -1e-9 for low, high in ends)
    assert any(low < -0.01 for low, _ in ends)


def test_recurring_words_are_counted_over_inputs() -> None:
    texts = ["Bad, bad film", "not a bad film!", "a fine film"]
    effects: list[dict[Any, float]] = [
        {(0,): -0.5, (1,): -0.2},
        {(0, 2): 0.8, (2,): -0.1},
        {(1,): 0.6},
    ]
    given = [explained(t, e) for t, e in zip(texts, effects, strict=True)]
    found = explanations_summary(iter(given))
    by = {r.words: r for r in found.recurring}
    # A word that stands twice in one input counts once, by its larger effect.
    assert (by["bad",].count, by["bad",].total) == (2, 2)
    assert by["bad",].mean == pytest.approx((-0.5 - 0.1) / 2)
    error = math.sqrt(0.08) / math.sqrt(2)
    reach = 6.3138 * error  # Student's t of one degree of freedom, 95%
    assert by["bad",].interval == pytest.approx((-0.3 - reach, -0.3 + reach), abs=1e-3)
    assert by["bad", "not"].count == 1
    assert by["bad", "not"].examples == (1,)
    assert by["bad", "not"].interval is None
    assert by["fine",].raising == 1.0
    assert [r.count for r in found.recurring] == sorted(
        (r.count for r in found.recurring), reverse=True
    )
    assert found.top(1, order=2)[0].words == ("bad", "not")
    assert found.to_dataframe().words.iloc[0] == "bad"
    with pytest.raises(InputError, match="no explanation is of label='joy'"):
        found.top(label="joy")


@pytest.mark.parametrize(
    ("effect", "of_one", "raising", "sign"),
    [
        (-1.0, 0.0, 1.0, "pos"),  # f(N) - f(without both) = 0 + 0 - I(T) > 0: an OR that raises
        (1.0, 0.0, 0.0, "neg"),  # an OR that lowers
        (1.0, 1.0, 1.0, "pos"),  # an AND: I(T) of each, and of both
        (-1.0, -1.0, 0.0, "neg"),
    ],
)
def test_whether_a_combination_raises_is_said_by_what_it_does(
    effect: float, of_one: float, raising: float, sign: str
) -> None:
    effects: dict[Any, float] = {(): 2.0, (0,): of_one, (2,): of_one, (0, 2): effect}
    found = explanations_summary([explained(f"dull {x} never", effects) for x in ("a", "b")])
    (both,) = found.top(9, order=2)
    assert (both.words, both.mean, both.raising) == (("dull", "never"), effect, raising)
    rows = [values["class"] for tag, values in Page(found.to_html()).tags if tag == "details"]
    assert rows[1 + found.recurring.index(both)] == sign
    assert found.to_dataframe().raising.iloc[found.recurring.index(both)] == raising


def test_where_a_word_stands_twice_both_must_stand() -> None:
    twice: dict[Any, float] = {(): 1.0, (0, 1): 1.0}
    given = [
        explained("very very odd", twice),
        explained("very p odd", {(0,): 1.0}),
        explained("very very very", {(): 1.0}),
    ]
    by = {r.words: (r.count, r.total) for r in explanations_summary(given).recurring}
    assert by == {("very", "very"): (1, 2), ("very",): (1, 3)}


@pytest.mark.parametrize("size", [1e-320, 1e-200, 1e200, 1e306])
def test_means_of_tiny_and_huge_effects(size: float) -> None:
    given = [explained("a b", {(0,): share * size}) for share in (1.0, 0.5)]
    (found,) = explanations_summary(given).recurring
    assert found.mean == pytest.approx(0.75 * size, rel=1e-3)
    assert found.interval is not None
    # Half of 0.5 apart is the error of a mean of two; Student's t of one degree of freedom: 6.3138.
    assert found.interval[1] == pytest.approx((0.75 + 6.3138 * 0.25) * size, rel=1e-3)
    assert found.interval[0] == pytest.approx((0.75 - 6.3138 * 0.25) * size, rel=1e-3)


def test_effects_that_cancel_in_every_row_are_shown_without_bars() -> None:
    opposite = explained("it is not bad", {(): 0.5, (2, 3): -1.0, (3,): 0.5})
    found = explanations_summary([BEFORE, opposite])
    assert {r.words: r.mean for r in found.recurring} == {("bad",): 0.0, ("bad", "not"): 0.0}
    page = Page(found.to_html())
    bars = [values for tag, values in page.tags if tag == "rect"]
    assert [values["width"] for values in bars[:2]] == ["0.0", "0.0"]
    assert "+0.00" in found.to_html()


def test_labels_are_told_apart() -> None:
    joy = explained("a b", {(0,): 1.0}, target=Target("joy", 0, "logit", "joy"))
    found = explanations_summary([joy, BEFORE])
    assert set(found.by_label) == {"joy", "POSITIVE"}
    assert {r.label for r in found.top(9, label="joy")} == {"joy"}
    assert all(r.examples == (0,) for r in found.top(9, label="joy"))
    with pytest.raises(InputError, match="no mean"):
        explanations_summary(
            [joy, explained("a b", {(0,): 1.0}, target=Target("joy", 0, "margin", "joy"))]
        )
    with pytest.raises(InputError, match="there is no explanation"):
        explanations_summary([])


@pytest.mark.parametrize("payload", PAYLOADS[::3])
def test_a_strangers_text_stays_text_on_both_pages(payload: str) -> None:
    def both(text: str) -> list[list[str]]:
        spans = random_spectrum(3)
        record = make_record("x y z", spans, target=Target(text, 1, "logit", None))
        record = replace(
            record,
            task=text,
            features=replace(record.features, labels=("x", text, "z")),
            provenance=replace(record.provenance, model=text, notes=(text,)),
        )
        explanation = InteractionExplanation(record)
        pages = [
            compare(explanation, BEFORE, (text, "b")).to_html(),
            explanations_summary([explanation, BEFORE]).to_html(),
        ]
        return [[tag for tag, _ in Page(page).tags] for page in pages]

    assert both(payload) == both("harmless")


def test_a_click_on_a_row_opens_an_example(browser: Any, tmp_path: Any) -> None:
    page = browser.new_context(java_script_enabled=False).new_page()
    path = tmp_path / "s.html"
    explanations_summary([BEFORE, AFTER]).to_html(path)
    page.goto(path.as_uri())
    row = page.locator(".recurring details", has_text="bad × not").first
    row.locator("summary").click()
    link = row.locator("a").first
    assert "it is not bad" in link.inner_text()
    story = page.locator("#story-0 .written")
    assert not story.is_visible()
    link.click()
    story.wait_for(state="visible")
    assert story.inner_text() == "it is not bad"
    page.context.close()


@pytest.mark.parametrize(("kind", "tone"), [("logit", 1), ("log-perplexity", -1)])
def test_the_page_colours_a_difference_by_what_it_says_of_the_answer(kind: str, tone: int) -> None:
    target = Target("Oslo", None, kind, "Oslo")
    first, second = (
        explained("in Oslo", {(): 2.0, (0,): effect, (1,): -0.5}, target=target)
        for effect in (0.25, 1.5)
    )
    (row,) = compare(first, second).page_data()["rows"]
    assert row[3:] == ["+1.25", tone]


def test_a_label_of_three_is_not_turned_whichever_comes_first() -> None:
    of_two = explained(
        "a b", {(0,): 1.0}, target=Target("POSITIVE", 1, "log-odds", "POSITIVE", other="NEGATIVE")
    )
    of_three = explained("a b", {(0,): -3.0}, target=Target("NEGATIVE", 0, "log-odds", "NEGATIVE"))
    for pair, effects in (((of_two, of_three), (1.0, -3.0)), ((of_three, of_two), (-3.0, 1.0))):
        found = compare(*pair)
        assert found.differences[0].effects == effects
        assert "turned" not in str(found)
        labels = [each.record.target.label for each in pair]
        assert f"They explain {labels[0]} and {labels[1]}." in " ".join(str(found).split())


def test_what_another_order_of_sums_leaves_is_no_difference() -> None:
    weights = np.array([0.1, 0.2, 0.3, 0.4, 0.7])

    def forth(masks: Any) -> Any:
        return masks @ weights + masks[:, 0] * masks[:, 1] * 0.3

    def back(masks: Any) -> Any:
        return sum(weights[i] * masks[:, i] for i in range(4, -1, -1)) + (
            masks[:, 0] * masks[:, 1] * 0.1 * 3
        )

    one, other = (InteractionExplainer(f, progress=False)(5) for f in (forth, back))
    assert any(d.effects[0] != d.effects[1] for d in compare(one, other).differences)
    found = compare(one, other)
    assert repr(found) == "Comparison('first', 'second', 0 differences)"
    assert "No difference can be told from zero." in str(found)
    # What is small, and there, is told.
    moved = InteractionExplainer(lambda masks: forth(masks) + masks[:, 2] * 1e-9, progress=False)(5)
    (only,) = compare(one, moved).top()
    assert only.labels == ("x2",)
    assert only.difference == pytest.approx(1e-9, rel=1e-5)
    # Of a model in float32 that is rounding, too, and so is what its noise was measured to be.
    record = replace(moved.record, provenance=replace(moved.record.provenance, dtype="float32"))
    assert compare(one, InteractionExplanation(record)).top() == []
    noisy = replace(one.record, provenance=replace(one.record.provenance, noise_floor=1e-3))
    far = InteractionExplainer(lambda masks: forth(masks) + masks[:, 2] * 1e-3, progress=False)(5)
    assert len(compare(one, far).top()) == 1
    assert compare(InteractionExplanation(noisy), far).top() == []
