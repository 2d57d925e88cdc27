"""The neural network, and spectra of proxies that can only be asked."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.neural_network import MLPRegressor

from proxyspex_hf.core import FourierSpectrum, ProxySPEX, all_masks, exact_spectrum, sample_masks
from proxyspex_hf.core.baselines.network import NeuralNetwork, distil
from proxyspex_hf.core.baselines.synthetic import complete_hierarchy
from proxyspex_hf.core.faithfulness import r2_score
from proxyspex_hf.core.proxies.base import make_folds
from proxyspex_hf.core.proxies.enumerate import EstimatedExtraction, enumerate_spectrum
from proxyspex_hf.errors import InputError

Data = tuple[np.ndarray, np.ndarray, np.ndarray]


def data(n: int = 12, m: int = 160, noise: float = 0.3, seed: int = 0) -> Data:
    """Masks, standardised values, folds."""
    masks = sample_masks(n, m, seed=seed)
    rng = np.random.default_rng(seed)
    function = complete_hierarchy(n, n_sets=3, order=3, seed=seed)
    values = function.evaluate(masks) + noise * rng.normal(size=len(masks))
    return masks, (values - values.mean()) / values.std(), make_folds(len(masks), 5, rng)


SMALL = NeuralNetwork(hidden_layers=(1,), schedules=("constant",), rates=(0.1,), epochs=50)


def test_the_networks_grid_is_the_papers() -> None:
    paper = NeuralNetwork.paper()
    masks, values, folds = data(n=8, m=60)
    quick = NeuralNetwork(epochs=3, race=paper.race)
    entries = quick.fit(masks, values, folds, seed=0).cv.entries
    tried = {tuple(e.params.values()) for e in entries}
    assert tried == {
        (layers, schedule, rate)
        for layers in (1, 2, 3)
        for schedule in ("constant", "adaptive")
        for rate in (0.001, 0.01, 0.1)
    }
    assert all(len(e.fold_errors) == 5 for e in entries)
    assert "stopped after 3 epochs" in {e.note for e in entries}


def test_a_race_drops_configurations_and_says_so() -> None:
    masks, values, folds = data()
    fit = NeuralNetwork(hidden_layers=(1,), epochs=40).fit(masks, values, folds, seed=0)
    dropped = [e for e in fit.cv.entries if "dropped after the first fold" in e.note]
    assert dropped
    assert all(len(e.fold_errors) == 1 for e in dropped)
    assert len(fit.cv.best.fold_errors) == 5


def test_predictions_are_scikit_learns() -> None:
    masks, values, folds = data(n=13)
    fit = SMALL.fit(masks, values, folds, seed=4)
    reference = MLPRegressor(
        hidden_layer_sizes=(3,), solver="sgd", learning_rate_init=0.1, max_iter=50, random_state=4
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference.fit(1.0 - 2.0 * masks, values)
    new = sample_masks(13, 50, seed=8)
    np.testing.assert_allclose(fit.predict(new), reference.predict(1.0 - 2.0 * new), atol=1e-12)


def test_a_small_networks_spectrum_is_exact() -> None:
    masks, values, folds = data(n=9)
    fit = SMALL.fit(masks, values, folds, seed=0)
    extraction = fit.spectrum()
    assert not isinstance(extraction, EstimatedExtraction)
    assert extraction.dropped_energy == 0.0
    every = all_masks(9)
    np.testing.assert_allclose(extraction.spectrum.evaluate(every), fit.predict(every), atol=1e-12)
    limited = fit.spectrum(2)
    assert limited.spectrum.orders.max() == 2
    missed = fit.predict(every) - limited.spectrum.evaluate(every)
    assert limited.dropped_energy == pytest.approx(missed.var())


def test_an_enumerated_spectrum_keeps_its_largest_coefficients_and_counts_the_rest() -> None:
    table = np.random.default_rng(0).normal(size=2**13)

    def predict(masks: np.ndarray) -> np.ndarray:
        return table[masks @ (1 << np.arange(13))]

    extraction = enumerate_spectrum(predict, 13)
    whole = exact_spectrum(table)
    assert extraction.spectrum.top(4000) == whole.top(4000)
    assert 4096 <= len(extraction.spectrum) <= 4097
    assert extraction.spectrum.energy + extraction.dropped_energy == pytest.approx(whole.energy)


def test_a_large_networks_spectrum_is_an_estimate_and_says_so() -> None:
    truth = FourierSpectrum.from_dict({(): 1.0, (0,): 0.8, (3,): -0.5, (1, 2): 0.6}, 24)
    masks = sample_masks(24, 600, seed=0)
    values = truth.evaluate(masks)
    fit = ProxySPEX(
        proxy=NeuralNetwork(hidden_layers=(1,), schedules=("constant",), rates=(0.1,))
    ).fit(masks, values)
    assert fit.estimated
    assert fit.method == "NeuralNetwork"
    new = sample_masks(24, 500, seed=9)
    dense = r2_score(truth.evaluate(new), fit.predict(new))
    sparse = r2_score(truth.evaluate(new), fit.spectrum.evaluate(new))
    assert dense is not None
    assert sparse is not None
    assert dense > 0.9
    assert sparse > 0.95
    strongest = sorted(fit.spectrum.to_dict(), key=lambda t: -abs(fit.spectrum.to_dict()[t]))[:4]
    assert set(strongest) == set(truth.to_dict())
    assert not ProxySPEX(proxy="lasso").fit(masks, values).estimated


def test_an_exact_spectrum_of_a_large_network_is_refused() -> None:
    masks, values, folds = data(n=24)
    fit = NeuralNetwork((1,), ("constant",), (0.1,), epochs=5, estimate=False).fit(
        masks, values, folds, seed=0
    )
    assert np.isfinite(fit.predict(masks)).all()
    for ask in (fit.spectrum, fit.fold_spectra):
        with pytest.raises(InputError, match="24 features has no exact spectrum"):
            ask()


@pytest.mark.parametrize("max_order", [0, 1, 2, None])
def test_distilling_a_known_function(max_order: int | None) -> None:
    truth = FourierSpectrum.from_dict(
        {(): -3.0, (5,): 2.0, (9,): 1.0, (0, 7): 1.5, (3, 21): -0.5, (2, 3, 4): 0.3}, 25
    )
    found = distil(truth.evaluate, 25, max_order, seed=1)
    wanted = 2 if max_order is None else max_order
    assert found.max_order == wanted
    assert found.spectrum.orders.max() == wanted
    coefficients = found.spectrum.to_dict()
    for members, value in truth.to_dict().items():
        if len(members) <= wanted:
            assert coefficients[members] == pytest.approx(value, abs=0.03)
    left_out = sum(v * v for s, v in truth.to_dict().items() if len(s) > wanted)
    # Measured on 4096 fresh masks.
    assert found.dropped_energy == pytest.approx(left_out, rel=0.1)
    assert distil(truth.evaluate, 25, max_order, seed=1).spectrum == found.spectrum


def test_distilling_a_function_without_even_part_invents_no_pairs() -> None:
    truth = FourierSpectrum.from_dict({(): 3.0, (5,): 2.0, (9,): 1.0}, 25)
    found = distil(truth.evaluate, 25, seed=0)
    assert found.spectrum.orders.max() == 1
    assert found.dropped_energy < 1e-20


def test_a_network_that_diverges_competes_as_the_mean() -> None:
    masks, values, folds = data()
    wild = NeuralNetwork((1,), ("constant",), (1e100,), epochs=20)
    fit = wild.fit(masks, values, folds, seed=0)
    assert "diverged" in fit.cv.best.note
    assert fit.cv.r2 < 0.1
    np.testing.assert_array_equal(fit.predict(masks), np.full(len(masks), values.mean()))
    mixed = NeuralNetwork((1,), ("constant",), (1e100, 0.05), epochs=50)
    best = mixed.fit(masks, values, folds, seed=0).cv.best
    assert best.params["initial_rate"] == 0.05


def test_network_settings_are_checked() -> None:
    with pytest.raises(InputError, match="hidden_layers must be at least 1 each"):
        NeuralNetwork(hidden_layers=(0,))
    with pytest.raises(InputError, match="schedules must be 'constant' or 'adaptive'"):
        NeuralNetwork(schedules=("cosine",))
    with pytest.raises(InputError, match="rates must be positive"):
        NeuralNetwork(rates=(0.0,))
