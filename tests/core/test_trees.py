"""The extracted spectrum equals the exact transform of the trees, repeats on a path included."""

from __future__ import annotations

import lightgbm as lgb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxyspex_hf.core.masks import all_masks, sample_masks
from proxyspex_hf.core.proxies.boosting import read_lightgbm
from proxyspex_hf.core.trees import TreeEnsemble, extract_spectrum
from proxyspex_hf.core.walsh import exact_spectrum


def random_ensemble(n: int, depth: int, trees: int, seed: int) -> TreeEnsemble:
    """Trees that split on any feature at any node: features repeat on paths, sides contradict."""
    rng = np.random.default_rng(seed)
    feature: list[int] = []
    left: list[int] = []
    right: list[int] = []
    value: list[float] = []

    def grow(level: int) -> int:
        node = len(feature)
        feature.append(-1)
        left.append(0)
        right.append(0)
        value.append(float(rng.normal()))
        if level < depth and rng.random() < 0.85:
            feature[node] = int(rng.integers(n))
            left[node] = grow(level + 1)
            right[node] = grow(level + 1)
        return node

    roots = [grow(0) for _ in range(trees)]
    as_int = [np.array(x, np.int32) for x in (feature, left, right)]
    return TreeEnsemble(n, *as_int, np.array(value), np.array(roots, np.int32))


cases = {
    "n": st.integers(1, 12),
    "depth": st.integers(0, 9),
    "trees": st.integers(1, 5),
    "seed": st.integers(0, 2**31),
}


@settings(max_examples=150, deadline=None)
@given(**cases)
def test_extraction_is_the_exact_transform(n: int, depth: int, trees: int, seed: int) -> None:
    ensemble = random_ensemble(n, depth, trees, seed)
    exact = exact_spectrum(ensemble.predict(all_masks(n))).to_dict()
    extraction = extract_spectrum(ensemble)
    found = extraction.spectrum.to_dict()
    assert set(found) <= set(exact)
    assert max(abs(exact[t] - found.get(t, 0.0)) for t in exact) < 1e-9
    assert extraction.dropped_energy == 0.0


@settings(max_examples=100, deadline=None)
@given(**cases, order=st.integers(0, 4))
def test_a_limited_order_keeps_its_coefficients_and_bounds_the_rest(
    n: int, depth: int, trees: int, seed: int, order: int
) -> None:
    ensemble = random_ensemble(n, depth, trees, seed)
    full = extract_spectrum(ensemble).spectrum.to_dict()
    part = extract_spectrum(ensemble, max_order=order)
    for members, coefficient in part.spectrum.to_dict().items():
        assert len(members) <= order
        assert coefficient == pytest.approx(full[members], abs=1e-10)
    dropped = sum(c * c for members, c in full.items() if len(members) > order)
    assert dropped <= part.dropped_energy + 1e-9
    if trees == 1:  # for a single tree the bound is exact
        assert part.dropped_energy == pytest.approx(dropped, abs=1e-9)


def test_a_chain_of_depth_thirty_does_not_hang() -> None:
    depth = 30
    nodes = 2 * depth + 1
    feature = np.full(nodes, -1, np.int32)
    left, right = np.zeros(nodes, np.int32), np.zeros(nodes, np.int32)
    for level in range(depth):
        feature[2 * level] = level
        left[2 * level], right[2 * level] = 2 * level + 1, 2 * level + 2
    values = np.random.default_rng(0).normal(size=nodes)
    chain = TreeEnsemble(depth, feature, left, right, values, np.array([0], np.int32))
    extraction = extract_spectrum(chain, max_pairs=200_000)
    assert 2 <= extraction.max_order < depth
    masks = sample_masks(depth, 4000, seed=1)
    residual = chain.predict(masks[2:]) - extraction.spectrum.evaluate(masks[2:])
    # The bound is exact for one tree, so the sampled residual must agree with it.
    assert np.square(residual).mean() == pytest.approx(extraction.dropped_energy, rel=0.3)


@pytest.mark.parametrize("n", [3, 70, 300])
def test_wide_feature_indices_do_not_collide(n: int) -> None:
    rng = np.random.default_rng(n)
    ensemble = random_ensemble(n, 8, 20, n)
    masks = rng.random((500, n)) < 0.5
    spectrum = extract_spectrum(ensemble).spectrum
    np.testing.assert_allclose(spectrum.evaluate(masks), ensemble.predict(masks), atol=1e-9)


@pytest.mark.parametrize(("depth", "leaves"), [(3, 8), (-1, 31), (1, 2)])
def test_lightgbm_trees_are_read_exactly(depth: int, leaves: int) -> None:
    rng = np.random.default_rng(0)
    masks = rng.random((400, 20)) < 0.5
    values = masks[:, 0] * 2.0 - masks[:, 1] * masks[:, 2] + 7.0 + 0.1 * rng.normal(size=400)
    parameters = {"max_depth": depth, "num_leaves": leaves, "verbose": -1, "num_threads": 1}
    booster = lgb.train(parameters, lgb.Dataset(masks.astype(np.float32), values), 60)
    for trees in (1, 7, 60):
        ensemble = read_lightgbm(booster, 20, trees)
        expected = booster.predict(masks.astype(np.float64), num_iteration=trees)
        np.testing.assert_allclose(ensemble.predict(masks), expected, atol=1e-9)
        spectrum = extract_spectrum(ensemble).spectrum
        np.testing.assert_allclose(spectrum.evaluate(masks), expected, atol=1e-9)


def test_a_stump_without_a_split_is_a_constant() -> None:
    booster = lgb.train(
        {"verbose": -1, "min_data_in_leaf": 50, "num_threads": 1},
        lgb.Dataset(np.eye(20, dtype=np.float32), np.arange(20.0)),
        3,
    )
    spectrum = extract_spectrum(read_lightgbm(booster, 20)).spectrum
    assert spectrum.to_dict() == {(): pytest.approx(9.5)}
