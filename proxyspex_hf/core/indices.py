"""Feature values and interaction indices from the spectrum, in closed form (paper, table in A.1).

Every index here is one weighted sum over the supersets that have a coefficient,

    I(T) = sum_{S ⊇ T} w(|S|, |T|, order) * F(S),

so an index is its weight ``w`` and one entry of the registry at the end of this file. The weights
were derived from the definitions and are tested against them. Where the paper's table says
otherwise the definition is followed:

- Banzhaf interaction: (-2)^|T| F(T). The table prints -2 F(T), true for |T| = 1 only.
- OR: I(∅) is f(∅), and the table's second row holds for T ≠ ∅.

Sets without a row have the value 0: the closed form does not reach them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from fractions import Fraction
from functools import lru_cache

import numpy as np

from proxyspex_hf.checks import FloatArray, IntArray
from proxyspex_hf.core.interactions import Interactions
from proxyspex_hf.core.moebius import downward_sums
from proxyspex_hf.core.sets import sizes_of
from proxyspex_hf.core.shares import superset_sums
from proxyspex_hf.core.spectrum import FourierSpectrum
from proxyspex_hf.errors import InputError

#: Squares of more than this are infinite, or their sum is.
_SQUARED_UP_TO = 1e150
#: w(s, t, order) for |S| = s >= |T| = t. Exact: rounding comes once, at the end.
Weight = Callable[[int, int, int], int | Fraction]


def interactions(spectrum: FourierSpectrum, index: str, order: int | None = None) -> Interactions:
    """The scores of ``index`` for the function that ``spectrum`` describes.

    ============== ============================== ================= ======= ==================
    short name     long name                      sizes of the sets default ∅
    ============== ============================== ================= ======= ==================
    BV             Banzhaf (value)                1                 1       none
    SV             Shapley (value)                1                 1       none
    Influence                                     1                 1       none
    Moebius        Möbius, Mobius                 0 to order        all     f(∅)
    OR             OR interaction                 0 to order        all     f(∅)
    Effect         effect at the input            1 to order        2       none
    BII            Banzhaf interaction            1 to order        2       none
    SII            Shapley interaction            1 to order        2       none
    STII           Shapley-Taylor interaction     0 to order        2       f(∅)
    FBII           Faith-Banzhaf interaction      0 to order        2       of the best fit
    FSII           Faith-Shapley interaction      0 to order        2       f(∅)
    ============== ============================== ================= ======= ==================

    Args:
        spectrum: the function; a feature or a set that it does not reach gets no row (value 0).
        index: a short or long name, in any case, words split by ``-``, ``_`` or a space.
        order: the largest size of a set. STII, FBII and FSII *depend* on it (they are the
            approximation of that order); the others only leave larger sets out.

    Raises:
        InputError: no such index; ``order`` below 1, or not 1 for a value of single features; more
            subsets than can be enumerated (:data:`proxyspex_hf.core.moebius.MAX_SUBSETS`).

    Example:
        >>> both = FourierSpectrum.from_dict({(): 0.25, (0,): -0.25, (1,): -0.25, (0, 1): 0.25}, 2)
        >>> interactions(both, "shapley").first_order()
        array([0.5, 0.5])
    """
    entry = _lookup(index)
    largest = int(spectrum.orders.max())
    if order is None:
        order = max(largest, 1) if entry.default_order is None else entry.default_order
    if isinstance(order, bool) or not isinstance(order, (int, np.integer)) or order < 1:
        raise InputError(f"order must be an integer of at least 1, got {order!r}.")
    if entry.only_singles and order != 1:
        raise InputError(
            f"{entry.name} scores single features, so order must be 1 or None, got {order}"
            f"{f'; {entry.see} scores sets.' if entry.see else '.'}"
        )
    order = int(order)
    reach = min(order, spectrum.n_features)  # beyond n, nothing changes but the numbers' size
    coefficients = spectrum.coefficients
    if entry.squared:
        if np.abs(coefficients).max() > _SQUARED_UP_TO:
            raise InputError(
                f"{entry.name} is a sum of squares, which coefficients of up to "
                f"{np.abs(coefficients).max():.3g} take beyond float64: scale the function."
            )
        coefficients = np.square(coefficients)
    support, values = downward_sums(
        spectrum.support,
        coefficients,
        spectrum.n_features,
        lambda s, t: _weight(entry.weight, s, t, reach),
        range(0 if entry.scores_empty else 1, min(order, largest) + 1),
    )
    nothing = float(spectrum.evaluate(np.zeros(spectrum.n_features, np.bool_))[0])
    return Interactions(entry.name, order, spectrum.n_features, support, values, at_empty=nothing)


def scores_of(
    spectrum: FourierSpectrum, index: str, order: int, support: IntArray
) -> tuple[FloatArray, FloatArray]:
    """The scores of given sets, rows of ``support`` (g, max_size) padded with -1, and the sums of
    the magnitudes that each is a sum of: (g,), (g,). However many subsets a spectrum has.
    """
    entry = _lookup(index)
    order = min(order, spectrum.n_features)
    orders, sizes = spectrum.orders, sizes_of(support)
    coefficients = spectrum.coefficients
    coefficients = np.square(coefficients) if entry.squared else coefficients
    out = np.zeros((len(support), 2))
    for t in np.unique(sizes).tolist():
        larger, rows = orders >= t, np.flatnonzero(sizes == t)
        weights = [_weight(entry.weight, s, t, order) for s in orders[larger].tolist()]
        terms = np.array(weights) * coefficients[larger]
        both = np.stack([terms, np.abs(terms)], axis=1)
        out[rows] = superset_sums(
            spectrum.support[larger], both, spectrum.n_features, support[rows, :t]
        )
    return out[:, 0], out[:, 1]


@dataclass(frozen=True)
class Index:
    """One index: its names and its weight.

    Attributes:
        name: the canonical name, as :class:`Interactions` carries it.
        aliases: other names, in lower case with single hyphens.
        weight: w(s, t, order).
        scores_empty: whether ∅ has a score.
        default_order: when none is given; ``None`` for the largest order of the spectrum.
        only_singles: whether only single features have a score.
        squared: whether the sum is over F(S)^2.
        see: for values of single features, which index scores sets in the same spirit.
    """

    name: str
    aliases: tuple[str, ...]
    weight: Weight
    scores_empty: bool = False
    default_order: int | None = 2
    only_singles: bool = False
    squared: bool = False
    see: str = ""


def _banzhaf(s: int, t: int, _: int) -> int:
    """Mean of the discrete derivative over all contexts: only S = T survives."""
    return _power(t) if s == t else 0


def _shapley(s: int, t: int, _: int) -> Fraction | int:
    """The table's row for the Shapley interaction; t = 1 gives its row for the Shapley value."""
    return Fraction(_power(t), s - t + 1) if (s - t) % 2 == 0 else 0


