from __future__ import annotations

import json
import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from strategies import spectra

from proxyspex_hf.core.indices import interactions
from proxyspex_hf.core.interactions import Interactions
from proxyspex_hf.core.spectrum import FourierSpectrum
from proxyspex_hf.errors import InputError, SchemaError

SCORES = {(): 0.5, (0,): 1.0, (2,): -3.0, (0, 2): 2.0, (1, 3): -2.0, (0, 1, 2): 0.25}


@pytest.fixture
def scores() -> Interactions:
    return Interactions.from_dict(SCORES, index="Moebius", n_features=5)


def test_rows_are_in_canonical_order_whatever_the_keys(scores: Interactions) -> None:
    backwards = {tuple(reversed(key)): value for key, value in reversed(SCORES.items())}
    assert Interactions.from_dict(backwards, index="Moebius", n_features=5) == scores
    assert scores.sets == [(), (0,), (2,), (0, 2), (1, 3), (0, 1, 2)]
    assert scores.support.tolist()[:4] == [[-1, -1, -1], [0, -1, -1], [2, -1, -1], [0, 2, -1]]
    assert scores.orders.tolist() == [0, 1, 1, 2, 2, 3]
    assert (len(scores), scores.order, scores.baseline) == (6, 3, 0.5)
    assert scores.to_dict() == SCORES


def test_top_ranks_by_magnitude_without_the_baseline(scores: Interactions) -> None:
    # |2.0| and |-2.0| tie: the lexicographically first wins.
    assert scores.top(3) == [((2,), -3.0), ((0, 2), 2.0), ((1, 3), -2.0)]
    assert [members for members, _ in scores.ranked()][3:] == [(0,), (0, 1, 2)]
    assert scores.top(0) == []
    with pytest.raises(InputError, match="k must be at least 0, got -1"):
        scores.top(-1)


def test_filters(scores: Interactions) -> None:
    assert scores.of_order(1, 3).sets == [(0,), (2,), (0, 1, 2)]
    assert scores.containing(0).sets == [(0,), (0, 2), (0, 1, 2)]
    assert scores.containing(2, 0).sets == [(0, 2), (0, 1, 2)]
    assert scores.containing() == scores
    assert scores.positive().sets == [(), (0,), (0, 2), (0, 1, 2)]
    assert scores.negative().to_dict() == {(2,): -3.0, (1, 3): -2.0}
    assert scores.negative().support.shape == (2, 2)
    empty = scores.of_order(7)
    assert (len(empty), empty.support.shape, empty.top(3)) == (0, (0, 0), [])
    with pytest.raises(InputError, match="between 0 and 4, got 5"):
        scores.containing(5)


def test_dense_views(scores: Interactions) -> None:
    assert scores.first_order().tolist() == [1.0, 0.0, -3.0, 0.0, 0.0]
    pairs = scores.to_dense(2)
    assert np.array_equal(pairs, pairs.T)
    assert (pairs[0, 2], pairs[3, 1], np.abs(pairs).sum()) == (2.0, -2.0, 8.0)
    assert scores.to_dense(3)[2, 0, 1] == 0.25
    assert np.count_nonzero(scores.to_dense(3)) == 6
    assert not scores.to_dense(4).any()
    with pytest.raises(InputError, match="order must be at least 1"):
        scores.to_dense(0)


def test_arrays_are_read_only_and_copied() -> None:
    values = np.array([1.0])
    scores = Interactions("SII", 1, 2, np.array([[1]], np.int32), values)
    values[0] = 2.0
    assert scores.to_dict() == {(1,): 1.0}
    with pytest.raises(ValueError, match="read-only"):
        scores.values[0] = 3.0


