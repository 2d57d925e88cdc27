"""Masks: which features are kept. A row m in {0, 1}^n, 1 = kept (DESIGN: S is the kept set).

Section 4.1 of the paper sets the budget to alpha * n * log2(n) masks drawn uniformly over subsets;
``density`` generalises the draw to other keep probabilities.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from proxyspex_hf.checks import BoolArray, FloatArray, as_fraction, as_numbers, as_positive
from proxyspex_hf.errors import InputError

#: Above this many features 2^n masks are never enumerated.
MAX_ENUMERATED = 20


def budget_for(n_features: int, alpha: float) -> int:
    """Number of masks for the inference multiplier ``alpha``: round(alpha * n * log2 n).

    Raises:
        InputError: ``alpha`` is not a positive finite number.

    Example:
        >>> budget_for(16, alpha=2)
        128
    """
    alpha = as_positive("alpha", alpha, advice="; the paper uses 2 to 8")
    return max(1, round(alpha * n_features * math.log2(n_features))) if n_features > 1 else 1


def all_masks(n_features: int) -> BoolArray:
    """Every mask of ``n_features`` features, shape (2^n, n); row r keeps i where bit i of r is set.

    Raises:
        InputError: more than 20 features.

    Example:
        >>> all_masks(2).astype(int).tolist()
        [[0, 0], [1, 0], [0, 1], [1, 1]]
    """
    if not 1 <= n_features <= MAX_ENUMERATED:
        raise InputError(
            f"cannot enumerate 2^{n_features} masks; expected 1 to {MAX_ENUMERATED} features."
        )
    rows = np.arange(2**n_features, dtype=np.uint32)[:, None]
    return ((rows >> np.arange(n_features, dtype=np.uint32)) & 1).astype(np.bool_)


def sample_masks(
    n_features: int,
    n_masks: int,
    *,
    density: float = 0.5,
    seed: int | np.random.Generator = 0,
    exclude: BoolArray | None = None,
    anchors: bool = True,
) -> BoolArray:
    """Distinct random masks, each feature kept independently with probability ``density``.

    Args:
        n_features: n.
        n_masks: how many masks to draw.
        density: share of the features kept; 0.5 is uniform over subsets, as in the paper (section
            3.3, step 1).
        seed: an integer, or a generator, which is advanced.
        exclude: (e, n) rows that are never drawn: held-out masks must be new.
        anchors: whether the first two rows are the full and the empty mask.

    Returns:
        (m, n) bool with m <= ``n_masks``: fewer where so many distinct masks do not exist, or are
        too rare at this density to be drawn.

    Raises:
        InputError: ``density`` outside (0, 1) or ``n_masks`` below one.

    Example:
        >>> masks = sample_masks(12, 50, seed=0)
        >>> masks.shape, int(masks[0].sum()), int(masks[1].sum())
        ((50, 12), 12, 0)
    """
    density = as_fraction("density", density)
    if n_masks < 1 or n_features < 1:
        raise InputError(
            f"expected at least one mask of one feature, got {n_masks} masks of {n_features}."
        )
    rng = np.random.default_rng(seed)
    fixed = np.stack([np.ones(n_features, np.bool_), np.zeros(n_features, np.bool_)])
    chosen = fixed[:n_masks] if anchors else np.zeros((0, n_features), np.bool_)
    seen = {row.tobytes() for row in np.packbits(chosen, axis=1)}
    if exclude is not None:
        seen |= {row.tobytes() for row in np.packbits(exclude, axis=1)}
    parts, missing, barren = [chosen], n_masks - len(chosen), 0
    while missing > 0 and barren < 20:
        drawn = rng.random((max(64, missing), n_features)) < density
        new: list[BoolArray] = []
        for row, packed in zip(drawn, np.packbits(drawn, axis=1), strict=True):
            key = packed.tobytes()
            if key not in seen and len(new) < missing:
                seen.add(key)
                new.append(row)
        barren = 0 if new else barren + 1
        if new:
            parts.append(np.array(new))
        missing -= len(new)
    return np.concatenate(parts)


def distinct(masks: BoolArray, values: Any) -> tuple[BoolArray, FloatArray, Any]:
    """Each mask once, its mean value, and where each given row stands among them."""
    target = as_numbers("values", values)
    if target.shape != (len(masks),):
        raise InputError(f"values must have shape ({len(masks)},), got {target.shape}.")
    if not np.isfinite(target).all():
        raise InputError("values must be finite; drop the rows that are NaN or infinite.")
    _, first, inverse = np.unique(
        np.packbits(masks, axis=1), axis=0, return_index=True, return_inverse=True
    )
    if len(first) == len(masks):
        return masks, target, np.arange(len(masks))
    counts = np.bincount(inverse)
    means = np.bincount(inverse, weights=target / counts[inverse]).astype(np.float64)
    order = np.argsort(first)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return masks[first[order]], means[order], place[inverse]
