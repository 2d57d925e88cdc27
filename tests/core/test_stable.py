"""Other masks, another fit: what two explanations are both sure of, they order alike."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from proxyspex_hf.core import Cached, FunctionOfMasks, ProxySPEX
from proxyspex_hf.core.attribution import attribute
from proxyspex_hf.core.effects import effects_at_input
from proxyspex_hf.core.queries import plan

GAMES = sorted((Path(__file__).parents[1] / "bench" / "data" / "games").glob("*.npz"))
Intervals = dict[tuple[int, ...], tuple[float, float]]


def intervals(path: Path, seed: int) -> Intervals:
    """90% intervals of the effects of one feature and of two."""
    with np.load(path, allow_pickle=False) as data:
        n, values = int(data["n"]), data["values"].astype(np.float64)
    function = FunctionOfMasks(lambda masks: values[masks @ (1 << np.arange(n))], n)
    found = attribute(Cached(function), plan(n, alpha=1.0), ProxySPEX(seed=seed))
    effects = effects_at_input(found.fit.spectrum, found.posterior)
    return {e.members: e.interval for e in effects if len(e.members) <= 2 and e.interval}


def order(one: tuple[float, float], other: tuple[float, float]) -> int:
    """1 and -1 where the intervals do not overlap, 0 where they do."""
    return int(one[0] > other[1]) - int(one[1] < other[0])


@pytest.mark.parametrize("path", GAMES[:1], ids=lambda path: path.stem)
def test_three_seeds_agree_where_intervals_do_not_overlap(path: Path) -> None:
    drawn = [intervals(path, seed) for seed in range(3)]
    same = contradicted = 0
    for first, second in combinations(drawn, 2):
        shared = sorted(first.keys() & second.keys())
        for a, b in combinations(shared, 2):
            orders = order(first[a], first[b]), order(second[a], second[b])
            if 0 not in orders:
                same += orders[0] == orders[1]
                contradicted += orders[0] != orders[1]
    assert same > 500
    assert contradicted <= 0.002 * same
