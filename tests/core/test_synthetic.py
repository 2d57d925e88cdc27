from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from proxyspex_hf.core import FourierSpectrum, all_masks
from proxyspex_hf.core.baselines.synthetic import SYNTHETIC, complete_hierarchy, peak, staircase
from proxyspex_hf.core.hierarchy import hierarchy_rates
from proxyspex_hf.errors import InputError


def test_peak_is_ten_sets_of_five_and_nothing_else() -> None:
    function = peak(64, seed=4)
    coefficients = function.to_dict()
    assert coefficients.pop(()) == 0.0
    assert [len(members) for members in coefficients] == [5] * 10
    assert all(-1 < value < 1 for value in coefficients.values())
    assert len(set(coefficients.values())) == 10


def test_complete_hierarchy_holds_every_subset_of_the_peaks_sets() -> None:
    tops = set(peak(64, seed=4).to_dict()) - {()}
    coefficients = complete_hierarchy(64, seed=4).to_dict()
    below = {r for top in tops for size in range(6) for r in combinations(top, size)}
    assert set(coefficients) == below
    assert coefficients[()] != 0.0
    values = np.array(list(coefficients.values()))
    assert np.abs(values).max() < 1
    # Uniform(-1, 1): mean 0 and variance 1/3, within four standard errors of about 300 draws.
    assert abs(values.mean()) < 4 * np.sqrt(1 / 3 / len(values))
    assert abs(values.var() - 1 / 3) < 4 * np.sqrt(4 / 45 / len(values))


def test_staircase_climbs_one_feature_at_a_time() -> None:
    function = staircase(64, n_sets=3, order=4, seed=1)
    tops = set(peak(64, n_sets=3, order=4, seed=1).to_dict()) - {()}
    sets = set(function.to_dict()) - {()}
    assert {s for s in sets if len(s) == 4} == tops
    for top in tops:
        for size in (3, 2, 1):
            assert any(len(s) == size and set(s) <= set(top) for s in sets)
    assert len(sets) <= 3 * 4


def test_the_three_differ_in_hierarchy_as_they_should() -> None:
    def rates(function: FourierSpectrum) -> tuple[float, float, float]:
        found = hierarchy_rates(function, [len(function)])
        return float(found.dsr[0]), float(found.scr[0]), float(found.shr[0])

    assert rates(complete_hierarchy(30, seed=0)) == (1.0, 1.0, 1.0)
    dsr, scr, shr = rates(staircase(30, n_sets=4, seed=0))
    assert scr == 1.0 > max(dsr, shr)
    assert max(rates(peak(30, seed=0))) < 0.2


@pytest.mark.parametrize("name", SYNTHETIC)
def test_the_seed_decides_everything(name: str) -> None:
    make = SYNTHETIC[name]
    assert make(40, seed=3) == make(40, seed=3)
    assert make(40, seed=3) != make(40, seed=4)


@pytest.mark.parametrize("name", SYNTHETIC)
def test_small_functions_are_possible(name: str) -> None:
    function = SYNTHETIC[name](5, n_sets=1, order=5, seed=0)
    assert tuple(range(5)) in function.to_dict()
    every = SYNTHETIC[name](4, n_sets=6, order=2, seed=0)
    assert {s for s in every.to_dict() if len(s) == 2} == set(combinations(range(4), 2))
    assert np.isfinite(every.evaluate(all_masks(4))).all()
    assert SYNTHETIC[name](1, n_sets=1, order=1).n_features == 1


def test_the_values_of_a_peak_are_signed_sums() -> None:
    function = peak(7, n_sets=2, order=3, seed=5)
    (_, _), (a, x), (b, y) = function.to_dict().items()
    for mask, value in zip(all_masks(7), function.evaluate_all(), strict=True):
        by_hand = x * (-1) ** mask[list(a)].sum() + y * (-1) ** mask[list(b)].sum()
        assert value == pytest.approx(by_hand)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_features": 4}, "order must lie between 1 and 4"),
        ({"n_features": 9, "order": 0}, "order must lie between 1 and 9"),
        ({"n_features": 5}, "n_sets must lie between 1 and 1,"),
        ({"n_features": 9, "n_sets": 0}, "n_sets must lie between 1 and 126"),
        ({"n_features": 64, "seed": -1}, "seed must not be negative"),
    ],
)
@pytest.mark.parametrize("name", SYNTHETIC)
def test_impossible_functions_are_refused(name: str, arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        SYNTHETIC[name](**arguments)
