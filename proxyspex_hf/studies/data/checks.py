"""Margins, densities and labels as they may be given, and what is wrong with them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from proxyspex_hf.checks import FloatArray, as_numbers
from proxyspex_hf.errors import InputError
from proxyspex_hf.studies.data.packed import PackedMasks


def as_margins(margins: Any, n_masks: int) -> NDArray[Any]:
    """(m, t) numbers, not copied; whether they are finite is seen when they are read.

    Raises:
        InputError: another shape or type.
    """
    if isinstance(margins, np.ma.MaskedArray):
        margins = as_numbers("margins", margins)
    array: NDArray[Any] = np.asanyarray(margins)  # a file on disk stays there
    if array.dtype.kind == "O":
        array = as_numbers("margins", array)
    if array.dtype.kind not in "fiu":
        raise InputError(f"margins must be floats, got {array.dtype}.")
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or array.shape[0] != n_masks or array.shape[1] == 0:
        raise InputError(
            f"margins must have shape ({n_masks},) or ({n_masks}, t), one row per mask; got "
            f"{np.shape(margins)}."
        )
    return array


def as_density(density: Any, masks: PackedMasks) -> FloatArray:
    """(m,) the keep probability of each mask.

    Raises:
        InputError: another shape or type, or masks that keep clearly more or fewer features.
    """
    given = as_numbers("density", density)
    if given.shape not in ((), (len(masks),)) or not ((given > 0) & (given < 1)).all():
        raise InputError(
            f"density must be one number between 0 and 1, or ({len(masks)},) of them, one a mask; "
            f"got shape {given.shape}."
        )
    each = np.broadcast_to(given, len(masks))
    kept, n = masks.counts(), masks.n_features
    spread = float(np.sqrt((n * each * (1.0 - each)).sum()))
    if abs(float((kept - n * each).sum())) > 8.0 * spread:
        raise InputError(
            f"the masks keep {kept.mean() / n:.4f} of the features on average, not density="
            f"{each.mean():.4f}: give the density that they were drawn with."
        )
    return np.array(each)
