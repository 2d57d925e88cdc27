from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import spectra

from proxyspex_hf.core.interactions import Interactions
from proxyspex_hf.core.moebius import moebius
from proxyspex_hf.core.spectrum import FourierSpectrum
from proxyspex_hf.errors import InputError
from proxyspex_hf.studies.data.rules import DataInteraction, top_interaction


def moebius_by_definition(spectrum: FourierSpectrum, members: tuple[int, ...]) -> float:
    """Σ over subsets L of (-1)^(|T| - |L|) f(L)."""
    total = 0.0
    for size in range(len(members) + 1):
        for kept in combinations(members, size):
            mask = np.zeros((1, spectrum.n_features), np.bool_)
            mask[0, list(kept)] = True
            total += (-1) ** (len(members) - size) * float(spectrum.evaluate(mask)[0])
    return total


def equation(
    values: dict[tuple[int, ...], float], labels: list[int], test_label: int, kind: str
) -> DataInteraction | None:
    """Equations 12 and 13, word for word; a winner of value 0 is none."""
    target = [s for s in values if all(labels[i] == test_label for i in s)]
    others = [s for s in values if s not in target]
    if kind == "redundant":
        values = {s: -v for s, v in values.items()}
    s_star = max(target, key=lambda s: (values[s], [-i for i in s]), default=None)
    t_star = min(others, key=lambda s: (values[s], list(s)), default=None)
    if s_star is not None and (t_star is None or abs(values[s_star]) >= abs(values[t_star])):
        winner = s_star
    else:
        winner = t_star
    if winner is None or values[winner] == 0:
        return None
    value = -values[winner] if kind == "redundant" else values[winner]
    return DataInteraction(winner, value, winner is s_star)


@settings(deadline=None)
@given(spectra(min_features=2, max_features=6, max_order=4), st.data())
def test_equations_12_and_13_by_brute_force(spectrum: FourierSpectrum, data: st.DataObject) -> None:
    n = spectrum.n_features
    labels = data.draw(st.lists(st.integers(0, 2), min_size=n, max_size=n))
    test_label = data.draw(st.integers(0, 2))
    order = data.draw(st.integers(1, n))
    form = moebius(spectrum, order)
    listed = form.to_dict()
    values = {s: listed.get(s, 0.0) for s in combinations(range(n), order)}
    for members, value in values.items():
        assert value == pytest.approx(moebius_by_definition(spectrum, members), abs=1e-9)
    for kind in ("synergistic", "redundant"):
        expected = equation(values, labels, test_label, kind)
        assert top_interaction(form, labels, test_label, order, kind) == expected  # type: ignore[arg-type]


def form_of(values: dict[tuple[int, ...], float], n: int) -> Interactions:
    return Interactions.from_dict(values, index="Moebius", n_features=n)


def test_the_rule_on_a_case_by_hand() -> None:
    labels = ["cat", "cat", "cat", "dog"]
    form = form_of({(0, 1): 0.5, (0, 2): -0.7, (0, 3): -0.4, (1, 3): 0.6}, 4)
    assert top_interaction(form, labels, "cat", 2, "synergistic") == DataInteraction(
        (0, 1), 0.5, target_class=True
    )
    assert top_interaction(form, labels, "cat", 2, "redundant") == DataInteraction(
        (0, 2), -0.7, target_class=True
    )
    # Seen from a dog, the same sets are all of the other class.
    assert top_interaction(form, labels, "dog", 2, "synergistic") == DataInteraction(
        (0, 2), -0.7, target_class=False
    )
    assert top_interaction(form, labels, "dog", 2, "redundant") == DataInteraction(
        (1, 3), 0.6, target_class=False
    )


def test_ties_go_to_the_target_class_then_to_the_first_set() -> None:
    form = form_of({(0, 1): 0.5, (0, 2): 0.5, (0, 3): -0.5}, 4)
    top = top_interaction(form, [1, 1, 1, 0], 1, 2, "synergistic")
    assert top == DataInteraction((0, 1), 0.5, target_class=True)


def test_nothing_of_the_kind() -> None:
    form = form_of({(0,): 1.0, (0, 1): -0.5}, 3)
    assert top_interaction(form, [1, 1, 1], 1, 2, "synergistic") is None
    assert top_interaction(form, [1, 1, 1], 1, 3, "redundant") is None
    # Where every set of the class has a row, the equation names the least negative one.
    only = form_of({(0, 1): -0.5}, 2)
    assert top_interaction(only, [1, 1], 1, 2, "synergistic") == DataInteraction(
        (0, 1), -0.5, target_class=True
    )


def test_what_cannot_be_ranked() -> None:
    form = form_of({(0, 1): -0.5}, 3)
    with pytest.raises(InputError, match="train_labels must be"):
        top_interaction(form, [1, 1], 1, 2, "redundant")
    with pytest.raises(InputError, match="train_labels must be"):
        top_interaction(form, [0.5, 1.0, 1.0], 1, 2, "redundant")
    with pytest.raises(InputError, match="test_label"):
        top_interaction(form, ["a", "b", "a"], 1, 2, "redundant")
    with pytest.raises(InputError, match="order"):
        top_interaction(form, [1, 1, 1], 1, 4, "redundant")
    with pytest.raises(InputError, match="kind"):
        top_interaction(form, [1, 1, 1], 1, 2, "both")  # type: ignore[arg-type]
    other = Interactions.from_dict({(0, 1): 1.0}, index="BII", n_features=3)
    with pytest.raises(InputError, match="Möbius"):
        top_interaction(other, [1, 1, 1], 1, 2, "redundant")
