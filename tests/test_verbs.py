"""What a user derives from an explanation: indices, removal sets, hierarchy; no model calls."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from proxyspex_hf import InputError, InteractionExplainer, InteractionExplanation
from proxyspex_hf.core.indices import INDICES

TEXT = "It is not a bad film"


@pytest.fixture(scope="module")
def exact(pipe: Any) -> InteractionExplanation:
    return InteractionExplainer(pipe)(TEXT, target="POSITIVE")


def test_indices_carry_the_words(exact: InteractionExplanation) -> None:
    for index in INDICES:
        assert exact.interactions(index.name).index == index.name
    shapley = exact.interactions("shapley")
    record = exact.record
    # Efficiency: the values share out the distance from the empty to the full input.
    assert shapley.first_order().sum() == pytest.approx(
        record.full_value - record.empty_value, abs=1e-6
    )
    frame = exact.interactions("FSII", order=2).to_dataframe()
    assert ("not", "bad") in frame["labels"].tolist()
    assert "not × bad" in repr(exact.interactions("BII").of_order(2).containing(2, 4))
    with pytest.raises(InputError, match="index"):
        exact.interactions("shaply")


def test_the_index_of_effects_is_what_is_ranked(exact: InteractionExplanation) -> None:
    effects = exact.interactions("effect", order=3)
    for interaction in exact.top(100, unsure=True):
        if interaction.order <= 3:
            assert interaction.effect == pytest.approx(effects.to_dict()[interaction.members])
            assert effects.interval(*interaction.members) == (interaction.effect,) * 2


@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_removal_set_is_the_best_of_all(
    exact: InteractionExplanation, pipe: Any, k: int
) -> None:
    masks, values = exact.record.queries.masks, exact.record.queries.values
    moved = np.abs(values - exact.record.full_value)
    best = moved[masks.sum(axis=1) == 6 - k].max()
    (check,) = InteractionExplainer(pipe).check_removal(exact, [k])
    assert check.solution.status == "optimal"
    assert len(check.labels) == k
    assert check.labels == tuple(TEXT.split()[i] for i in check.solution.removed)
    # The spectrum is exact, so the model must do what the explanation predicts.
    assert abs(check.full - check.actual) == pytest.approx(best, abs=1e-5)
    assert check.delta == pytest.approx(check.predicted_delta, abs=1e-4)
    assert exact.removal(k) == check.solution


def test_extremes_and_limits(exact: InteractionExplanation) -> None:
    values = exact.record.queries.values
    assert exact.maximize().predicted == pytest.approx(values.max(), abs=1e-6)
    assert exact.minimize().predicted == pytest.approx(values.min(), abs=1e-6)
    assert 2 in exact.removal(3, always_remove=[2]).removed
    assert 2 not in exact.removal(3, always_keep=[2]).removed
    assert [len(s.removed) for s in exact.removal_curve([0, 2, 6])] == [0, 2, 6]
    with pytest.raises(InputError, match="k must lie between 0 and 6, got 7"):
        exact.removal(7)


def test_misspelled_limits_are_named(exact: InteractionExplanation) -> None:
    verbs: list[Any] = [exact.maximize, exact.minimize]
    for verb in verbs:
        with pytest.raises(InputError, match=r"'max_kep'.*exactly\. Did you mean max_kept\?"):
            verb(max_kep=3)
    wrong: Any = {"always_kep": [1]}
    for call in (lambda: exact.removal(1, **wrong), lambda: exact.removal_curve([1], **wrong)):
        with pytest.raises(InputError, match=r"unknown limit 'always_kep'.*mean always_keep\?"):
            call()


def test_nothing_removed_changes_by_a_plain_zero(exact: InteractionExplanation) -> None:
    solution = exact.removal(0)
    assert str(solution.change) == "0.0"
    assert str(solution.interval) == "(0.0, 0.0)"


def test_hierarchy_of_an_explanation(exact: InteractionExplanation) -> None:
    rates = exact.hierarchy([1, len(exact.spectrum)])
    assert rates.dsr[0] == rates.scr[0] == rates.shr[0] == 1.0
    assert exact.energy_by_order().energy.sum() == pytest.approx(exact.spectrum.energy)


def test_removal_is_checked_under_the_same_masking(pipe: Any, short_text: str) -> None:
    explainer = InteractionExplainer(pipe, masking="delete", budget=60, n_test=10)
    explanation = explainer(short_text)
    (check,) = explainer.check_removal(explanation, [2])
    kept = [w for i, w in enumerate(short_text.split()) if i not in check.solution.removed]
    scores = pipe(" ".join(kept), top_k=None, function_to_apply="none")
    label = explanation.record.target.label
    expected = next(s["score"] for s in scores if s["label"] == label)
    assert check.actual == pytest.approx(expected, abs=1e-4)
