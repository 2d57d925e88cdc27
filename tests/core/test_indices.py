"""Every index against its definition, by brute force over all 2^n subsets.

The definitions below see only the values of f; none uses the spectrum.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import spectra

from proxyspex_hf.core.indices import INDICES, interactions
from proxyspex_hf.core.masks import all_masks
from proxyspex_hf.core.moebius import evaluate_moebius
from proxyspex_hf.core.spectrum import FourierSpectrum
from proxyspex_hf.errors import InputError

Set = frozenset[int]
Game = dict[Set, float]
Scores = dict[Set, float]


def game(spectrum: FourierSpectrum) -> Game:
    masks = all_masks(spectrum.n_features)
    keys = [frozenset(np.flatnonzero(mask).tolist()) for mask in masks]
    return dict(zip(keys, spectrum.evaluate(masks).tolist(), strict=True))


def players(f: Game) -> Set:
    return max(f, key=len)


def within(features: Set, *, up_to: int | None = None) -> Iterator[Set]:
    for size in range((len(features) if up_to is None else up_to) + 1):
        yield from map(frozenset, combinations(sorted(features), size))


def derivative(f: Game, t: Set, context: Set) -> float:
    """Discrete derivative of f with respect to T in a context without T."""
    return sum((-1) ** (len(t) - len(part)) * f[context | part] for part in within(t))


def banzhaf_interaction(f: Game, order: int) -> Scores:
    n = players(f)
    return {
        t: float(np.mean([derivative(f, t, context) for context in within(n - t)]))
        for t in within(n, up_to=min(order, len(n)))
        if t
    }


def shapley_interaction(f: Game, order: int) -> Scores:
    n = players(f)
    scores = {}
    for t in within(n, up_to=min(order, len(n))):
        if t:
            rest = len(n) - len(t)
            scores[t] = sum(
                derivative(f, t, context) / ((rest + 1) * math.comb(rest, len(context)))
                for context in within(n - t)
            )
    return scores


def shapley_by_permutations(f: Game, _: int) -> Scores:
    n = players(f)
    scores = dict.fromkeys(n, 0.0)
    for arrangement in permutations(sorted(n)):
        for place, i in enumerate(arrangement):
            before = frozenset(arrangement[:place])
            scores[i] += (f[before | {i}] - f[before]) / math.factorial(len(n))
    return {frozenset([i]): value for i, value in scores.items()}


def shapley_taylor(f: Game, order: int) -> Scores:
    """Sundararajan et al. 2020: derivatives at ∅ below the order, Shapley-like means at it."""
    n = players(f)
    scores = {}
    for t in within(n, up_to=min(order, len(n))):
        if len(t) < order:
            scores[t] = derivative(f, t, frozenset())
        else:
            scores[t] = (order / len(n)) * sum(
                derivative(f, t, context) / math.comb(len(n) - 1, len(context))
                for context in within(n - t)
            )
    return scores


def influence(f: Game, _: int) -> Scores:
    n = players(f)
    return {
        frozenset([i]): float(
            np.mean([((f[context | {i}] - f[context]) / 2) ** 2 for context in within(n - {i})])
        )
        for i in n
    }


def moebius_definition(f: Game, order: int) -> Scores:
    n = players(f)
    return {t: derivative(f, t, frozenset()) for t in within(n, up_to=min(order, len(n)))}


def or_definition(f: Game, order: int) -> Scores:
    """f(S) = I(∅) + the sum of I(T) over T that meet S: 2^n equations, 2^n unknowns."""
    n = players(f)
    sets = list(within(n))
    system = [[float(not t or bool(t & s)) for t in sets] for s in sets]
    solution = np.linalg.solve(np.array(system), [f[s] for s in sets])
    return {t: float(x) for t, x in zip(sets, solution, strict=True) if len(t) <= order}


def effect_definition(f: Game, order: int) -> Scores:
    """Σ_{L⊆T} (-1)^|L| f(N∖L): what the value loses at the whole input."""
    n = players(f)
    sets = [t for t in within(n, up_to=min(order, len(n))) if t]
    return {t: float(sum((-1) ** len(s) * f[n - s] for s in f if s <= t)) for t in sets}


def best_fit(f: Game, order: int, weight: Callable[[int], float], exact: list[Set]) -> Scores:
    """Weighted least squares of f by sums over T ⊆ S up to the order, exact at some sets."""
    n = players(f)
    terms = list(within(n, up_to=min(order, len(n))))
    basis = {s: np.array([float(t <= s) for t in terms]) for s in f}
    free = [s for s in f if s not in exact and weight(len(s)) > 0]
    root = np.sqrt([weight(len(s)) for s in free])
    design = np.array([basis[s] for s in free]).reshape(len(free), len(terms)) * root[:, None]
    target = np.array([f[s] for s in free]) * root
    # Equality constraints: a particular solution plus the null space of the constraints.
    rows = np.array([basis[s] for s in exact]).reshape(len(exact), len(terms))
    fixed = np.linalg.lstsq(rows, [f[s] for s in exact], rcond=None)[0] if exact else 0 * basis[n]
    _, singular, right = np.linalg.svd(rows, full_matrices=True)
    null = right[int((singular > 1e-12).sum()) :].T
    inner = np.linalg.lstsq(design @ null, target - design @ fixed, rcond=None)[0]
    return dict(zip(terms, (fixed + null @ inner).tolist(), strict=True))


def faith_banzhaf(f: Game, order: int) -> Scores:
    return best_fit(f, order, lambda _: 1.0, [])


def faith_shapley(f: Game, order: int) -> Scores:
    """Tsai et al. 2023: the Shapley kernel, exact at the empty and the full set."""
    n = len(players(f))

    def kernel(s: int) -> float:
        return (n - 1) / (math.comb(n, s) * s * (n - s)) if 0 < s < n else 0.0

    return best_fit(f, order, kernel, [frozenset(), players(f)])


DEFINITIONS: dict[str, Callable[[Game, int], Scores]] = {
    "Banzhaf": banzhaf_interaction,
    "Shapley": shapley_by_permutations,
    "Influence": influence,
    "Moebius": moebius_definition,
    "OR": or_definition,
    "Effect": effect_definition,
    "BII": banzhaf_interaction,
    "SII": shapley_interaction,
    "STII": shapley_taylor,
    "FBII": faith_banzhaf,
    "FSII": faith_shapley,
}
SINGLES = [entry.name for entry in INDICES if entry.only_singles]
SETS = [entry.name for entry in INDICES if not entry.only_singles]


def check(spectrum: FourierSpectrum, name: str, order: int, tolerance: float = 1e-9) -> None:
    ours = {frozenset(t): v for t, v in interactions(spectrum, name, order).to_dict().items()}
    defined = DEFINITIONS[name](game(spectrum), order)
    # A term of order > n would make least squares ambiguous: definitions stop at n.
    assert set(ours) <= set(defined)
    scale = max(1.0, float(np.abs(spectrum.coefficients).sum()))
    worst = max(abs(ours.get(t, 0.0) - value) for t, value in defined.items())
    assert worst <= tolerance * scale


def test_every_index_has_a_definition() -> None:
    assert set(DEFINITIONS) == {entry.name for entry in INDICES}


@pytest.mark.parametrize("name", SETS)
@settings(max_examples=40, deadline=None)
@given(spectrum=spectra(max_features=5), order=st.integers(1, 5))
def test_sets_against_the_definition(name: str, spectrum: FourierSpectrum, order: int) -> None:
    check(spectrum, name, min(order, spectrum.n_features))


@pytest.mark.parametrize("name", SINGLES)
@settings(max_examples=40, deadline=None)
@given(spectrum=spectra(max_features=6))
def test_singles_against_the_definition(name: str, spectrum: FourierSpectrum) -> None:
    check(spectrum, name, 1)


@pytest.mark.parametrize(
    ("name", "order"),
    [("Banzhaf", 1), ("Influence", 1), *((name, order) for name in SETS for order in (1, 2, 3, 8))],
)
def test_eight_features_dense(name: str, order: int) -> None:
    rng = np.random.default_rng(order)
    sets = [t for size in range(9) for t in combinations(range(8), size)]
    spectrum = FourierSpectrum.from_dict({t: float(rng.normal()) for t in sets}, 8)
    check(spectrum, name, order)


def test_faith_shapley_as_the_limit_of_heavy_weights() -> None:
    # The definition of Faith-Shap: infinite weight on ∅ and [n], here 1e7.
    rng = np.random.default_rng(0)
    sets = [t for size in range(6) for t in combinations(range(5), size)]
    spectrum = FourierSpectrum.from_dict({t: float(rng.normal()) for t in sets}, 5)

    def kernel(s: int) -> float:
        return 4 / (math.comb(5, s) * s * (5 - s)) if 0 < s < 5 else 1e7

    limit = best_fit(game(spectrum), 2, kernel, [])
    ours = interactions(spectrum, "FSII", 2).to_dict()
    assert max(abs(ours[tuple(sorted(t))] - value) for t, value in limit.items()) < 1e-5


@settings(max_examples=60, deadline=None)
@given(spectrum=spectra(max_features=8), order=st.integers(1, 4))
def test_efficiency(spectrum: FourierSpectrum, order: int) -> None:
    ends = np.array([[False] * spectrum.n_features, [True] * spectrum.n_features])
    empty, full = spectrum.evaluate(ends)
    for name in ("STII", "FSII"):
        assert interactions(spectrum, name, order).values.sum() == pytest.approx(full, abs=1e-9)
        assert interactions(spectrum, name, order).baseline == pytest.approx(empty, abs=1e-9)
    shapley = interactions(spectrum, "shapley")
    assert shapley.values.sum() == pytest.approx(full - empty, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(spectrum=spectra(max_features=6), order=st.integers(1, 4))
def test_order_one_of_the_sets_is_the_value(spectrum: FourierSpectrum, order: int) -> None:
    shapley = interactions(spectrum, "SV").first_order()
    banzhaf = interactions(spectrum, "BV").first_order()
    for name in ("SII", "STII", "FSII"):
        assert interactions(spectrum, name, 1).first_order() == pytest.approx(shapley, abs=1e-9)
    for name in ("BII", "FBII"):
        assert interactions(spectrum, name, 1).first_order() == pytest.approx(banzhaf, abs=1e-9)
    whole = interactions(spectrum, "SII", order)
    assert whole.of_order(1).to_dict() == interactions(spectrum, "SII", 1).to_dict()


@settings(max_examples=30, deadline=None)
@given(spectrum=spectra(max_features=6, ties=False))
def test_faith_indices_of_full_order_are_the_function(spectrum: FourierSpectrum) -> None:
    masks = all_masks(spectrum.n_features)
    for name in ("FBII", "FSII", "STII"):
        form = interactions(spectrum, name, spectrum.n_features)
        assert evaluate_moebius(form, masks) == pytest.approx(spectrum.evaluate(masks), abs=1e-9)


@pytest.mark.parametrize("name", sorted(set(DEFINITIONS) - {"Influence"}))
@settings(max_examples=25, deadline=None)
@given(
    first=spectra(min_features=4, max_features=4), second=spectra(min_features=4, max_features=4)
)
def test_linearity(name: str, first: FourierSpectrum, second: FourierSpectrum) -> None:
    # The same order for both: by default it follows the spectrum.
    order = 1 if name in SINGLES else 3
    summed = first.to_dict()
    for members, value in second.to_dict().items():
        summed[members] = summed.get(members, 0.0) + 2 * value
    a, b = (interactions(s, name, order).to_dict() for s in (first, second))
    both = interactions(FourierSpectrum.from_dict(summed, 4), name, order).to_dict()
    for members in {*a, *b, *both}:
        expected = a.get(members, 0.0) + 2 * b.get(members, 0.0)
        assert both.get(members, 0.0) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", sorted(DEFINITIONS))
@settings(max_examples=25, deadline=None)
@given(spectrum=spectra(max_features=5), seed=st.integers(0, 10))
def test_symmetry_and_dummy(name: str, spectrum: FourierSpectrum, seed: int) -> None:
    n = spectrum.n_features
    renamed = np.random.default_rng(seed).permutation(n + 2)  # two features more: dummies
    moved = FourierSpectrum.from_dict(
        {
            tuple(int(renamed[i]) for i in members): value
            for members, value in spectrum.to_dict().items()
        },
        n + 2,
    )
    scores = interactions(moved, name).to_dict()
    expected = {
        tuple(sorted(int(renamed[i]) for i in members)): value
        for members, value in interactions(spectrum, name).to_dict().items()
    }
    assert set(scores) == set(expected)
    assert all(scores[t] == pytest.approx(v, abs=1e-9) for t, v in expected.items())
    dummies = set(renamed[n:].tolist())
    assert all(dummies.isdisjoint(members) for members in scores)


def test_the_papers_banzhaf_interaction_is_off_beyond_order_one() -> None:
    # f = x0 x1: the derivative with respect to {0, 1} is 1 everywhere. -2 F({0,1}) would be -1/2.
    spectrum = FourierSpectrum.from_dict({(): 0.25, (0,): -0.25, (1,): -0.25, (0, 1): 0.25}, 2)
    assert interactions(spectrum, "BII").to_dict() == {(0,): 0.5, (1,): 0.5, (0, 1): 1.0}


def test_high_orders_need_no_closure() -> None:
    # A coefficient on 200 features: only sets up to the order are visited, weights are exact.
    spectrum = FourierSpectrum.from_dict({tuple(range(200)): 1.0, (0, 1, 2): 0.5}, 300)
    assert interactions(spectrum, "BII", 2).to_dict() == {}
    assert interactions(spectrum, "shapley").to_dict() == pytest.approx(
        dict.fromkeys([(0,), (1,), (2,)], -1 / 3)
    )
    stii = interactions(spectrum, "STII", 1)
    assert stii.of_order(1).values.sum() == pytest.approx(-1.0, abs=1e-9)
    fsii = interactions(spectrum, "FSII", 2)
    assert (len(fsii), fsii.values.sum()) == (1 + 200 + 19900, pytest.approx(0.5, abs=1e-8))


@pytest.mark.parametrize(
    ("given_name", "canonical"),
    [
        ("banzhaf", "Banzhaf"),
        ("BV", "Banzhaf"),
        ("sv", "Shapley"),
        ("Shapley value", "Shapley"),
        ("INFLUENCE", "Influence"),
        ("möbius", "Moebius"),
        ("Mobius", "Moebius"),
        ("moebius", "Moebius"),
        ("or", "OR"),
        ("Banzhaf-Interaction", "BII"),
        ("shapley_interaction", "SII"),
        ("sii", "SII"),
        ("Shapley Taylor", "STII"),
        ("faith_banzhaf", "FBII"),
        ("Faith-Shapley interaction", "FSII"),
        ("faithful-shapley", "FSII"),
        ("  faith  shap ", "FSII"),
    ],
)
def test_names(given_name: str, canonical: str) -> None:
    spectrum = FourierSpectrum.from_dict({(0, 1): 1.0}, 2)
    assert interactions(spectrum, given_name).index == canonical
    assert interactions(spectrum, given_name) == interactions(spectrum, canonical)


def test_unknown_names_list_what_there_is_and_suggest() -> None:
    spectrum = FourierSpectrum.from_dict({(0, 1): 1.0}, 2)
    with pytest.raises(
        InputError, match=r"unknown index 'shaply'; there are Banzhaf, .* mean Shapley"
    ):
        interactions(spectrum, "shaply")
    with pytest.raises(InputError, match=r"FBII, FSII\.$"):
        interactions(spectrum, "zzz")
    with pytest.raises(InputError, match="index must be the name"):
        interactions(spectrum, 3)  # type: ignore[arg-type]


@pytest.mark.parametrize("order", [0, -1, 1.5, True, "2"])
def test_orders_that_make_no_sense(order: int) -> None:
    spectrum = FourierSpectrum.from_dict({(0, 1): 1.0}, 2)
    with pytest.raises(InputError, match="order must be an integer of at least 1"):
        interactions(spectrum, "SII", order)


def test_values_of_single_features_have_order_one() -> None:
    spectrum = FourierSpectrum.from_dict({(0, 1): 1.0}, 2)
    with pytest.raises(InputError, match=r"Shapley scores single features.*SII scores sets"):
        interactions(spectrum, "shapley", 2)
    with pytest.raises(InputError, match=r"got 3\.$"):
        interactions(spectrum, "influence", 3)


def test_default_orders_and_which_sets_have_rows() -> None:
    spectrum = FourierSpectrum.from_dict({(0, 1, 2): 1.0, (3,): 2.0}, 6)
    assert [(entry.name, interactions(spectrum, entry.name).order) for entry in INDICES] == [
        ("Banzhaf", 1),
        ("Shapley", 1),
        ("Influence", 1),
        ("Moebius", 3),
        ("Effect", 2),
        ("OR", 3),
        *((name, 2) for name in ("BII", "SII", "STII", "FBII", "FSII")),
    ]
    assert interactions(spectrum, "banzhaf").sets == [(3,)]
    assert interactions(spectrum, "influence").sets == [(0,), (1,), (2,), (3,)]
    assert interactions(spectrum, "OR", 1).sets == [(), (0,), (1,), (2,), (3,)]
    constant = FourierSpectrum.from_dict({(): 3.0}, 2)
    assert interactions(constant, "FSII").to_dict() == {(): 3.0}
    assert len(interactions(constant, "SII")) == 0
