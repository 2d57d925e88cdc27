from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from harness.problems import DATA, read_table

from proxyspex_hf.core import FourierSpectrum, ProxySPEX, all_masks, sample_masks
from proxyspex_hf.core.faithfulness import r2_score
from proxyspex_hf.core.proxies.boosting import BoostedTrees
from proxyspex_hf.core.proxies.gaussian import GaussianProcess
from proxyspex_hf.core.proxies.pursuit import Pursuit
from proxyspex_hf.errors import InputError

#: A function with a main effect, a pair and a hierarchical triple.
PLANTED = FourierSpectrum.from_dict(
    {(): 1.0, (0,): -0.5, (3,): 0.3, (0, 3): -0.8, (1,): 0.4, (1, 2): 0.4, (1, 2, 5): 0.4}, 16
)
QUICK = BoostedTrees(depths=(3, None), learning_rates=(0.1,), rounds=(300,))


def data(m: int = 400, seed: int = 3, noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    masks = sample_masks(PLANTED.n_features, m, seed=seed)
    values = PLANTED.evaluate(masks)
    return masks, values + noise * np.random.default_rng(seed).normal(size=len(values))


def test_planted_interactions_are_found_with_their_values() -> None:
    fit = ProxySPEX(seed=0).fit(*data())
    test = sample_masks(16, 500, seed=99)
    assert r2_score(PLANTED.evaluate(test), fit.spectrum.evaluate(test)) > 0.98
    found = fit.spectrum.to_dict()
    strongest = sorted(found, key=lambda t: -abs(found[t]))[:7]
    assert set(strongest) == set(PLANTED.to_dict())
    for members, coefficient in PLANTED.to_dict().items():
        assert found[members] == pytest.approx(coefficient, abs=0.1)
    assert fit.method == "blend"
    assert fit.cv is not None
    assert fit.cv_r2 == fit.cv.r2 > 0.9


@pytest.mark.parametrize(
    "jobs", [lambda n: BoostedTrees(n_jobs=n), lambda n: GaussianProcess(n_jobs=n), Pursuit]
)
def test_the_same_seed_gives_the_same_spectrum_bit_for_bit(jobs: Any) -> None:
    masks, values = data(200, noise=0.3)
    one, two = (jobs(n) if jobs is not Pursuit else Pursuit(n_jobs=n) for n in (1, 2))
    first = ProxySPEX(proxy=one, seed=5).fit(masks, values)
    second = ProxySPEX(proxy=two, seed=5).fit(masks, values)
    assert first.spectrum == second.spectrum
    assert first.cv == second.cv
    assert first.doubt == second.doubt
    other = ProxySPEX(proxy=two, seed=6).fit(masks, values)
    assert other.cv != first.cv


def test_the_papers_settings_have_a_name_and_its_proxy_changes_no_other() -> None:
    assert (ProxySPEX("paper").n_coefficients, ProxySPEX("paper").refine) == (500, "project")
    paper = ProxySPEX.paper(seed=3)
    assert (paper.proxy, paper.n_coefficients, paper.refine, paper.seed) == (
        "paper",
        200,
        "lasso",
        3,
    )
    assert ProxySPEX.paper(n_coefficients=7).n_coefficients == 7


def test_the_papers_proxy_tries_its_whole_grid_on_every_fold() -> None:
    small = BoostedTrees.paper()
    small = BoostedTrees(
        rounds=(5, 10, 50), any_round=small.any_round, patience=small.patience, race=small.race
    )
    fit = ProxySPEX(proxy=small, refine="lasso").fit(*data(noise=0.5))
    assert fit.cv is not None
    tried = {
        (e.params["max_depth"], e.params["learning_rate"], e.params["trees"])
        for e in fit.cv.entries
    }
    assert tried == {(d, r, t) for d in (3, 5, None) for r in (0.1, 0.01) for t in (5, 10, 50)}
    assert all(len(e.fold_errors) == 5 for e in fit.cv.entries)
    assert fit.cv.best.error == min(e.error for e in fit.cv.entries)


def test_nested_rounds_equal_separate_trainings() -> None:
    """The error at r trees of a long run is the error of a run of r trees."""
    masks, values = data(noise=0.5)
    long = BoostedTrees(
        depths=(3,), learning_rates=(0.1,), rounds=(20, 80), any_round=False, patience=None
    )
    short = BoostedTrees(
        depths=(3,), learning_rates=(0.1,), rounds=(20,), any_round=False, patience=None
    )
    rows = ProxySPEX(proxy=long).fit(masks, values).cv
    alone = ProxySPEX(proxy=short).fit(masks, values).cv
    assert rows is not None
    assert alone is not None
    assert rows.entries[0].fold_errors == alone.entries[0].fold_errors
    assert rows.entries[0].params["trees"] == 20


def test_all_subsets_give_the_exact_transform() -> None:
    game = FourierSpectrum.from_dict({(): 1.0, (0,): 0.5, (0, 3): -1.0, (1, 2, 4): 0.7}, 5)
    masks = all_masks(5)[np.random.default_rng(0).permutation(32)]
    fit = ProxySPEX().fit(masks, game.evaluate(masks))
    assert fit.method == "exact"
    assert fit.cv is None
    found = fit.spectrum.to_dict()
    assert set(found) == set(game.to_dict())
    assert all(found[t] == pytest.approx(c, abs=1e-12) for t, c in game.to_dict().items())


def test_limits_hold_and_what_they_drop_is_reported() -> None:
    values = np.random.default_rng(0).normal(size=64)
    fit = ProxySPEX(n_coefficients=5, max_order=2).fit(all_masks(6), values)
    assert len(fit.spectrum) == 6
    assert fit.spectrum.orders.max() <= 2
    # Parseval: what is kept and what is dropped make up the variance.
    assert fit.spectrum.energy + fit.dropped_energy == pytest.approx(values.var())
    sampled = ProxySPEX(proxy=QUICK, n_coefficients=10, max_order=2).fit(*data(noise=0.2))
    assert len(sampled.spectrum) <= 11
    assert sampled.spectrum.orders.max() <= 2


def test_a_constant_function_is_explained_by_its_constant() -> None:
    masks = sample_masks(12, 100)
    fit = ProxySPEX().fit(masks, np.full(100, 3.25))
    assert fit.method == "constant"
    assert fit.spectrum.to_dict() == {(): 3.25}
    assert fit.predict(masks[:2]).tolist() == [3.25, 3.25]


@pytest.mark.parametrize("unit", [1e-150, 1e150])
def test_units_do_not_matter(unit: float) -> None:
    masks, values = data(200)
    plain = ProxySPEX(proxy=QUICK).fit(masks, values).spectrum
    scaled = ProxySPEX(proxy=QUICK).fit(masks, values * unit).spectrum
    top = sorted(plain.to_dict(), key=lambda t: -abs(plain.to_dict()[t]))[:5]
    for members in top:
        assert scaled.to_dict()[members] / unit == pytest.approx(plain.to_dict()[members], rel=1e-5)


def test_a_large_offset_does_not_drown_the_signal() -> None:
    masks, values = data(200)
    fit = ProxySPEX(proxy=QUICK).fit(masks, values + 1e6)
    assert r2_score(values + 1e6, fit.spectrum.evaluate(masks)) > 0.95


def test_repeated_masks_are_averaged() -> None:
    masks, values = data(150)
    doubled = np.concatenate([masks, masks])
    noisy = np.concatenate([values + 1.0, values - 1.0])
    assert ProxySPEX(proxy=QUICK).fit(doubled, noisy).spectrum.to_dict() == pytest.approx(
        ProxySPEX(proxy=QUICK).fit(masks, values).spectrum.to_dict()
    )


def test_predict_is_the_proxy_before_sparsification() -> None:
    masks, values = data(noise=0.3)
    fit = ProxySPEX(proxy=QUICK, n_coefficients=3).fit(masks, values)
    r2_dense = r2_score(values, fit.predict(masks))
    r2_sparse = r2_score(values, fit.spectrum.evaluate(masks))
    assert r2_dense is not None
    assert r2_sparse is not None
    assert r2_dense > r2_sparse + 0.05


def test_noise_alone_is_not_explained() -> None:
    masks = sample_masks(20, 200, seed=0)
    values = np.random.default_rng(1).normal(size=200)
    fit = ProxySPEX(proxy=QUICK).fit(masks, values)
    assert fit.cv_r2 is not None
    assert fit.cv_r2 < 0.1
    new = sample_masks(20, 300, seed=7)
    assert np.abs(fit.spectrum.evaluate(new)).max() < np.abs(values).max()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"proxy": "magic"},
            "unknown proxy 'magic'; choose from blend, gaussian, pursuit, boosting",
        ),
        ({"n_coefficients": 0}, "n_coefficients must lie between 1 and"),
        ({"n_coefficients": 2.5}, "n_coefficients must be an integer, got 2.5"),
        ({"max_order": 0}, "max_order must lie between 1 and"),
        ({"n_folds": 1}, "n_folds must lie between 2 and"),
        ({"proxy": None}, "proxy must be a name or have the Proxy protocol"),
        ({"seed": None}, "seed must be an integer, got None"),
        ({"refine": "perhaps"}, "refine must be"),
        ({"seed": -1}, "seed must lie between 0 and"),
    ],
)
def test_bad_settings_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ProxySPEX(**settings)


