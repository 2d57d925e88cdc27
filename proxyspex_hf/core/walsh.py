"""The exact spectrum of a function known on every subset (fast Walsh-Hadamard transform)."""

from __future__ import annotations

import math
import sys

import numpy as np

from proxyspex_hf.checks import FloatArray
from proxyspex_hf.core.masks import all_masks
from proxyspex_hf.core.sets import pack_support
from proxyspex_hf.core.spectrum import FourierSpectrum
from proxyspex_hf.core.values import is_constant, level_and_scale, rounding_of
from proxyspex_hf.errors import InputError

#: By how many times its own rounding the terms that are taken for rounding may change a value.
#: Convention: real terms below the threshold, of which there may be 2^n, add up to more.
_ROUNDED_AWAY = 4.0


def walsh_hadamard(values: FloatArray) -> FloatArray:
    """F(T) for all T (paper, equation 1), both indexed by bit sets: (2^n,) -> (2^n,).

    Raises:
        InputError: the length is not a power of two.
    """
    size = len(values)
    if size == 0 or size & (size - 1):
        raise InputError(f"expected values of all 2^n subsets, got {size} of them.")
    out = np.array(values, dtype=np.float64)
    width = 1
    while width < size:
        blocks = out.reshape(-1, 2, width)
        # Halving at each step keeps the largest finite values from overflowing.
        low, high = blocks[:, 0] / 2, blocks[:, 1] / 2
        out = np.stack([low + high, low - high], axis=1).reshape(-1)
        width *= 2
    return out


def exact_spectrum(values: FloatArray) -> FourierSpectrum:
    """Exact spectrum from the values of all 2^n masks in the order of :func:`all_masks`.

    Example:
        >>> exact_spectrum(np.array([0.0, 0.0, 0.0, 1.0])).to_dict()  # an AND of two features
        {(): 0.25, (0,): -0.25, (1,): -0.25, (0, 1): 0.25}
    """
    return _spectrum_of(walsh_hadamard(values))


def exact_terms(table: FloatArray) -> tuple[FourierSpectrum, FourierSpectrum]:
    """:func:`exact_spectrum`, whole and without the terms that are rounding."""
    # A large level must not round what varies: it is added to ∅ alone, at the end.
    level, _ = level_and_scale(table)
    varying = np.zeros_like(table) if is_constant(table) else table - level
    whole = _spectrum_of(every := walsh_hadamard(varying))
    least, rounding = _rounding_of_sums(varying), rounding_of(table)
    # Values that were rounded themselves leave up to as much in each of the terms.
    below = np.where(np.abs(every) > least + rounding, 0.0, every)
    if np.abs(walsh_hadamard(below)).max() * len(table) <= _ROUNDED_AWAY * rounding:
        least += rounding
    kept = (np.abs(whole.coefficients) > least) | (whole.orders == 0)
    few = whole.select(np.flatnonzero(kept))
    return whole.rescaled(level, 1.0), few.rescaled(level, 1.0)


def _spectrum_of(coefficients: FloatArray) -> FourierSpectrum:
    """Of coefficients indexed by bit sets, (2^n,)."""
    n = len(coefficients).bit_length() - 1
    support = pack_support([np.flatnonzero(row).tolist() for row in all_masks(n)])
    return FourierSpectrum.from_arrays(support, coefficients, n)


def _rounding_of_sums(values: FloatArray) -> float:
    """Sums of 2^n rounded numbers: what is below their rounding error is zero."""
    n = len(values).bit_length() - 1
    return n * sys.float_info.epsilon * float(np.abs(values).max())


def is_rounding(energy: float, values: FloatArray) -> bool:
    """Whether terms of this ``energy``, left out of the exact spectrum of all 2^n ``values``, are
    no more than rounding: each of them below the error of a sum of so many numbers."""
    n = (len(values) - 1).bit_length()
    spread = float(values.max() / 2.0 - values.min() / 2.0) * 2.0
    noise = n * sys.float_info.epsilon * spread
    # Roots, for the squares of large values are infinite; of an energy that was, nothing is known.
    bounded = energy < sys.float_info.max
    return bounded and math.sqrt(energy) <= math.sqrt(len(values)) * noise
