from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import highspy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import spectra

from proxyspex_hf.core.masks import all_masks
from proxyspex_hf.core.removal import program
from proxyspex_hf.core.removal.best import (
    RemovalSolution,
    best_removal,
    maximize,
    minimize,
    removal_curve,
)
from proxyspex_hf.core.spectrum import FourierSpectrum
from proxyspex_hf.errors import InputError, SolveError

#: Small problems are solved by looking at every subset, large ones by HiGHS: both are tried.
BOTH = pytest.mark.parametrize("every_subset_of", [0, 16])


@contextmanager
def solved_by_all_subsets(up_to: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program, "_ENUMERATED", up_to)
        yield


def random_spectrum(n: int, k: int, order: int, seed: int) -> FourierSpectrum:
    rng = np.random.default_rng(seed)
    coefficients: dict[tuple[int, ...], float] = {(): float(rng.normal())}
    while len(coefficients) < k:
        base = list(coefficients)[rng.integers(len(coefficients))] if rng.random() < 0.6 else ()
        grown = tuple(sorted({*base, int(rng.integers(n))}))
        if len(grown) <= order:
            coefficients[grown] = float(rng.normal()) * 0.6 ** len(grown)
    return FourierSpectrum.from_dict(coefficients, n)


def tolerance(spectrum: FourierSpectrum) -> float:
    return 1e-9 * max(1.0, float(np.abs(spectrum.coefficients).sum()))


def check_self_consistent(solution: RemovalSolution, spectrum: FourierSpectrum) -> None:
    assert solution.status == "optimal"
    assert solution.predicted == spectrum.evaluate(solution.mask)[0]
    assert solution.full == spectrum.evaluate(np.ones(spectrum.n_features, bool))[0]
    assert solution.gap <= 1e3 * tolerance(spectrum)
    assert sorted(solution.kept + solution.removed) == list(range(spectrum.n_features))


@BOTH
@settings(max_examples=60, deadline=None)
@given(spectrum=spectra(max_features=9, max_coefficients=25), data=st.data())
def test_best_removal_against_enumeration(
    every_subset_of: int, spectrum: FourierSpectrum, data: st.DataObject
) -> None:
    with solved_by_all_subsets(every_subset_of):
        check_best_removal(spectrum, data)


def check_best_removal(spectrum: FourierSpectrum, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, spectrum.n_features))
    masks = all_masks(spectrum.n_features)
    values = spectrum.evaluate(masks)
    moves = values[masks.sum(axis=1) == spectrum.n_features - k] - values[-1]
    solution = best_removal(spectrum, k)
    check_self_consistent(solution, spectrum)
    assert len(solution.removed) == k
    assert abs(solution.objective - np.abs(moves).max()) <= tolerance(spectrum)
    assert solution.objective == abs(solution.change)
    if -moves.min() > moves.max() + tolerance(spectrum):
        assert solution.change < 0
    elif moves.max() > -moves.min() + tolerance(spectrum):
        assert solution.change > 0
    elif solution.objective > tolerance(spectrum):
        assert solution.change < 0  # equally far: the one that lowers f̂


@BOTH
@settings(max_examples=60, deadline=None)
@given(spectrum=spectra(max_features=9, max_coefficients=25), data=st.data())
def test_constrained_extremes_against_enumeration(
    every_subset_of: int, spectrum: FourierSpectrum, data: st.DataObject
) -> None:
    with solved_by_all_subsets(every_subset_of):
        check_extremes(spectrum, data)


def check_extremes(spectrum: FourierSpectrum, data: st.DataObject) -> None:
    n = spectrum.n_features
    low = data.draw(st.integers(0, n))
    high = data.draw(st.integers(low, n))
    fixed = data.draw(st.dictionaries(st.integers(0, n - 1), st.booleans(), max_size=3))
    keep = [i for i, kept in fixed.items() if kept]
    remove = [i for i, kept in fixed.items() if not kept]
    masks = all_masks(n)
    size = masks.sum(axis=1)
    allowed = (size >= low) & (size <= high)
    allowed &= masks[:, keep].all(axis=1) & ~masks[:, remove].any(axis=1)
    options = {
        "min_kept": low,
        "max_kept": high,
        "always_keep": keep,
        "always_remove": remove,
    }
    if not allowed.any():
        with pytest.raises(SolveError, match="no mask removes"):
            maximize(spectrum, **options)
        return
    values = spectrum.evaluate(masks[allowed])
    for solve, extreme in ((maximize, values.max()), (minimize, values.min())):
        solution = solve(spectrum, **options)
        check_self_consistent(solution, spectrum)
        assert low <= len(solution.kept) <= high
        assert set(keep) <= set(solution.kept)
        assert set(remove) <= set(solution.removed)
        assert abs(solution.objective - extreme) <= tolerance(spectrum)
        assert abs(solution.bound - extreme) <= 1e3 * tolerance(spectrum)