def _one(_s: int, _t: int, _order: int) -> int:
    return 1


def _moebius(_s: int, t: int, _order: int) -> int:
    return _power(t)


def _or(s: int, t: int, _: int) -> int:
    """f(S) = I(∅) + sum over T that meet S: Möbius of the complement, with the sign turned."""
    return -_sign(s) * _power(t) if t else 1


def _effect(s: int, t: int, _: int) -> int:
    """Δ_T where all else is kept: f(N) - f(N∖i) for one feature (:mod:`.effects`)."""
    return _sign(s) * (1 << t)


def _shapley_taylor(s: int, t: int, order: int) -> Fraction | int:
    if t < order:
        return _power(t)
    return _through_moebius(s, t, lambda r: Fraction(1, math.comb(r, order)))


def _faith_banzhaf(s: int, t: int, order: int) -> int:
    """Uniform least squares keeps the coefficients up to the order (Parseval): their Möbius."""
    return _power(t) if s <= order else 0


def _faith_shapley(s: int, t: int, order: int) -> Fraction | int:
    """Faith-Shap (Tsai et al. 2023), equation 16: what order + 1 and above adds to Möbius."""
    scale = Fraction(_sign(order - t) * t * math.comb(order, t), order + t)

    def share(r: int) -> Fraction | int:
        if r <= order:
            return int(r == t)
        return scale * Fraction(math.comb(r - 1, order), math.comb(r + order - 1, order + t))

    return _through_moebius(s, t, share)


