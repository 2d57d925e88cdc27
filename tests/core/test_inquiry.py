"""Masks asked in rounds, chosen for a question, until a goal is met; and what R² rests on."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from proxyspex_hf.core import (
    Cached,
    FourierSpectrum,
    FunctionOfMasks,
    ProxySPEX,
    all_masks,
    exact_spectrum,
)
from proxyspex_hf.core.attribution import attribute
from proxyspex_hf.core.design import CHOSEN_PER_FEATURE, _candidates, choose_masks
from proxyspex_hf.core.faithfulness import left_out_r2, r2_interval, weighted_r2
from proxyspex_hf.core.indices import interactions
from proxyspex_hf.core.inquiry import Asked, ask, draw, inquiry
from proxyspex_hf.core.posterior import Doubt, Posterior
from proxyspex_hf.core.proxies.kernel import _Posterior, learn_kernel, minimised, signs
from proxyspex_hf.core.queries import Goal, Queries, plan
from proxyspex_hf.core.shares import at_share, shares_of
from proxyspex_hf.errors import InputError

N = 12


def a_game(seed: int, n: int = N) -> FourierSpectrum:
    """Few strong features, neighbours that interact, and many small terms."""
    rng = np.random.default_rng(seed)
    terms: dict[tuple[int, ...], float] = {(): 1.0}
    strength = rng.exponential(1.0, n)
    for i in range(n):
        terms[(i,)] = strength[i] * rng.normal()
    for i, j in combinations(range(n), 2):
        terms[i, j] = 0.3 * rng.normal() * strength[i] * strength[j] / (j - i)
    for _ in range(30):
        members = tuple(sorted(rng.choice(n, 3, replace=False).tolist()))
        terms[members] = 0.1 * rng.normal()
    return FourierSpectrum.from_dict(terms, n)


def asked_of(game: FourierSpectrum, **options: object) -> Asked:
    how = plan(game.n_features, **options)  # type: ignore[arg-type]
    return ask(inquiry(how, 0), lambda masks: [game.evaluate(masks)])


def test_rounds_are_full_batches_of_new_masks() -> None:
    sizes: list[int] = []
    game = a_game(0)
    how = plan(N, alpha=2)

    def answer(masks: np.ndarray) -> list[np.ndarray]:
        sizes.append(len(masks))
        return [game.evaluate(masks)]

    found = ask(inquiry(how, 3), answer)
    assert how.rounds == 4
    assert sum(sizes) == how.budget == len(found.masks)
    assert sizes[0] == how.first == round(0.4 * how.budget)
    assert max(sizes[1:]) - min(sizes[1:]) <= 1
    assert len(np.unique(found.masks, axis=0)) == len(found.masks)
    drawn = found.densities[2 : sizes[0]]
    assert set(drawn.tolist()) == {0.1, 0.3, 0.5, 0.7, 0.9}
    later = found.densities[sizes[0] :]
    assert (later == 0.0).sum() == min(len(later), CHOSEN_PER_FEATURE * N)
    again = ask(inquiry(how, 3), lambda masks: [game.evaluate(masks)])
    np.testing.assert_array_equal(found.masks, again.masks)


@pytest.mark.parametrize("question", ["input", "shapley"])
def test_a_question_is_answered_better_by_masks_chosen_for_it(question: str) -> None:
    errors: dict[str, list[float]] = {"chosen": [], "drawn": []}
    for seed in range(3):
        game = a_game(seed)
        truth = game.evaluate_all()
        exact = exact_spectrum(truth)
        index = "effect" if question == "input" else "SII"
        wanted = interactions(exact, index, 2).to_dict()
        for name in errors:
            options = {"question": question} if name == "chosen" else {"density": "uniform"}
            function = Cached(FunctionOfMasks(game.evaluate, N))
            how = plan(N, alpha=2, **options)  # type: ignore[arg-type]
            found = attribute(function, how, ProxySPEX("gaussian", seed=seed))
            got = interactions(found.fit.spectrum, index, 2).to_dict()
            squared = sum((got.get(t, 0.0) - v) ** 2 for t, v in wanted.items())
            errors[name].append(squared / sum(v * v for v in wanted.values()))
    assert sum(errors["chosen"]) < 0.75 * sum(errors["drawn"])
    assert all(a < b for a, b in zip(errors["chosen"], errors["drawn"], strict=True))


def test_chosen_masks_lower_the_variance_of_the_question_more_than_drawn_ones() -> None:
    game, rng = a_game(1), np.random.default_rng(0)
    masks, _ = draw(plan(N, budget=40), 40, rng)
    values = game.evaluate(masks)
    level, scale = float(values.mean()), float(values.std())
    kernel = learn_kernel(signs(masks), (values - level) / scale)
    posterior = Posterior(Doubt(kernel, level, scale), masks, values)
    singles = np.arange(N, dtype=np.int32)[:, None]

    def variance(question: str, new: np.ndarray) -> float:
        shares = at_share(1.0) if question == "input" else shares_of("Shapley", 1, 1, N)
        assert shares is not None
        more = Posterior(posterior.doubt, np.concatenate([masks, new]), np.zeros(40 + len(new)))
        return float(np.square(more.derivatives(singles, shares).deviation).sum())

    for question in ("input", "shapley"):
        chosen = choose_masks([posterior], question, 10, masks, rng)  # type: ignore[arg-type]
        assert len({row.tobytes() for row in np.concatenate([masks, chosen])}) == 50
        drawn = [rng.random((10, N)) < 0.5 for _ in range(10)]
        assert variance(question, chosen) < min(variance(question, new) for new in drawn)


@pytest.mark.parametrize("end", ["whole", "empty"])
def test_a_function_of_one_mask_alone_is_asked_all_its_budget(end: str) -> None:
    # The effects of such a function are beyond single precision. (Warnings are errors here.)
    n = 25
    how = plan(n)

    def answer(masks: np.ndarray) -> list[np.ndarray]:
        return [(masks.all(axis=1) if end == "whole" else ~masks.any(axis=1)).astype(float)]

    asked = ask(inquiry(how, 0), answer)
    assert len(np.unique(asked.masks, axis=0)) == how.budget
    assert np.isfinite(asked.values[0]).all()


def test_masks_that_would_tell_nothing_are_not_chosen() -> None:
    # Every mask of six features was answered, and the kernel has no noise.
    masks = all_masks(6)
    values = a_game(3, 6).evaluate(masks)
    level, scale = float(values.mean()), float(values.std())
    kernel = replace(learn_kernel(signs(masks), (values - level) / scale), noise=0.0)
    posterior = Posterior(Doubt(kernel, level, scale), masks, values)
    rng = np.random.default_rng(0)
    assert len(choose_masks([posterior], "any", 10, masks[:32], rng)) == 0
    assert len(choose_masks([posterior], "any", 10, masks, rng)) == 0


def test_of_very_many_features_some_are_candidates_in_each_round(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    n, none = 40, np.zeros((1, 40), np.bool_)

    def removed_alone() -> int:
        masks = _candidates("input", none, np.random.default_rng(0))
        return int((masks.sum(axis=1) == n - 1).sum())

    assert removed_alone() == n
    monkeypatch.setattr("proxyspex_hf.core.design._MOST_FEATURES", 10)
    assert 10 <= removed_alone() < n


def test_what_is_known_is_not_asked_again() -> None:
    game = a_game(2)
    first = asked_of(game, alpha=1)
    new: list[np.ndarray] = []

    def answer(masks: np.ndarray) -> list[np.ndarray]:
        new.append(masks)
        return [game.evaluate(masks)]

    more = ask(inquiry(plan(N, alpha=2), 0, known=first), answer)
    assert len(more.masks) == plan(N, alpha=2).budget
    np.testing.assert_array_equal(more.masks[: len(first.masks)], first.masks)
    known = {row.tobytes() for row in first.masks}
    assert not known & {row.tobytes() for row in np.concatenate(new)}


def test_functions_of_one_input_share_masks() -> None:
    games = [a_game(3), a_game(4)]
    found = ask(inquiry(plan(N, alpha=1), 0), lambda m: [game.evaluate(m) for game in games])
    for place, game in enumerate(games):
        queries = found.queries(place)
        np.testing.assert_array_equal(queries.values, game.evaluate(queries.masks))


def test_a_goal_ends_the_asking_and_is_met() -> None:
    game = a_game(5)
    truth = game.evaluate_all()
    kept = all_masks(N).sum(axis=1)

    def reached(goal: Goal) -> tuple[int, FourierSpectrum]:
        how = plan(N, budget="auto", goal=goal)
        function = Cached(FunctionOfMasks(game.evaluate, N))
        found = attribute(function, how, ProxySPEX("gaussian"))
        assert function.calls == found.queries.n_fit < how.budget
        return found.queries.n_fit, found.fit.spectrum

    calls, _ = reached(Goal(r2=0.6))
    more, better = reached(Goal(r2=0.95))
    assert calls < more
    for density in (0.5, 0.7, 0.9):
        weights = density**kept * (1 - density) ** (N - kept)
        r2 = weighted_r2(truth, better.evaluate_all(), weights)
        assert r2 is not None
        assert r2 > 0.9
    wide, _ = reached(Goal(width=4.0))
    narrow, _ = reached(Goal(width=0.8))
    assert wide < narrow


@pytest.mark.parametrize("seed", range(8))
def test_a_goal_out_of_reach_ends_with_all_subsets(seed: int) -> None:
    """Where few masks are left, a round draws fewer than it wants, and the next makes up for it."""
    n = 7
    values = np.random.default_rng(seed).normal(size=2**n)
    how = plan(n, budget="auto", goal=Goal(r2=0.99))
    found = ask(inquiry(how, seed), lambda masks: [values[masks @ 2 ** np.arange(n)]])
    assert len(np.unique(found.masks, axis=0)) == len(found.masks) == 2**n


@pytest.mark.parametrize("options", [{}, {"r2": 1.5}, {"r2": 0.0}, {"width": 0}, {"width": -1.0}])
def test_a_goal_that_says_nothing_is_refused(options: dict) -> None:
    with pytest.raises(InputError, match="goal"):
        Goal(**options)


def test_a_function_that_does_not_vary_ends_without_a_kernel() -> None:
    function = Cached(FunctionOfMasks(lambda masks: np.full(len(masks), 2.5), N))
    found = attribute(function, plan(N, alpha=1), ProxySPEX())
    assert found.fit.method == "constant"
    assert found.posterior is None
    assert found.fit.spectrum.to_dict() == {(): 2.5}


def test_masks_of_other_densities_count_by_their_weight() -> None:
    """The importance-weighted R² is unbiased: near the one over all subsets at that density."""
    rng = np.random.default_rng(0)
    game, rough = a_game(6), a_game(6).top(25)
    masks, densities = draw(plan(N, budget=2000), 2000, rng)
    values, predictions = game.evaluate(masks), rough.evaluate(masks)
    every = all_masks(N)
    kept = every.sum(axis=1)
    for density in (0.5, 0.7, 0.9):
        score = left_out_r2(masks, values, predictions, densities, density)
        weights = density**kept * (1 - density) ** (N - kept)
        weights[(kept == 0) | (kept == N)] = 0.0  # those two are asked, not drawn
        truth = weighted_r2(game.evaluate(every), rough.evaluate(every), weights)
        assert score.interval is not None
        assert score.r2 == pytest.approx(truth, abs=0.05)
        low, high = score.interval
        assert low < truth < high
        assert score.n_masks > 300


def test_chosen_masks_take_no_part_in_r2() -> None:
    rng = np.random.default_rng(1)
    masks, densities = draw(plan(N, budget=300), 300, rng)
    values = a_game(7).evaluate(masks)
    predictions = values + 0.1 * rng.normal(size=300)
    whole = left_out_r2(masks, values, predictions, densities, 0.5)
    chosen = np.concatenate([densities, np.zeros(50)])
    wrong = np.concatenate([predictions, np.full(50, 1e6)])
    both = np.concatenate([masks, masks[:50]]), np.concatenate([values, values[:50]])
    assert left_out_r2(*both, wrong, chosen, 0.5) == whole
    none = left_out_r2(masks[:5], values[:5], predictions[:5], densities[:5], 0.5)
    assert (none.r2, none.interval) == (None, None)


def test_the_interval_of_r2_holds_it_nine_times_in_ten() -> None:
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(400):
        values = rng.normal(size=60)
        predictions = values + 0.5 * rng.normal(size=60)
        found = r2_interval(values, predictions, np.ones(60))
        assert found is not None
        held += found[0] <= 0.75 <= found[1]
    assert 0.85 <= held / 400 <= 0.96


def test_queries_are_checked() -> None:
    masks = np.ones((2, 3), np.bool_)
    with pytest.raises(InputError, match="queries need masks"):
        Queries(masks, np.zeros(3), 2, np.zeros(2))
    with pytest.raises(InputError, match="n_fit must lie between 0 and 2, got 3"):
        Queries(masks, np.zeros(2), 3, np.zeros(2))


def test_every_round_learns_its_kernel_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the masks of early rounds hide must not stay hidden when there are more of them."""
    module = "proxyspex_hf.core.inquiry.choose_masks"
    seen: list[Posterior] = []

    def choose(posteriors: list[Posterior], *rest: Any) -> np.ndarray:
        seen.extend(posteriors)
        return choose_masks(posteriors, *rest)

    monkeypatch.setattr(module, choose)
    for seed in range(4):
        asked_of(a_game(seed, 14), alpha=1)
    assert len({len(p.masks) for p in seen}) > 2
    for posterior in seen:
        kernel, x = posterior.doubt.kernel, signs(posterior.masks)
        problem = _Posterior(x, posterior.values, 3, None, None)
        end = minimised(problem, problem.start, problem.scale, 300, 20)
        loss, _ = problem(problem.from_kernel(kernel))
        assert loss < end.fun + 0.5