@pytest.mark.parametrize(
    ("support", "values", "message"),
    [
        ([[0, 0]], [1.0], "ascend without repeats"),
        ([[1, 0]], [1.0], "ascend without repeats"),
        ([[-1, 0]], [1.0], "-1 only at its end"),
        ([[0, 1], [0, -1]], [1.0, 1.0], "ascend by size"),
        ([[1, 2], [0, 2]], [1.0, 1.0], "ascend by size"),
        ([[0, 1], [0, 1]], [1.0, 1.0], "ascend by size"),
        ([[0, 3]], [1.0], "0 to 2"),
        ([[0, 1]], [np.nan], "finite"),
        ([[0, 1]], [1.0, 2.0], "support must be"),
        ([[0, 1, 2]], [1.0], "more than order=2"),
    ],
)
def test_broken_invariants_are_refused(
    support: list[list[int]], values: list[float], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        Interactions("SII", 2, 3, np.array(support, np.int32), np.array(values))


def test_other_invalid_arguments() -> None:
    nothing = np.zeros((0, 0), np.int32), np.zeros(0)
    with pytest.raises(InputError, match="index must be the name"):
        Interactions("", 1, 1, *nothing)
    with pytest.raises(InputError, match="n_features=0"):
        Interactions("SII", 1, 0, *nothing)
    with pytest.raises(InputError, match="repeated within one"):
        Interactions.from_dict({(1, 1): 1.0}, index="SII", n_features=3)
    with pytest.raises(InputError, match="without repeated rows"):
        Interactions.from_dict({(1, 0): 1.0, (0, 1): 2.0}, index="SII", n_features=3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.containing("never"), "each of features must be an integer, got 'never'"),
        (lambda s: s.containing(1.5), "each of features must be an integer, got 1.5"),
        (lambda s: s.containing(-1), "each of features must lie between 0 and"),
        (lambda s: s.interval("never"), "each of features must be an integer, got 'never'"),
        (lambda s: s.of_order("2"), "each of orders must be an integer, got '2'"),
        (lambda s: s.to_dense("2"), "order must be an integer, got '2'"),
        (lambda s: s.to_dense(0), "order must be at least 1, got 0"),
    ],
)
def test_words_are_not_indices(scores: Interactions, call: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call(scores)


def test_orders_may_be_a_list(scores: Interactions) -> None:
    assert scores.of_order([1, 2]) == scores.of_order(1, 2)  # type: ignore[arg-type]


def test_json_round_trip_is_plain_and_exact(scores: Interactions) -> None:
    assert Interactions.from_json(json.loads(json.dumps(scores.to_json()))) == scores
    assert scores.to_json()["sets"][3] == [0, 2]


@given(spectra())
def test_json_round_trip_of_any_spectrum(spectrum: FourierSpectrum) -> None:
    form = interactions(spectrum, "moebius")
    assert Interactions.from_json(json.loads(json.dumps(form.to_json()))) == form


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": [1.0]}, "not interactions"),
        ({"sets": [[0], [0]], "values": [1.0, 2.0]}, "given twice"),
        ({"sets": [[9]], "values": [1.0]}, "0 to 4"),
        ({"sets": 3}, "not interactions"),
        ({"index": None}, "name of an index"),
        ({"order": "x"}, "not interactions"),
    ],
)
def test_damaged_json_is_refused(
    scores: Interactions, change: dict[str, object], message: str
) -> None:
    with pytest.raises(SchemaError, match=message):
        Interactions.from_json(scores.to_json() | change)


def test_json_names_the_missing_key(scores: Interactions) -> None:
    data = scores.to_json()
    del data["n_features"]
    with pytest.raises(SchemaError, match="'n_features' is missing"):
        Interactions.from_json(data)


def test_dataframe(scores: Interactions) -> None:
    frame = scores.to_dataframe(labels=list("abcde"))
    assert list(frame.columns) == ["features", "labels", "order", "value"]
    assert frame["labels"].tolist()[3] == ("a", "c")
    assert frame["features"].tolist() == scores.sets
    assert frame["value"].tolist() == list(SCORES.values())
    assert list(scores.to_dataframe().columns) == ["features", "order", "value"]
    with pytest.raises(InputError, match="must name 5 features, got 1"):
        scores.to_dataframe(["a"])


@pytest.mark.parametrize(("package", "verb"), [("pandas", "to_dataframe"), ("shapiq", "to_shapiq")])
def test_missing_packages_are_named(
    scores: Interactions, monkeypatch: pytest.MonkeyPatch, package: str, verb: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=f"pip install {package}"):
        getattr(scores, verb)()


def test_shapiq_does_not_know_every_index() -> None:
    spectrum = FourierSpectrum.from_dict({(0,): 1.0}, 2)
    with pytest.raises(InputError, match="shapiq has no index Influence"):
        interactions(spectrum, "influence").to_shapiq()


@pytest.mark.parametrize("index", ["Shapley", "Banzhaf", "SII", "BII", "FSII", "STII", "Moebius"])
def test_shapiq_gets_what_the_values_add_to(monkeypatch: pytest.MonkeyPatch, index: str) -> None:
    given: dict[str, Any] = {}
    fake = SimpleNamespace(InteractionValues=lambda **values: given.update(values))
    monkeypatch.setitem(sys.modules, "shapiq", fake)  # the real one: test_shapiq_agreement
    spectrum = FourierSpectrum.from_dict({(): 5.0, (0,): -1.0, (0, 1): 0.5, (2,): 2.0}, 3)
    empty, full = spectrum.evaluate(np.array([[False] * 3, [True] * 3])).tolist()
    found = interactions(spectrum, index)
    found.to_shapiq()
    assert given["baseline_value"] == pytest.approx(empty)
    assert given["estimated"] is True
    replace(found, intervals=np.stack([found.values, found.values], axis=1)).to_shapiq()
    assert given["estimated"] is False
    added = sum(value for members, value in given["values"].items() if members)
    if index not in ("Banzhaf", "SII", "BII"):  # these do not promise it
        assert given["baseline_value"] + added == pytest.approx(full)
    Interactions.from_json(found.to_json()).to_shapiq()
    assert given["baseline_value"] == pytest.approx(empty)
    found.to_shapiq(baseline=1.5)
    assert given["baseline_value"] == 1.5


def test_repr_and_equality(scores: Interactions) -> None:
    assert repr(scores) == (
        "Interactions(Moebius, order=3, n_features=5, 6 sets: "
        "{(2,): -3, (0, 2): +2, (1, 3): -2, …})"
    )
    assert scores != scores.positive()
    assert scores != SCORES
