"""The posterior of predictions, effects and indices, against a Gaussian process written out."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxyspex_hf.core import FourierSpectrum, ProxySPEX, all_masks, exact_spectrum
from proxyspex_hf.core.indices import INDICES, interactions
from proxyspex_hf.core.intervals import with_intervals
from proxyspex_hf.core.posterior import Doubt, Posterior, stretched
from proxyspex_hf.core.proxies.kernel import MaskKernel, signs
from proxyspex_hf.core.proxies.sibling import Sibling
from proxyspex_hf.core.shares import shares_of

N = 6
SUBSETS = all_masks(N)


def a_posterior(seed: int, *, reach: int = 2, tilt: float = 0.1) -> Posterior:
    rng = np.random.default_rng(seed)
    sets = {(): 0.3, (1,): -0.8, (0, 4): 0.6, (2, 3, 5): 0.5, (0, 1, 2, 3, 4, 5): 0.4}
    told = Sibling(FourierSpectrum.from_dict(sets, N)) if seed % 2 else None
    kernel = MaskKernel(
        relevance=rng.uniform(0.05, 0.6, N),
        tilt=tilt,
        product=0.5,
        single=0.3,
        noise=0.02,
        pairs=rng.uniform(0.1, 0.5, reach),
        sibling=told,
        shared=0.0 if told is None else 0.7,
    )
    masks = SUBSETS[rng.choice(2**N, 20, replace=False)]
    return Posterior(Doubt(kernel, 0.7, 1.5), masks, rng.normal(0.7, 1.5, 20))


def written_out(posterior: Posterior) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of f on all subsets; what the kernel takes for noise is a part of f."""
    doubt = posterior.doubt
    kernel, x = doubt.kernel, signs(posterior.masks)
    every = signs(SUBSETS)
    inner = kernel(x, x) + (kernel.noise + 1e-8) * np.eye(len(x))
    cross = kernel(every, x) + kernel.noise * (every[:, None] == x).all(axis=2)
    weights = np.linalg.solve(inner, (posterior.values - doubt.level) / doubt.scale)
    own = kernel(every, every) + kernel.noise * np.eye(len(every))
    covariance = own - cross @ np.linalg.solve(inner, cross.T)
    return doubt.level + doubt.scale * cross @ weights, doubt.scale**2 * covariance


def functionals(index: str, order: int, sets: list[tuple[int, ...]]) -> np.ndarray:
    """The index of each set as a row over the values of all subsets, by its definition."""
    tables = [interactions(exact_spectrum(unit), index, order).to_dict() for unit in np.eye(2**N)]
    return np.array([[table.get(members, 0.0) for table in tables] for members in sets])


@pytest.mark.parametrize(
    ("index", "order"),
    [
        (entry.name, order)
        for entry in INDICES
        if not entry.squared
        for order in ([1] if entry.only_singles else [1, 2, 3])
    ],
)
def test_every_linear_index_has_the_posterior_of_its_definition(index: str, order: int) -> None:
    posterior = a_posterior(order)
    mean, covariance = written_out(posterior)
    for size in range(1, order + 1):
        shares = shares_of(index, size, order, N)
        assert shares is not None
        sets = list(combinations(range(N), size))[:: 1 if size < 3 else 3]
        rows = functionals(index, order, sets)
        found = posterior.derivatives(np.array(sets, dtype=np.int32), shares)
        wanted = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", rows, covariance, rows), 0.0))
        exact = index != "FBII" or size == order  # below its order, by central differences
        np.testing.assert_allclose(found.mean, rows @ mean, atol=1e-10 if exact else 1e-5)
        np.testing.assert_allclose(found.deviation, wanted, atol=1e-10 if exact else 2e-4)


@pytest.mark.parametrize(("size", "order"), [(1, 8), (1, 20), (20, 20), (3, 30), (1, 40)])
def test_faith_shapley_of_high_orders_has_the_moments_of_its_definition(
    size: int, order: int
) -> None:
    n = order + 6
    shares = shares_of("FSII", size, order, n)
    assert shares is not None
    for s in range(size, n + 1):
        # Tsai et al. (2023), equation 16: what a Möbius coefficient of s features adds.
        wanted = Fraction(int(s == size))
        if s > order:
            sign = (-1) ** (order - size)
            wanted = Fraction(sign * size * comb(order, size), order + size)
            wanted *= Fraction(comb(s - 1, order), comb(s + order - 1, order + size))
        found = shares.weights @ shares.nodes ** (s - size)
        np.testing.assert_allclose(found, float(wanted), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("index", ["STII", "FBII", "FSII"])
def test_an_order_beyond_n_is_moebius_at_once(index: str) -> None:
    spectrum = FourierSpectrum.from_dict({(): 1.0, (0,): 0.5, (1, 2, 4): 0.25, (3, 5): -1.0}, N)
    wanted = interactions(spectrum, "Moebius", N)
    found = interactions(spectrum, index, 10**6)
    assert found.order == 10**6
    assert found.to_dict() == pytest.approx(wanted.to_dict(), abs=1e-12)
    posterior = a_posterior(1)
    bounds = with_intervals(found, spectrum, posterior, exact=False, seed=0).intervals
    np.testing.assert_allclose(
        bounds, with_intervals(wanted, spectrum, posterior, exact=False, seed=0).intervals
    )


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 3), st.floats(-0.5, 0.5))
def test_predictions_and_losses_are_those_of_the_process(
    seed: int, reach: int, tilt: float
) -> None:
    posterior = a_posterior(seed, reach=reach, tilt=tilt)
    mean, covariance = written_out(posterior)
    found = posterior.predictions(SUBSETS)
    np.testing.assert_allclose(found.mean, mean, atol=1e-9)
    np.testing.assert_allclose(found.deviation**2, np.maximum(np.diag(covariance), 0), atol=1e-9)
    weights = np.array([[1.0, -1.0, 0.0], [1.0, 1.0, -2.0]])
    lost = posterior.combination(SUBSETS[[63, 5, 9]], weights)
    rows = np.zeros((2, 64))
    rows[:, [63, 5, 9]] = weights
    np.testing.assert_allclose(lost.mean, rows @ mean, atol=1e-9)
    np.testing.assert_allclose(lost.deviation**2, np.diag(rows @ covariance @ rows.T), atol=1e-9)


