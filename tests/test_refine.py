"""Going on from an explanation: more masks, chosen by all answers so far; and its intervals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from counting import rows_asked
from tiny_models import roberta_pipeline

from proxyspex_hf import Goal, InteractionExplainer, InteractionExplanation
from proxyspex_hf.core import all_masks
from proxyspex_hf.core.faithfulness import r2_score
from proxyspex_hf.errors import InputError

TEXT = "It could have been great but the plot is dull and never funny"
N = 13


@pytest.fixture(scope="module")
def pipe() -> Any:
    return roberta_pipeline()


@pytest.fixture(scope="module")
def explainer(pipe: Any) -> InteractionExplainer:
    return InteractionExplainer(pipe, proxy="gaussian", target=1)


@pytest.fixture(scope="module")
def first(explainer: InteractionExplainer) -> InteractionExplanation:
    return explainer(TEXT, alpha=1)


def test_no_mask_is_asked_twice(
    pipe: Any, explainer: InteractionExplainer, first: InteractionExplanation, tmp_path: Path
) -> None:
    before = first.record.queries
    whole = explainer.plan(TEXT, alpha=3).budget
    made: list[InteractionExplanation] = []
    fresh = InteractionExplainer(pipe, proxy="gaussian", target=1)
    asked = rows_asked(pipe, lambda: made.append(fresh.refine(first, alpha=3)))
    after = made[0].record.queries
    assert len(before) < len(after) == after.n_fit == whole
    np.testing.assert_array_equal(after.masks[: len(before)], before.masks)
    np.testing.assert_array_equal(after.values[: len(before)], before.values)
    assert len(np.unique(after.masks, axis=0)) == whole
    # Beside the new masks: the trial of the fast path, and the whole input.
    assert whole - len(before) <= asked <= whole - len(before) + 40
    # An explanation read from a file goes on just as the one that was saved.
    first.save(tmp_path / "e.json")
    loaded = InteractionExplanation.load(tmp_path / "e.json")
    assert explainer.refine(loaded, alpha=3) == made[0]
    others = np.random.default_rng(1).random((300, len(first.features))) < 0.5
    values = explainer.value_function(TEXT)(others)
    worse, better = (r2_score(values, e.spectrum.evaluate(others)) for e in (first, made[0]))
    assert worse is not None
    assert better is not None
    assert better > worse


@pytest.mark.parametrize("options", [{"rounds": 1}, {"density": "uniform"}])
def test_more_masks_are_drawn_where_all_are(options: dict[str, Any]) -> None:
    explainer = InteractionExplainer(
        lambda masks: masks[:, 0] - 2.0 * masks[:, 1] * masks[:, 2], proxy="lasso", **options
    )
    first = explainer(12, budget=60)
    after = explainer.refine(first, budget=120, inputs=12).record.queries
    assert (len(first.record.queries), len(after)) == (60, 120)
    assert len(np.unique(after.masks, axis=0)) == 120
    assert (after.densities[2:] > 0.0).all()
    if "density" in options:
        assert set(after.densities[2:]) == {0.5}


def test_until_a_goal_is_met(
    explainer: InteractionExplainer, first: InteractionExplanation
) -> None:
    found = explainer.refine(first, budget="auto", goal=Goal(r2=0.5))
    assert len(found.record.queries) > len(first.record.queries)
    assert "until a goal was met" in found.record.settings.sampling


def test_what_cannot_be_refined(
    explainer: InteractionExplainer, first: InteractionExplanation
) -> None:
    with pytest.raises(InputError, match="48 masks were asked, and this would be 48 in all"):
        explainer.refine(first, alpha=1)
    with pytest.raises(InputError, match="masking belongs to the input"):
        explainer.refine(first, alpha=3, masking="delete")
    exact = explainer("bad film", target=1)
    with pytest.raises(InputError, match="every subset was asked already"):
        explainer.refine(exact, alpha=3)
    other = roberta_pipeline()
    with torch.no_grad():
        other.model.classifier.out_proj.bias += 1.0
    with pytest.raises(InputError, match="it is another model, or set up differently"):
        InteractionExplainer(other).refine(first, alpha=3)


def test_predictions_lie_in_their_intervals_nine_times_in_ten(
    explainer: InteractionExplainer, first: InteractionExplanation
) -> None:
    masks = all_masks(N)[1::13]
    intervals = first.predict_interval(masks)
    truth = explainer.ask(first, masks)
    shown = first.predict(masks)
    assert (intervals[:, 0] <= shown).all()
    assert (shown <= intervals[:, 1]).all()
    held = (intervals[:, 0] <= truth) & (truth <= intervals[:, 1])
    assert held.mean() > 0.75


def test_a_removal_has_an_interval(
    explainer: InteractionExplainer, first: InteractionExplanation
) -> None:
    found = first.removal_effect([9, 3, 3])
    assert found.members == (3, 9)
    assert found.interval is not None
    assert found.interval[0] <= found.effect <= found.interval[1]
    mask = np.ones((2, N), bool)
    mask[1, [3, 9]] = False
    full, left = first.predict(mask)
    assert found.effect == pytest.approx(full - left)
    solution = first.removal(2)
    assert solution.interval is not None
    assert solution.interval[0] <= solution.change <= solution.interval[1]
    with pytest.raises(InputError, match="each of features must lie between 0 and 12"):
        first.removal_effect([13])
    indices = first.interactions("shapley")
    assert indices.intervals is not None
    low, high = indices.interval(0) or (1.0, 0.0)
    assert low < high
    assert {"low", "high"} <= set(indices.to_dataframe().columns)
    whole = explainer("not bad at all", target=1)
    assert np.ptp(whole.predict_interval(np.ones(4, bool))) == 0.0
