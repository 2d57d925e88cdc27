"""Few terms, chosen for densities: against brute force, and against keeping the largest."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import spectra

from proxyspex_hf.core import FourierSpectrum, ProxySPEX, sample_masks
from proxyspex_hf.core.masks import all_masks
from proxyspex_hf.core.sparsify import (
    DensityShare,
    Elsewhere,
    KnownSpectrum,
    mask_densities,
    mask_weights,
    membership,
    sparsify,
)
from proxyspex_hf.core.spectrum import parities

HALF = [DensityShare(0.5, 1.0)]


def error(truth: FourierSpectrum, found: FourierSpectrum, density: float) -> float:
    """Mean squared difference over all subsets, each with its probability."""
    masks = all_masks(truth.n_features)
    kept = masks.sum(axis=1)
    probability = density**kept * (1 - density) ** (truth.n_features - kept)
    return float(probability @ np.square(truth.evaluate(masks) - found.evaluate(masks)))


def decaying(n: int = 9, seed: int = 0) -> FourierSpectrum:
    """Hundreds of terms whose tail adds up near the full input."""
    rng = np.random.default_rng(seed)
    masks = all_masks(n)
    return KnownSpectrum(
        FourierSpectrum.from_dict(
            {
                tuple(np.flatnonzero(m).tolist()): float(0.3 ** m.sum() * (0.5 + rng.random()))
                for m in masks
            },
            n,
        )
    ).spectrum


@settings(max_examples=40, deadline=None)
@given(
    spectrum=spectra(max_features=6),
    density=st.floats(0.1, 0.9),
    rows=st.sampled_from([0, 256]),  # features up to which they are dense
)
def test_correlations_equal_the_sum_over_all_subsets(
    spectrum: FourierSpectrum, density: float, rows: int
) -> None:
    masks = all_masks(spectrum.n_features)
    kept = masks.sum(axis=1)
    probability = density**kept * (1 - density) ** (spectrum.n_features - kept)
    want = parities(masks, spectrum.support) @ (probability * spectrum.evaluate(masks))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("proxyspex_hf.core.sparsify._DENSE", rows)
        got = KnownSpectrum(spectrum).correlations(spectrum.support, 1 - 2 * density)
    np.testing.assert_allclose(got, want, atol=1e-9 * (1 + np.abs(want).max()))


def test_rows_of_many_features_are_sparse_and_give_the_same_terms(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    support = np.array([[-1, -1], [0, -1], [2, -1], [0, 2]], dtype=np.int32)
    want = [[0, 0, 0], [1, 0, 0], [0, 0, 1], [1, 0, 1]]
    np.testing.assert_array_equal(membership(support, 3), want)
    wide = membership(support, 1000)
    assert wide.nnz == 4
    np.testing.assert_array_equal(wide[:, :3].toarray(), want)
    mixture = [DensityShare(0.5, 0.5), DensityShare(0.8, 0.5)]
    dense = sparsify(KnownSpectrum(decaying()), mixture, 9, k=40, full_value=3.0)
    monkeypatch.setattr("proxyspex_hf.core.sparsify._DENSE", 0)
    sparse = sparsify(KnownSpectrum(decaying()), mixture, 9, k=40, full_value=3.0)
    assert sparse.to_dict() == dense.to_dict()


def test_on_uniform_masks_it_is_the_largest_terms() -> None:
    truth = decaying()
    found = sparsify(KnownSpectrum(truth), HALF, 9, k=20)
    best = truth.top(20)
    assert set(found.sets) == set(best.sets)
    np.testing.assert_allclose(found.coefficients, best.coefficients, rtol=1e-5)


def test_near_the_input_it_is_far_better_than_the_largest_terms() -> None:
    truth = decaying()
    mixture = [DensityShare(d, 1 / 3) for d in (0.5, 0.7, 0.9)]
    found = sparsify(KnownSpectrum(truth), mixture, 9, k=40)
    assert error(truth, found, 0.9) < 0.2 * error(truth, truth.top(40), 0.9)
    of_all = sum(error(truth, found, d) for d in (0.5, 0.7, 0.9))
    assert of_all < sum(error(truth, truth.top(40), d) for d in (0.5, 0.7, 0.9))


def test_coefficients_are_the_best_for_their_terms() -> None:
    truth = decaying(7, 1)
    found = sparsify(KnownSpectrum(truth), [DensityShare(0.8, 1.0)], 7, k=12)
    masks = all_masks(7)
    kept = masks.sum(axis=1)
    root = np.sqrt(0.8**kept * 0.2 ** (7 - kept))
    design = parities(masks, found.support).T * root[:, None]
    best, *_ = np.linalg.lstsq(design, truth.evaluate(masks) * root, rcond=None)
    np.testing.assert_allclose(found.coefficients, best, atol=2e-3)


def test_the_full_input_is_approached_where_it_is_known() -> None:
    truth = decaying()
    full = np.ones((1, 9), np.bool_)
    value = float(truth.evaluate(full)[0])
    gaps = []
    for known in (None, value):
        found = sparsify(KnownSpectrum(truth), HALF, 9, k=200, full_value=known)
        gaps.append(abs(float(found.evaluate(full)[0]) - value))
    assert gaps[1] < 0.3 * gaps[0]


def test_a_limit_on_the_order_still_is_nearest_to_the_whole_function() -> None:
    truth = decaying()
    found = sparsify(KnownSpectrum(truth, max_order=1), [DensityShare(0.8, 1.0)], 9, k=50)
    assert found.orders.max() == 1
    masks = all_masks(9)
    kept = masks.sum(axis=1)
    root = np.sqrt(0.8**kept * 0.2 ** (9 - kept))
    design = np.column_stack([np.ones(512), masks]) * root[:, None]
    values = truth.evaluate(masks) * root
    best, *_ = np.linalg.lstsq(design, values, rcond=None)
    least = float(np.square(design @ best - values).sum())
    assert error(truth, found, 0.8) == pytest.approx(least, rel=1e-6)


def test_a_function_of_few_terms_comes_back_whole() -> None:
    truth = FourierSpectrum.from_dict({(): 0.4, (1,): 1.0, (0, 2): -0.5, (1, 3, 4): 0.2}, 30)
    mixture = [DensityShare(0.6, 0.5), DensityShare(0.9, 0.5)]
    found = sparsify(KnownSpectrum(truth), mixture, 30, k=50).to_dict()
    for members, value in truth.to_dict().items():
        assert found[members] == pytest.approx(value, abs=1e-3)


def test_densities_are_read_off_the_masks() -> None:
    values = np.random.default_rng(0).normal(size=600)
    uniform = sample_masks(40, 600, seed=0)
    assert mask_densities(uniform, values) == [DensityShare(0.5, 1.0)]
    # The full and the empty mask, which come first, are asked and not predicted.
    assert mask_weights(uniform, values).tolist() == [0.0] * 2 + [600 / 598] * 598
    dense = sample_masks(40, 600, density=0.8, seed=0)
    (only,) = mask_densities(dense, values)
    assert only.density == pytest.approx(0.8, abs=0.01)
    mixed = np.concatenate(
        [sample_masks(40, 200, density=d, seed=1, anchors=False) for d in (0.5, 0.7, 0.9)]
    )
    values[:200] *= 2.0
    shares = mask_densities(mixed, values)
    assert [s.density for s in shares] == pytest.approx([0.47, 0.57, 0.7, 0.83, 0.92], abs=0.04)
    assert sum(s.weight for s in shares) == pytest.approx(1.0)
    assert shares[0].weight < 0.5 * shares[-1].weight
    weights = mask_weights(mixed, values)
    assert weights.mean() == pytest.approx(1.0)
    assert weights[:200].mean() < 0.6 * weights[400:].mean()


def test_only_the_full_and_the_empty_mask_are_half() -> None:
    masks = np.array([[True] * 5, [False] * 5])
    assert mask_densities(masks, np.array([1.0, 2.0])) == [DensityShare(0.5, 1.0)]
    assert mask_weights(masks, np.array([1.0, 2.0])).tolist() == [1.0, 1.0]


def test_where_only_the_full_mask_has_another_value_all_masks_count() -> None:
    masks = sample_masks(40, 60, seed=0)
    values = masks.all(axis=1).astype(float)
    assert mask_weights(masks, values).tolist() == [1.0] * 60
    with np.errstate(all="raise"):
        fit = ProxySPEX(doubt=False).fit(masks, values)
    assert np.isfinite(fit.cv_r2)


def test_what_sparsifying_changed_is_taken_at_masks_that_keep_as_many() -> None:
    masks = np.random.default_rng(0).random((50, 20)) < 0.6
    seen: list[np.ndarray] = []

    def predict(rows: np.ndarray) -> np.ndarray:
        seen.append(rows)
        return rows.sum(axis=1).astype(np.float64)

    nothing = FourierSpectrum.from_dict({(): 0.0}, 20)
    elsewhere = Elsewhere.of(predict, masks, seed=1)
    np.testing.assert_array_equal(elsewhere.change(nothing), -masks.sum(axis=1))
    assert (seen[0] != masks).any(axis=1).all()


def test_what_is_missed_is_a_share_of_the_variance() -> None:
    terms = {(0,): 2.0, (1, 2): 1.0}
    truth = FourierSpectrum.from_dict(terms, 20)
    masks = sample_masks(20, 4000, seed=0)
    elsewhere = Elsewhere.of(truth.evaluate, masks, seed=1)
    some = np.arange(len(masks)) % 2 == 0
    assert elsewhere.missed(truth, some) == pytest.approx(0.0, abs=1e-12)
    assert elsewhere.missed(truth.top(1), some) == pytest.approx(1 / 5, abs=0.03)
    level = FourierSpectrum.from_dict({(): 1.0}, 20)
    assert Elsewhere.of(level.evaluate, masks, seed=1).missed(truth, some) == 0.0


def test_terms_that_miss_much_are_chosen_among_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A function that falls steeply from the whole input has many terms of much the same size."""
    n = 30
    rng = np.random.default_rng(0)
    strength = rng.exponential(0.3, n)
    some = [sample_masks(n, 100, density=d, seed=0, anchors=False) for d in (0.3, 0.5, 0.7, 0.9)]
    masks = np.concatenate(some)
    tests = rng.random((2000, n)) < 0.9

    def truth(rows: np.ndarray) -> np.ndarray:
        return np.exp(-(~rows @ strength))

    def error() -> float:
        fit = ProxySPEX("gaussian", n_coefficients=200, doubt=False).fit(masks, truth(masks))
        return float(np.square(fit.spectrum.evaluate(tests) - truth(tests)).mean())

    wide = error()
    monkeypatch.setattr("proxyspex_hf.core.algorithm._WIDE_POOL", 4)
    assert wide < 0.8 * error()
