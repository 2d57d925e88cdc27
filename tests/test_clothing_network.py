"""The study of training images under a network, on pictures made up."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from proxyspex_hf.studies import DataAttribution

PAPER = Path(__file__).parents[1] / "examples" / "paper"


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(sys, "path", [str(PAPER), *sys.path])
    yield import_module("clothing_network"), import_module("figure08")
    for name in ("clothing_network", "figure08"):
        sys.modules.pop(name, None)


def bars(figure08: Any, n: int, tests: int) -> Any:
    """Of each class, a bar in a row of its own, with noise."""
    rng = np.random.default_rng(0)

    def pictures(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.arange(count) % 10
        drawn = 0.2 * rng.random((count, 28, 28))
        drawn[np.arange(count), 2 * labels + 4] += 0.8
        return drawn, labels

    (train, train_labels), (test, test_labels) = pictures(n), pictures(tests)
    return figure08.Images(train, train_labels, test, test_labels, [(0, 10)], tuple("0123456789"))


def test_a_network_is_trained_on_what_is_kept_and_pairs_are_tested(
    study: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clothing, figure08 = study
    monkeypatch.setattr(clothing, "AGAIN", 10)
    images = bars(figure08, 60, 10)
    assert clothing.halved(images.test)[1, 0, 6, 0] == pytest.approx(
        images.test[1, 12:14, :2].mean()
    )
    network = clothing.Network(images)
    everything = network(np.arange(60), 0)
    assert (everything > 0).all()
    np.testing.assert_array_equal(everything, network(np.arange(60), 7))
    without = np.flatnonzero(images.train_labels != 0)
    assert network(without, 0)[0] < 0
    assert (network(without, 0)[1:] > 0).all()

    data = DataAttribution.from_training(
        network,
        60,
        100,
        tmp_path / "trainings",
        key="bars",
        n_tests=10,
        train_labels=images.train_labels,
        test_labels=images.test_labels,
    )
    found = data.explain([0, 1, 2])
    for each in found:
        tops = {"synergistic": each.synergistic(), "redundant": each.redundant()}
        assert clothing.named_pairs(each) == {k: t.members for k, t in tops.items() if t}

    # Which pairs are named hangs on the last digits of a network: these are named here.
    pairs: dict[str, tuple[int, ...]] = {"redundant": (0, 10)}
    monkeypatch.setattr(clothing, "named_pairs", lambda _: pairs)
    report = clothing.check_pairs(found, network, tmp_path, 1)
    assert report["trainings"] == 4 * clothing.BASES * len(found)
    assert report["redundant"]["lost"]["n"] == len(found)
    assert "synergistic" not in report
    # Other pairs, as more trainings name them, are no reason to refuse what is kept.
    pairs["redundant"] = (1, 11)
    assert clothing.check_pairs(found[:1], network, tmp_path, 1)["trainings"] == 4 * clothing.BASES
    pairs.clear()
    assert clothing.check_pairs(found, network, tmp_path, 1)["trainings"] == 0
    same = clothing.check_seed(network, data, tmp_path, 1)
    assert 0 < same <= 1
