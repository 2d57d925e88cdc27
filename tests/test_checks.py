"""What arguments may be, and the messages where they may not."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyspex_hf import checks
from proxyspex_hf.core import FourierSpectrum, ProxySPEX, sample_masks
from proxyspex_hf.errors import InputError

BITS = [[True, False, True], [False, False, True]]


@pytest.mark.parametrize(
    "given",
    [
        BITS,
        np.array(BITS),
        np.array(BITS, np.int8),
        np.asfortranarray(BITS),
        np.array(BITS, object),
        np.array(BITS, np.float32),
        pd.DataFrame(BITS),
        pd.DataFrame(BITS).astype("boolean"),
        pd.DataFrame(BITS).astype("Int64"),
        (row for row in BITS),
        np.ma.array(BITS),
    ],
    ids=lambda value: type(value).__name__,
)
def test_masks_from_anything_are_the_same_array(given: Any) -> None:
    found = checks.as_masks(given, 3)
    assert found.tolist() == BITS
    assert found.dtype == np.bool_
    assert found.flags.c_contiguous


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([[0, 2]], "must hold booleans"),
        ([["a", "b"]], "must hold booleans"),
        (pd.DataFrame({"a": ["x"], "b": [1]}), "must hold numbers, got 'x' among them"),
        (pd.DataFrame({"a": [True, None]}).astype("boolean"), "must hold numbers"),
        (np.ma.array([[1, 0]], mask=[[0, 1]]), "hides 1 entries"),
        (np.array([[1j, 0]]), "must hold booleans"),
        (3, r"must have shape \(m, n\)"),
        (None, "must be an array or a list, got None"),
        ([[1, 0], [1]], "is not an array"),
        ([[1, 0]], "must have 3 columns, got 2"),
    ],
)
def test_masks_that_cannot_be_meant(given: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        checks.as_masks(given, 3 if message.startswith("must have 3") else None)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([1.0, 2j], "real numbers, got complex128"),
        (["1", "2"], "real numbers, got <U1"),
        (np.ma.array([1.0, 2.0], mask=[0, 1]), "masked array that hides 1 entries"),
        ([10**400, 1], "beyond the range"),
        ("12", "real numbers"),
        ({1, 2}, "must be an array or a list"),
    ],
)
def test_numbers_that_are_none(given: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        checks.as_numbers("values", given)


def test_numbers_from_anything() -> None:
    for one in ([1, 2.5], (x for x in (1, 2.5)), pd.Series([1, 2.5]), [Fraction(1), 2.5]):
        assert checks.as_numbers("values", one).tolist() == [1.0, 2.5]


@pytest.mark.parametrize(
    "given",
    [
        ["cat", "dog"],
        pd.Series(["cat", "dog"]),
        pd.Series(["cat", "dog"], dtype="string"),
        pd.Categorical(["cat", "dog"]),
        np.array(["cat", "dog"], object),
        pd.Index(["cat", "dog"]),
        (word for word in ("cat", "dog")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_labels_from_anything(given: Any) -> None:
    found = checks.as_labels("labels", given, 2)
    assert found.tolist() == ["cat", "dog"]
    assert found.dtype.kind == "U"


@pytest.mark.parametrize("given", [["cat", 1], ["cat", None], [1.5, 2.0], [["a"], ["b"]], ["a"]])
def test_labels_that_are_none(given: Any) -> None:
    with pytest.raises(InputError, match=r"labels must be \(2,\) integers or strings"):
        checks.as_labels("labels", given, 2)


@given(st.lists(st.integers(0, 9)))
def test_indices_are_gone_through_once(members: list[int]) -> None:
    wanted = tuple(sorted(set(members)))
    assert checks.as_indices("features", iter(members), 10) == wanted
    assert checks.as_indices("features", np.array(members, np.int64), 10) == wanted
    assert checks.as_indices("features", dict.fromkeys(members).keys(), 10) == wanted


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: checks.as_integer("k", np.True_, 0), r"k must be an integer, got (np\.)?True"),
        (lambda: checks.as_integer("k", 2.0, 0), r"k must be an integer, got 2\.0"),
        (lambda: checks.as_integer("k", -1, 0), "k must be at least 0, got -1"),
        (lambda: checks.as_integer("k", 10**5000, 0, 9), "got an integer of 16,610 bits"),
        (lambda: checks.as_integer("k", "x" * 10**6, 0), r"got '(x{79,81})…\.$"),
        (lambda: checks.as_indices("f", [0, 3], 3), "each of f must lie between 0 and 2, got 3"),
        (lambda: checks.as_indices("f", "01", 3), "f must be a list of integers, got '01'"),
        (lambda: checks.as_indices("f", 1, 3), "f must be a list of integers, got 1"),
        (lambda: checks.as_indices("f", np.eye(2), 3), r"got ndarray of shape \(2, 2\)"),
        (lambda: checks.as_indices("f", [True, False], 3), r"np\.flatnonzero\(mask\)"),
        (lambda: checks.as_fraction("d", 1), "d must lie strictly between 0 and 1, got 1"),
        (lambda: checks.as_positive("alpha", float("nan")), "alpha must be a positive number"),
        (lambda: checks.one_of("way", 1, (True, False)), "way must be one of True, False, got 1"),
    ],
)
def test_messages_say_what_came_and_what_was_expected(call: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


def test_a_fit_does_not_depend_on_the_layout_of_its_input() -> None:
    truth = FourierSpectrum.from_dict({(): 3.0, (0,): 1.0, (1, 2): -2.0, (3, 4, 5): 0.5}, 10)
    masks = sample_masks(10, 120, seed=0)
    values = truth.evaluate(masks)
    first = ProxySPEX(seed=0).fit(masks, values)
    for other in (np.asfortranarray(masks), pd.DataFrame(masks), masks.astype(float)):
        again = ProxySPEX(seed=0).fit(other, pd.Series(values))
        assert again.spectrum == first.spectrum
        assert again.doubt == first.doubt
