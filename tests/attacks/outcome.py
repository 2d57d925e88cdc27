"""What an attack is, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Attack", "Outcome"]


@dataclass(frozen=True)
class Outcome:
    """What came of one attack.

    Attributes:
        name: of the attack.
        tried: what was sent or done, in words.
        held: the defence held.
        figures: what was measured: answers, megabytes, seconds.
    """

    name: str
    tried: str
    held: bool
    figures: str


#: Takes whether its long form is wanted. A module lists its own in a tuple called ``ATTACKS``.
Attack = Callable[[bool], Outcome]
