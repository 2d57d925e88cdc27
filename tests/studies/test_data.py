from __future__ import annotations

import tracemalloc
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.linalg import solve
from sklearn.datasets import load_digits

from proxyspex_hf.core.faithfulness import r2_score
from proxyspex_hf.core.spectrum import FourierSpectrum
from proxyspex_hf.errors import InputError
from proxyspex_hf.studies.data.attribution import DataAttribution
from proxyspex_hf.studies.data.packed import PackedMasks
from proxyspex_hf.studies.data.point import PointAttribution

N, M = 400, 3000
PAIRS = {(3, 17): 0.4, (5, 200): -0.4, (17, 320): 0.3}


def truth() -> FourierSpectrum:
    """Ten strong points, two of whose pairs and a pair with a weak point interact; a weak tail."""
    rng = np.random.default_rng(0)
    weights = 0.02 * rng.standard_normal(N)
    weights[[3, 5, 17, 40, 80, 200, 210, 220, 230, 240]] = rng.choice((-0.5, 0.5), 10)
    singles = {(i,): float(w) for i, w in enumerate(weights)}
    return FourierSpectrum.from_dict(singles | PAIRS | {(): 1.0}, N)


@pytest.fixture(scope="module")
def planted() -> tuple[PackedMasks, np.ndarray]:
    masks = PackedMasks.sample(N, M, seed=1)
    noise = np.random.default_rng(2).standard_normal(M)
    return masks, truth().evaluate(masks.unpack(slice(None))) + 0.5 * noise


@pytest.fixture(scope="module")
def found(planted: tuple[PackedMasks, np.ndarray]) -> PointAttribution:
    (found,) = study(planted).explain()
    return found


@pytest.fixture(scope="module")
def few() -> tuple[PackedMasks, np.ndarray]:
    """A smaller study, for what does not hang on size."""
    masks = PackedMasks.sample(60, 600, seed=1)
    signs = 1.0 - 2.0 * masks.columns(np.array([3, 17]))
    margins = signs.sum(axis=1) + signs.prod(axis=1)
    return masks, margins + 0.5 * np.random.default_rng(2).standard_normal(600)


def study(planted: tuple[PackedMasks, np.ndarray], **settings: Any) -> DataAttribution:
    return DataAttribution(*planted, **({"proxy": "pursuit", "n_paired": 100} | settings))


def test_planted_pairs_are_found_and_their_coefficients_are_right(found: PointAttribution) -> None:
    screened = {s.members for s in found.screening.found}
    assert set(PAIRS) <= screened
    assert len(screened) <= 5  # a tenth of discoveries, on average, may be false
    terms = found.spectrum.to_dict()
    for members, coefficient in PAIRS.items():
        assert terms[members] == pytest.approx(coefficient, abs=0.05)
    beyond = {s for s, c in terms.items() if len(s) > 1 and abs(c) > 0.1}
    assert beyond == set(PAIRS)
    assert found.linear_r2 is not None
    assert found.r2 is not None
    # Of a variance of 3.3 the noise is 0.25 and the pairs are 0.41.
    assert found.r2 > 0.85
    assert found.linear_r2 < found.r2 - 0.08
    assert found.r2 > found.lasso_r2 > 0.6  # type: ignore[operator]
    assert (found.n_fitted, found.n_held_out) == (2700, 300)
    # Paired: all pairs of 100, and 50 strong ones with the 300 others.
    assert found.screening.tested[2] == 100 * 99 // 2 + 50 * 300


def test_r2_is_that_of_the_spectrum_on_rows_that_nothing_saw(
    planted: tuple[PackedMasks, np.ndarray], found: PointAttribution
) -> None:
    masks, margins = planted
    attribution = study(planted)
    rows = attribution.held_out_rows
    assert set(rows) | set(attribution.fitting_rows) == set(range(M))
    predicted = found.predict(masks.unpack(rows))
    assert found.r2 == pytest.approx(r2_score(margins[rows], predicted), abs=1e-9)
    spoilt = margins.copy()
    spoilt[rows] = np.random.default_rng(9).standard_normal(len(rows))
    (other,) = study((masks, spoilt)).explain()
    assert other.spectrum == found.spectrum
    assert other.screening == found.screening


def test_the_same_seed_gives_the_same_bits(
    few: tuple[PackedMasks, np.ndarray], tmp_path: Path
) -> None:
    masks, margins = few
    masks.save(tmp_path / "masks.npy")
    np.save(tmp_path / "margins.npy", margins)
    mapped = (
        PackedMasks.open(tmp_path / "masks.npy", masks.n_features),
        np.load(tmp_path / "margins.npy", mmap_mode="r"),
    )
    (one,), (two,) = study(few).explain(), study(mapped).explain()
    (dense,) = study((masks.unpack(slice(None)), margins)).explain()  # type: ignore[arg-type]
    assert one.spectrum == two.spectrum == dense.spectrum
    assert (3, 17) in one.spectrum.to_dict()
    (other,) = study(few, seed=1).explain()
    assert other.spectrum != one.spectrum


