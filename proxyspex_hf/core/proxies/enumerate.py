"""The exact spectrum of a proxy that can only be asked, by asking it every mask: no model call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from proxyspex_hf.checks import BoolArray, FloatArray
from proxyspex_hf.core.masks import all_masks
from proxyspex_hf.core.sets import pack_support
from proxyspex_hf.core.spectrum import FourierSpectrum
from proxyspex_hf.core.trees import Extraction
from proxyspex_hf.core.walsh import walsh_hadamard
from proxyspex_hf.errors import InputError

#: Coefficients kept of an enumerated proxy; with 12 features or fewer that is all of them.
_MAX_TERMS = 4096

#: (m, n) masks -> (m,).
Predict = Callable[[BoolArray], FloatArray]


@dataclass(frozen=True)
class EstimatedExtraction(Extraction):
    """A spectrum that was estimated: ``dropped_energy`` is measured, and no bound."""


def enumerate_spectrum(
    predict: Predict, n_features: int, max_order: int | None = None
) -> Extraction:
    """Exact coefficients from the predictions on all 2^n masks: the 4096 largest and ∅.

    Raises:
        InputError: more than 20 features, or ``max_order`` is negative.
    """
    wanted = order_wanted(max_order, n_features)
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


def order_wanted(max_order: int | None, n_features: int) -> int:
    """The largest order to look for.

    Raises:
        InputError: ``max_order`` is negative.
    """
    if max_order is not None and max_order < 0:
        raise InputError(f"max_order must be at least 0 or None, got {max_order}.")
    return n_features if max_order is None else min(max_order, n_features)
