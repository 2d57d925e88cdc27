"""Every subset was asked, and terms were cut: what is shown stands beside what is true."""

from __future__ import annotations

from functools import partial
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from proxyspex_hf import InteractionExplainer, InteractionExplanation
from proxyspex_hf.core.known import Known
from proxyspex_hf.core.masks import all_masks
from proxyspex_hf.core.walsh import is_rounding
from proxyspex_hf.viz.doubt import doubt_data
from proxyspex_hf.viz.view import view

#: Mean 1.5, F({0}) = 0, F({1}) = -0.5, F({0, 1}) = -1: additive terms alone say 1, 1, 2, 2.
CROSSED = {(False, False): 0.0, (True, False): 2.0, (False, True): 3.0, (True, True): 1.0}


def explained(function: Any, n: int, **options: Any) -> InteractionExplanation:
    explainer = InteractionExplainer(function, progress=False, budget=2**n, **options)
    return explainer([f"w{i}" for i in range(n)])


def crossed(scale: float = 1.0, **options: Any) -> InteractionExplanation:
    def function(masks: np.ndarray) -> np.ndarray:
        return scale * np.array([CROSSED[tuple(row)] for row in masks.tolist()])

    return explained(function, 2, **options)


def test_intervals_reach_from_the_true_effect_to_the_one_that_is_shown() -> None:
    cut = crossed(max_order=1)
    assert not cut.record.is_exact
    effects = {e.members: e for e in cut.record.effects}
    # f(11) - f(10) = -1 and f(11) - f(01) = -2, where the additive terms say 1 and 0.
    assert effects[1,].value == pytest.approx(1.0)
    assert effects[1,].interval == pytest.approx((-1.0, 1.0))
    assert effects[0,].interval == pytest.approx((-2.0, 0.0))
    assert cut.top() == []
    assert [i.is_sure for i in cut.top(unsure=True)] == [False, False]
    masks = np.array([[1, 1], [1, 0], [0, 1], [0, 0]])
    ends = [[1.0, 2.0], [1.0, 2.0], [2.0, 3.0], [0.0, 1.0]]
    assert np.allclose(cut.predict_interval(masks), ends)
    assert cut.removal_effect([1]).interval == pytest.approx((-1.0, 1.0))
    assert cut.removal_effect([0, 1]).interval == pytest.approx((1.0, 1.0))


@pytest.mark.parametrize(
    ("index", "order", "members", "ends"),
    [
        ("banzhaf", None, (1,), (1.0, 1.0)),  # (3 - 1) / 2, as the additive terms have it
        ("moebius", None, (1,), (1.0, 3.0)),  # f(01) - f(00)
        ("moebius", None, (), (0.0, 1.0)),
        ("effect", 1, (0,), (-2.0, 0.0)),
        ("influence", None, (1,), (0.25, 1.25)),  # 0.5² and 0.5² + 1²
        ("FBII", 1, (1,), (1.0, 1.0)),  # the best additive fit is what is shown
    ],
)
def test_an_index_reaches_to_the_true_score(
    index: str, order: int | None, members: tuple[int, ...], ends: tuple[float, float]
) -> None:
    found = crossed(max_order=1).interactions(index, order)
    if members in found.sets:
        assert found.interval(*members) == pytest.approx(ends)
    else:
        assert 0.0 in ends


def test_no_number_of_a_cut_spectrum_is_surer_than_the_answers() -> None:
    n, rng = 7, np.random.default_rng(0)
    mix, out = rng.normal(size=(8, n)), rng.normal(size=8)

    def function(masks: np.ndarray) -> np.ndarray:
        return np.tanh(masks.astype(float) @ mix.T) @ out

    cut = explained(function, n, n_coefficients=40)
    assert not cut.record.is_exact
    checked = wrong = 0
    for effect in cut.record.effects:
        subsets = chain.from_iterable(
            combinations(effect.members, r) for r in range(effect.order + 1)
        )
        true = 0.0
        for left_out in subsets:
            mask = np.ones((1, n), np.bool_)
            mask[0, list(left_out)] = False
            true += (-1) ** len(left_out) * float(function(mask)[0])
        low, high = effect.interval or (np.nan, np.nan)
        assert low == pytest.approx(min(true, effect.value), abs=1e-9)
        assert high == pytest.approx(max(true, effect.value), abs=1e-9)
        checked += 1
        if np.sign(true) != np.sign(effect.value):
            wrong += 1
            assert not effect.is_sure
    assert checked > 50
    assert wrong > 0  # or the test says nothing


def test_what_is_cut_is_exact_only_where_it_is_rounding() -> None:
    def nearly_additive(masks: np.ndarray) -> np.ndarray:
        return masks @ [1.0, 1.0] + 4e-6 * masks.all(axis=1)

    cut = explained(nearly_additive, 2, max_order=1)
    assert not cut.record.is_exact  # F({0, 1}) = 1e-6: a millionth of what is there, and known
    assert "was cut to 2 coefficients" in str(cut.record.provenance.notes)
    effect = cut.record.effects[0]
    assert effect.value == pytest.approx(1.0 + 2e-6, abs=1e-12)
    assert effect.interval == pytest.approx((1.0 + 2e-6, 1.0 + 4e-6), abs=1e-12)
    whole = explained(lambda masks: masks @ [0.1, 0.2, 0.3] + 0.7, 3, max_order=1)
    assert whole.record.is_exact
    assert "the spectrum is exact" in " ".join(whole.record.provenance.notes)
    values = np.array([0.0, 1.0, 2.0, 3.0])
    assert is_rounding(0.0, values)
    assert is_rounding((2 * 2.2e-16) ** 2, values)
    assert not is_rounding(1e-24, values)
    assert is_rounding(0.0, np.ones(4))


