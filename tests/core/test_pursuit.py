"""Hierarchical pursuit recovers functions of few terms, and knows when to stop."""

from __future__ import annotations

import numpy as np
import pytest

from proxyspex_hf.core import FourierSpectrum, ProxySPEX, budget_for, sample_masks
from proxyspex_hf.core.baselines.synthetic import complete_hierarchy
from proxyspex_hf.core.faithfulness import r2_score
from proxyspex_hf.core.proxies.blend import Blend
from proxyspex_hf.core.proxies.boosting import BoostedTrees
from proxyspex_hf.core.proxies.pursuit import Pursuit


def held_out(fit: object, truth: FourierSpectrum, n: int) -> float:
    test = sample_masks(n, 1000, seed=99, anchors=False)
    score = r2_score(truth.evaluate(test), fit.spectrum.evaluate(test))  # type: ignore[attr-defined]
    assert score is not None
    return score


def test_a_complete_hierarchy_is_recovered_exactly_where_trees_are_not() -> None:
    truth = complete_hierarchy(64)
    masks = sample_masks(64, budget_for(64, 8.0))
    values = truth.evaluate(masks)
    found = ProxySPEX("pursuit", doubt=False).fit(masks, values)
    assert held_out(found, truth, 64) > 0.9999
    strong = {t: c for t, c in truth.to_dict().items() if abs(c) > 0.01 and t}
    got = found.spectrum.to_dict()
    assert all(got[t] == pytest.approx(c, abs=1e-3) for t, c in strong.items())
    trees = BoostedTrees(depths=(5,), learning_rates=(0.1,), patience=50)
    assert held_out(ProxySPEX(trees, doubt=False).fit(masks, values), truth, 64) < 0.9


def test_the_blend_takes_it_where_it_predicts_better() -> None:
    truth = FourierSpectrum.from_dict(
        {(3,): 1.0, (3, 8): -0.8, (3, 8, 20): 0.7, (30,): 0.5, (30, 31): 0.6}, 40
    )
    masks = sample_masks(40, 300, seed=1)
    fit = ProxySPEX(Blend()).fit(masks, truth.evaluate(masks))
    assert fit.cv is not None
    assert "pursuit" in {fit.cv.best.params["proxy"], *fit.cv.best.params}
    assert held_out(fit, truth, 40) > 0.999


def test_noise_is_not_pursued() -> None:
    masks = sample_masks(20, 300, seed=2)
    noise = np.random.default_rng(0).normal(size=300)
    fit = ProxySPEX("pursuit").fit(masks, noise)
    assert len(fit.spectrum) <= 4
    assert fit.cv_r2 is not None
    assert fit.cv_r2 < 0.1


def test_of_many_masks_some_are_looked_at_and_all_set_the_coefficients() -> None:
    truth = FourierSpectrum.from_dict({(0,): 1.0, (0, 5): -0.5, (9,): 0.3}, 30)
    masks = sample_masks(30, 2000, seed=3)
    values = truth.evaluate(masks) + 0.2 * np.random.default_rng(1).normal(size=2000)
    few = ProxySPEX(Pursuit(max_terms=60, max_work=30 * 240)).fit(masks, values)
    got = few.spectrum.to_dict()
    assert all(got[t] == pytest.approx(c, abs=0.04) for t, c in truth.to_dict().items() if t)
