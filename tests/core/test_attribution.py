from __future__ import annotations

import numpy as np
import pytest

from proxyspex_hf.core import Cached, FourierSpectrum, FunctionOfMasks, Progress, ProxySPEX
from proxyspex_hf.core.attribution import attribute
from proxyspex_hf.core.faithfulness import r2_score
from proxyspex_hf.core.proxies.boosting import BoostedTrees
from proxyspex_hf.core.queries import Goal, plan
from proxyspex_hf.errors import InputError, ModelError

QUICK = ProxySPEX(proxy=BoostedTrees(depths=(3,), learning_rates=(0.1,), rounds=(200,)))
PLANTED = FourierSpectrum.from_dict({(): 1.0, (0,): -0.5, (0, 3): -0.8, (1, 2): 0.4}, 20)


def planted() -> Cached:
    return Cached(FunctionOfMasks(PLANTED.evaluate, 20))


@pytest.mark.parametrize(
    ("n", "given", "budget", "exact"),
    [
        (105, {}, 1410, False),
        (105, {"alpha": 4}, 2820, False),
        (105, {"budget": 500}, 500, False),
        (6, {}, 64, True),
        (7, {}, 128, True),
        (8, {}, 256, True),
        (8, {"alpha": 2}, 256, True),
        (8, {"alpha": 1.9}, 46, False),
        (9, {}, 57, False),
        (8, {"alpha": 20}, 256, True),
        (10, {"budget": 5000}, 1024, True),
        (6, {"budget": 40}, 40, False),
        (1, {}, 2, True),
    ],
)
def test_the_plan(n: int, given: dict, budget: int, exact: bool) -> None:
    how = plan(n, **given)
    assert (how.budget, how.exact) == (budget, exact)
    assert how.calls == budget
    assert exact or plan(n, n_test=100, **given).calls == budget + 300
    assert exact == (how.rounds == 1 and how.first == budget)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"budget": 10}, "budget=10 is too small for 50 features: at least 20"),
        ({"alpha": 0.01}, "too small for 50 features"),
        ({"alpha": 1, "budget": 100}, "give alpha or budget, not both"),
        ({"density": 1.0}, "density must lie strictly between 0 and 1"),
        ({"density": []}, "density must lie strictly between 0 and 1"),
        ({"density": "0.5x"}, "unknown density .0.5x.; name one of wide, mixed, uniform"),
        ({"question": "all"}, "question must be one of any, input, shapley, subsets, got 'all'"),
        ({"rounds": 0}, "rounds must lie between 1 and 100, got 0"),
        ({"rounds": 3, "density": 0.5}, "draw all masks at once"),
        ({"rounds": 3, "question": "subsets"}, "draw all masks at once"),
        ({"budget": "much"}, "budget must be a number of masks or 'auto', got 'much'"),
        ({"budget": "auto"}, 'a goal and budget="auto" come together'),
        ({"goal": Goal(r2=0.9)}, 'a goal and budget="auto" come together'),
        ({"n_test": 1}, "n_test must be 0 or at least 2"),
        ({"n_test": 5.5}, "n_test must be an integer, got 5.5"),
        ({"budget": 100.5}, "budget must be an integer, got 100.5"),
    ],
)
def test_a_senseless_plan_is_refused(given: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan(50, **given)


def test_every_query_is_counted_kept_and_held_out_where_it_must_be() -> None:
    function = planted()
    found = attribute(function, plan(20, alpha=3, n_test=100), QUICK)
    queries = found.queries
    assert function.calls == len(queries.masks) == queries.n_fit + 300
    assert queries.masks[0].all()
    assert not queries.masks[1].any()
    assert len(np.unique(queries.masks, axis=0)) == len(queries.masks)
    np.testing.assert_allclose(queries.values, PLANTED.evaluate(queries.masks), rtol=1e-12)
    for score, density in zip(found.faithfulness, (0.5, 0.7, 0.9), strict=True):
        rows = np.flatnonzero(queries.densities[queries.n_fit :] == density) + queries.n_fit
        assert (score.density, score.n_masks) == (density, len(rows)) == (density, 100)
        # New masks of 20 features: at 0.9 the commonest are fitted, and so not drawn again.
        assert abs(queries.masks[rows].mean() - density) < 0.06
        expected = r2_score(queries.values[rows], found.fit.spectrum.evaluate(queries.masks[rows]))
        assert score.r2 == expected
        assert score.r2 is not None
        assert score.linear_r2 is not None
        assert score.r2 > score.linear_r2


def test_exact_faithfulness_weighs_every_subset_by_its_density() -> None:
    game = FourierSpectrum.from_dict({(): 1.0, (0,): 0.5, (0, 1): 2.0}, 5)
    found = attribute(Cached(FunctionOfMasks(game.evaluate, 5)), plan(5), ProxySPEX())
    assert [s.r2 for s in found.faithfulness] == pytest.approx([1.0, 1.0, 1.0])
    # Uniform: the best additive function has the main effect alone, 0.25 of 4.25 of the energy.
    assert found.faithfulness[0].linear_r2 == pytest.approx(0.25 / 4.25)
    assert all(s.n_masks == 32 for s in found.faithfulness)
    sparse = attribute(
        Cached(FunctionOfMasks(game.evaluate, 5)), plan(5), ProxySPEX(n_coefficients=1)
    )
    assert sparse.faithfulness[0].r2 == pytest.approx(4.0 / 4.25)


def test_a_mixture_of_densities_is_drawn_in_equal_shares() -> None:
    found = attribute(planted(), plan(20, budget=100, density=(0.5, 0.7, 0.9)), QUICK)
    assert found.plan.rounds == 1
    # The whole and the empty input come first: they are not drawn.
    assert found.queries.densities[:2].tolist() == [0.0, 0.0]
    assert [int((found.queries.densities == d).sum()) for d in (0.5, 0.7, 0.9)] == [32, 33, 33]


def test_small_inputs_are_tested_on_masks_left_out() -> None:
    game = FourierSpectrum.from_dict({(0,): 1.0, (1, 2): 0.5}, 6)
    how = plan(6, budget=60, n_test=100)
    found = attribute(Cached(FunctionOfMasks(game.evaluate, 6)), how, QUICK)
    # Four masks are left of 64: too few to hold out, so drawn ones are left out of the fit.
    assert found.queries.n_fit == len(found.queries.masks) == 60
    drawn = int((found.queries.densities > 0.0).sum())
    assert 24 <= drawn < 40
    assert all(s.n_masks < drawn for s in found.faithfulness)


def test_progress_tells_phase_count_and_remaining_time() -> None:
    seen: list[Progress] = []
    attribute(planted(), plan(20, alpha=1), QUICK, progress=seen.append)
    phases = list(dict.fromkeys(p.phase for p in seen))
    assert phases == ["model calls", "fitting trees", "extracting", "testing"]
    for phase in phases:
        counts = [p.done for p in seen if p.phase == phase]
        assert counts == sorted(counts)
        assert counts[-1] == next(p.total for p in seen if p.phase == phase)
    assert seen[0].eta is None
    assert seen[1].eta is not None


def test_nothing_already_computed_is_lost_when_the_model_fails() -> None:
    asked = 0

    def flaky(masks: np.ndarray) -> np.ndarray:
        nonlocal asked
        asked += len(masks)
        if flaky_now and asked > 200:
            raise KeyboardInterrupt
        return PLANTED.evaluate(masks)

    flaky_now = True
    function = Cached(FunctionOfMasks(flaky, 20), chunk=50)
    with pytest.raises(KeyboardInterrupt):
        attribute(function, plan(20, alpha=3), QUICK)
    kept = function.calls
    assert 150 <= kept <= 200
    flaky_now = False
    found = attribute(function, plan(20, alpha=3), QUICK)
    assert function.calls == len(found.queries.masks)
    assert found.fit.spectrum == attribute(planted(), plan(20, alpha=3), QUICK).fit.spectrum


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_named(bad: float) -> None:
    def broken(masks: np.ndarray) -> np.ndarray:
        return np.where(masks.sum(axis=1) < 5, bad, 1.0)

    with pytest.raises(ModelError, match=r"the model gave -?(nan|inf) for .* features kept"):
        attribute(Cached(FunctionOfMasks(broken, 20)), plan(20), QUICK)


def test_values_of_the_wrong_shape_are_refused() -> None:
    function = Cached(FunctionOfMasks(lambda masks: np.zeros((len(masks), 2)), 20))
    with pytest.raises(ModelError, match=r"gave shape \(\d+, 2\) for"):
        function(np.ones((3, 20), bool))


def test_the_cache_asks_each_distinct_mask_once() -> None:
    function = planted()
    masks = np.random.default_rng(0).random((40, 20)) < 0.5
    twice = np.concatenate([masks, masks])
    np.testing.assert_array_equal(function(twice), PLANTED.evaluate(twice))
    assert function.calls == 40


def test_r2_of_constants_and_extremes() -> None:
    assert r2_score(np.ones(5), np.ones(5)) is None
    assert r2_score(np.array([1.0]), np.array([1.0])) is None
    values = np.array([1e200, -1e200, 5e199])
    assert r2_score(values, values) == 1.0
    assert r2_score(values, np.full(3, values.mean())) == pytest.approx(0.0)