def test_a_pair_without_linear_effects(planted: tuple[PackedMasks, np.ndarray]) -> None:
    """Nothing linear to be found: all pairs of all features are looked at where they are few."""
    masks = PackedMasks(planted[0].bits[:, :5], 40)
    signs = 1.0 - 2.0 * masks.columns(np.array([11, 30]))
    margins = signs.prod(axis=1) + np.random.default_rng(0).standard_normal(M)
    (found,) = study((masks, margins), n_candidates=10, proxy="gaussian").explain()
    assert found.screening.found[0].members == (11, 30)
    assert {11, 30} <= set(found.candidates)
    assert found.linear_r2 < 0.02  # type: ignore[operator]
    assert found.r2 > 0.4  # type: ignore[operator]


def test_few_rows_for_the_proxy_are_made_up_for(planted: tuple[PackedMasks, np.ndarray]) -> None:
    """Little memory: the proxy sees a part of the rows, its coefficients are fitted to all."""
    (found,) = study(planted, max_memory=20_000_000, n_candidates=20).explain()
    terms = found.spectrum.to_dict()
    for members, coefficient in PAIRS.items():
        assert terms[members] == pytest.approx(coefficient, abs=0.05)


def test_memory_stays_within_its_bound_and_masks_on_disk(tmp_path: Path) -> None:
    """20,000 masks of 4,000 features: 80 MB as booleans, 640 MB as numbers; 64 MiB are allowed."""
    masks = PackedMasks.sample(4000, 20_000, seed=0, path=tmp_path / "masks.npy")
    rng = np.random.default_rng(0)
    signs = 1.0 - 2.0 * masks.columns(np.array([1, 2]))
    margins = signs.sum(axis=1) + signs.prod(axis=1) + rng.standard_normal(20_000)
    opened = PackedMasks.open(tmp_path / "masks.npy", 4000)
    tracemalloc.start()
    (found,) = DataAttribution(
        opened, margins, max_memory=2**26, n_paired=50, n_strong=5, proxy="pursuit", n_candidates=10
    ).explain()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.25 * 2**26
    assert found.spectrum.to_dict()[(1, 2)] == pytest.approx(1.0, abs=0.05)


def test_prediction_and_change(
    planted: tuple[PackedMasks, np.ndarray], found: PointAttribution
) -> None:
    masks, _ = planted
    rows = masks.unpack(slice(0, 50))
    np.testing.assert_allclose(
        found.predict(PackedMasks(masks.bits[:50], N)), found.spectrum.evaluate(rows)
    )
    full = np.ones((1, N), np.bool_)
    less = full.copy()
    less[0, [3, 17]] = False
    expected = found.predict(less)[0] - found.predict(full)[0]
    assert found.change([3, 17]) == pytest.approx(expected)
    assert found.change([], rows[0]) == 0.0
    with pytest.raises(InputError, match="that the mask keeps"):
        found.change(np.flatnonzero(~rows[0])[:1], rows[0])
    with pytest.raises(InputError, match="removed"):
        found.change([N])
    with pytest.raises(InputError, match=f"{N} features"):
        found.predict(PackedMasks.sample(7, 3))


