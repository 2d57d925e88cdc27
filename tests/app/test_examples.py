"""What the shipped examples say is true of their models: the models are asked."""

from __future__ import annotations

import math
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from proxyspex_hf import InteractionExplainer
from proxyspex_hf.app.examples import EXAMPLES, load_example
from proxyspex_hf.app.models import SHIPPED, Models
from proxyspex_hf.viz.verdict import flip, verdict_of


@pytest.mark.parametrize("name", list(EXAMPLES))
def test_they_are_real_and_small_and_have_intervals(name: str) -> None:
    path = files("proxyspex_hf.app.examples") / f"{name}.json"
    assert len(path.read_bytes()) < 300_000
    record = load_example(name).record
    measured = [score for score in record.faithfulness if score.r2 is not None]
    assert len(measured) == 3
    assert all(score.r2 > score.linear_r2 for score in measured)
    assert all(effect.interval is not None for effect in record.effects)


@pytest.mark.parametrize("name", ["short", "review"])
def test_the_classifier_says_what_the_headline_says(name: str, pipe: Any) -> None:
    explanation = load_example(name)
    record, found = explanation.record, flip(explanation.record)
    said = {each["label"]: each["score"] for each in pipe(record.text, top_k=None)}
    assert verdict_of(record, record.full_value).text.startswith(
        f"{round(100 * said['POSITIVE'])}% POSITIVE"
    )
    assert found.flips
    masks = np.ones((1, len(record.features)), bool)
    masks[0, list(found.members)] = False
    asked = InteractionExplainer(pipe, progress=False).ask(explanation, masks)
    share = 1 / (1 + math.exp(-float(asked[0])))
    assert share < 0.5  # the model turns, too
    claimed = 1 / (1 + math.exp(-found.value))
    assert claimed == pytest.approx(share, abs=0.03)


def test_the_first_example_rests_on_a_combination(pipe: Any) -> None:
    explanation = load_example("short")
    best = explanation.top(1)[0]
    assert best.labels == ("not", "bad")
    assert best.kind == "both needed"
    i, j = best.members
    masks = np.ones((4, len(explanation.features)), bool)
    masks[1, i] = masks[2, j] = masks[3, i] = masks[3, j] = False
    both, first, second, neither = InteractionExplainer(pipe, progress=False).ask(
        explanation, masks
    )
    low, high = best.interval
    assert low - 0.05 <= both - first - second + neither <= high + 0.05
    # Alone, each looks as if it were against: a film without "not" is bad.
    assert first < 0 < both


@pytest.fixture(scope="module")
def models() -> Models:
    return Models(SHIPPED)


def test_the_picture_s_headline_is_its_model_s(models: Models) -> None:
    explanation = load_example("caption")
    record, found = explanation.record, flip(explanation.record)
    assert models.reason(record) is None
    assert record.features.labels[-5:] == ("a", "penguin", "and", "a", "guitar")
    assert models.ask(explanation, ()) == pytest.approx(record.full_value, abs=1e-4)
    value = models.ask(explanation, found.members)
    assert value == pytest.approx(found.value, abs=0.15 * abs(record.full_value - found.value))
    # Where there is nothing to see and nothing to read, nothing matches.
    nothing = models.ask(explanation, range(len(record.features)))
    assert nothing < value < record.full_value


@pytest.mark.parametrize(("word", "columns"), [("penguin", (1, 2)), ("guitar", (3, 4))])
def test_the_picture_s_words_belong_to_the_patches_that_show_them(
    models: Models, word: str, columns: tuple[int, int]
) -> None:
    explanation = load_example("caption")
    labels, split = explanation.features.labels, explanation.features.text_start
    place = labels.index(word)
    shows = {f"row {row}, column {column}" for row in (3, 4) for column in columns}
    pairs = [pair for pair in explanation.top(200, order=2) if place in pair.members]
    best = next(pair for pair in pairs if pair.members[0] < split)
    patch = best.members[0]
    assert labels[patch] in shows
    assert best.kind == "both needed"
    assert best.is_sure
    full = explanation.record.full_value
    outs: list[tuple[int, ...]] = [(place,), (patch,), best.members]
    seen, said, neither = (models.ask(explanation, out) for out in outs)
    low, high = best.interval
    assert low - 0.3 <= full - seen - said + neither <= high + 0.3
    # What shows it speaks for the caption while the word is there, and not without it.
    assert full - said > 1
    assert seen - neither < (full - said) / 2


def test_the_question_is_answered_rightly_from_the_story() -> None:
    record = load_example("question").record
    assert record.target.label == "Jim bakes bread in Oslo."
    assert "Her brother Jim bakes bread in Oslo." in record.text
    (word,) = flip(record).members
    assert record.features.labels[word] == "Oslo."


def test_they_are_made_by_the_script_that_says_so() -> None:
    place = Path(__file__).parents[2] / "space"
    sys.path.insert(0, str(place))
    try:
        import make_examples
    finally:
        sys.path.remove(str(place))
    assert set(make_examples.MAKERS) == set(EXAMPLES)
    assert load_example("short").text == make_examples.SHORT
    assert make_examples.STORY in load_example("question").text
    assert make_examples.ASKED in load_example("question").text
