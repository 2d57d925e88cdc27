"""The short form of every attack on the app."""

from __future__ import annotations

import pytest

from attacks.outcome import Attack
from attacks.test_attacks import LONG, ON_THE_APP, chosen


@pytest.mark.parametrize("attack", chosen(ON_THE_APP))
def test_it_is_held(attack: Attack) -> None:
    outcome = attack(LONG)
    assert outcome.held, outcome
