"""What is ranked in a picture: effects at the input (:mod:`proxyspex_hf.core.effects`).

What cannot be told from zero is not a finding and is not ranked.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from proxyspex_hf.core.effects import Effect, Kind
from proxyspex_hf.record.record import ExplanationRecord
from proxyspex_hf.viz.wording import visible


@dataclass(frozen=True)
class Term:
    """A feature or a combination (ascending indices), its effect at the input, and what it does."""

    members: tuple[int, ...]
    effect: float
    interval: tuple[float, float] | None = None
    kind: Kind = "alone"

    @property
    def order(self) -> int:
        """How many features take part."""
        return len(self.members)


@dataclass(frozen=True)
class Member:
    """A feature as it is spelled in a combination.

    Attributes:
        label: its text, with nothing invisible in it.
        occurrence: 1, 2, … where several features read the same, else 0.
        after_gap: whether other pieces of the text lie between it and the member before; patches
            and names have no such order.
    """

    label: str
    occurrence: int
    after_gap: bool


_SMALL_DIGITS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def told_apart(member: Member) -> str:
    """A member's label in a sentence, ``not₂`` where several features read the same."""
    return member.label + (
        str(member.occurrence).translate(_SMALL_DIGITS) if member.occurrence else ""
    )


def ranked_terms(record: ExplanationRecord) -> list[Term]:
    """The effects at the input that are told from zero, by falling size."""
    return [
        Term(found.members, found.value, found.interval, found.kind)
        for found in record.effects
        if found.is_sure
    ]


def main_effects(record: ExplanationRecord) -> list[Effect]:
    """(n,) the effect at the input of each feature alone, sure or not, in the features' order."""
    singles = [found for found in record.effects if found.order == 1]
    return sorted(singles, key=lambda found: found.members)


class _Speller:
    def __init__(self, record: ExplanationRecord) -> None:
        self.labels = [visible(label) for label in record.features.labels]
        total, seen = Counter(self.labels), Counter[str]()
        self.occurrence = []
        features = record.features
        self.first_in_text = features.text_start if features.spans else len(features)
        for label in self.labels:
            seen[label] += 1
            self.occurrence.append(seen[label] if total[label] > 1 else 0)

    def __call__(self, term: Term) -> list[Member]:
        """The members of ``term`` in reading order."""
        before = (term.members[0] - 1, *term.members[:-1])
        return [
            Member(
                self.labels[i],
                self.occurrence[i],
                after_gap=i != previous + 1 and previous >= self.first_in_text,
            )
            for previous, i in zip(before, term.members, strict=True)
        ]


def spell(record: ExplanationRecord) -> _Speller:
    """A function from a term to its :class:`Member` list, in reading order."""
    return _Speller(record)