def test_an_effect_that_cancels_has_no_sign() -> None:
    # f(11) - f(10) is 0 but for the rounding of 0.1 + 0.2, and the additive terms say 0.15.
    table = {(0, 0): 0.0, (1, 0): 0.3, (0, 1): 0.3, (1, 1): 0.1 + 0.2}
    cut = explained(
        lambda masks: np.array([table[tuple(row)] for row in masks.astype(int).tolist()]),
        2,
        max_order=1,
    )
    for effect in cut.record.effects:
        assert effect.interval == (0.0, pytest.approx(0.15))
        assert not effect.is_sure
    assert cut.removal_effect([1]).interval == (0.0, pytest.approx(0.15))


def test_values_near_the_largest_keep_their_intervals() -> None:
    cut = crossed(1e300, max_order=1)
    effects = {e.members: e for e in cut.record.effects}
    assert np.allclose(np.array(effects[1,].interval) / 1e300, (-1.0, 1.0))


def test_values_are_known_where_no_subset_is_missing() -> None:
    masks = all_masks(3)
    known = Known.of(masks[::-1], np.arange(8.0)[::-1])
    assert known is not None
    assert known.predictions(masks).mean.tolist() == list(range(8))
    assert Known.of(masks[1:], np.arange(7.0)) is None
    assert Known.of(masks[[0, *range(7)]], np.arange(8.0)) is None
    twice = Known.of(np.concatenate([masks, masks]), np.concatenate([np.zeros(8), np.ones(8)]))
    assert twice is not None
    assert twice.table.tolist() == [0.5] * 8


def test_pages_files_and_text_say_how_far_a_cut_spectrum_may_be_off(tmp_path: Path) -> None:
    cut = crossed(max_order=1)
    cut.save(tmp_path / "cut.json")
    read = InteractionExplanation.load(tmp_path / "cut.json")
    assert read.record.effects == cut.record.effects
    assert doubt_data(read.record) is None  # the page has no Gaussian process to ask
    assert "told from zero" in str(read)
    predicted = {tuple(out): ends for out, *ends in view(read.record)["predicted"]}
    assert predicted[1,] == pytest.approx([1.0, 2.0])
    assert predicted[()] == pytest.approx([1.0, 2.0])


@pytest.mark.parametrize(
    ("level", "kind"), [(0.0, np.float32), (1000.0, np.float32), (1e9, np.float64)]
)
def test_what_rounding_left_of_the_answers_is_no_combination(level: float, kind: type) -> None:
    weights = np.random.default_rng(0).normal(size=6)
    alone = explained(lambda masks: (level + masks @ weights).astype(kind), 6)
    assert alone.record.is_exact
    assert alone.spectrum.orders.max() == 1
    assert alone.top(100, order=2) == alone.top(100, order=3) == []
    assert "the features add up" in str(alone)
    # A real combination stays; its pairs do nothing at the input.
    either = explained(
        lambda masks: (level + masks @ weights + 0.5 * masks[:, :3].any(axis=1)).astype(kind), 6
    )
    (three,) = [e for e in either.record.effects if e.order > 1 and e.is_sure]
    assert (three.members, three.kind) == ((0, 1, 2), "either is enough")
    assert three.value == pytest.approx(0.5, abs=1e-3)


def test_whole_numbers_are_exact_however_small_beside_the_largest() -> None:
    one = explained(lambda masks: 5_000_000 * masks[:, 0] + (masks[:, 1] & masks[:, 2]), 3)
    assert one.top(1, order=2)[0].members == (1, 2)
    assert one.top(1, order=2)[0].effect == pytest.approx(1.0)
    # One value in 2^12 that is larger by little is not lost among terms of a 2^12th of that.
    all_needed = explained(
        lambda masks: (masks[:, 0] + 1e-4 * masks.all(axis=1)).astype(np.float32),
        12,
        n_coefficients=2**12,
    )
    assert all_needed.record.is_exact
    whole = np.ones((1, 12), dtype=bool)
    assert float(all_needed.predict(whole)[0]) == pytest.approx(1.0001, abs=1e-6)


def test_values_near_the_largest_are_as_exact_and_as_sure_as_others() -> None:
    weights = np.random.default_rng(0).normal(size=9)

    def crossing(masks: np.ndarray, scale: float) -> np.ndarray:
        n = masks.shape[1]
        return scale * (masks @ weights[:n] + masks[:, 0] * masks[:, -1])

    whole = explained(lambda masks: crossing(masks, 1e300), 4)
    assert whole.record.is_exact
    assert "the spectrum is exact" in " ".join(whole.record.provenance.notes)
    few, huge = (
        InteractionExplainer(partial(crossing, scale=scale), progress=False)(9)
        for scale in (1.0, 2.0**990)
    )
    assert [e.members for e in few.record.effects] == [e.members for e in huge.record.effects]
    for a, b in zip(few.record.effects, huge.record.effects, strict=True):
        assert np.array(b.interval) / 2.0**990 == pytest.approx(a.interval, abs=1e-6)
