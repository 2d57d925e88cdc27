"""A plain function of masks is explained like a model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from proxyspex_hf import Goal, InputError, InteractionExplainer, InteractionExplanation, ModelError
from proxyspex_hf.viz.view import view
from proxyspex_hf.viz.wording import differs


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


@pytest.mark.parametrize("jump", [0.0, 0.5, 1.5])
def test_a_whole_input_unlike_all_others_does_not_spoil_the_rest(jump: float) -> None:
    # As where a model gives the whole input an answer that it gives no masked one.
    n = 24
    weights = 0.1 * np.random.default_rng(0).normal(size=n)  # other masks deviate by 0.22
    explanation = InteractionExplainer(
        lambda masks: masks @ weights + np.where(masks.all(axis=1), jump, 0.0)
    )(n)
    assert min(explanation.faithfulness[density] for density in (0.5, 0.7, 0.9)) > 0.9
    notes = " ".join(explanation.record.provenance.notes)
    assert ("is unlike those of masked inputs" in notes) == (jump > 0.0)
    if jump:
        whole = np.ones(n, dtype=bool)
        assert f"value ({weights.sum() + jump:.4g})" in notes
        assert f"of the whole one it says {float(explanation.predict(whole)[0]):.4g}." in notes
    for effect in explanation.record.effects:
        if effect.order == 1 and jump:
            low, high = effect.interval
            (i,) = effect.members
            assert effect.value == pytest.approx(weights[i], abs=0.1)
            assert low - 1e-3 <= weights[i] + jump <= high + 1e-3
    assert notes == "" or notes in " ".join(str(explanation).split())


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


def test_noise_of_a_function_is_measured_where_it_is_asked_for() -> None:
    rng = np.random.default_rng(0)
    noisy = InteractionExplainer(
        lambda masks: masks.sum(axis=1) + rng.uniform(-1, 1, len(masks)), progress=False
    )
    assert 0.1 < noisy(4, noise=True).record.provenance.noise_floor < 2.0
    assert noisy(4).record.provenance.noise_floor is None
    assert InteractionExplainer(game)(5, noise=True).record.provenance.noise_floor == 0.0


def test_answers_that_do_not_repeat_are_not_called_exact() -> None:
    rng = np.random.default_rng(0)
    found = InteractionExplainer(
        lambda masks: masks.sum(axis=1) + rng.uniform(-1, 1, len(masks)), progress=False
    )(4, noise=True)
    noise = found.record.provenance.noise_floor
    says = f"Asked again, the model's answers to the same masks differ by up to {noise:.4g}."
    assert says in " ".join(str(found).split())
    data = view(found.record, most_rows=None)
    assert any(note.startswith(says) for note in data["notes"])
    assert data["differs"]
    assert data["sure"].startswith("Exact for the answers that came: ")
    repeats = view(InteractionExplainer(game)(5, noise=True).record, most_rows=None)
    assert not repeats["differs"]
    assert repeats["sure"].startswith("Exact: ")


@pytest.mark.parametrize("size", [1e-300, 1.0, 1e307])
def test_a_difference_counts_beside_the_spread_of_the_answers(size: float) -> None:
    record = InteractionExplainer(game, progress=False)(5).record
    record = replace(
        record,
        queries=replace(record.queries, values=record.queries.values * size),
    )
    deviation = float(np.std(record.queries.values / size)) * size
    for share, touched in ((0.049, False), (0.051, True)):
        told = replace(record, provenance=replace(record.provenance, noise_floor=share * deviation))
        assert (differs(told) is not None) == touched


def test_what_a_function_gives_that_is_no_finite_number_is_told_of_the_function() -> None:
    with pytest.raises(ModelError, match=r"'<lambda>' gave .* is not an array of numbers"):
        InteractionExplainer(lambda masks: [10**400] * len(masks))(5)
    with pytest.raises(ModelError, match="let it give one of every input"):
        InteractionExplainer(lambda masks: np.where(masks[:, 0], 1.0, np.nan))(5)


def test_masks_that_no_memory_holds_are_refused() -> None:
    with pytest.raises(InputError, match="features do not fit into memory"):
        InteractionExplainer(game)(2_000_000)


def test_answers_that_are_all_the_same_say_nothing_of_others() -> None:
    found = InteractionExplainer(lambda masks: np.full(len(masks), 3.0), progress=False)(12)
    asked = len(found.record.queries)
    assert f"Nothing was found: all {asked} answers were the same." in str(found)
    with pytest.raises(InputError, match=f"all {asked} answers were the same, so nothing says"):
        found.predict_interval(np.ones((1, 12), bool))
    every = InteractionExplainer(lambda masks: np.full(len(masks), 3.0), progress=False)(5)
    assert "the score does not depend on the features" in str(every)
    np.testing.assert_array_equal(every.predict_interval(np.ones((1, 5), bool)), [[3.0, 3.0]])


@pytest.mark.parametrize("seed", range(3))
def test_a_goal_that_was_not_met_is_said_not_to_be(seed: int) -> None:
    n = 13
    weights = np.random.default_rng(seed).normal(size=n)

    def steep(m: np.ndarray) -> np.ndarray:
        return 3 * np.tanh(m @ weights + 2.0 * m[:, 0] * m[:, 1] - m[:, 2] * m[:, 3] * m[:, 4])

    explainer = InteractionExplainer(steep, progress=False, seed=seed, budget="auto")
    for goal in (Goal(r2=0.95), Goal(r2=0.9), Goal(width=0.3)):
        found = explainer(n, goal=goal)
        widths = [np.subtract(*e.interval[::-1]) for e in found.record.effects if e.order == 1]
        met = (goal.r2 is None or min(s.r2 or 0.0 for s in found.scores) >= goal.r2) and (
            goal.width is None or np.median(widths) <= goal.width
        )
        notes = [note for note in found.record.provenance.notes if "goal" in note]
        how = "until a goal was met" if met else "for a goal that was not met"
        assert how in found.record.settings.sampling
        assert (notes == []) == met
        if not met:
            assert notes[0].startswith("The goal was not met: R² is ")
            assert notes[0].endswith(("of the budget were asked.", "refine() asks more."))
            # It is of this fit: another says its own.
            again = found.refit(proxy="lasso").record.provenance.notes
            assert not any("goal" in note for note in again)
