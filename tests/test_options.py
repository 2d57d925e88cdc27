"""Options that no input could make right are refused before a model is loaded or asked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from proxyspex_hf import DEMO_MODEL, Goal, InputError, InteractionExplainer

NAMES = [f"x{i}" for i in range(12)]
WRONG = [
    ({"seed": -1}, "seed must lie between 0 and 9223372036854775807, got -1"),
    ({"seed": 1.5}, "seed must be an integer, got 1.5"),
    ({"proxy": "foo"}, "unknown proxy 'foo'; choose from blend"),
    ({"refine": "foo"}, "refine must be one of 'project', 'lasso', 'none', got 'foo'"),
    ({"n_coefficients": 0}, "n_coefficients must lie between 1 and 1000000, got 0"),
    ({"max_order": 0}, "max_order must lie between 1 and 100000, got 0"),
    ({"budget": "auto", "goal": 0.9}, r"goal must be a Goal, such as Goal\(r2=0.9\), got 0.9"),
    ({"retry": 3}, r"retry must be a Retry, such as Retry\(times=3\), got 3"),
    ({"cache_dir": 5}, "cache_dir must be the path of a directory, got 5"),
    ({"noise": "yes"}, "noise must be True, False or None, got 'yes'"),
]


@pytest.mark.parametrize(("options", "message"), WRONG, ids=str)
def test_they_are_refused_before_anything_is_asked(options: dict[str, Any], message: str) -> None:
    asked: list[int] = []

    def function(masks: np.ndarray) -> np.ndarray:
        asked.append(len(masks))
        return np.asarray(masks.sum(axis=1), dtype=np.float64)

    explainer = InteractionExplainer(function, progress=False)
    with pytest.raises(InputError, match=message):
        explainer(NAMES, **options)
    assert not asked
    with pytest.raises(InputError, match=message):
        InteractionExplainer(function, **options)


def test_they_are_refused_before_a_model_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[Any] = []
    monkeypatch.setattr("proxyspex_hf.explainer.load_pipeline", lambda *a, **k: loaded.append(a))
    with pytest.raises(InputError, match="seed must lie"):
        InteractionExplainer.from_pretrained(DEMO_MODEL, seed=-1)
    assert not loaded


@pytest.mark.parametrize(
    ("n", "goal"),
    [(n, Goal(r2=0.9)) for n in range(1, 8)] + [(n, Goal(width=1e-9)) for n in range(1, 5)],
    ids=str,
)
def test_a_goal_is_met_by_all_subsets_of_few_features(n: int, goal: Goal) -> None:
    values = np.random.default_rng(n).normal(size=2**n)
    power = 2 ** np.arange(n)

    def function(masks: np.ndarray) -> np.ndarray:
        return np.asarray(values[masks @ power])

    found = InteractionExplainer(function, progress=False)(n, budget="auto", goal=goal)
    masks = (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(bool)
    np.testing.assert_allclose(found.predict(masks), function(masks), atol=1e-12)
    assert found.record.is_exact
    features = "the one feature" if n == 1 else f"the {n} features"
    (note,) = found.record.provenance.notes
    assert note.startswith(f"All {2**n} subsets of {features} were asked: the spectrum is exact")
