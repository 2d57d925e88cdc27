"""Spectra on the candidates' columns: refitted to more masks, joined with all other features."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from proxyspex_hf.checks import BoolArray, FloatArray
from proxyspex_hf.core.spectrum import FourierSpectrum, parities, weighted_sum
from proxyspex_hf.studies.data.linear import LinearFit

#: Relative to a column: terms that the masks cannot tell apart stay finite.
_RIDGE = 1e-9


def refitted(
    spectrum: FourierSpectrum,
    columns: BoolArray,
    margins: FloatArray,
    rows: NDArray[np.intp],
) -> FourierSpectrum:
    """The same terms with the least-squares coefficients of all ``rows``."""
    gram = np.zeros((len(spectrum), len(spectrum)))
    right = np.zeros(len(spectrum))
    for block in np.array_split(rows, len(rows) // 4096 + 1):
        design = parities(columns[block], spectrum.support).astype(np.float64)
        gram += design @ design.T
        right += design @ margins[block]
    gram[np.diag_indices(len(gram))] += _RIDGE * len(rows)
    return spectrum.with_coefficients(np.linalg.solve(gram, right).astype(np.float64))


def joined(
    spectrum: FourierSpectrum, features: NDArray[np.intp], rest: LinearFit, column: int
) -> FourierSpectrum:
    """The candidates' spectrum and the others' linear part, on all n features."""
    weights = rest.weights[column]
    n = len(weights)
    places = np.append(features, -1).astype(np.int32)  # the padding stays -1
    inner = FourierSpectrum.from_arrays(places[spectrum.support], spectrum.coefficients, n)
    # level + Σ w_i x_i with x_i = (1 - chi_i) / 2
    used = np.flatnonzero(weights)
    level = float(rest.levels[column]) + float(weights.sum()) / 2
    support = np.append(used, -1).astype(np.int32)[:, None]
    outer = FourierSpectrum.from_arrays(support, np.append(-weights[used] / 2, level), n)
    return weighted_sum([(1.0, inner), (1.0, outer)])
