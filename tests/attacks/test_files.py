"""The short form of the attacks by files; ``tests/attacks/run.py --long`` has the long ones."""

from __future__ import annotations

import pytest

from attacks import cards, fuzz, json_bombs, parquet_bombs
from attacks.outcome import Attack

long = False


@pytest.mark.parametrize(
    "attack",
    [attack for kind in (cards, fuzz, json_bombs, parquet_bombs) for attack in kind.ATTACKS],
    ids=lambda attack: attack.__name__,
)
def test_it_is_held(attack: Attack) -> None:
    outcome = attack(long)
    assert outcome.held, outcome.figures
