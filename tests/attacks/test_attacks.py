"""The short form of every attack on files, the Hub and what is stored.

Those on the app stand beside, in ``test_app_attacks.py``, so that two processes share them;
``python tests/attacks/run.py --long`` runs the long forms.
"""

from __future__ import annotations

import os

import pytest

from attacks.outcome import Attack
from attacks.run import attacks, kinds

#: Kinds that need an app.
ON_THE_APP = ("crowd", "rebinding", "uploads")
#: Attacks of which even the short form takes ten seconds: ``ATTACKS=short`` runs them, too.
SLOW = {
    *("left_by_a_crash", "gone_without_a_word", "killed", "many_rows"),
    *("many_files", "mutations", "one_row", "damaged"),
}
#: Long forms as tests, where the machine has the time: ``ATTACKS=long``.
LONG = os.environ.get("ATTACKS") == "long"


@pytest.mark.parametrize(
    "attack",
    [
        pytest.param(attack, id=f"{kind}-{attack.__name__}")
        for kind in sorted(set(kinds()) - set(ON_THE_APP))
        for attack in attacks(kind)
    ],
)
def test_it_is_held(attack: Attack) -> None:
    if attack.__name__ in SLOW and "ATTACKS" not in os.environ:
        pytest.skip("ten seconds: ATTACKS=short runs it, as python tests/attacks/run.py does")
    outcome = attack(LONG)
    print(f"\n{outcome.name}: {outcome.figures}")
    assert outcome.held, outcome
