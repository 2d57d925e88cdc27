"""The short form of every attack; ``python tests/attacks/run.py --long`` runs the long ones."""

from __future__ import annotations

import os

import pytest

from attacks.outcome import Attack
from attacks.run import attacks, kinds

#: Long forms as tests, where the machine has the time: ``ATTACKS=long``.
LONG = os.environ.get("ATTACKS") == "long"


@pytest.mark.parametrize(
    "attack",
    [
        pytest.param(attack, id=f"{kind}-{attack.__name__}")
        for kind in kinds()
        for attack in attacks(kind)
    ],
)
def test_it_is_held(attack: Attack) -> None:
    outcome = attack(LONG)
    print(f"\n{outcome.name}: {outcome.figures}")
    assert outcome.held, outcome
