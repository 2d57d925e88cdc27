from __future__ import annotations

import tracemalloc
from itertools import chain, combinations

import numpy as np
import pytest
from hypothesis import given
from strategies import spectra

from proxyspex_hf.core.indices import interactions
from proxyspex_hf.core.masks import all_masks
from proxyspex_hf.core.moebius import downward_sums, evaluate_moebius, fourier, moebius
from proxyspex_hf.core.spectrum import FourierSpectrum
from proxyspex_hf.errors import InputError


def subsets(members: tuple[int, ...]) -> chain[tuple[int, ...]]:
    return chain.from_iterable(combinations(members, k) for k in range(len(members) + 1))


@given(spectra(max_features=7))
def test_evaluation_is_the_function(spectrum: FourierSpectrum) -> None:
    masks = all_masks(spectrum.n_features)
    form = moebius(spectrum)
    assert np.abs(evaluate_moebius(form, masks) - spectrum.evaluate(masks)).max() < 1e-9
    closure = {subset for members in spectrum.sets for subset in subsets(members)}
    assert set(form.sets) == closure


@given(spectra(max_features=7))
def test_there_and_back(spectrum: FourierSpectrum) -> None:
    back = fourier(moebius(spectrum)).to_dict()
    there = spectrum.to_dict()
    assert set(there) - {()} - {key for key, value in there.items() if value == 0} <= set(back)
    assert all(abs(value - there.get(key, 0.0)) < 1e-9 for key, value in back.items())
    pruned = fourier(moebius(spectrum), atol=1e-9).to_dict()
    assert set(pruned) == {(), *(key for key, value in there.items() if abs(value) > 1e-9)}


def test_and_of_two_features() -> None:
    # f = 1 when both are kept: F(T) = (-1)^|T| / 4, one Möbius coefficient.
    spectrum = FourierSpectrum.from_dict({(): 0.25, (0,): -0.25, (2,): -0.25, (0, 2): 0.25}, 3)
    assert moebius(spectrum).to_dict() == {(): 0.0, (0,): 0.0, (2,): 0.0, (0, 2): 1.0}
    assert fourier(moebius(spectrum)) == spectrum


def test_order_leaves_out_larger_sets() -> None:
    spectrum = FourierSpectrum.from_dict({(0, 1, 2): 1.0}, 3)
    form = moebius(spectrum, order=1)
    assert form.to_dict() == {(): 1.0, (0,): -2.0, (1,): -2.0, (2,): -2.0}
    assert form.order == 1
    with pytest.raises(InputError, match="order must not be negative"):
        moebius(spectrum, order=-1)


def test_sets_too_wide_for_one_key_are_merged() -> None:
    # 1,000 features take 10 bits, so 6 members fill a key of 63 bits: order 8 needs two.
    a, b = tuple(range(100, 900, 100)), (*range(100, 800, 100), 999)
    form = moebius(FourierSpectrum.from_dict({a: 1.0, b: 2.0}, 1000))
    values = form.to_dict()
    assert len(form) == 2 * 2**8 - 2**7
    assert values[a] == (-2.0) ** 8
    assert values[a[:7]] == 3.0 * (-2.0) ** 7
    assert form.sets == sorted(values, key=lambda members: (len(members), members))


def test_memory_does_not_grow_with_2_to_the_n() -> None:
    spectrum = FourierSpectrum.from_dict({(i, i + 1, i + 2): 1.0 for i in range(900)}, 1000)
    tracemalloc.start()
    form = moebius(spectrum)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(form) == 1 + 902 + 901 + 900 + 900
    assert peak < 4 * 2**20


def test_a_closure_beyond_the_limit_names_what_to_change() -> None:
    spectrum = FourierSpectrum.from_dict({tuple(range(21)): 1.0}, 40)
    with pytest.raises(InputError, match=r"largest set has 21 features.*pass a lower order"):
        moebius(spectrum)
    assert len(moebius(spectrum, order=2)) == 1 + 21 + 210
    assert len(moebius(FourierSpectrum.from_dict({tuple(range(12)): 1.0}, 12), limit=4097)) == 4096


def test_only_forms_over_subsets_are_evaluated() -> None:
    spectrum = FourierSpectrum.from_dict({(0, 1): 1.0}, 2)
    scores = interactions(spectrum, "SII")
    with pytest.raises(InputError, match="got SII"):
        evaluate_moebius(scores, all_masks(2))
    with pytest.raises(InputError, match="got SII"):
        fourier(scores)


def test_sums_skip_pairs_of_weight_zero() -> None:
    spectrum = FourierSpectrum.from_dict({(0, 1): 1.0, (1, 2): 2.0, (3,): 5.0}, 4)
    support, values = downward_sums(
        spectrum.support, spectrum.coefficients, 4, lambda s, t: float(s - t == 1), [0, 1]
    )
    assert support.tolist() == [[-1], [0], [1], [2]]
    assert values.tolist() == [5.0, 1.0, 3.0, 2.0]
    nothing, none = downward_sums(spectrum.support, spectrum.coefficients, 4, lambda *_: 0.0, [1])
    assert (nothing.shape, none.shape) == ((0, 0), (0,))