def test_draws_have_the_posterior_s_mean_and_covariance() -> None:
    posterior = a_posterior(4)
    weights = np.array([[1.0, -1.0, 0.0], [0.0, 1.0, -1.0]])
    masks = SUBSETS[[63, 62, 31]]
    drawn = posterior.draws(masks, weights, 40_000, np.random.default_rng(0))
    found = posterior.combination(masks, weights)
    np.testing.assert_allclose(drawn.mean(axis=0), found.mean, atol=0.05)
    np.testing.assert_allclose(drawn.std(axis=0), found.deviation, rtol=0.05)


def test_left_out_values_are_those_of_a_process_without_the_mask() -> None:
    posterior = a_posterior(2)
    found = posterior.left_out()
    for place in (0, 7, 19):
        rest = np.arange(20) != place
        less = Posterior(posterior.doubt, posterior.masks[rest], posterior.values[rest])
        alone = less.predictions(posterior.masks[place : place + 1]).mean[0]
        assert found[place] == pytest.approx(alone, abs=1e-9)


def test_intervals_hold_the_number_that_is_shown() -> None:
    posterior = a_posterior(1)
    spectrum = FourierSpectrum.from_dict({(): 1.0, (0,): 40.0, (0, 1): -3.0, (2, 3, 4): 0.2}, N)
    for entry in INDICES:
        found = with_intervals(interactions(spectrum, entry.name), spectrum, posterior)
        assert found.intervals is not None
        known = np.isfinite(found.intervals).all(axis=1)
        assert known[found.orders > 0].all()
        low, high = found.intervals[known].T
        assert (low <= found.values[known]).all()
        assert (found.values[known] <= high).all()
        exact = with_intervals(interactions(spectrum, entry.name), spectrum, None, exact=True)
        assert exact.intervals is not None
        np.testing.assert_array_equal(exact.intervals[:, 0], exact.values)
    assert with_intervals(interactions(spectrum, "SII"), spectrum, None).intervals is None


def test_an_interval_is_the_middle_of_nine_tenths() -> None:
    posterior = a_posterior(3)
    found = posterior.predictions(SUBSETS[:3])
    low, high = stretched(found, found.mean).T
    np.testing.assert_allclose(high - low, 2 * 1.6448536 * found.deviation)


def test_many_masks_are_conditioned_on_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    from proxyspex_hf.core import posterior as module

    monkeypatch.setattr(module, "_MOST_MASKS", 8)
    posterior = a_posterior(5)
    assert len(posterior.rows) == 8
    assert (posterior.rows[0] == signs(posterior.masks[:1])).all()
    few = posterior.predictions(SUBSETS).deviation
    whole = Posterior(posterior.doubt, posterior.masks, posterior.values)
    monkeypatch.setattr(module, "_MOST_MASKS", 100)
    # Less was learnt, so nothing is surer.
    assert (few >= whole.predictions(SUBSETS).deviation - 1e-9).all()


def test_a_fifth_of_the_masks_is_worth_less_than_all_and_more_than_nothing() -> None:
    rng = np.random.default_rng(0)
    masks = rng.random((80, 8)) < 0.5
    values = masks @ rng.normal(size=8) + 2.0 * masks[:, 0] * masks[:, 1]
    fit = ProxySPEX("gaussian").fit(masks, values)
    assert fit.doubt is not None
    places = [rng.random((100, 8)) < p for p in (0.5, 0.9)]
    found = Posterior(fit.doubt, masks, values).gains(places, 0.8, seed=0)
    assert all(0.3 < gain < 1.0 for gain in found)
    huge = replace(fit.doubt, scale=1e300)
    assert Posterior(huge, masks, values * 1e300).gains(places, 0.8, seed=0) == found
    assert Posterior(fit.doubt, masks, values).gains(places, 1.0, seed=0) == [1.0, 1.0]
