from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LassoCV

from proxyspex_hf.core import FourierSpectrum, sample_masks
from proxyspex_hf.core.algorithm import ProxySPEX
from proxyspex_hf.core.faithfulness import r2_score
from proxyspex_hf.core.refine import refine

N = 12
TRUE = FourierSpectrum.from_dict(
    {(): 0.2, (0,): 1.0, (1,): -0.7, (0, 1): 0.9, (2, 3): 0.5, (4,): 0.3}, N
)


def setting(noise: float = 0.05) -> tuple:
    rng = np.random.default_rng(0)
    masks = sample_masks(N, 200, seed=1)
    values = TRUE.evaluate(masks) + noise * rng.normal(size=200)
    return masks, values, rng.permutation(200) % 5


def shrunk(factor: float) -> FourierSpectrum:
    """What a proxy extracts: the right terms, too small, among some noise."""
    rng = np.random.default_rng(5)
    noise = {(i, i + 1, i + 2): float(0.02 * rng.normal()) for i in range(8)}
    return FourierSpectrum.from_dict(
        {**{t: factor * c for t, c in TRUE.to_dict().items()}, **noise}, N
    )


def test_refining_restores_shrunk_coefficients() -> None:
    masks, values, folds = setting()
    extracted = shrunk(0.6)
    refined = refine(extracted, [extracted] * 5, masks, values, folds, k=20)
    assert refined.chosen != "none"
    assert min(refined.errors["LASSO"], 1) < 0.05
    for members, coefficient in TRUE.to_dict().items():
        assert refined.spectrum.to_dict()[members] == pytest.approx(coefficient, abs=0.06)


def test_a_refit_that_cross_validation_rejects_is_not_kept() -> None:
    masks, values, folds = setting(noise=0.0)
    refined = refine(TRUE, [TRUE] * 5, masks, values, folds, k=20)
    assert refined.chosen == "none"
    assert refined.spectrum == TRUE


def test_cross_validation_does_not_see_the_support_of_the_full_fit() -> None:
    """The folds' own supports miss the pair: the full support earns no credit for it."""
    masks, values, folds = setting()
    without_pair = FourierSpectrum.from_dict(
        {t: c for t, c in shrunk(0.6).to_dict().items() if t != (0, 1)}, N
    )
    blind = refine(shrunk(0.6), [without_pair] * 5, masks, values, folds, k=20, method="lasso")
    seeing = refine(shrunk(0.6), [shrunk(0.6)] * 5, masks, values, folds, k=20, method="lasso")
    variance = values.var()
    assert blind.errors["LASSO"] > 0.9**2 * 0.9 / variance
    assert seeing.errors["LASSO"] < 0.02


def test_an_additive_function_is_explained_as_well_as_by_lasso() -> None:
    rng = np.random.default_rng(0)
    n, m = 60, 350
    weights = rng.normal(size=n)
    masks = sample_masks(n, m, seed=2)
    values = masks @ weights + 0.3 * rng.normal(size=m)
    test = sample_masks(n, 1000, seed=9)
    truth = test @ weights
    linear = LassoCV(cv=5).fit(masks, values).predict(test)
    ours = r2_score(truth, ProxySPEX(seed=0).fit(masks, values).spectrum.evaluate(test))
    best = r2_score(truth, linear)
    assert ours is not None
    assert best is not None
    assert ours > best - 0.01 > 0.9


def test_none_only_sparsifies() -> None:
    masks, values, folds = setting()
    refined = refine(shrunk(0.6), [shrunk(0.6)] * 5, masks, values, folds, k=3, method="none")
    assert refined.spectrum == shrunk(0.6).top(3)


def test_where_the_proxy_found_nothing_there_is_nothing_to_refine() -> None:
    masks, values, folds = setting()
    constant = FourierSpectrum.from_dict({(): 0.1}, N)
    paper = refine(constant, [constant] * 5, masks, values, folds, k=20, method="lasso")
    assert paper.spectrum == constant


def test_noise_is_explained_by_its_mean() -> None:
    masks, _, _ = setting()
    values = np.random.default_rng(3).normal(size=200) + 5.0
    fit = ProxySPEX(seed=0).fit(masks, values)
    test = sample_masks(N, 500, seed=9)
    assert np.abs(fit.spectrum.evaluate(test) - 5.0).mean() < 0.35
