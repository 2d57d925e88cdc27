"""The bench of planted interactions counts what it says it counts."""

from __future__ import annotations

import numpy as np
from datamodels import BANDS, Planted, not_there, recovered, singles

from proxyspex_hf.core import FourierSpectrum
from proxyspex_hf.studies.data.packed import PackedMasks


def test_what_is_planted_is_counted_by_kind_and_strength() -> None:
    planted = Planted(600, 3000, 6, seed=0)
    assert {kind for kind, _ in planted.sets.values()} == {
        "two strong", "one strong", "upper twentieth", "none strong", "triple, two strong",
        "triple, none strong",
    }  # fmt: skip
    everything = recovered(planted, set(planted.sets))
    for band in everything.values():
        assert all(found.split(" of ")[0] == found.split(" of ")[1] for found in band.values())
    total = sum(int(found.split()[-1]) for band in everything.values() for found in band.values())
    assert total == len(planted.sets)
    nothing = recovered(planted, set())
    assert all(found.startswith("0 of ") for band in nothing.values() for found in band.values())


def test_what_is_not_there_is_counted_by_its_z() -> None:
    planted = Planted(600, 3000, 6, seed=0)
    true = next(iter(planted.sets))
    found = not_there(planted, {true: 5.0, (-1, -2): -5.5, (-1, -3): 50.0})
    assert found == {
        "|z| 0 to 6": "1 of 2",
        f"|z| 6 to {BANDS[2]:.0f}": "0 of 0",
        "|z| 8 to 12": "0 of 0",
        "|z| 12 to inf": "1 of 1",
    }


def test_single_points_are_ranked_by_their_terms() -> None:
    planted = Planted(3000, 60_000, 6, seed=0)
    exact = {(i,): float(w) for i, w in enumerate(planted.weights)}
    best = singles(planted, FourierSpectrum.from_dict({(): 0.0, **exact}, 3000))
    assert best.pop("weaker ones among them") == "0"
    assert all(found.split(" of ")[0] == found.split(" of ")[1] for found in best.values())
    none = singles(planted, FourierSpectrum.from_dict({(): 0.0, (0,): 1e-9}, 3000))
    assert int(none["weaker ones among them"]) > 0


def test_margins_hold_every_planted_set() -> None:
    planted = Planted(60 + 200, 3000, 2, seed=1)
    masks = PackedMasks.sample(260, 400, seed=0)
    noisy, clean = planted.margins(masks, 5)
    signs = 1.0 - 2.0 * masks.columns(np.arange(260))
    expected = signs @ planted.weights
    for members, coefficient in planted.coefficients.items():
        expected += coefficient * signs[:, list(members)].prod(axis=1)
    np.testing.assert_allclose(clean, expected, atol=1e-9)
    assert 0.1 < np.var(noisy - clean) < 0.6