def _through_moebius(s: int, t: int, share: Callable[[int], Fraction | int]) -> Fraction | int:
    """The weight of F(S) in sum_{R ⊇ T} share(|R|) m(R): sum over the sets R between T and S."""
    total: Fraction | int = 0
    for r in range(t, s + 1):
        total += _power(r) * math.comb(s - t, r - t) * share(r)
    return total


def _sign(exponent: int) -> int:
    return -1 if exponent % 2 else 1


def _power(t: int) -> int:
    """(-2)^t as an int, which mypy cannot see in the operator."""
    return _sign(t) * (1 << t)


@lru_cache(maxsize=4096)
def _weight(weight: Weight, s: int, t: int, order: int) -> float:
    return float(weight(s, t, order))


#: Every index there is. To add one, add an entry.
INDICES: tuple[Index, ...] = (
    Index(
        "Banzhaf",
        ("bv", "banzhaf-value"),
        _banzhaf,
        default_order=1,
        only_singles=True,
        see="BII",
    ),
    Index(
        "Shapley",
        ("sv", "shap", "shapley-value"),
        _shapley,
        default_order=1,
        only_singles=True,
        see="SII",
    ),
    Index(
        "Influence",
        ("influence-score",),
        _one,
        default_order=1,
        only_singles=True,
        squared=True,
    ),
    Index(
        "Moebius",
        ("möbius", "mobius", "moebius-transform", "harsanyi"),
        _moebius,
        scores_empty=True,
        default_order=None,
    ),
    Index("Effect", ("effects", "effect-at-the-input", "removal"), _effect, default_order=2),
    Index("OR", ("or-interaction",), _or, scores_empty=True, default_order=None),
    Index("BII", ("banzhaf-interaction", "banzhaf-interaction-index"), _banzhaf),
    Index("SII", ("shapley-interaction", "shapley-interaction-index"), _shapley),
    Index(
        "STII",
        ("sti", "shapley-taylor", "shapley-taylor-interaction", "shapley-taylor-interaction-index"),
        _shapley_taylor,
        scores_empty=True,
    ),
    Index(
        "FBII",
        ("faith-banzhaf", "faith-banzhaf-interaction", "faith-banzhaf-interaction-index"),
        _faith_banzhaf,
        scores_empty=True,
    ),
    Index(
        "FSII",
        (
            "faith-shap",
            "faith-shapley",
            "faith-shapley-interaction",
            "faith-shapley-interaction-index",
        ),
        _faith_shapley,
        scores_empty=True,
    ),
)

_BY_NAME = {name: entry for entry in INDICES for name in (entry.name.lower(), *entry.aliases)}


def _lookup(name: str) -> Index:
    if not isinstance(name, str):
        raise InputError(f"index must be the name of an index, got {name!r}.")
    key = "-".join(name.casefold().replace("_", " ").replace("-", " ").split())
    key = key.replace("faithful-", "faith-")
    if key in _BY_NAME:
        return _BY_NAME[key]
    near = get_close_matches(key, _BY_NAME, n=1, cutoff=0.5)
    hint = f" Did you mean {_BY_NAME[near[0]].name}?" if near else ""
    names = ", ".join(entry.name for entry in INDICES)
    raise InputError(f"unknown index {name!r}; there are {names}.{hint}")
