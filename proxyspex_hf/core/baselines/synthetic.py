"""Functions whose spectrum is known: for tests, benchmarks and figure 12.

Appendix B.4 of the paper compares proxies on two of them: a sum of a few large interactions with
nothing beneath them (*peak*), and the same with every subset filled in (*complete hierarchy*).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from math import comb

import numpy as np

from proxyspex_hf.core.spectrum import FourierSpectrum
from proxyspex_hf.errors import InputError

Members = tuple[int, ...]


def peak(n_features: int, *, n_sets: int = 10, order: int = 5, seed: int = 0) -> FourierSpectrum:
    """The paper's Synthetic Peak (appendix B.4): no interaction has a smaller one beneath it.

    ``n_sets`` distinct sets of ``order`` features, uniform among all such sets, each with a
    coefficient uniform in (-1, 1). There is no ∅ beside them: its coefficient is 0.

    Raises:
        InputError: ``order`` outside 1 to n, fewer such sets than ``n_sets``, a negative seed.
    """
    rng = _generator(n_features, n_sets, order, seed)
    return _uniform(_tops(n_features, n_sets, order, rng), n_features, rng)


def complete_hierarchy(
    n_features: int, *, n_sets: int = 10, order: int = 5, seed: int = 0
) -> FourierSpectrum:
    """The paper's Synthetic Complete Hierarchy (appendix B.4): all subsets of the peak's sets.

    The same seed gives the same ``n_sets`` sets as :func:`peak`; every subset of one of them, ∅
    included, has a coefficient uniform in (-1, 1).

    Raises:
        InputError: as :func:`peak`.
    """
    rng = _generator(n_features, n_sets, order, seed)
    tops = _tops(n_features, n_sets, order, rng)
    below = {
        members for top in tops for size in range(order + 1) for members in combinations(top, size)
    }
    # Canonical order: the draw must not depend on how a set of tuples iterates.
    ordered = sorted(below, key=lambda members: (len(members), members))
    return _uniform(ordered, n_features, rng)


def staircase(
    n_features: int, *, n_sets: int = 10, order: int = 5, seed: int = 0
) -> FourierSpectrum:
    """One chain {a}, {a, b}, ... up to each of the peak's sets: the least hierarchy there is.

    Section 3.2 of the paper names such functions as what trees learn step by step. The same seed
    gives the same ``n_sets`` sets as :func:`peak`; coefficients are uniform in (-1, 1).

    Raises:
        InputError: as :func:`peak`.
    """
    rng = _generator(n_features, n_sets, order, seed)
    steps: dict[Members, None] = {}
    for top in _tops(n_features, n_sets, order, rng):
        climb = rng.permutation(top).tolist()
        steps.update(dict.fromkeys(tuple(sorted(climb[:size])) for size in range(1, order + 1)))
    return _uniform(list(steps), n_features, rng)


#: The generators by name.
SYNTHETIC: dict[str, Callable[..., FourierSpectrum]] = {
    "complete_hierarchy": complete_hierarchy,
    "peak": peak,
    "staircase": staircase,
}


def _generator(n_features: int, n_sets: int, order: int, seed: int) -> np.random.Generator:
    if not 1 <= order <= n_features:
        raise InputError(f"order must lie between 1 and {n_features} (n_features), got {order}.")
    if not 1 <= n_sets <= comb(n_features, order):
        raise InputError(
            f"n_sets must lie between 1 and {comb(n_features, order)}, the sets of {order} among "
            f"{n_features} features; got {n_sets}."
        )
    if seed < 0:
        raise InputError(f"seed must not be negative, got {seed}.")
    return np.random.default_rng(seed)


def _tops(n_features: int, n_sets: int, order: int, rng: np.random.Generator) -> list[Members]:
    """Distinct sets of ``order`` features in the order drawn."""
    if comb(n_features, order) < 4 * n_sets:
        # Nearly all sets are wanted: drawing until they are distinct would take long.
        every = list(combinations(range(n_features), order))
        return [every[i] for i in rng.choice(len(every), n_sets, replace=False)]
    tops: dict[Members, None] = {}
    while len(tops) < n_sets:
        tops[tuple(sorted(rng.choice(n_features, order, replace=False).tolist()))] = None
    return list(tops)


def _uniform(sets: list[Members], n_features: int, rng: np.random.Generator) -> FourierSpectrum:
    values = rng.uniform(-1.0, 1.0, size=len(sets)).tolist()
    return FourierSpectrum.from_dict(dict(zip(sets, values, strict=True)), n_features)
