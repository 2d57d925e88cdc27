"""The Gaussian process: gradient, exact spectrum and correlations, honest cross-validation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime

from proxyspex_hf.core import FourierSpectrum, ProxySPEX, sample_masks
from proxyspex_hf.core.faithfulness import r2_score
from proxyspex_hf.core.masks import all_masks
from proxyspex_hf.core.proxies.base import make_folds
from proxyspex_hf.core.proxies.gaussian import GaussianProcess
from proxyspex_hf.core.proxies.kernel import MaskKernel, _Posterior, learn_kernel, signs
from proxyspex_hf.core.proxies.kernel_spectrum import KernelExpansion
from proxyspex_hf.core.proxies.sibling import Sibling
from proxyspex_hf.core.spectrum import parities
from proxyspex_hf.core.walsh import exact_spectrum


def a_sibling(n: int, seed: int) -> Sibling:
    """Of a few sets of every order."""
    rng = np.random.default_rng(seed)
    sets = {tuple(sorted(rng.choice(n, size, replace=False))) for size in [*range(1, n + 1)] * 2}
    spectrum = FourierSpectrum.from_dict({t: float(rng.normal()) for t in sets}, n)
    return Sibling(spectrum, rng.uniform(0.01, 1.0, n))


def random_expansion(seed: int, n: int, reach: int, m: int = 25) -> KernelExpansion:
    rng = np.random.default_rng(seed)
    told = a_sibling(n, seed) if seed % 2 else None
    kernel = MaskKernel(
        relevance=rng.uniform(0.01, 1.0, n),
        tilt=float(rng.normal(scale=0.2)),
        product=0.7,
        single=0.3,
        noise=0.1,
        pairs=rng.uniform(0.0, 2.0, min(reach, n - 1)),
        sibling=told,
        shared=0.0 if told is None else 0.4,
    )
    return KernelExpansion(kernel, signs(rng.random((m, n)) < 0.6), rng.normal(size=m))


def dense(expansion: KernelExpansion) -> tuple[Any, FourierSpectrum]:
    """Every mask with its value, and the transform of all of them."""
    masks = all_masks(expansion.centres.shape[1])
    values = expansion.evaluate(signs(masks))
    return (masks, values), exact_spectrum(values)


@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("reach", [0, 1, 3])
def test_the_gradient_is_that_of_the_posterior(reach: int, *, told: bool) -> None:
    rng = np.random.default_rng(reach)
    sibling = a_sibling(7, reach) if told else None
    x = signs(rng.random((40, 7)) < 0.6)
    problem = _Posterior(x, rng.normal(size=40), reach, None, sibling)
    theta = problem.start + rng.normal(scale=0.3, size=len(problem.start))
    loss, gradient = problem(theta)
    numeric = approx_fprime(theta, lambda t: problem(t)[0], 1e-6)
    np.testing.assert_allclose(gradient, numeric, atol=2e-3 * max(1.0, np.abs(gradient).max()))
    assert np.isfinite(loss)


def test_the_kernel_is_the_documented_sum() -> None:
    expansion = random_expansion(1, 5, 2)
    kernel, x = expansion.kernel, expansion.centres
    got = kernel(x[:3], x[:4])
    for i in range(3):
        for j in range(4):
            a, b = x[i], x[j]
            tilt = np.exp(kernel.tilt * (a.sum() + b.sum()))
            want = kernel.product * tilt * np.prod(np.exp(kernel.relevance * (a * b - 1)))
            want += kernel.single * (kernel.relevance * a * b).sum()
            for d, q in enumerate(kernel.pairs, 1):
                for f in range(5 - d):
                    weight = kernel.relevance[f] * kernel.relevance[f + d]
                    want += q * weight * a[f] * a[f + d] * b[f] * b[f + d]
            assert kernel.sibling is not None
            want += kernel.shared * np.prod(kernel.sibling.spectrum.evaluate(np.array([a, b]) < 0))
            assert got[i, j] == pytest.approx(want, rel=1e-12)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 8), reach=st.integers(0, 4))
def test_coefficients_equal_the_transform_of_all_subsets(seed: int, n: int, reach: int) -> None:
    expansion = random_expansion(seed, n, reach)
    _, exact = dense(expansion)
    scale = np.abs(exact.coefficients).max()
    got = expansion.coefficients(exact.support)
    np.testing.assert_allclose(got, exact.coefficients, atol=1e-12 * scale)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 7),
    reach=st.integers(0, 3),
    density=st.floats(0.05, 0.95),
    rows=st.sampled_from([0, 256]),  # features up to which they are dense
)
def test_correlations_equal_the_sum_over_all_subsets(
    seed: int, n: int, reach: int, density: float, rows: int
) -> None:
    expansion = random_expansion(seed, n, reach)
    (masks, values), exact = dense(expansion)
    kept = masks.sum(axis=1)
    probability = density**kept * (1 - density) ** (n - kept)
    want = parities(masks, exact.support) @ (probability * values)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("proxyspex_hf.core.sparsify._DENSE", rows)
        got = expansion.correlations(exact.support, 1 - 2 * density)
    np.testing.assert_allclose(got, want, atol=1e-11 * np.abs(values).max())


@pytest.mark.parametrize("seed", range(6))
def test_a_value_is_the_sum_of_the_kernels(seed: int) -> None:
    expansion = random_expansion(seed, 9, reach=seed % 4)
    x = signs(np.random.default_rng(seed).random((50, 9)) < 0.5)
    want = expansion.kernel(x, expansion.centres) @ expansion.weights
    np.testing.assert_allclose(expansion.evaluate(x), want, rtol=1e-12, atol=1e-12)


def test_the_beam_finds_the_largest_terms() -> None:
    expansion = random_expansion(3, 9, 2)
    _, exact = dense(expansion)
    found = expansion.spectrum(expansion.largest(60, (0.5,), None))
    best = {t for t in exact.top(30).sets if t}
    assert len(best - set(found.sets)) <= 1
    assert expansion.largest(60, (0.5,), 1).shape == (9, 1)


@pytest.mark.parametrize("m", [200, 350])
def test_out_of_fold_predictions_are_those_of_a_fit_without_the_fold(m: int) -> None:
    masks = sample_masks(10, m, seed=2)
    truth = FourierSpectrum.from_dict({(1,): 1.0, (2, 3): -0.7, (7,): 0.4}, 10)
    values = truth.evaluate(masks)
    values = (values - values.mean()) / values.std()
    folds = make_folds(m, 5, np.random.default_rng(0))
    fit = GaussianProcess(n_jobs=1).fit(masks, values, folds, seed=0)
    x = signs(masks)
    for fold in range(5):
        out, rest = folds == fold, folds != fold
        judge = fit.fold_expansions[fold].kernel
        covariance = judge(x[rest], x[rest]) + (judge.noise + 1e-8) * np.eye(int(rest.sum()))
        weights = np.linalg.solve(covariance, values[rest])
        np.testing.assert_allclose(
            fit.out_of_fold[out], judge(x[out], x[rest]) @ weights, atol=1e-6
        )
        np.testing.assert_allclose(
            fit.fold_expansions[fold].evaluate(x[out]), fit.out_of_fold[out], atol=1e-6
        )
        assert judge is not fit.expansion.kernel  # learnt without this fold


def test_relevance_tells_what_matters_and_neighbours_are_noticed() -> None:
    rng = np.random.default_rng(0)
    masks = sample_masks(16, 400, seed=3)
    x = signs(masks)
    values = x[:, 2] + 0.8 * x[:, 9] + sum(0.5 * x[:, i] * x[:, i + 1] for i in (2, 9, 12))
    values = (values - values.mean()) / values.std() + 0.05 * rng.normal(size=400)
    kernel = learn_kernel(x, values)
    unimportant = [0, 5, 6, 15]
    assert kernel.relevance[[2, 9]].min() > 5 * kernel.relevance[unimportant].max()
    assert kernel.noise < 0.05


def test_many_masks_are_solved_with_fewer_centres_nearly_as_well() -> None:
    masks = sample_masks(14, 900, seed=4)
    truth = FourierSpectrum.from_dict({(0,): 1.0, (3,): -0.5, (3, 4): 0.6, (8, 11): 0.3}, 14)
    test = sample_masks(14, 500, seed=5, anchors=False)
    scores = []
    for proxy in (GaussianProcess(), GaussianProcess(max_exact=500, centres=300)):
        fit = ProxySPEX(proxy=proxy).fit(masks, truth.evaluate(masks))
        scores.append(r2_score(truth.evaluate(test), fit.predict(test)))
        assert fit.cv_r2 == pytest.approx(scores[-1], abs=0.02)
    assert min(scores) > 0.98