@pytest.mark.parametrize("seed", range(4))
def test_twelve_features_with_high_orders(seed: int) -> None:
    # Sets of up to 9: hulls, parity facets and parity chains in one program.
    rng = np.random.default_rng(seed)
    coefficients = {
        tuple(sorted(rng.choice(12, rng.integers(1, 10), replace=False).tolist())): float(
            rng.integers(-2, 3) if seed % 2 else rng.normal() * 1e4
        )
        for _ in range(25)
    }
    spectrum = FourierSpectrum.from_dict(coefficients, 12)
    masks = all_masks(12)
    values = spectrum.evaluate(masks)
    for solution in removal_curve(spectrum, [1, 4, 7, 12]):
        check_self_consistent(solution, spectrum)
        same_size = masks.sum(axis=1) == 12 - len(solution.removed)
        best = np.abs(values[same_size] - values[-1]).max()
        assert abs(solution.objective - best) <= tolerance(spectrum)


def test_a_sum_of_single_features_removes_the_largest() -> None:
    # f = sum of w_i over kept features has F({i}) = -w_i / 2.
    weights = [3.0, -1.0, 2.0, 0.5]
    spectrum = FourierSpectrum.from_dict(
        {(): sum(weights) / 2, **{(i,): -w / 2 for i, w in enumerate(weights)}}, 6
    )
    solution = best_removal(spectrum, 2)
    assert (solution.removed, solution.change, solution.objective) == ((0, 2), -5.0, 5.0)
    assert (solution.goal, solution.status, solution.full) == ("move", "optimal", 4.5)
    assert maximize(spectrum).kept == (0, 2, 3, 4, 5)
    assert maximize(spectrum, exactly=1).kept == (0,)
    assert minimize(spectrum, min_kept=2).objective == pytest.approx(-1.0)
    assert minimize(spectrum, exactly=2, always_keep=[0]).kept == (0, 1)
    assert best_removal(spectrum, 2, always_remove=[1]).removed == (0, 1)
    assert best_removal(spectrum, 2, always_keep=[0]).removed == (2, 3)


def test_idle_features_are_filled_lowest_first() -> None:
    spectrum = FourierSpectrum.from_dict({(4,): -1.0}, 6)
    assert best_removal(spectrum, 0).removed == ()
    assert best_removal(spectrum, 1).removed == (4,)
    assert best_removal(spectrum, 3).removed == (0, 1, 4)
    assert best_removal(spectrum, 3, always_keep=[0, 4]).removed == (1, 2, 3)
    assert maximize(spectrum).removed == ()
    constant = best_removal(FourierSpectrum.from_dict({(): 2.0}, 3), 2)
    assert (constant.removed, constant.predicted, constant.objective) == ((0, 1), 2.0, 0.0)
    assert (constant.status, constant.bound) == ("optimal", 0.0)


def test_ties_go_to_the_lower_features() -> None:
    spectrum = FourierSpectrum.from_dict({(i,): -1.0 for i in range(8)}, 8)
    assert best_removal(spectrum, 3).removed == (0, 1, 2)
    assert maximize(spectrum, exactly=2).kept == (6, 7)


def test_pairs_beat_single_features() -> None:
    # Redundant pair: removing one of 0 and 1 changes nothing, removing both everything.
    either = {(): 0.75, (0,): -0.25, (1,): -0.25, (0, 1): -0.25}
    spectrum = FourierSpectrum.from_dict({**either, (2,): -0.1}, 3)
    assert best_removal(spectrum, 1).removed == (2,)
    assert best_removal(spectrum, 2).removed == (0, 1)
    assert best_removal(spectrum, 2).change == pytest.approx(-1.0)


def test_the_curve_is_best_removal_for_each_k() -> None:
    spectrum = random_spectrum(40, 60, 4, 0)
    ks = [7, 1, 0, 20, 40]
    curve = removal_curve(spectrum, ks)
    assert [len(s.removed) for s in curve] == ks
    for k, solution in zip(ks, curve, strict=True):
        alone = best_removal(spectrum, k)
        assert solution.objective == pytest.approx(alone.objective, abs=1e-9)
        assert solution.status == "optimal"


def test_the_same_input_gives_the_same_output() -> None:
    spectrum = random_spectrum(60, 80, 4, 1)
    assert best_removal(spectrum, 10) == best_removal(spectrum, 10)


def test_256_features_are_proven_optimal() -> None:
    spectrum = random_spectrum(256, 200, 5, 2)
    for solution in removal_curve(spectrum, [5, 20, 50]):
        check_self_consistent(solution, spectrum)


def test_a_time_limit_leaves_an_incumbent_and_a_bound() -> None:
    rng = np.random.default_rng(0)
    spectrum = FourierSpectrum.from_dict(
        {tuple(sorted(rng.choice(80, 4, replace=False).tolist())): 1.0 for _ in range(300)}, 80
    )
    solution = best_removal(spectrum, 30, time_limit=1.0)
    assert solution.status == "time_limit"
    assert solution.seconds < 5.0
    assert len(solution.removed) == 30
    assert 0 < solution.objective < solution.bound <= 2 * 300
    assert solution.gap == solution.bound - solution.objective


