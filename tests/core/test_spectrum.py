from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from proxyspex_hf.core.masks import all_masks
from proxyspex_hf.core.spectrum import FourierSpectrum
from proxyspex_hf.core.walsh import exact_spectrum, walsh_hadamard
from proxyspex_hf.errors import InputError


def by_definition(coefficients: dict[tuple[int, ...], float], mask: np.ndarray) -> float:
    """Equation 1 of the paper, one term at a time."""
    kept = set(np.flatnonzero(mask).tolist())
    return sum(c * (-1) ** len(kept & set(members)) for members, c in coefficients.items())


@st.composite
def coefficients(draw: st.DrawFn) -> tuple[int, dict[tuple[int, ...], float]]:
    n = draw(st.integers(1, 9))
    members = st.lists(st.integers(0, n - 1), unique=True, max_size=min(n, 4)).map(
        lambda x: tuple(sorted(x))
    )
    return n, draw(st.dictionaries(members, st.floats(-1e3, 1e3), max_size=12))


@given(coefficients())
def test_evaluate_is_equation_1(case: tuple[int, dict[tuple[int, ...], float]]) -> None:
    n, given_coefficients = case
    spectrum = FourierSpectrum.from_dict(given_coefficients, n)
    masks = all_masks(n)
    expected = [by_definition(given_coefficients, mask) for mask in masks]
    np.testing.assert_allclose(spectrum.evaluate(masks), expected, atol=1e-9)


@given(coefficients())
def test_dict_round_trip_adds_only_the_empty_set(
    case: tuple[int, dict[tuple[int, ...], float]],
) -> None:
    n, given_coefficients = case
    spectrum = FourierSpectrum.from_dict(given_coefficients, n)
    assert spectrum.to_dict() == {(): 0.0, **given_coefficients}
    assert FourierSpectrum.from_dict(spectrum.to_dict(), n) == spectrum
    assert spectrum.sets == sorted(spectrum.sets, key=lambda t: (len(t), t))


@given(hnp.arrays(np.float64, 2**6, elements=st.floats(-10, 10)))
def test_exact_transform_agrees_with_the_definition(values: np.ndarray) -> None:
    spectrum = exact_spectrum(values)
    np.testing.assert_allclose(spectrum.evaluate_all(), values, atol=1e-9)
    masks = all_masks(6)
    for members, coefficient in list(spectrum.to_dict().items())[:10]:
        signs = (-1.0) ** masks[:, list(members)].sum(axis=1)
        assert coefficient == pytest.approx(float((signs * values).mean()), abs=1e-9)


def test_parseval() -> None:
    values = np.random.default_rng(0).normal(size=256)
    spectrum = exact_spectrum(values)
    assert spectrum.energy == pytest.approx(values.var())


def test_the_transform_survives_the_largest_values() -> None:
    assert np.isfinite(walsh_hadamard(np.full(16, 1.7e308))).all()
    with pytest.raises(InputError, match="all 2\\^n subsets, got 3"):
        walsh_hadamard(np.zeros(3))


def test_top_keeps_the_empty_set_and_the_largest() -> None:
    spectrum = FourierSpectrum.from_dict({(): 0.01, (0,): 3, (1,): -4, (0, 2): 3, (2,): 1}, 3)
    assert spectrum.top(2).to_dict() == {(): 0.01, (0,): 3, (1,): -4}
    assert spectrum.top(0).to_dict() == {(): 0.01}
    assert len(spectrum.top(100)) == 5


def test_it_is_immutable_and_equal_by_content() -> None:
    spectrum = FourierSpectrum.from_dict({(0, 2): 0.5}, 6)
    assert spectrum.to_dict() == {(): 0.0, (0, 2): 0.5}
    with pytest.raises(ValueError, match="read-only"):
        spectrum.coefficients[0] = 1.0
    assert spectrum != FourierSpectrum.from_dict({(0, 2): 0.5}, 7)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({(0, 0): 1.0}, "distinct"),
        ({(6,): 1.0}, "integers from 0 to 5"),
        ({(-1,): 1.0}, "integers from 0 to 5"),
        ({(0,): float("nan")}, "finite"),
        ({"0": 1.0}, "tuples"),
    ],
)
def test_bad_coefficients_are_refused(bad: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        FourierSpectrum.from_dict(bad, n_features=6)


@pytest.mark.parametrize(
    "support",
    [
        [[0, -1], [-1, -1]],  # ∅ not first
        [[-1, -1], [1, 0]],  # row not ascending
        [[-1, -1], [-1, 0]],  # padding not last
        [[-1, -1], [1, -1], [0, -1]],  # rows not in order
        [[-1, -1], [0, -1], [0, -1]],  # repeated
        [[-1, -1], [0, 9]],  # out of range
    ],
)
def test_broken_supports_are_refused(support: list[list[int]]) -> None:
    with pytest.raises(InputError, match="support"):
        FourierSpectrum(3, np.array(support, np.int32), np.zeros(len(support)))


def test_large_spectra_are_evaluated_in_chunks() -> None:
    rng = np.random.default_rng(0)
    pairs = {tuple(sorted(rng.choice(300, 2, replace=False).tolist())): 1.0 for _ in range(2000)}
    spectrum = FourierSpectrum.from_dict(pairs, 300)
    masks = rng.random((9000, 300)) < 0.5
    whole = spectrum.evaluate(masks)
    np.testing.assert_allclose(whole[8990:], spectrum.evaluate(masks[8990:]))
