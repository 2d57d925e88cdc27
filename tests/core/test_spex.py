"""SPEX through sparse-transform."""

from __future__ import annotations

import logging
import sys

import numpy as np
import pytest

from proxyspex_hf.core import Cached, FourierSpectrum, FunctionOfMasks, Progress
from proxyspex_hf.core.baselines.spex import spex, spex_budget
from proxyspex_hf.core.baselines.synthetic import peak
from proxyspex_hf.errors import InputError


def function_of(spectrum: FourierSpectrum) -> FunctionOfMasks:
    return FunctionOfMasks(spectrum.evaluate, spectrum.n_features)


def test_without_the_package_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(sys.modules):
        if name.split(".")[0] == "sparse_transform":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sparse_transform", None)
    with pytest.raises(InputError, match="pip install sparse-transform"):
        spex(function_of(peak(32)), b=3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "give budget or b, and one only"),
        ({"budget": 500, "b": 3}, "give budget or b, and one only"),
        ({"b": 0}, "b and t of at least 1"),
        ({"b": 3, "t": 0}, "b and t of at least 1"),
    ],
)
def test_bad_sampling_settings_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        spex(function_of(peak(32)), **arguments)


def test_a_peak_function_is_recovered_to_the_last_set() -> None:
    truth = peak(32, n_sets=6, order=3, seed=2)
    seen: list[Progress] = []
    known = Cached(function_of(truth))
    found = spex(known, budget=600, t=3, seed=1, progress=seen.append)
    assert found.fit.method == "spex"
    assert len(found.masks) == len(found.values) == known.calls <= spex_budget(32, found.b, t=3)
    assert spex_budget(32, found.b, t=3) <= 600 < spex_budget(32, found.b + 1, t=3)
    np.testing.assert_allclose(truth.evaluate(found.masks), found.values)
    coefficients = found.spectrum.to_dict()
    for members, value in truth.to_dict().items():
        assert coefficients[members] == pytest.approx(value, abs=0.02)
    assert found.fit.cv is not None
    assert len(found.fit.cv.entries) == 100
    assert {p.phase for p in seen} == {"model calls", "decoding"}
    again = spex(function_of(truth), b=found.b, t=3, seed=1)
    assert again.spectrum == found.spectrum
    limited = spex(known, b=found.b, t=3, max_order=1, n_coefficients=4, seed=1)
    assert limited.spectrum.orders.max() <= 1
    assert len(limited.spectrum) <= 5


def test_units_do_not_matter_and_nothing_global_is_left_behind() -> None:
    truth = peak(24, n_sets=4, order=2, seed=0)
    before = np.random.get_state()  # noqa: NPY002  (the package's, which must come to no harm)
    handlers = list(logging.getLogger().handlers)
    plain = spex(function_of(truth), b=3, t=2).spectrum
    tiny = spex(FunctionOfMasks(lambda m: truth.evaluate(m) * 2.0**-500, 24), b=3, t=2).spectrum
    np.testing.assert_array_equal(tiny.support, plain.support)
    np.testing.assert_allclose(tiny.coefficients * 2.0**500, plain.coefficients, rtol=1e-9)
    constant = spex(FunctionOfMasks(lambda m: np.full(len(m), 7.5), 24), b=2, t=2)
    assert constant.spectrum.to_dict() == {(): 7.5}
    after = np.random.get_state()  # noqa: NPY002
    np.testing.assert_array_equal(after[1], before[1])
    assert after[2:] == before[2:]
    assert logging.getLogger().handlers == handlers


@pytest.mark.parametrize(
    ("n", "arguments", "message"),
    [
        (32, {"budget": 10}, "budget=10 is too small for SPEX"),
        (6, {"b": 5}, "which have 64 subsets"),
        (32, {"b": 3, "max_order": 0}, "max_order must be at least 1"),
        (32, {"b": 3, "decoding": "magic"}, "decoding must be"),
    ],
)
def test_bad_settings_are_refused(n: int, arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        spex(function_of(peak(n, order=2)), **arguments)
