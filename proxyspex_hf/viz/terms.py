"""What is ranked in a picture: the coefficients, restated in units a reader can check.

The *effect* of a combination T is e(T) = 2 (-1)^|T| F(T). Take any one member of T out of the
whole input and the term F(T) chi_T changes sign, so the output moves by exactly -e(T): the effect
is what the score loses when the combination is broken. From this follows what makes it fit to show:

- for a single feature it is the Banzhaf value, -2 F({i}): the mean change when i is kept;
- leaving i out of the whole input changes the explanation by -(sum of e(T) over all T with i);
- |e(T)| = 2 |F(T)| is how far T can move the output, so all orders share one scale.

The Banzhaf interaction (-2)^|T| F(T) = 2^(|T|-1) e(T) is shown beside it, but not ranked by: its
factor lifts a five-way coefficient 16-fold, and on real models the noise of the high orders then
fills the top of the list.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from proxyspex_hf.record import ExplanationRecord
from proxyspex_hf.viz.wording import visible

__all__ = ["Member", "Term", "main_effects", "ranked_terms", "spell"]

#: Smaller than this share of the largest effect is rounding, not a finding.
_NEGLIGIBLE = 1e-9


@dataclass(frozen=True)
class Term:
    """A combination of features (ascending indices) and its effect."""

    members: tuple[int, ...]
    effect: float

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
        after_gap: whether other features lie between it and the member before.
    """

    label: str
    occurrence: int
    after_gap: bool


def ranked_terms(record: ExplanationRecord) -> list[Term]:
    """Every combination but ∅, by falling size of effect; ties keep the canonical order."""
    spectrum = record.spectrum
    effects = spectrum.effects
    sizes = np.abs(effects)
    keep = np.argsort(-sizes, kind="stable")
    keep = keep[sizes[keep] > _NEGLIGIBLE * sizes.max()]
    support = spectrum.support
    return [Term(tuple(i for i in support[r].tolist() if i >= 0), float(effects[r])) for r in keep]


def main_effects(record: ExplanationRecord) -> list[float]:
    """(n,) the effect of each feature on its own; 0.0 where it has no coefficient."""
    singles = np.flatnonzero(record.spectrum.orders == 1)
    effects = np.zeros(len(record.features))
    if len(singles):
        effects[record.spectrum.support[singles, 0]] = record.spectrum.effects[singles]
    return effects.tolist()


class _Speller:
    def __init__(self, record: ExplanationRecord) -> None:
        self.labels = [visible(label) for label in record.features.labels]
        total, seen = Counter(self.labels), Counter[str]()
        self.occurrence = []
        for label in self.labels:
            seen[label] += 1
            self.occurrence.append(seen[label] if total[label] > 1 else 0)

    def __call__(self, term: Term) -> list[Member]:
        """The members of ``term`` in reading order."""
        before = (term.members[0] - 1, *term.members[:-1])
        return [
            Member(self.labels[i], self.occurrence[i], after_gap=i != previous + 1)
            for previous, i in zip(before, term.members, strict=True)
        ]


def spell(record: ExplanationRecord) -> _Speller:
    """A function from a term to its :class:`Member` list, in reading order."""
    return _Speller(record)
