"""The short form of every attack on the app."""

from __future__ import annotations

import os

import pytest

from attacks.outcome import Attack
from attacks.run import attacks
from attacks.test_attacks import LONG, ON_THE_APP, SLOW


@pytest.mark.parametrize(
    "attack",
    [
        pytest.param(attack, id=f"{kind}-{attack.__name__}")
        for kind in ON_THE_APP
        for attack in attacks(kind)
    ],
)
def test_it_is_held(attack: Attack) -> None:
    if attack.__name__ in SLOW and "ATTACKS" not in os.environ:
        pytest.skip("ten seconds: ATTACKS=short runs it, as python tests/attacks/run.py does")
    outcome = attack(LONG)
    assert outcome.held, outcome