@pytest.mark.parametrize("n", [60, 400, 760, 1000, 1400, 3000])
def test_r2_where_no_drawn_mask_is_near_is_not_measured(n: int) -> None:
    # At half of the features and n = 1000, weights are 1e-220 at most, whose squares are 0.
    rng = np.random.default_rng(0)
    masks = rng.random((300, n)) < 0.5
    values, drawn = masks @ rng.normal(size=n), np.full(300, 0.5)
    off = values + rng.normal(size=300)
    far = left_out_r2(masks, values, off, drawn, 0.9, linear=off)
    assert (far.r2, far.linear_r2, far.interval) == (None, None, None)
    assert far.n_masks < 8
    assert left_out_r2(masks, values, off, drawn, 0.5).n_masks == 300


@pytest.mark.parametrize("budget", [900, 1000, 1020])
def test_as_many_masks_are_asked_as_were_wanted_where_few_are_left(budget: int) -> None:
    how = plan(10, budget=budget)
    asked = ask(inquiry(how, seed=0), lambda masks: [masks.sum(axis=1) ** 2.0])
    assert len(np.unique(asked.masks, axis=0)) == len(asked.masks) == budget
    again = ask(inquiry(how, seed=0), lambda masks: [masks.sum(axis=1) ** 2.0])
    np.testing.assert_array_equal(asked.masks, again.masks)


