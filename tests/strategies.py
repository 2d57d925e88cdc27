"""Hypothesis strategies that the tests share."""

from __future__ import annotations

from hypothesis import strategies as st

from proxyspex_hf.core.spectrum import FourierSpectrum

__all__ = ["spectra"]


@st.composite
def spectra(
    draw: st.DrawFn,
    *,
    min_features: int = 1,
    max_features: int = 6,
    max_order: int | None = None,
    max_coefficients: int = 20,
    ties: bool = True,
) -> FourierSpectrum:
    """A random spectrum; with ``ties`` some have small integer coefficients, so values repeat."""
    n = draw(st.integers(min_features, max_features))
    largest = min(n, n if max_order is None else max_order)
    sets = st.frozensets(st.integers(0, n - 1), max_size=largest).map(lambda s: tuple(sorted(s)))
    # Rounded: no coefficient is so small that sums with another lose it.
    values = st.floats(-10, 10).map(lambda value: round(value, 3))
    if ties and draw(st.booleans()):
        values = st.integers(-2, 2).map(float)
    coefficients = draw(st.dictionaries(sets, values, max_size=max_coefficients))
    return FourierSpectrum.from_dict(coefficients, n)
