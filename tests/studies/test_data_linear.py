from __future__ import annotations

import numpy as np
import pytest

from proxyspex_hf.studies.data.linear import fit_linear
from proxyspex_hf.studies.data.packed import PackedMasks


def folds_of(m: int, held_out: int = 60, k: int = 5) -> np.ndarray:
    folds = np.random.default_rng(7).permutation(m) % k
    folds[-held_out:] = k
    return folds


def problem(
    n: int = 30, m: int = 600, t: int = 2, density: float = 0.5, noise: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    masks = rng.random((m, n)) < density
    return masks, 3.0 + masks @ rng.standard_normal((n, t)) + noise * rng.standard_normal((m, t))


@pytest.mark.parametrize("density", [0.5, 0.15])
def test_without_noise_the_weights_are_exact(density: float) -> None:
    masks, margins = problem(noise=0.0, density=density)
    fit = fit_linear(PackedMasks.pack(masks), margins, folds_of(600), block_rows=64)
    truth = np.linalg.lstsq(np.column_stack([np.ones(600), masks]), margins, rcond=None)[0]
    np.testing.assert_allclose(fit.levels, truth[0], atol=1e-4)
    np.testing.assert_allclose(fit.weights, truth[1:].T, atol=1e-4)
    np.testing.assert_allclose(fit.predictions, margins, atol=1e-3)


def test_correlations_are_those_of_the_dense_matrix() -> None:
    masks, margins = problem()
    folds = folds_of(600)
    fit = fit_linear(PackedMasks.pack(masks), margins, folds, block_rows=50)
    rows = folds != 5
    expected = np.corrcoef(masks[rows].T.astype(float), margins[rows].T)[:30, 30:]
    np.testing.assert_allclose(fit.correlations, expected.T, atol=1e-12)


def test_predictions_never_saw_their_rows() -> None:
    """Values of a fold change no prediction of that fold, where the number of steps stays."""
    masks, margins = problem(t=1)
    folds = folds_of(600)
    packed = PackedMasks.pack(masks)
    before = fit_linear(packed, margins, folds, block_rows=64)
    assert before.steps[0] > 1
    nudge = 1e-4 * np.random.default_rng(1).standard_normal((600, 1))
    for fold in (0, 5):
        own = folds == fold
        after = fit_linear(packed, margins + nudge * own[:, None], folds, block_rows=64)
        assert after.steps == before.steps
        moved = np.abs(after.predictions - before.predictions)
        assert moved[own].max() < 1e-12
        assert (moved[~own].max() > 1e-7) == (fold != 5)


def test_held_out_rows_are_predicted_by_the_model_returned() -> None:
    masks, margins = problem()
    folds = folds_of(600)
    fit = fit_linear(PackedMasks.pack(masks), margins, folds, block_rows=64)
    expected = fit.levels + masks[folds == 5] @ fit.weights.T
    np.testing.assert_allclose(fit.predictions[folds == 5], expected, atol=1e-10)


def test_blocks_and_companions_change_nothing_but_rounding() -> None:
    masks, margins = problem(t=3)
    packed, folds = PackedMasks.pack(masks), folds_of(600)
    together = fit_linear(packed, margins, folds, block_rows=600)
    for block_rows in (1, 7):
        parts = fit_linear(packed, margins, folds, block_rows=block_rows)
        np.testing.assert_allclose(parts.weights, together.weights, atol=1e-10)
    alone = fit_linear(packed, margins[:, 1:2], folds, block_rows=600)
    np.testing.assert_allclose(alone.weights[0], together.weights[1], atol=1e-10)
    assert alone.steps[0] == together.steps[1]


def test_features_that_may_not_or_cannot_matter_have_no_weight() -> None:
    masks, margins = problem(t=2)
    masks[:, 4], masks[:, 5] = True, False
    free = np.ones((2, 30), np.bool_)
    free[0, :10] = False
    fit = fit_linear(PackedMasks.pack(masks), margins, folds_of(600), block_rows=64, free=free)
    assert (fit.weights[0, :10] == 0).all()
    assert (fit.weights[0, 10:] != 0).all()
    assert (fit.weights[:, 4:6] == 0).all()
    assert np.isfinite(fit.predictions).all()


def test_noise_is_left_to_the_constant() -> None:
    masks, _ = problem(n=200)
    noise = np.random.default_rng(3).standard_normal((600, 1))
    fit = fit_linear(PackedMasks.pack(masks), noise, folds_of(600), block_rows=64)
    assert fit.steps[0] == 0
    assert (fit.weights == 0).all()
    assert fit.levels[0] == pytest.approx(noise[:-60].mean())