def test_digits_end_to_end(tmp_path: Path) -> None:
    """A real model: twins in a training set are redundant, and the explanation says so."""
    pictures, labels = load_digits(return_X_y=True)
    own = np.flatnonzero(labels < 2)[:60]
    x, y = pictures[own] / 16.0, labels[own]
    x[1], y[1] = x[0], y[0]  # twins
    test, test_labels = x[[0]] + 0.05, y[[0]]

    def train(kept: np.ndarray, seed: int) -> np.ndarray:
        """Kernel ridge regression of ±1 on the pixels."""
        if len(kept) == 0:
            return np.zeros(1)
        similar = np.exp(-np.square(x[kept][:, None] - x[kept]).sum(-1) / 5)
        to_test = np.exp(-np.square(test[:, None] - x[kept]).sum(-1) / 5)
        sign = np.where(y[kept] == test_labels[0], 1.0, -1.0)
        return to_test @ solve(similar + 0.1 * np.eye(len(kept)), sign, assume_a="pos")

    attribution = DataAttribution.from_training(
        train,
        60,
        800,
        tmp_path,
        key="digits",
        n_tests=1,
        train_labels=y,
        test_labels=test_labels,
        n_candidates=30,
    )
    (found,) = attribution.explain()
    redundant = found.redundant()
    assert redundant is not None
    assert redundant.members == (0, 1)
    assert redundant.value < 0
    assert redundant.target_class
    assert found.r2 > found.linear_r2 + 0.1  # type: ignore[operator]
    full = np.arange(60)
    lost_one = float((train(np.delete(full, 0), 0) - train(full, 0))[0])
    lost_both = float((train(np.delete(full, [0, 1]), 0) - train(full, 0))[0])
    assert abs(lost_one) < 0.2 * abs(lost_both)
    assert found.redundant(test_label=1 - test_labels[0]) != redundant
    synergistic = found.synergistic(order=2)
    assert synergistic is None or (synergistic.value > 0) == synergistic.target_class


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"n_masks": 99}, "at least 100 trainings"),
        ({"n_tests": 0}, "n_tests"),
        ({"n_jobs": 0}, "n_jobs"),
        ({"density": "half"}, "density"),
        ({"proxy": "tea leaves"}, "unknown proxy"),
        ({"n_candidates": 1}, "n_candidates"),
        ({"train_labels": [1, 2]}, r"train_labels must be \(9,\)"),
        ({"test_labels": [1, 2]}, r"test_labels must be \(1,\)"),
        ({"fdr": "x"}, "fdr"),
        ({"n_candidate": 5}, "unknown setting 'n_candidate'.*mean n_candidates"),
    ],
)
def test_settings_are_checked_before_anything_is_trained(
    tmp_path: Path, changed: dict[str, Any], says: str
) -> None:
    def train(kept: np.ndarray, seed: int) -> list[float]:
        pytest.fail("a model was trained")

    settings = {"n_features": 9, "n_masks": 100, "key": "k", "n_tests": 1} | changed
    with pytest.raises(InputError, match=says):
        DataAttribution.from_training(train, directory=tmp_path / "study", **settings)
    assert not (tmp_path / "study").exists()


def test_labels_are_needed_for_synergy(found: PointAttribution) -> None:
    with pytest.raises(InputError, match="give train_labels and test_labels"):
        found.redundant()
    labels = np.zeros(N, int)
    top = found.redundant(test_label=0, train_labels=labels)
    values = found.interactions("Moebius", 2).to_dict()
    assert top is not None
    assert top.value == min(values.get(s, 0.0) for s in combinations(range(N), 2))


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"margins": np.zeros((3, 2))}, r"margins must have shape \(3000,\)"),
        ({"margins": np.zeros((M, 0))}, r"margins must have shape"),
        ({"margins": np.array(["a"] * M)}, "margins must be floats"),
        ({"masks": np.zeros((50, 9), bool), "margins": np.zeros(50)}, "at least 100 trainings"),
        ({"train_labels": [1, 2]}, "train_labels"),
        ({"test_labels": [0.5]}, "test_labels"),
        ({"density": 0.4}, "give the density"),
        ({"density": 1.0}, "density must be"),
        ({"density": "half"}, "density must hold real numbers"),
        ({"density": np.full(7, 0.5)}, "density must be"),
        ({"proxy": "tea leaves"}, "unknown proxy"),
        ({"n_candidates": 1}, "n_candidates"),
        ({"fdr": 0.0}, "fdr"),
        ({"fdr": "x"}, "fdr must lie strictly between 0 and 1, got 'x'"),
        ({"n_held_out": 1}, "n_held_out"),
        ({"max_memory": 1000}, "max_memory"),
    ],
)
def test_arguments_that_cannot_be_used(
    planted: tuple[PackedMasks, np.ndarray], changed: dict[str, Any], says: str
) -> None:
    settings: dict[str, Any] = {"masks": planted[0], "margins": planted[1]}
    with pytest.raises(InputError, match=says):
        DataAttribution(**(settings | changed))


def test_margins_that_cannot_be_explained(few: tuple[PackedMasks, np.ndarray]) -> None:
    masks, margins = few
    broken = np.stack([margins, margins, np.ones(len(margins))], axis=1)
    broken[[7, 9], 1] = np.nan
    attribution = DataAttribution(masks, broken, proxy="pursuit")
    with pytest.raises(InputError, match="2 of 600 rows are not, the first row 7"):
        attribution.explain([1])
    with pytest.raises(InputError, match=r"test point 2 are all 1\.0"):
        attribution.explain([2])
    with pytest.raises(InputError, match="points must lie between 0 and 2"):
        attribution.explain([3])
    with pytest.raises(InputError, match=r"each of points must be an integer, got 1\.5"):
        attribution.explain(1.5)  # type: ignore[arg-type]
    assert attribution.explain([]) == []
    for alone in (0, np.int64(0)):
        (found,) = attribution.explain(alone)
        assert found.point == 0
