"""Effects at the input against their definition, and what is said of them."""

from __future__ import annotations

from itertools import chain, combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import spectra

from proxyspex_hf.core import FourierSpectrum, all_masks, exact_spectrum
from proxyspex_hf.core.effects import (
    MAX_ORDER,
    effects_at_input,
    effects_of,
    pairs_of,
    removal_masks,
)
from proxyspex_hf.core.indices import interactions


def by_definition(spectrum: FourierSpectrum, members: tuple[int, ...]) -> float:
    subsets = list(chain.from_iterable(combinations(members, r) for r in range(len(members) + 1)))
    values = spectrum.evaluate(removal_masks(spectrum.n_features, subsets)[1:])
    return float(sum((-1) ** len(s) * v for s, v in zip(subsets, values, strict=True)))


@settings(max_examples=40, deadline=None)
@given(spectra(max_features=7))
def test_effects_are_losses_at_the_whole_input(spectrum: FourierSpectrum) -> None:
    found = effects_at_input(spectrum, None)
    assert {e.members for e in found} >= {(i,) for i in range(spectrum.n_features)}
    scale = 1.0 + float(np.abs(spectrum.coefficients).sum()) * 2.0**MAX_ORDER
    for effect in found:
        assert effect.value == pytest.approx(
            by_definition(spectrum, effect.members), abs=1e-9 * scale
        )
    sizes = [abs(e.value) for e in found]
    assert sizes == sorted(sizes, reverse=True)


@settings(max_examples=30, deadline=None)
@given(spectra(max_features=6))
def test_effects_that_are_asked_for_by_name(spectrum: FourierSpectrum) -> None:
    n = spectrum.n_features
    wanted = [t for r in (2, 1, 3) for t in combinations(range(n), r)]
    scale = 1.0 + float(np.abs(spectrum.coefficients).sum()) * 2.0**MAX_ORDER
    found = effects_of(wanted, spectrum, None)
    assert [e.members for e in found] == wanted
    for effect in found:
        expected = by_definition(spectrum, effect.members)
        assert effect.value == pytest.approx(expected, abs=1e-9 * scale)
    assert [tuple(pair) for pair in pairs_of(n).tolist()] == list(combinations(range(n), 2))


@settings(max_examples=20, deadline=None)
@given(spectra(max_features=6))
def test_removals_are_made_of_effects(spectrum: FourierSpectrum) -> None:
    """f(N∖R) = Σ_{T⊆R} (-1)^|T| I(T)."""
    n = spectrum.n_features
    table = interactions(spectrum, "effect", n).to_dict()
    full = float(spectrum.evaluate(np.ones((1, n), np.bool_))[0])
    for mask, value in zip(all_masks(n), spectrum.evaluate_all(), strict=True):
        gone = set(np.flatnonzero(~mask).tolist())
        inside = sum((-1) ** len(t) * v for t, v in table.items() if set(t) <= gone)
        assert full + inside == pytest.approx(value, abs=1e-8 * (1 + abs(full) + abs(value)))


def kinds_of(function: object, n: int = 3) -> dict[tuple[int, ...], str]:
    values = np.array([float(function(*row)) for row in all_masks(n).tolist()])  # type: ignore[operator]
    return {e.members: e.kind for e in effects_at_input(exact_spectrum(values), None, exact=True)}


@pytest.mark.parametrize(
    ("function", "kind", "alone"),
    [
        (lambda a, b, c: a and b, "both needed", "alone"),
        (lambda a, b, c: a or b, "either is enough", "alone"),
        (lambda a, b, c: -(a and b), "lowers together", "lowers alone"),
        (lambda a, b, c: -float(a or b), "either one lowers", "alone"),
        (lambda a, b, c: 2 * a + b + 3 * (a and b), "both needed", "alone"),
        (lambda a, b, c: a + b - 0.5 * (a and b), "either is enough", "alone"),
    ],
)
def test_what_a_pair_does(function: object, kind: str, alone: str) -> None:
    found = kinds_of(function)
    assert found[0, 1] == kind
    assert found[(0,)] in (alone, "alone")


@pytest.mark.parametrize("scale", [1e-320, 1e-300, 1e-170, 1e170, 1e300])
def test_what_a_pair_does_is_the_same_at_any_scale(scale: float) -> None:
    assert kinds_of(lambda a, b, c: scale * (a or b))[0, 1] == "either is enough"
    assert kinds_of(lambda a, b, c: -scale * (a or b))[0, 1] == "either one lowers"
    assert kinds_of(lambda a, b, c: scale * (a and b))[0, 1] == "both needed"
    assert kinds_of(lambda a, b, c: -scale * (a and b))[0, 1] == "lowers together"


def test_three_that_are_all_needed_or_of_which_any_is_enough() -> None:
    assert kinds_of(lambda a, b, c: a and b and c)[0, 1, 2] == "both needed"
    assert kinds_of(lambda a, b, c: a or b or c)[0, 1, 2] == "either is enough"


def test_not_disappointed() -> None:
    """“not disappointed”: without “not” the word lowers, and both together raise."""

    def score(no: bool, disappointed: bool, film: bool) -> float:
        return 0.3 * film - 2.0 * (disappointed and not no) + 0.5 * (disappointed and no)

    found = {
        e.members: e
        for e in effects_at_input(
            exact_spectrum(np.array([score(*row) for row in all_masks(3).tolist()])),
            None,
            exact=True,
        )
    }
    assert found[(0,)].value == pytest.approx(2.5)
    assert found[(1,)].value == pytest.approx(0.5)
    assert found[0, 1].value == pytest.approx(2.5)
    assert found[0, 1].kind == "both needed"
    assert found[0, 1].interval == (found[0, 1].value, found[0, 1].value)


@given(st.integers(2, 5))
def test_an_additive_function_has_no_combination(n: int) -> None:
    additive = FourierSpectrum.from_dict({(i,): -0.5 * (i + 1) for i in range(n)}, n)
    found = effects_at_input(additive, None, exact=True)
    assert all(e.order == 1 for e in found if e.is_sure)
    assert found[0].value == pytest.approx(n)