def test_a_thread_pool_of_another_size_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []

    class Refusing(highspy.Highs):
        def run(self) -> highspy.HighsStatus:
            threads = self.getOptionValue("threads")[1]
            runs.append(threads)
            return highspy.HighsStatus.kError if threads == 1 else super().run()

    monkeypatch.setattr(program.highspy, "Highs", Refusing)
    monkeypatch.setattr(program, "_ENUMERATED", 0)
    assert best_removal(FourierSpectrum.from_dict({(0, 1): 1.0}, 3), 1).objective == 2.0
    assert runs == [1, 0, 1, 0]


def test_highs_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    best_removal(random_spectrum(20, 30, 3, 0), 4)
    assert capfd.readouterr() == ("", "")


def test_invalid_arguments() -> None:
    spectrum = FourierSpectrum.from_dict({(0, 1): 1.0}, 4)
    with pytest.raises(InputError, match="k must lie between 0 and 4, got 5"):
        best_removal(spectrum, 5)
    with pytest.raises(InputError, match=r"k must be an integer, got 1\.5"):
        best_removal(spectrum, 1.5)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="each of always_keep must lie between 0 and 3, got 4"):
        best_removal(spectrum, 1, always_keep=[4])
    with pytest.raises(InputError, match="time_limit must be a positive number"):
        best_removal(spectrum, 1, time_limit=0)
    with pytest.raises(InputError, match="exactly fixes the size"):
        maximize(spectrum, exactly=2, max_kept=3)
    with pytest.raises(InputError, match="min_kept must lie between 0 and 4"):
        minimize(spectrum, min_kept=9)


def test_contradictory_constraints() -> None:
    spectrum = FourierSpectrum.from_dict({(0, 1): 1.0}, 4)
    with pytest.raises(SolveError, match=r"\[1\] are in always_keep and in always_remove"):
        best_removal(spectrum, 1, always_keep=[1], always_remove=[1])
    with pytest.raises(SolveError, match="no mask removes 3 of the features: always"):
        best_removal(spectrum, 3, always_keep=[0, 1])
    with pytest.raises(SolveError, match="always_remove takes 2"):
        best_removal(spectrum, 1, always_remove=[0, 1])
    with pytest.raises(SolveError, match="no mask removes at least 3 and at most 1 features"):
        maximize(spectrum, min_kept=3, max_kept=1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: removal_curve(s, 3), "ks must be a list of integers, got 3"),
        (lambda s: best_removal(s, 1, time_limit="a"), "time_limit must be a positive number"),
        (lambda s: best_removal(s, 1, always_keep=["a"]), "each of always_keep must be an integer"),
        (
            lambda s: best_removal(s, 1, always_remove=[0.5]),
            "each of always_remove must be an integer",
        ),
    ],
)
def test_arguments_of_odd_types_are_refused_in_words(call: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call(FourierSpectrum.from_dict({(0,): 1.0, (1, 2): 0.5}, 3))


@pytest.mark.parametrize("level", [1e6, 1e9, 1e12, -1e13])
@pytest.mark.parametrize("fixed", [(), (4,)])
def test_a_constant_changes_no_answer(level: float, fixed: tuple[int, ...]) -> None:
    """Neither f's own level nor that of a feature which always stays."""
    rng = np.random.default_rng(0)
    masks = all_masks(5)
    for trial in range(40):
        sets = [(0,), (1,), (2,), (3,), (0, 1), (1, 2), (0, 2, 3), (2, 3)]
        effects = {t: float(np.round(rng.normal(), 1)) for t in sets}
        free = FourierSpectrum.from_dict(effects, 5)
        place = fixed if fixed and trial % 2 else ()
        shifted = FourierSpectrum.from_dict({**effects, place: level}, 5)
        for k in (1, 2, 3):
            plain = best_removal(free, k, always_keep=fixed)
            moved = best_removal(shifted, k, always_keep=fixed)
            assert (moved.removed, moved.status) == (plain.removed, "optimal")
            assert moved.change == pytest.approx(plain.change, abs=1e-12)
            allowed = masks[(masks.sum(axis=1) == 5 - k) & masks[:, list(fixed)].all(axis=1)]
            whole = free.evaluate(np.ones(5, np.bool_))
            assert moved.objective == pytest.approx(np.abs(free.evaluate(allowed) - whole).max())
            assert moved.gap <= 1e-9


def test_counts_come_from_anything_that_is_gone_through_once() -> None:
    spectrum = FourierSpectrum.from_dict({(0,): 1.0, (1, 2): 0.5}, 3)
    found = removal_curve(spectrum, (k for k in (1, 2)), always_keep=iter([0]))
    assert [len(s.removed) for s in found] == [1, 2]
    assert removal_curve(spectrum, np.array([1, 2]), always_keep=[0]) == found
    with pytest.raises(InputError, match=r"got booleans.*np\.flatnonzero"):
        best_removal(spectrum, 1, always_keep=[True, False, False])