@pytest.mark.parametrize(
    ("n", "density", "unlike"),
    [(14, 0.02, (0.5, 0.7, 0.9)), (9, 0.01, (0.5, 0.7, 0.9)), (30, 0.98, (0.5, 0.7))],
)
@pytest.mark.parametrize("seed", range(3))
def test_masks_that_are_like_none_of_a_density_say_nothing_of_it(
    n: int, density: float, unlike: tuple[float, ...], seed: int
) -> None:
    weights = np.random.default_rng(seed).normal(size=n)
    function = Cached(FunctionOfMasks(lambda m: np.tanh(m @ weights + m[:, 0] * m[:, 1]), n))
    found = attribute(function, plan(n, density=density), ProxySPEX("lasso", seed=seed))
    scores = {score.density: score for score in found.faithfulness}
    for each in unlike:
        assert (scores[each].r2, scores[each].interval, scores[each].n_masks) == (None, None, 0)
    if density == 0.98:  # which is like 0.9
        assert scores[0.9].r2 is not None


@pytest.mark.parametrize("density", ["wide", "mixed"])
@pytest.mark.parametrize("n", [9, 14, 40])
def test_masks_of_several_densities_cover_those_between(n: int, density: str) -> None:
    weights = np.random.default_rng(n).normal(size=n)
    function = Cached(FunctionOfMasks(lambda m: np.tanh(m @ weights), n))
    found = attribute(function, plan(n, density=density), ProxySPEX("lasso"))
    assert all(score.r2 is not None for score in found.faithfulness)
