"""The spectrum of a proxy that can only be asked: by enumeration, or estimated from its answers.

Asking a proxy costs no model call, so either may ask as often as it likes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from proxyspex_hf.checks import BoolArray, FloatArray, IntArray
from proxyspex_hf.core.masks import all_masks
from proxyspex_hf.core.sets import pack_support
from proxyspex_hf.core.spectrum import FourierSpectrum, parities
from proxyspex_hf.core.trees import Extraction
from proxyspex_hf.core.walsh import walsh_hadamard
from proxyspex_hf.errors import InputError

#: Coefficients kept of an enumerated proxy; with 12 features or fewer that is all of them.
_MAX_TERMS = 4096
#: Mirrored pairs of masks that a distillation asks at least, and pairs of features it keeps.
_MIN_DRAWS = 4096
_MAX_PAIRS = 512

_Predict = Callable[[BoolArray], FloatArray]


@dataclass(frozen=True)
class EstimatedExtraction(Extraction):
    """A spectrum that was estimated: ``dropped_energy`` is measured, and no bound."""


def enumerate_spectrum(
    predict: _Predict, n_features: int, max_order: int | None = None
) -> Extraction:
    """Exact coefficients from the predictions on all 2^n masks: the 4096 largest and ∅.

    Raises:
        InputError: more than 20 features, or ``max_order`` is negative.
    """
    wanted = _checked(max_order, n_features)
    masks = all_masks(n_features)  # row r is also the r-th set
    coefficients = walsh_hadamard(predict(masks))
    orders = masks.sum(axis=1)
    allowed = np.flatnonzero(orders <= wanted)
    ranked = allowed[np.argsort(-np.abs(coefficients[allowed]), kind="stable")]
    kept = np.union1d(ranked[:_MAX_TERMS], [0])
    sets = pack_support([np.flatnonzero(masks[r]).tolist() for r in kept])
    spectrum = FourierSpectrum.from_arrays(sets, coefficients[kept], n_features)
    left_out = np.delete(coefficients, kept)
    return Extraction(spectrum, wanted, float(np.square(left_out).sum()))


def distil(
    predict: _Predict, n_features: int, max_order: int | None = None, *, seed: int
) -> EstimatedExtraction:
    """Estimate the coefficients of orders 0 to 2 by least squares on the proxy's own predictions.

    Masks are drawn uniformly and each is asked with its complement: half their difference holds
    the odd orders only, half their sum the even ones, so neither is noise to the other. Pairs
    enter where a first estimate exceeds three standard errors, at most 512 of them.

    Raises:
        InputError: ``max_order`` is negative.
    """
    wanted = min(_checked(max_order, n_features), 2)
    rng = np.random.default_rng(seed)
    draws = max(_MIN_DRAWS, 4 * n_features)
    masks = rng.random((draws, n_features)) < 0.5
    given, mirrored = predict(masks), predict(~masks)
    odd, even = (given - mirrored) / 2, (given + mirrored) / 2
    signs = np.where(masks, -1.0, 1.0)
    singles = np.arange(n_features, dtype=np.int32)[:, None]
    pairs = _pairs(signs, even) if wanted == 2 else np.zeros((0, 2), np.int32)
    basis = parities(masks, pairs).T.astype(np.float64)
    pair_values = _least_squares(basis - basis.mean(axis=0), even - even.mean())
    level = float(even.mean() - basis.mean(axis=0) @ pair_values)
    single_values = _least_squares(signs, odd) if wanted else np.zeros(n_features)
    support = np.concatenate(
        [
            np.full((1, 2), -1, np.int32),
            np.pad(singles, ((0, 0), (0, 1)), constant_values=-1),
            pairs,
        ]
    )
    spectrum = FourierSpectrum.from_arrays(
        support, np.concatenate([[level], single_values, pair_values]), n_features
    )
    if wanted == 0:
        spectrum = spectrum.top(0)
    fresh = rng.random((draws, n_features)) < 0.5
    missed = predict(fresh) - spectrum.evaluate(fresh)
    return EstimatedExtraction(spectrum, wanted, float(missed.var()))


def _pairs(signs: FloatArray, even: FloatArray) -> IntArray:
    """The pairs of features that the even part speaks of: (k, 2), ascending."""
    centred = even - even.mean()
    first = signs.T @ (centred[:, None] * signs) / len(signs)
    rows, columns = np.triu_indices(signs.shape[1], k=1)
    strength = np.abs(first[rows, columns])
    # Beneath it lie rounding errors only, where the proxy has no even part at all.
    floor = 1e-9 * float(np.abs(even).max(initial=0.0))
    limit = max(3.0 * float(centred.std()) / np.sqrt(len(signs)), floor)
    ranked = np.argsort(-strength, kind="stable")[: min(_MAX_PAIRS, int((strength > limit).sum()))]
    chosen = np.sort(ranked)
    return np.column_stack([rows[chosen], columns[chosen]]).astype(np.int32)


def _least_squares(design: FloatArray, values: FloatArray) -> FloatArray:
    solution, *_ = np.linalg.lstsq(design, values, rcond=None)
    return np.asarray(solution, dtype=np.float64)


def _checked(max_order: int | None, n_features: int) -> int:
    if max_order is not None and max_order < 0:
        raise InputError(f"max_order must be at least 0 or None, got {max_order}.")
    return n_features if max_order is None else min(max_order, n_features)
