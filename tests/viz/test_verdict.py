"""What is said in words is what the numbers say."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from record_factory import from_effects, make_record, review_record, with_doubt

from proxyspex_hf import InteractionExplainer
from proxyspex_hf.app.examples import EXAMPLES, load_example
from proxyspex_hf.record.record import Target
from proxyspex_hf.viz.verdict import flip, flip_parts, scale_of, short_verdict, verdict_of
from proxyspex_hf.viz.wording import ordinal, together_parts

TWO = {"predicted": "POSITIVE", "other": "NEGATIVE"}


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        ("log-odds", math.log(0.57 / 0.43), "57% POSITIVE, barely."),
        ("log-odds", math.log(0.25 / 0.75), "75% NEGATIVE."),
        ("log-odds", 40.0, "over 99% POSITIVE, clearly."),
        ("log-odds", -1e300, "over 99% NEGATIVE, clearly."),
        ("probability", 0.45, "55% NEGATIVE, barely."),
        ("log-probability", math.log(0.9), "90% POSITIVE."),
        ("margin", -1.25, "POSITIVE trails the next label by 1.25."),
        ("logit", 0.174, "Logit +0.174 for POSITIVE."),
    ],
)
def test_a_value_in_words(kind: str, value: float, said: str) -> None:
    record = make_record("some text", target=Target("POSITIVE", 1, kind, **TWO))
    assert verdict_of(record, value).text == said


def test_of_many_labels_only_the_explained_one_is_named() -> None:
    record = make_record("some text", target=Target("joy", 3, "log-odds", "fear"))
    assert verdict_of(record, math.log(0.3 / 0.7)).text == "30% joy."
    assert verdict_of(record, math.log(0.45 / 0.55)).text == "45% joy, just not."


def test_likelihood_rises_as_log_perplexity_falls() -> None:
    record = make_record("some text", target=Target("in Oslo", None, "log-perplexity", "in Oslo"))
    said = [verdict_of(record, math.log(1 / share)).text for share in (0.4, 0.8)]
    assert said == [f"“in Oslo” is {p}% likely, token by token." for p in (40, 80)]
    assert scale_of(record.target).up == -1
    for kind, value in (("probability", 0.25), ("log-probability", math.log(0.25))):
        of_output = replace(record, target=replace(record.target, kind=kind))
        assert verdict_of(of_output, value).text == "“in Oslo” is 25% likely."
        assert short_verdict(of_output, value) == "25% likely."
    caption = make_record("a dot", target=Target("a dot", None, "similarity", None))
    assert verdict_of(caption, 17.4).text == "Similarity +17.4 for “a dot”."


def test_a_mean_over_examples_is_no_share_of_one_input() -> None:
    of_heads = Target("log-probability on 4 examples", None, "log-probability", None)
    said = verdict_of(make_record("some text", target=of_heads), -0.139).text
    assert said == "Log-probability \N{MINUS SIGN}0.139 for “4 examples”."
    # A class is one, whatever it is called.
    of_class = Target("log-probability on 4 examples", 2, "log-probability", None)
    said = verdict_of(make_record("some text", target=of_class), -0.139).text
    assert said == "87% log-probability on 4 examples."


def test_the_flip_is_the_fewest_words_found_and_what_the_explanation_predicts() -> None:
    record = load_example("short").record
    n, found = len(record.features), flip(record)
    assert found.flips
    mask = np.ones((1, n), bool)
    mask[0, list(found.members)] = False
    assert record.spectrum.evaluate(mask)[0] == pytest.approx(found.value)
    assert found.value < 0 < record.full_value
    # No single word does it, or it is one.
    alone = record.spectrum.evaluate(~np.eye(n, dtype=bool))
    assert len(found.members) == 1
    assert found.value == pytest.approx(alone.min())
    said = "".join(text for _, text in flip_parts(record, found))
    assert said == f"Without not: {verdict_of(record, found.value).text}"


def said_by(value: float, effects: dict[Any, float], target: Target) -> tuple[Any, str]:
    """The flip, and its sentence, of three words where the model gives ``value`` for all."""
    record = make_record("alpha beta gamma", from_effects(effects, 3), target=target)
    values = record.queries.values.copy()
    values[0] = value
    record = replace(record, queries=replace(record.queries, values=values))
    assert record.full_value == value
    found = flip(record)
    return found, "".join(text for _, text in flip_parts(record, found))


@pytest.mark.parametrize(
    ("kind", "value", "left", "said"),
    [
        ("probability", 0.45, 0.15, "Without alpha: 15% sports."),
        # 1 / (1 + exp(0.4)) and 1 / (1 + exp(0.2)): as predicted as before, for all that is known
        ("log-odds", -0.1, -0.4, "Without alpha: 40% sports."),
        ("log-odds", 0.1, -0.2, "Without alpha: 45% sports."),
    ],
)
def test_a_label_that_is_predicted_with_less_than_half_is_not_pushed_up(
    kind: str, value: float, left: float, said: str
) -> None:
    effects: dict[Any, float] = {(): value, (0,): 0.3, (1,): 0.1, (2,): -0.2}
    found, text = said_by(value, effects, Target("sports", 3, kind, "sports"))
    assert found.members == (0,)
    assert found.value == pytest.approx(left)
    assert found.flips is (True if value == 0.1 else None)
    assert text == said
    # Of one that is not predicted it is known: above half it would be.
    found, text = said_by(
        0.35, {(): 0.35, (0,): 0.3, (1,): -0.2}, Target("a", 0, "probability", "b")
    )
    assert (found.members, found.flips, text) == ((1,), True, "Without beta: 55% a, barely.")


def test_just_not_is_said_of_a_label_that_is_not_predicted() -> None:
    for predicted, said in (("joy", "45% joy."), ("fear", "45% joy, just not.")):
        record = make_record("some text", target=Target("joy", 3, "probability", predicted))
        assert verdict_of(record, 0.45).text == said


@pytest.mark.parametrize(
    ("value", "effects", "members", "flips", "said"),
    [
        # The model says 67% POSITIVE; the explanation is on the other side already.
        (0.7, {(): -0.1, (0,): -1.0, (1,): 0.5}, (1,), True, "Without beta: 65% NEGATIVE."),
        (0.7, {(): -0.1, (0,): -1.0}, (0,), False, "Even without alpha: 71% POSITIVE."),
        (-0.7, {(): 0.1, (0,): 1.0, (1,): -0.5}, (1,), True, "Without beta: 65% POSITIVE."),
    ],
)
def test_what_flips_turns_what_the_model_said(
    value: float,
    effects: dict[Any, float],
    members: tuple[int, ...],
    flips: bool,
    said: str,
) -> None:
    found, text = said_by(value, effects, Target("POSITIVE", 1, "log-odds", **TWO))
    assert (found.members, found.flips, text) == (members, flips, said)


def test_what_nothing_flips_is_said() -> None:
    effects: dict[Any, float] = {(): 5.0, **{(i,): 0.1 for i in range(8)}}
    target = Target("POSITIVE", 1, "log-odds", **TWO)
    record = make_record("a b c d e f g h", from_effects(effects, 8), target=target)
    found = flip(record)
    assert (found.flips, len(found.members)) == (False, 5)
    said = "".join(text for _, text in flip_parts(record, found))
    assert said.startswith("Even without a, b")
    assert said.endswith("POSITIVE, clearly.")
    nothing = make_record("a b", from_effects({(): 1.0}, 2))
    assert flip(nothing).members == ()
    assert flip_parts(nothing, flip(nothing)) == []


def test_what_is_left_of_a_sum_is_zero() -> None:
    # 1 - (0.1 + 0.2 + 0.7) is 1.1e-16 in floating point.
    effects: dict[Any, float] = {(): 1.0, (0,): 1.0 - 1.1e-16}
    found, text = said_by(1.0, effects, Target("POSITIVE", 1, "logit", "POSITIVE"))
    assert 0 < abs(found.value) < 1e-15
    assert text == "Without alpha: +0.00."
    small = make_record("a b", from_effects({(): 3e-12, (0,): 2e-12}, 2))
    assert verdict_of(small, small.spectrum.evaluate(np.array([[False, True]]))[0]).text == (
        "Logit +1.00e-12 for POSITIVE."
    )


def test_where_all_speak_against_it_the_strongest_is_named() -> None:
    target = Target("Oslo", None, "log-perplexity", "Oslo")
    found, text = said_by(1.0, {(): 1.0, (0,): 0.6, (1,): 0.2}, target)
    assert (found.members, found.flips) == ((0,), None)
    assert text == f"Without alpha: {round(100 * math.exp(-0.4))}% likely."
    found, _ = said_by(1.0, {(): 1.0, (0,): 0.6, (1,): -0.2}, target)
    assert found.members == (1,)  # without which it is less likely


def test_only_what_is_told_from_zero_flips() -> None:
    record = with_doubt(review_record(), noise=0.5)
    sure = {e.members[0] for e in record.effects if e.order == 1 and e.is_sure}
    assert set(flip(record).members) <= sure


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        ("both needed", 1.8, "not and bad work together to raise it: +1.80 ± 0.20"),
        ("lowers together", -1.8, "not and bad work together to lower it: −1.80 ± 0.20"),
        (
            "either is enough",
            -1.8,
            "not or bad: either is enough to raise it; they share 1.80 ± 0.20",
        ),
        (
            "either one lowers",
            1.8,
            "not or bad: either is enough to lower it; they share 1.80 ± 0.20",
        ),
    ],
)
def test_combinations_as_sentences(kind: str, value: float, said: str) -> None:
    ends = (value - 0.2, value + 0.2)
    parts = together_parts(["not", "bad"], kind, value, ends, "logit", 2)
    assert "".join(text for _, text in parts) == said
    assert [text for kind, text in parts if kind == "quoted"] == ["not", "bad"]
    odd = together_parts(["a", "b", "c"], "both needed", -5.1, (-7.1, -3.1), "logit", 1)
    assert "".join(t for _, t in odd) == "a, b and c all take part to raise it, by 5.1 ± 2.0"
    three = together_parts(["a", "b", "c"], "either is enough", -1.0, None, "log-perplexity", 1)
    assert "".join(t for _, t in three) == (
        "a, b or c: any one is enough to make it less likely; they share 1.0"
    )


def test_ordinals() -> None:
    said = [ordinal(k) for k in (1, 2, 3, 4, 11, 12, 13, 21, 102, 111, 1003)]
    assert said == [
        "1st",
        "2nd",
        "3rd",
        "4th",
        "11th",
        "12th",
        "13th",
        "21st",
        "102nd",
        "111th",
        "1,003rd",
    ]


@pytest.mark.parametrize("name", list(EXAMPLES))
def test_the_scale_agrees_with_the_record(name: str) -> None:
    record = load_example(name).record
    share = scale_of(record.target).read(record.full_value)
    assert share is None or 0.0 < share < 1.0


@pytest.mark.parametrize(("seed", "sure"), [(0, True), (4, False), (12, False), (13, False)])
def test_a_flip_is_said_as_surely_as_it_is_known(seed: int, sure: bool) -> None:
    n = 16
    weights = np.random.default_rng(seed).normal(size=n)
    explainer = InteractionExplainer(
        lambda masks: 2.0 * np.tanh(masks @ weights + masks[:, 0] * masks[:, 1]),
        progress=False,
        budget=30,
        seed=seed,
    )
    explanation = explainer(n)
    target = Target("POSITIVE", 1, "log-odds", **TWO)
    record = replace(explanation.record, target=target)
    found = flip(record)
    out = np.isin(np.arange(n), found.members)
    low, high = explanation.predict_interval(~out[None])[0]
    said = "".join(text for _, text in flip_parts(record, found))
    assert (found.flips is not None) == sure == (not low < 0.0 < high)
    if sure:
        assert found.interval is None
        assert "90%" not in said
        return
    assert found.interval == (low, high)
    shares = [100.0 / (1.0 + math.exp(-end)) for end in (low, high)]
    if found.value < 0.0:  # what is named is the other label
        shares = [100.0 - share for share in shares[::-1]]
    assert said.startswith("Without x")
    assert said.endswith(f" (90%: {shares[0]:.0f}% to {shares[1]:.0f}%).")