def test_bad_data_is_refused() -> None:
    masks, values = data(100)
    with pytest.raises(InputError, match=r"values must have shape \(100,\)"):
        ProxySPEX().fit(masks, values[:50])
    with pytest.raises(InputError, match="finite"):
        ProxySPEX().fit(masks, np.where(np.arange(100) == 7, np.nan, values))
    with pytest.raises(InputError, match="12 masks cannot be cross-validated in 5 folds"):
        ProxySPEX().fit(masks[:12], values[:12])


def test_no_single_mask_chooses_the_proxy() -> None:
    """At a logit, the whole review alone can be further off than all else: 0.45 where it decides,
    for a proxy without interactions."""
    table = read_table(DATA / "sent_rotten_tomatoes_n44.npz")
    fit = ProxySPEX(doubt=False).fit(*table.rows(0.5, "uniform", 0))
    masks, values = table.tests["uniform"]
    assert r2_score(values, fit.spectrum.evaluate(masks)) > 0.65


def test_cancelling_stops_at_once() -> None:
    class Enough(Exception):
        pass

    def cancel(progress: object) -> None:
        if getattr(progress, "done", 0) >= 1:
            raise Enough

    with pytest.raises(Enough):
        ProxySPEX().fit(*data(), progress=cancel)


def test_which_masks_were_drawn_is_known_of_repeated_masks_too() -> None:
    truth = FourierSpectrum.from_dict({(): 1.0, (0,): 2.0, (1, 2): -1.0, (3, 4, 5): 0.5}, 12)
    half = sample_masks(12, 60, seed=0, anchors=False)
    most = sample_masks(12, 40, density=0.9, seed=1, exclude=half, anchors=False)
    masks = np.concatenate([half, most])
    values = truth.evaluate(masks)
    densities = np.repeat([0.5, 0.0], [len(half), len(most)])
    once = ProxySPEX("gaussian").fit(masks, values, densities=densities)
    assert once.spectrum != ProxySPEX("gaussian").fit(masks, values).spectrum
    twice = ProxySPEX("gaussian").fit(
        np.concatenate([masks, masks[:5]]),
        np.concatenate([values, values[:5]]),
        densities=np.concatenate([densities, np.zeros(5)]),
    )
    assert twice.spectrum == once.spectrum
    with pytest.raises(InputError, match="densities must have shape"):
        ProxySPEX("gaussian").fit(masks, values, densities=densities[1:])


@pytest.mark.parametrize("n", [1, 3, 6])
def test_lasso_stays_additive_where_all_subsets_are_known(n: int) -> None:
    rng = np.random.default_rng(n)
    masks = all_masks(n)
    values = rng.normal(size=2**n)
    fit = ProxySPEX("lasso", refine="none").fit(masks, values)
    assert fit.spectrum.orders.max() == 1
    assert len(fit.spectrum) == n + 1
    design = np.column_stack([np.ones(2**n), masks])
    best, *_ = np.linalg.lstsq(design, values, rcond=None)
    np.testing.assert_allclose(fit.spectrum.evaluate(masks), design @ best, atol=1e-12)
    assert fit.dropped_energy == pytest.approx(np.mean((values - design @ best) ** 2), abs=1e-12)
