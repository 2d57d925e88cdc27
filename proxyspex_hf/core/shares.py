"""What an index averages: the derivative Δ_T of f, over contexts that keep a share p of the rest.

Let E_p[Δ_T f] be the mean of Δ_T f(S) = Σ_{L⊆T} (-1)^|T∖L| f(S ∪ L) over contexts S that keep each
feature outside T with probability p. Every linear index is a signed mixture of these over p:

============================ ======================================================
effect at the input          p = 1
Möbius                       p = 0
Banzhaf                      p = 1/2
Shapley (values and sets)    p uniform on [0, 1]
Shapley-Taylor, |T| = ℓ      density ℓ (1 - p)^(ℓ-1)
Faith-Shapley, |T| = ℓ       a Beta(ℓ, ℓ) density; below ℓ, a polynomial (see there)
Faith-Banzhaf, |T| < ℓ       the value and derivatives at p = 1/2
============================ ======================================================

A function that is a product over features has E_p in closed form, and polynomials in p of degree n
are integrated exactly by n/2 + 1 Gauss-Legendre nodes: so a Gaussian process with a product kernel
has the posterior of every index (:mod:`.posterior`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np

from proxyspex_hf.checks import FloatArray, IntArray
from proxyspex_hf.core.spectrum import FourierSpectrum

#: Nodes at most: with more features than twice this the integral is no longer exact to rounding.
_MOST_NODES = 128
#: Step of the differences at p = 1/2; their error is of its square.
_STEP = 1e-3
#: Cells held at once of which sets are subsets of which.
_CHUNK = 2**22


@dataclass(frozen=True)
class Shares:
    """A signed measure over the share kept: Σ_q weights[q] E_{nodes[q]}[Δ_T f]."""

    nodes: FloatArray
    weights: FloatArray


def at_share(p: float, weight: float = 1.0) -> Shares:
    """All of it at one share."""
    return Shares(np.array([p]), np.array([weight]))


def shares_of(index: str, size: int, order: int, n_features: int) -> Shares | None:
    """The measure of an index for sets of ``size`` >= 1 features; None where there is none.

    Args:
        index: its canonical name, as :data:`proxyspex_hf.core.indices.INDICES` has it.
        order: the order asked for, which STII, FBII and FSII depend on.
    """
    if index in ("Banzhaf", "BII"):
        return at_share(0.5)
    if index in ("Shapley", "SII"):
        return _density(np.ones_like, 0, n_features)
    whole = index in ("FSII", "FBII") and order >= n_features  # nothing is left to approximate
    if index == "Moebius" or whole or (index == "STII" and size < order):
        return at_share(0.0)
    if index == "Effect":
        return at_share(1.0)
    if index == "OR":
        return at_share(1.0, 1.0 if size % 2 else -1.0)
    if index == "STII":
        return _density(lambda p: order * (1.0 - p) ** (order - 1), order - 1, n_features)
    if index == "FSII" and size <= order:
        return _density(
            lambda p: _faith_shapley(size, order, tuple(p.tolist())), size + order - 2, n_features
        )
    if index == "FBII" and size <= order:
        return _low_degrees(order - size)
    return None


def mixed_derivatives(spectrum: FourierSpectrum, support: IntArray, shares: Shares) -> FloatArray:
    """Σ_q w_q E_{p_q}[Δ_T f] of sets T of one size, rows of ``support`` (g, t): (g,).

    Δ_T chi_S is (-2)^|T| chi_{S∖T} where T ⊆ S and 0 elsewhere, and E_p[chi_i] = 1 - 2p.
    """
    size = support.shape[1]
    larger = spectrum.orders >= size
    rest = spectrum.orders[larger] - size
    powers = np.power(1.0 - 2.0 * shares.nodes[:, None], np.arange(spectrum.n_features + 1))
    scaled = (-2.0) ** size * (shares.weights @ powers)[rest] * spectrum.coefficients[larger]
    return superset_sums(spectrum.support[larger], scaled, spectrum.n_features, support)


def superset_sums(
    support: IntArray, terms: FloatArray, n_features: int, sets: IntArray
) -> FloatArray:
    """Sums of ``terms``, (k,) or (k, c), of the rows of ``support`` that hold each set.

    Args:
        support: (k, max_order), padded with -1.
        sets: (g, t), all of one size.
    """
    member = np.zeros((n_features + 1, len(support)), dtype=np.bool_)
    for column in support.T:
        member[column, np.arange(len(support))] = True
    out = np.empty((len(sets), *terms.shape[1:]))
    step = max(1, _CHUNK // max(1, len(support)))
    for start in range(0, len(sets), step):
        rows = sets[start : start + step]
        inside = np.ones((len(rows), len(support)), dtype=np.bool_)
        for column in rows.T:
            inside &= member[column]
        out[start : start + step] = inside @ terms
    return out


def _density(values: Callable[[FloatArray], FloatArray], degree: int, n_features: int) -> Shares:
    """A polynomial of ``degree`` in p on [0, 1], by its values (q,) at given shares (q,)."""
    nodes, weights = _legendre(min(_MOST_NODES, (n_features + degree + 1) // 2 + 1))
    return Shares(nodes, weights * values(nodes))


@lru_cache(maxsize=64)
def _legendre(count: int) -> tuple[FloatArray, FloatArray]:
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return (nodes + 1.0) / 2.0, weights / 2.0


@lru_cache(maxsize=256)
def _faith_shapley(size: int, order: int, nodes: tuple[float, ...]) -> FloatArray:
    """Values of the density whose moments are what Faith-Shapley gives to Möbius coefficients.

    Möbius(S) enters I(T) with φ(s) = 1 at s = t, 0 from t + 1 to ℓ, and beyond ℓ the factor of
    Tsai et al. (2023), equation 16. As a function of s its partial fractions are
    Σ_j c_j / (s + j) for j < ℓ, and 1 / (s + j) is the integral of p^(s-t) · p^(t+j-1). The signs
    of c_j alternate, and from order 20 on their sum has no digit right in float64: so in integers.
    """
    scale = size * math.comb(order, size) * math.factorial(order + size - 1)
    front = Fraction(scale, math.factorial(order) * math.factorial(order - 1))
    powers = [
        (-1) ** j * math.comb(order - 1, j) * math.perm(order + j, order - size)
        for j in range(order)
    ]
    out = np.empty(len(nodes))
    for row, node in enumerate(nodes):
        top, bottom = node.as_integer_ratio()
        total, under = 0, 1
        for power in reversed(powers):
            total, under = total * top + power * under, under * bottom
        out[row] = front * Fraction(total, under // bottom) * Fraction(node) ** (size - 1)
    out.flags.writeable = False
    return out


def _low_degrees(degree: int) -> Shares | None:
    """Coefficients 0 to ``degree`` of E_p[Δ_T f], a polynomial in z = 1 - 2p, summed.

    Uniform least squares of order ℓ keeps F(S) for |S| <= ℓ, and the coefficient of z^r gathers
    the F(S) with |S| = |T| + r. Central differences take them.
    """
    if degree == 0:
        return at_share(0.5)
    h = _STEP
    if degree == 1:
        steps, weights = (0.0, -h, h), (1.0, -0.5 / h, 0.5 / h)
    elif degree == 2:
        second = 0.5 / (h * h)
        steps, weights = (0.0, -h, h), (1.0 - 2 * second, second - 0.5 / h, second + 0.5 / h)
    else:
        return None
    z = np.array(steps)
    return Shares((1.0 - z) / 2.0, np.array(weights))
