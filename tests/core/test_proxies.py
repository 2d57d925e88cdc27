"""The paper's baselines: LASSO and random forest (the others: test_algorithm, test_network)."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LassoCV, lasso_path
from sklearn.model_selection import PredefinedSplit

from proxyspex_hf.core import FourierSpectrum, ProxySPEX, sample_masks
from proxyspex_hf.core.baselines.forest import RandomForest, extract_forest, read_sklearn
from proxyspex_hf.core.baselines.synthetic import complete_hierarchy
from proxyspex_hf.core.progress import Progress
from proxyspex_hf.core.proxies import lasso
from proxyspex_hf.core.proxies.base import make_folds
from proxyspex_hf.core.proxies.lasso import AdditiveModel, Lasso
from proxyspex_hf.core.trees import extract_spectrum
from proxyspex_hf.errors import InputError

Data = tuple[np.ndarray, np.ndarray, np.ndarray]


def data(n: int = 12, m: int = 160, noise: float = 0.3, seed: int = 0) -> Data:
    """Masks, standardised values, folds."""
    masks = sample_masks(n, m, seed=seed)
    rng = np.random.default_rng(seed)
    function = complete_hierarchy(n, n_sets=3, order=3, seed=seed)
    values = function.evaluate(masks) + noise * rng.normal(size=len(masks))
    return masks, (values - values.mean()) / values.std(), make_folds(len(masks), 5, rng)


# LASSO ------------------------------------------------------------------------------------------


def test_lasso_is_scikit_learns_on_the_shared_folds() -> None:
    masks, values, folds = data()
    fit = Lasso().fit(masks, values, folds, seed=0)
    reference = LassoCV(eps=1e-3, alphas=100, cv=PredefinedSplit(folds)).fit(masks, values)
    assert len(fit.cv.entries) == 100
    penalties = [entry.params["penalty"] for entry in fit.cv.entries]
    np.testing.assert_allclose(penalties, reference.alphas_, rtol=1e-9)
    assert fit.cv.best.params["penalty"] == pytest.approx(reference.alpha_)
    errors = np.array([entry.fold_errors for entry in fit.cv.entries])
    np.testing.assert_allclose(errors, reference.mse_path_, rtol=1e-3)
    np.testing.assert_allclose(fit.model.weights, reference.coef_, atol=1e-3)
    np.testing.assert_allclose(fit.predict(masks), reference.predict(masks), atol=2e-3)


def test_the_largest_penalty_silences_every_feature_and_the_ratio_is_the_papers() -> None:
    masks, values, folds = data()
    penalties = [e.params["penalty"] for e in Lasso().fit(masks, values, folds, seed=0).cv.entries]
    centred = masks - masks.mean(axis=0)
    assert penalties[0] == pytest.approx(np.abs(centred.T @ values).max() / len(values))
    assert penalties[-1] / penalties[0] == pytest.approx(1e-3)
    assert np.ptp(np.diff(np.log(penalties))) < 1e-9


def test_the_spectrum_of_an_additive_model_by_hand() -> None:
    extraction = AdditiveModel(0.5, np.array([2.0, 0.0, -6.0])).extract()
    assert extraction.spectrum.to_dict() == {(): -1.5, (0,): -1.0, (2,): 3.0}
    assert extraction.max_order == 1
    assert extraction.dropped_energy == 0.0
    level = AdditiveModel(0.5, np.array([2.0, 0.0, -6.0])).extract(0)
    assert level.spectrum.to_dict() == {(): -1.5}
    assert level.dropped_energy == 10.0


def test_lasso_through_proxyspex_stays_additive_and_finds_the_weights() -> None:
    truth = FourierSpectrum.from_dict({(): 2.0, (1,): 0.7, (4,): -0.4}, 30)
    masks = sample_masks(30, 200, seed=1)
    fit = ProxySPEX(proxy="lasso", refine="lasso").fit(masks, truth.evaluate(masks))
    assert fit.method == "lasso"
    assert not fit.estimated
    assert fit.spectrum.orders.max() == 1
    found = fit.spectrum.to_dict()
    for members, value in truth.to_dict().items():
        assert found[members] == pytest.approx(value, abs=5e-3)
    assert all(abs(v) < 5e-3 for s, v in found.items() if s not in truth.to_dict())


@settings(max_examples=40)
@given(
    n=st.integers(2, 60),
    m=st.integers(4, 60),
    seed=st.integers(0, 999),
    scale=st.sampled_from([1e-150, 1.0, 1e150]),
    kind=st.sampled_from(["add", "and", "one", "any"]),
)
def test_a_path_by_least_angle_solves_every_penalty(
    n: int, m: int, seed: int, scale: float, kind: str
) -> None:
    """Columns that equal others, masks of every size, values of every size."""
    rng = np.random.default_rng(seed)
    masks = rng.random((min(m, n), n)) < rng.random((min(m, n), 1))
    values = {
        "add": masks @ rng.normal(size=n),
        "and": masks[:, :2].all(axis=1) * 1.0,
        "one": (np.arange(len(masks)) == 1) * 1.0,
        "any": rng.normal(size=len(masks)),
    }[kind]
    centred, target = np.asfortranarray(masks - masks.mean(axis=0)), values - values.mean()
    penalties = np.logspace(0, -3, 30) * lasso._largest_penalty(masks, values)
    weights = lasso._by_least_angle(centred, scale * target, scale * penalties)
    if weights is None:  # it says so itself where rounding has led it astray
        return

    def objective(weights: np.ndarray) -> np.ndarray:
        missed = np.square(target[:, None] - centred @ weights).mean(axis=0) / 2
        return missed + penalties * np.abs(weights).sum(axis=0)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        _, known, _ = lasso_path(centred, target, alphas=penalties, tol=1e-8, max_iter=10**5)
    allowed = 1.1e-4 * np.square(target).mean()
    assert (objective(weights / scale) <= objective(known) + allowed).all()


def test_the_path_of_more_features_than_masks_is_exact() -> None:
    rng = np.random.default_rng(0)
    masks = rng.random((60, 150)) < rng.random((60, 1))
    values = masks[:, :40] @ rng.normal(size=40)
    penalties = np.logspace(0, -3, 100) * lasso._largest_penalty(masks, values)
    weights = np.array([model.weights for model in lasso._path(masks, values, penalties)]).T
    centred = masks - masks.mean(axis=0)
    slopes = centred.T @ (values[:, None] - values.mean() - centred @ weights) / len(values)
    # Karush, Kuhn and Tucker's conditions, which coordinate descent stops short of.
    assert (np.abs(slopes).max(axis=0) <= penalties * (1 + 1e-6)).all()
    active = np.abs(weights) > 1e-9
    off = (
        np.abs(slopes - np.sign(weights) * penalties)[active]
        / np.broadcast_to(penalties, weights.shape)[active]
    )
    assert off.max() < 1e-6


def test_weights_that_are_off_are_not_optimal() -> None:
    """One column: the least of (y - w)²/2 + p|w| is at w = y - p, and lies d²/2 below w + d."""
    centred, target = np.array([[1.0], [-1.0]]), np.array([1.0, -1.0])
    penalties = np.array([0.25])
    for off in (0.0, 0.01, 0.02, -0.02, 0.5):
        weights = np.array([[0.75 + off]])
        # The gap of two masks beside their sum of squares, 2: a share of 1e-4 is allowed.
        assert lasso._are_optimal(weights, centred, target, penalties) == (off == 0.0), off


def test_lasso_leaves_the_global_generator_alone() -> None:
    before = np.random.get_state()  # noqa: NPY002  (the one that must not be drawn from)
    Lasso(n_penalties=5).fit(*data(), seed=0)
    after = np.random.get_state()  # noqa: NPY002
    np.testing.assert_array_equal(after[1], before[1])
    assert after[2] == before[2]


def test_lasso_settings_are_checked() -> None:
    with pytest.raises(InputError, match="n_penalties must be at least 1, got 0"):
        Lasso(n_penalties=0)
    with pytest.raises(InputError, match="ratio must lie strictly between 0 and 1"):
        Lasso(ratio=1.0)
    with pytest.raises(InputError, match="max_order must be at least 0"):
        AdditiveModel(0.0, np.ones(2)).extract(-1)


# Random forest ----------------------------------------------------------------------------------


def test_a_forest_is_scikit_learns_whatever_the_blocks_and_threads() -> None:
    """250 trees in blocks of 100 are the 250 trees of one scikit-learn forest."""
    masks, values, folds = data(n=8, m=80)
    reference = RandomForestRegressor(250, max_depth=3, random_state=7).fit(masks, values)
    for n_jobs in (1, 2):
        proxy = RandomForest(depths=(3,), trees=(250,), n_jobs=n_jobs)
        fit = proxy.fit(masks, values, folds, seed=7)
        new = sample_masks(8, 100, seed=5)
        np.testing.assert_allclose(fit.predict(new), reference.predict(new), atol=1e-12)
    for fold in (0, 4):
        seen = folds != fold
        alone = RandomForestRegressor(250, max_depth=3, random_state=7)
        misses = alone.fit(masks[seen], values[seen]).predict(masks[~seen]) - values[~seen]
        assert fit.cv.best.fold_errors[fold] == pytest.approx(np.square(misses).mean())


def test_every_number_of_trees_comes_from_one_training() -> None:
    masks, values, folds = data(n=8, m=80)
    nested = RandomForest(depths=(None,), trees=(5, 20, 120), race=None, tolerance=None)
    errors = {
        e.params["trees"]: e.fold_errors
        for e in nested.fit(masks, values, folds, seed=3).cv.entries
    }
    for count in (5, 20, 120):
        alone = RandomForest(depths=(None,), trees=(count,)).fit(masks, values, folds, seed=3)
        assert alone.cv.best.fold_errors == pytest.approx(errors[count], rel=1e-12)


def test_the_papers_forest_tries_its_whole_grid() -> None:
    paper = RandomForest.paper()
    assert paper.depths == (3, 5, None)
    assert paper.trees == (100, 500, 1000, 5000)
    masks, values, folds = data(n=8, m=60)
    small = RandomForest(trees=(2, 4), race=paper.race, tolerance=paper.tolerance)
    entries = small.fit(masks, values, folds, seed=0).cv.entries
    tried = {(e.params["max_depth"], e.params["trees"]) for e in entries}
    assert tried == {(d, t) for d in (3, 5, None) for t in (2, 4)}
    assert all(len(e.fold_errors) == 5 for e in entries)


def test_a_forest_stops_growing_where_more_trees_change_nothing() -> None:
    masks, values, folds = data(n=8, m=80)
    quick = RandomForest(depths=(3,), trees=(50, 100, 150, 200), tolerance=0.5)
    tried = [e.params["trees"] for e in quick.fit(masks, values, folds, seed=0).cv.entries]
    assert tried == [50, 100]


def test_fold_spectra_are_those_of_the_forests_without_the_fold() -> None:
    masks, values, folds = data(n=8, m=80)
    fit = RandomForest(depths=(None,), trees=(10,)).fit(masks, values, folds, seed=2)
    spectra = fit.fold_spectra()
    assert len(spectra) == 5
    for fold, spectrum in enumerate(spectra):
        held_out = folds == fold
        misses = spectrum.evaluate(masks[held_out]) - values[held_out]
        assert np.square(misses).mean() == pytest.approx(fit.cv.best.fold_errors[fold])


def test_extraction_in_groups_of_trees_equals_extraction_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    masks, values, _ = data(n=10, m=120)
    forest = RandomForestRegressor(12, random_state=0).fit(masks, values)
    ensemble = read_sklearn(forest.estimators_, 12)
    np.testing.assert_allclose(ensemble.predict(masks), forest.predict(masks), atol=1e-12)
    at_once = extract_spectrum(ensemble)
    monkeypatch.setattr("proxyspex_hf.core.baselines.forest._GROUP_PAIRS", 5000)
    grouped = extract_forest(ensemble, None, 10**7)
    assert grouped.dropped_energy == 0.0
    assert grouped.max_order == at_once.max_order
    np.testing.assert_array_equal(grouped.spectrum.support, at_once.spectrum.support)
    np.testing.assert_allclose(
        grouped.spectrum.coefficients, at_once.spectrum.coefficients, atol=1e-12
    )
    # With too few pairs allowed: order 2 stays exact, and the bound holds what is left out.
    short = extract_forest(ensemble, None, 100)
    assert short.max_order == 2
    full = at_once.spectrum.to_dict()
    for members, value in short.spectrum.to_dict().items():
        assert value == pytest.approx(full[members], abs=1e-12)
    missing = sum(v * v for s, v in full.items() if len(s) > 2)
    assert 0 < missing <= short.dropped_energy


def test_forest_settings_are_checked() -> None:
    with pytest.raises(InputError, match="depths must be at least 1 or None"):
        RandomForest(depths=(0,))
    with pytest.raises(InputError, match="trees must be at least 1 each"):
        RandomForest(trees=())


def test_cancelling_a_forest_stops_it() -> None:
    class Enough(Exception):
        pass

    def cancel(progress: Progress) -> None:
        if progress.done >= 1:
            raise Enough

    masks, values, folds = data(n=8, m=60)
    with pytest.raises(Enough):
        RandomForest(trees=(2, 4)).fit(masks, values, folds, seed=0, progress=cancel)


@pytest.mark.parametrize("name", ["lasso", "forest", "network"])
def test_every_baseline_is_selectable_by_name(name: str) -> None:
    assert ProxySPEX(proxy=name).proxy == name
