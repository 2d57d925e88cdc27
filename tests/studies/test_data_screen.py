from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import false_discovery_control, norm

from proxyspex_hf.core.progress import Reporter
from proxyspex_hf.studies.data.packed import PackedMasks
from proxyspex_hf.studies.data.screen import Screening, ScreenLimits, correlations, screen


def standardised(masks: np.ndarray, density: np.ndarray) -> np.ndarray:
    p = density[:, None]
    return (masks - p) / np.sqrt(p * (1 - p))


def look(
    masks: np.ndarray,
    residuals: np.ndarray,
    strengths: np.ndarray,
    density: np.ndarray | float = 0.5,
    **limits: float,
) -> list[Screening]:
    settings = {"n_paired": 100, "n_strong": 50, "fdr": 0.1, "block_rows": 37, "max_columns": 1000}
    how = ScreenLimits(**(settings | limits))  # type: ignore[arg-type]
    each = np.broadcast_to(density, len(masks)).astype(float)
    report = Reporter(None, "", 2 * residuals.shape[1])
    return screen(PackedMasks.pack(masks), residuals, strengths, each, how, report)


def planted(
    n: int,
    m: int,
    density: np.ndarray | float,
    sets: dict[tuple[int, ...], float],
    noise: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    each = np.broadcast_to(density, m).astype(float)
    masks = rng.random((m, n)) < each[:, None]
    x = standardised(masks, each)
    clean = sum(c * x[:, list(s)].prod(axis=1) for s, c in sets.items())
    return masks, (clean + noise * rng.standard_normal(m))[:, None]


@pytest.mark.parametrize("mixed", [False, True])
def test_statistics_by_definition(mixed: bool) -> None:
    rng = np.random.default_rng(1)
    density = rng.choice([0.3, 0.5, 0.8], 200) if mixed else np.full(200, 0.5)
    masks = rng.random((200, 12)) < density[:, None]
    residual = rng.standard_normal(200)
    sets = [(0, 3), (2, 11), (1, 2, 3)]
    sums, squares = correlations(PackedMasks.pack(masks), residual, sets, density, 33)
    x = standardised(masks, density)
    for k, members in enumerate(sets):
        terms = residual * x[:, list(members)].prod(axis=1)
        assert sums[k] == pytest.approx(terms.sum(), abs=1e-10)
        assert squares[k] == pytest.approx(np.square(terms).sum(), rel=1e-12)


@pytest.mark.parametrize("n_paired", [14, 6])
def test_accepted_pairs_are_those_of_all_pairs_by_brute_force(n_paired: int) -> None:
    """All pairs among the paired, and all pairs of a strong feature with any other."""
    masks, residuals = planted(14, 900, 0.5, {(0, 1): 0.3, (2, 9): -0.3, (8, 13): 0.4})
    strengths = -np.arange(14.0)[:, None]
    (found,) = look(masks, residuals, strengths, n_paired=n_paired, n_strong=4)
    x = standardised(masks, np.full(900, 0.5))
    looked_at = [
        (i, j) for i, j in combinations(range(14), 2) if n_paired == 14 or (j < n_paired) or i < 4
    ]
    r = residuals[:, 0]
    z = np.array([(r * x[:, i] * x[:, j]).sum() / np.sqrt((r**2).sum()) for i, j in looked_at])
    q = false_discovery_control(2 * norm.sf(np.abs(z)))
    expected = {s: (zs, qs) for s, zs, qs in zip(looked_at, z, q, strict=True) if qs <= 0.1}
    assert {(0, 1), (2, 9)} <= set(expected)
    assert ((8, 13) in expected) == (n_paired == 14)
    assert found.tested[2] == len(looked_at)
    pairs = {s.members: s for s in found.found if len(s.members) == 2}
    assert set(pairs) == set(expected)
    for members, (zs, qs) in expected.items():
        assert pairs[members].z == pytest.approx(zs, abs=1e-9)
        assert pairs[members].q == pytest.approx(qs, rel=1e-6)


def test_triples_grow_out_of_pairs() -> None:
    sets = {(0, 1): 0.4, (0, 1, 20): -0.4, (5, 6, 7): 0.5}
    masks, residuals = planted(30, 1500, 0.5, sets)
    (found,) = look(masks, residuals, -np.arange(30.0)[:, None], n_paired=10)
    members = [s.members for s in found.found]
    assert len(members) == len(set(members))
    assert {len(m) for m in members} == {2, 3}
    assert (0, 1) in members
    assert (0, 1, 20) in members
    assert (5, 6, 7) not in members  # none of its pairs interacts: nothing points at it
    assert [abs(s.z) for s in found.found] == sorted((abs(s.z) for s in found.found), reverse=True)


def test_masks_of_several_densities() -> None:
    rng = np.random.default_rng(5)
    density = rng.choice([0.3, 0.5, 0.9], 4000)
    masks, residuals = planted(40, 4000, density, {(3, 30): 0.2})
    (found,) = look(masks, residuals, -np.arange(40.0)[:, None], density, n_paired=10)
    assert [s.members for s in found.found][:1] == [(3, 30)]


def test_noise_is_rarely_called_an_interaction() -> None:
    """With nothing to find, any acceptance is false: at most about ``fdr`` of the runs have one."""
    rng = np.random.default_rng(2)
    masks = rng.random((400, 30)) < 0.5
    runs = 60
    residuals = rng.standard_t(5, (400, runs))
    strengths = rng.random((30, runs))
    found = look(masks, residuals, strengths, fdr=0.1, block_rows=400)
    assert sum(bool(s.found) for s in found) <= 14  # binomial(60, 0.1): P(> 14) < 0.001


def test_points_do_not_depend_on_their_companions_or_portions() -> None:
    masks, first = planted(20, 600, 0.5, {(0, 19): 0.4, (0, 1): 0.4})
    residuals = np.concatenate([first, -first[::-1], first**3], axis=1)
    strengths = np.tile(-np.arange(20.0)[:, None], 3)
    together = look(masks, residuals, strengths, n_paired=5, n_strong=3)
    portions = look(
        masks, residuals, strengths, n_paired=5, n_strong=3, max_columns=2, block_rows=9
    )
    alone = look(masks, residuals[:, 2:], strengths[:, 2:], n_paired=5, n_strong=3)
    assert together[0].found
    for one, other in zip([*together, together[2]], [*portions, *alone], strict=True):
        assert [s.members for s in one.found] == [s.members for s in other.found]
        np.testing.assert_allclose([s.z for s in one.found], [s.z for s in other.found])
