"""A plain function of masks is explained like a model."""

from __future__ import annotations

import numpy as np
import pytest

from proxyspex_hf import InputError, InteractionExplainer, InteractionExplanation, ModelError


def game(masks: np.ndarray) -> np.ndarray:
    x = masks.astype(float)
    return 2 * x[:, 0] - x[:, 3] + 3 * x[:, 1] * x[:, 4]


def test_names_or_a_number(tmp_path) -> None:
    explainer = InteractionExplainer(game)
    explanation = explainer(["age", "income", "rent", "debt", "city"])
    assert explanation.interactions("moebius").of_order(2).top(1)[0][1] == pytest.approx(3.0)
    assert explanation.top(1, order=2)[0].labels == ("income", "city")
    record = explanation.record
    assert (record.task, record.text, record.target.label) == ("function", "", "game")
    explanation.save(tmp_path / "e.json")
    assert InteractionExplanation.load(tmp_path / "e.json") == explanation
    assert "income" in str(explanation)
    assert "income" in explanation.to_html()
    assert explainer(5).features.labels == ("x0", "x1", "x2", "x3", "x4")
    two = explainer([["a", "b", "c", "d", "e"], 6])
    assert [len(e.features) for e in two] == [5, 6]


def test_large_functions_are_sampled() -> None:
    explanation = InteractionExplainer(game, seed=1)(30)
    assert explanation.top(1, order=2)[0].members == (1, 4)
    assert explanation.faithfulness[0.5] > 0.99


def test_removals_are_checked_by_the_function() -> None:
    explainer = InteractionExplainer(game)
    names = ["a", "b", "c", "d", "e"]
    (check,) = explainer.check_removal(explainer(names), ks=[1], inputs=names)
    assert check.full == 4.0
    assert check.actual == pytest.approx(check.solution.predicted)
    with pytest.raises(InputError, match="pass inputs="):
        explainer.check_removal(explainer(names))


def test_bad_functions_and_names_are_refused() -> None:
    with pytest.raises(InputError, match="the names of its features"):
        InteractionExplainer(game)(0)
    with pytest.raises(InputError, match="the names of its features"):
        InteractionExplainer(game)(2.5)
    with pytest.raises(ModelError, match=r"the function '<lambda>' gave shape \(32, 5\)"):
        InteractionExplainer(lambda masks: masks)(5)
