"""The short form of every attack on files, the Hub and what is stored.

Those on the app stand beside, in ``test_app_attacks.py``, so that two processes share them;
``python tests/attacks/run.py --long`` runs the long forms.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import pytest

from attacks.outcome import Attack
from attacks.run import attacks, kinds

#: Kinds that need an app.
ON_THE_APP = ("crowd", "rebinding", "uploads")
#: Attacks of which even the short form takes ten seconds: only ``make test-slow`` runs them, and
#: ``python tests/attacks/run.py``.
SLOW = {
    *("left_by_a_crash", "gone_without_a_word", "many_rows"),
    *("many_files", "mutations", "one_row"),
}
#: Long forms as tests, where the machine has the time: ``ATTACKS=long``.
LONG = os.environ.get("ATTACKS") == "long"


def chosen(of: Iterable[str]) -> list[Any]:
    """The attacks of some kinds as parameters."""
    return [
        pytest.param(attack, id=f"{kind}-{attack.__name__}")
        for kind in of
        for attack in attacks(kind)
        if attack.__name__ not in SLOW or "ATTACKS" in os.environ
    ]


@pytest.mark.parametrize("attack", chosen(sorted(set(kinds()) - set(ON_THE_APP))))
def test_it_is_held(attack: Attack) -> None:
    outcome = attack(LONG)
    print(f"\n{outcome.name}: {outcome.figures}")
    assert outcome.held, outcome
