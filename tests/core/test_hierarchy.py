from __future__ import annotations

from itertools import chain, combinations, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from strategies import spectra

from proxyspex_hf.core.hierarchy import (
    energy_by_order,
    hierarchy_rates,
    relative_faithfulness,
)
from proxyspex_hf.core.masks import all_masks
from proxyspex_hf.core.spectrum import FourierSpectrum
from proxyspex_hf.errors import InputError


def test_the_example_of_the_paper() -> None:
    # {∅, {1}, {2}, {1, 3}}: (1 + 1 + 1 + 1/2) / 4. {1, 3} is reached over {1}, but lacks {3}.
    spectrum = FourierSpectrum.from_dict({(): 4.0, (1,): 3.0, (2,): 2.0, (1, 3): 1.0}, 4)
    rates = hierarchy_rates(spectrum, [4])
    assert (rates.dsr[0], rates.scr[0], rates.shr[0]) == (7 / 8, 1.0, 3 / 4)


def test_a_set_without_a_staircase() -> None:
    spectrum = FourierSpectrum.from_dict({(0, 1, 2): 3.0, (0, 1): 2.0, (2,): 1.0}, 3)
    rates = hierarchy_rates(spectrum, [1, 2, 3, 4, 100])
    assert rates.ks.tolist() == [1, 2, 3, 4, 100]
    # F_2 adds {0,1,2}, F_3 adds {0,1}, F_4 adds {2}.
    assert rates.dsr.tolist() == pytest.approx(
        [1, 1 / 2, (1 + 1 / 3) / 3, (1 + 1 / 3 + 0 + 1) / 4, (1 + 1 / 3 + 0 + 1) / 4]
    )
    assert rates.scr.tolist() == pytest.approx([1, 1 / 2, 1 / 3, 2 / 4, 2 / 4])
    assert rates.shr.tolist() == pytest.approx([1, 1 / 2, 1 / 3, 2 / 4, 2 / 4])


@settings(max_examples=60, deadline=None)
@given(spectra(max_features=5))
def test_rates_against_their_definitions(spectrum: FourierSpectrum) -> None:
    ks = [1, 2, 3, 5, 8, 50]
    rates = hierarchy_rates(spectrum, ks)
    for at, k in enumerate(ks):
        top = set(spectrum.top(k - 1).sets)
        dsr, scr, shr = [], [], []
        for s in top:
            hits = [tuple(sorted(set(s) - {i})) in top for i in s]
            dsr.append(float(np.mean(hits)) if s else 1.0)
            prefixes = (
                all(tuple(sorted(p[:j])) in top for j in range(len(s) + 1)) for p in permutations(s)
            )
            scr.append(any(prefixes))
            below = chain.from_iterable(combinations(s, j) for j in range(len(s) + 1))
            shr.append(all(subset in top for subset in below))
        assert rates.dsr[at] == pytest.approx(np.mean(dsr), abs=1e-12)
        assert rates.scr[at] == pytest.approx(np.mean(scr), abs=1e-12)
        assert rates.shr[at] == pytest.approx(np.mean(shr), abs=1e-12)


def test_k_must_leave_room_for_the_empty_set() -> None:
    with pytest.raises(InputError, match="at least 1"):
        hierarchy_rates(FourierSpectrum.from_dict({}, 2), [0])


@given(spectra())
def test_energy_sums_to_the_variance(spectrum: FourierSpectrum) -> None:
    by_order = energy_by_order(spectrum)
    variance = float(np.var(spectrum.evaluate_all()))
    assert by_order.energy.sum() == pytest.approx(spectrum.energy, abs=1e-9)
    assert by_order.energy.sum() == pytest.approx(variance, abs=1e-9)
    assert by_order.counts.sum() == len(spectrum) - 1
    assert by_order.share.sum() == pytest.approx(1.0 if spectrum.energy else 0.0)


def test_energy_of_each_order() -> None:
    spectrum = FourierSpectrum.from_dict({(): 9.0, (0,): 1.0, (1,): 2.0, (0, 1, 2): 5.0}, 3)
    by_order = energy_by_order(spectrum)
    assert by_order.orders.tolist() == [1, 2, 3]
    assert by_order.counts.tolist() == [2, 0, 1]
    assert by_order.energy.tolist() == [5.0, 0.0, 25.0]
    assert by_order.share.tolist() == pytest.approx([1 / 6, 0, 5 / 6])
    assert energy_by_order(FourierSpectrum.from_dict({}, 2)).energy.shape == (0,)
    # Shares have no unit, not where squares underflow or overflow either.
    for unit in (2.0**-600, 2.0**600):
        coefficients = {s: unit * c for s, c in spectrum.to_dict().items()}
        scaled = energy_by_order(FourierSpectrum.from_dict(coefficients, 3))
        assert scaled.share.tolist() == by_order.share.tolist()


@settings(max_examples=40, deadline=None)
@given(spectra(min_features=2, max_features=5, ties=False))
def test_truncations_are_those_of_top(spectrum: FourierSpectrum) -> None:
    masks = all_masks(spectrum.n_features)
    values = spectrum.evaluate(masks) + np.cos(np.arange(len(masks)))
    ks = [5, 0, 2, 100, 2]
    curve = relative_faithfulness(spectrum, masks, values, ks)
    error = [values - spectrum.top(k).evaluate(masks) for k in ks]
    r2 = [1 - e @ e / (len(values) * np.var(values)) for e in error]
    assert curve.ks.tolist() == ks
    assert curve.r2 == pytest.approx(r2, rel=1e-7, abs=1e-9)
    assert curve.full == curve.r2[3]
    if curve.full > 0:
        assert curve.relative == pytest.approx(curve.r2 / curve.full)
    else:
        assert np.isnan(curve.relative).all()


def test_uniform_masks_give_the_share_of_energy() -> None:
    spectrum = FourierSpectrum.from_dict({(0,): 2.0, (1, 2): 1.0, (0, 3): 1.0}, 4)
    masks = all_masks(4)
    curve = relative_faithfulness(spectrum, masks, spectrum.evaluate(masks), [0, 1, 2, 3])
    assert curve.relative.tolist() == pytest.approx([0, 4 / 6, 5 / 6, 1])
    constant = relative_faithfulness(spectrum, masks, np.ones(16), [1])
    assert np.isnan([constant.full, *constant.r2, *constant.relative]).all()


def test_shapes_are_checked() -> None:
    spectrum = FourierSpectrum.from_dict({(0,): 2.0}, 2)
    with pytest.raises(InputError, match=r"values must have shape \(4,\)"):
        relative_faithfulness(spectrum, all_masks(2), [1.0], [1])
    with pytest.raises(InputError, match="at least 0"):
        relative_faithfulness(spectrum, all_masks(2), np.ones(4), [-1])
