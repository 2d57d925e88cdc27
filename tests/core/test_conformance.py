"""The laws that every proxy keeps, on every synthetic function and every degenerate input."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from proxyspex_hf.core import ProxySPEX, SpectrumFit, sample_masks
from proxyspex_hf.core.algorithm import PROXIES
from proxyspex_hf.core.baselines.forest import RandomForest
from proxyspex_hf.core.baselines.network import NeuralNetwork
from proxyspex_hf.core.baselines.synthetic import SYNTHETIC, staircase
from proxyspex_hf.core.faithfulness import r2_score
from proxyspex_hf.core.proxies.base import Proxy, make_folds
from proxyspex_hf.core.proxies.blend import Blend
from proxyspex_hf.core.proxies.boosting import BoostedTrees
from proxyspex_hf.core.proxies.enumerate import EstimatedExtraction
from proxyspex_hf.core.proxies.gaussian import GaussianProcess
from proxyspex_hf.core.proxies.lasso import Lasso
from proxyspex_hf.core.proxies.pursuit import Pursuit
from proxyspex_hf.core.sparsify import mask_weights

#: Every kind of proxy that has a name, with a small grid. A new name must join.
SMALL: dict[str, Proxy] = {
    "blend": Blend(trees=BoostedTrees(depths=(2,), learning_rates=(0.1,), rounds=(60,), n_jobs=1)),
    "gaussian": GaussianProcess(n_jobs=1),
    "pursuit": Pursuit(n_jobs=1),
    "boosting": BoostedTrees(depths=(2, None), learning_rates=(0.1,), rounds=(60,), n_jobs=1),
    "paper": BoostedTrees(
        depths=(2,),
        learning_rates=(0.1,),
        rounds=(20, 40),
        any_round=False,
        patience=None,
        race=None,
        n_jobs=1,
    ),
    "lasso": Lasso(n_penalties=30),
    "forest": RandomForest(depths=(2, 4), trees=(5, 10), n_jobs=1),
    "network": NeuralNetwork(
        hidden_layers=(1,), schedules=("constant",), rates=(0.01, 0.1), epochs=40
    ),
}
N, M, K = 12, 120, 30

#: How near two fits are that differ only in what must not matter (the names of the features, the
#: last digits of the values): the least R² of the one's predictions for the other's. A forest
#: breaks ties between equally good features by chance, so another order makes other trees; a
#: Gaussian process takes neighbours to interact, and another order makes other neighbours.
ALIKE = {
    "blend": 0.9,
    "gaussian": 0.9,
    "pursuit": 0.999,
    "boosting": 0.999,
    "paper": 0.999,
    "lasso": 0.999,
    "forest": 0.8,
    "network": 0.999,
}

proxies = pytest.mark.parametrize("name", SMALL)
functions = pytest.mark.parametrize("function", SYNTHETIC)


def test_the_kit_knows_every_proxy() -> None:
    assert set(SMALL) == set(PROXIES) == set(ALIKE)


@cache
def data(function: str) -> tuple[np.ndarray, np.ndarray]:
    masks = sample_masks(N, M, seed=1)
    return masks, SYNTHETIC[function](N, n_sets=4, order=3, seed=2).evaluate(masks)


def fit(
    name: str, masks: np.ndarray, values: np.ndarray, *, k: int = K, doubt: bool = False
) -> SpectrumFit:
    """Without the process for intervals, which most laws here do not concern."""
    made = ProxySPEX(proxy=SMALL[name], n_coefficients=k, seed=3, doubt=doubt)
    return made.fit(masks, values)


@cache
def fitted(name: str, function: str) -> SpectrumFit:
    return fit(name, *data(function), doubt=True)


def obeys(result: SpectrumFit, k: int = K) -> None:
    """The laws of a result, whatever the input."""
    spectrum = result.spectrum
    assert np.isfinite(spectrum.coefficients).all()
    assert spectrum.sets[0] == ()
    assert len(spectrum) <= k + 1
    assert len(set(spectrum.sets)) == len(spectrum)
    assert np.isfinite(result.dropped_energy)
    assert result.dropped_energy >= 0
    new = sample_masks(spectrum.n_features, 20, seed=5)
    assert np.isfinite(result.predict(new)).all()
    assert np.isfinite(spectrum.evaluate(new)).all()
    if result.cv is None:
        assert result.method in ("constant", "exact")
        return
    report = result.cv
    assert all(np.isfinite(entry.fold_errors).all() for entry in report.entries)
    assert all(len(entry.fold_errors) == 5 or entry.note for entry in report.entries)
    assert len(report.best.fold_errors) == 5
    complete = [entry.error for entry in report.entries if len(entry.fold_errors) == 5]
    assert report.best.error == min(complete)
    assert result.cv_r2 == pytest.approx(1 - report.best.error)
    configurations = [tuple(entry.params.items()) for entry in report.entries]
    assert len(set(configurations)) == len(configurations)
    assert [row["note"] for row in report.rows()].count("chosen") == 1


@functions
@proxies
def test_results_obey_the_laws_and_the_seed(name: str, function: str) -> None:
    result = fitted(name, function)
    obeys(result)
    assert result.method == type(SMALL[name]).__name__
    assert result.spectrum.n_features == N
    assert result.doubt is not None
    again = fit(name, *data(function))
    assert again.spectrum == result.spectrum
    assert again.cv == result.cv
    new = sample_masks(N, 20, seed=5)
    np.testing.assert_array_equal(again.predict(new), result.predict(new))


@functions
@proxies
def test_an_exact_spectrum_is_the_proxy_and_fold_spectra_explain_the_cv_errors(
    name: str, function: str
) -> None:
    masks, values = data(function)
    values = (values - values.mean()) / values.std()
    folds = make_folds(M, 5, np.random.default_rng(0))
    result = SMALL[name].fit(masks, values, folds, seed=0)
    extraction = result.spectrum()
    assert not isinstance(extraction, EstimatedExtraction)
    assert extraction.dropped_energy == pytest.approx(0.0, abs=1e-9)
    new = sample_masks(N, 200, seed=6)
    np.testing.assert_allclose(extraction.spectrum.evaluate(new), result.predict(new), atol=1e-9)
    # The blend's errors do not count the full and the empty mask, which are asked.
    counts = mask_weights(masks, values) if name == "blend" else np.ones(M)
    variance = float(np.cov(values, aweights=counts, ddof=0))
    for fold, spectrum in enumerate(result.fold_spectra()):
        held_out = folds == fold
        misses = spectrum.evaluate(masks[held_out]) - values[held_out]
        error = float((counts[held_out] * np.square(misses)).mean()) / variance
        assert result.cv.best.fold_errors[fold] == pytest.approx(error, rel=1e-5, abs=1e-9)
    # A limit on the order leaves the coefficients below it as they are.
    limited = result.spectrum(1).spectrum
    full = extraction.spectrum.to_dict()
    assert limited.orders.max() <= 1
    for members, value in limited.to_dict().items():
        assert value == pytest.approx(full.get(members, 0.0), abs=1e-9)


@pytest.mark.parametrize("unit", [2.0**-498, 2.0**498])
@proxies
def test_scaling_the_values_scales_the_spectrum(name: str, unit: float) -> None:
    """By powers of two, about 1e-150 and 1e150, bit for bit: nothing in a fit has a unit."""
    masks, values = data("staircase")
    plain = fitted(name, "staircase")
    scaled = fit(name, masks, values * unit)
    np.testing.assert_array_equal(scaled.spectrum.support, plain.spectrum.support)
    np.testing.assert_array_equal(scaled.spectrum.coefficients / unit, plain.spectrum.coefficients)
    assert scaled.cv == plain.cv
    obeys(scaled)


@proxies
def test_a_huge_offset_moves_only_the_constant(name: str) -> None:
    masks, values = data("staircase")
    offset = 1e9  # leaves seven digits of the values
    plain, moved = fitted(name, "staircase"), fit(name, masks, values + offset)
    new = sample_masks(N, 200, seed=6)
    expected = plain.spectrum.evaluate(new)
    same = r2_score(expected, moved.spectrum.evaluate(new) - offset)
    assert same is not None
    assert same > ALIKE[name]
    assert moved.spectrum.coefficients[0] == pytest.approx(offset, rel=1e-8)
    obeys(moved)


@proxies
def test_renaming_the_features_renames_the_explanation(name: str) -> None:
    masks, values = data("complete_hierarchy")
    order = np.random.default_rng(4).permutation(N)
    renamed = fit(name, masks[:, order], values)
    new = sample_masks(N, 300, seed=7)
    plain = fitted(name, "complete_hierarchy")
    if name == "network":
        # It starts from random weights, one set a position: another network, of like quality.
        assert abs(plain.cv.r2 - renamed.cv.r2) < 0.25
        return
    same = r2_score(plain.predict(new), renamed.predict(new[:, order]))
    assert same is not None
    assert same > ALIKE[name]


@pytest.mark.parametrize("value", [0.0, -3.5, 1e-150, -1e150])
@proxies
def test_a_constant_function(name: str, value: float) -> None:
    result = fit(name, data("peak")[0], np.full(M, value))
    assert result.spectrum.to_dict() == {(): value}
    obeys(result)


@proxies
def test_one_feature(name: str) -> None:
    masks = np.array([[True], [False]] * 60)  # LightGBM splits no leaf of fewer than 40
    values = np.where(masks[:, 0], 2.0, -1.0)
    result = fit(name, masks, values)
    assert result.spectrum.to_dict() == pytest.approx({(): 0.5, (0,): -1.5})
    obeys(result)
    # The proxy itself, which ProxySPEX does not need here.
    standard = (values - values.mean()) / values.std()
    alone = SMALL[name].fit(masks, standard, make_folds(120, 5, np.random.default_rng(0)), seed=0)
    np.testing.assert_allclose(
        alone.spectrum().spectrum.evaluate(masks), alone.predict(masks), atol=1e-9
    )
    assert alone.cv.r2 > 0.8


@proxies
def test_duplicate_masks_count_as_their_mean(name: str) -> None:
    masks, values = data("staircase")
    shift = 2.0**-2 * (1 - 2 * (np.arange(M) % 2))
    doubled = fit(name, np.concatenate([masks, masks]), np.concatenate([values + shift, values]))
    averaged = fit(name, masks, (values + shift + values) / 2)
    new = sample_masks(N, 50, seed=8)
    np.testing.assert_allclose(
        doubled.spectrum.evaluate(new), averaged.spectrum.evaluate(new), atol=1e-6
    )
    obeys(doubled)


@proxies
def test_more_features_than_masks(name: str) -> None:
    masks = sample_masks(60, 30, seed=1)
    result = fit(name, masks, staircase(60, n_sets=3, order=3, seed=0).evaluate(masks))
    obeys(result)
    assert result.estimated == (name == "network")


@proxies
def test_features_that_never_change_have_no_part(name: str) -> None:
    masks, values = data("staircase")
    fixed = np.column_stack([masks, np.ones(M, np.bool_), np.zeros(M, np.bool_)])
    result = fit(name, fixed, values, k=500)
    obeys(result, 500)
    assert not np.isin(result.spectrum.support, (N, N + 1)).any()
    flipped = ~fixed[:, N:]
    other = np.column_stack([masks, flipped])
    np.testing.assert_array_equal(result.predict(other), result.predict(fixed))


@proxies
def test_one_outlier_among_equal_values(name: str) -> None:
    masks = data("peak")[0]
    values = np.zeros(M)
    values[17] = 1.0
    obeys(fit(name, masks, values))
