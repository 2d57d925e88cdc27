"""What an explanation names: a feature or a combination, its effect at the input, how sure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from proxyspex_hf.core.effects import Kind
from proxyspex_hf.viz.terms import Member, told_apart
from proxyspex_hf.viz.wording import number, sentence, visible

if TYPE_CHECKING:
    import pandas as pd


class Interaction(NamedTuple):
    """One feature or combination, and what it does at the input.

    Attributes:
        members: the features' indices, ascending.
        labels: their texts.
        effect: at the input, in the value's unit (:mod:`proxyspex_hf.core.effects`). Of one
            feature: what the value loses when it is taken out. Of several: how much of their
            losses they share.
        interval: 90% of what ``effect`` may be, (low, high); None in explanations of before 0.2.
        kind: ``"alone"``, ``"both needed"``, ``"either is enough"``, and where it lowers the value
            ``"lowers alone"``, ``"lowers together"``, ``"either one lowers"``.
        coefficient: the Fourier coefficient F(T); 0 where the spectrum has none.
        occurrences: of each label 1, 2, … where several features of the input read the same, else
            0; empty where that is not known.

    Example:
        >>> strongest = explanation.top(1)[0]
        >>> strongest.labels, strongest.kind, strongest.order
        (('not', 'bad'), 'both needed', 2)
        >>> strongest.sentence.startswith("“not” and “bad” work together to raise it")
        True
    """

    members: tuple[int, ...]
    labels: tuple[str, ...]
    effect: float
    interval: tuple[float, float] | None
    kind: Kind
    coefficient: float
    occurrences: tuple[int, ...] = ()

    @property
    def order(self) -> int:
        """How many features take part."""
        return len(self.members)

    @property
    def is_sure(self) -> bool:
        """Whether the interval leaves out zero."""
        low, high = self.interval or (self.effect, self.effect)
        return low > 0.0 or high < 0.0

    @property
    def sentence(self) -> str:
        """What it does, in words: ``“not” and “bad” work together to raise it: +1.80 ± 0.20``.

        Where several features read the same, each has its number: ``“never₂” lowers it: -0.61``.
        """
        return sentence(self._told_apart, self.kind, self.effect, self.interval)

    @property
    def _told_apart(self) -> tuple[str, ...]:
        numbers = self.occurrences or (0,) * self.order
        return tuple(
            told_apart(Member(visible(label), number, after_gap=False))
            for label, number in zip(self.labels, numbers, strict=True)
        )

    def __str__(self) -> str:
        return f"{number(self.effect, self.interval)}  {' × '.join(self._told_apart)}"


class RemovalEffect(NamedTuple):
    """What the value loses when features are taken out of the whole input together.

    Attributes:
        members: the features.
        effect: f̂(N) - f̂(N∖R), by the explanation.
        interval: 90% of what it may be; None in explanations of before 0.2.
    """

    members: tuple[int, ...]
    effect: float
    interval: tuple[float, float] | None


def frame_of(found: Iterable[Interaction]) -> pd.DataFrame:
    """One row for each; columns as :meth:`InteractionExplanation.to_dataframe` says."""
    import pandas as pd  # 0.3 s to import: only for those who ask for a frame

    unknown = (float("nan"), float("nan"))
    return pd.DataFrame(
        [
            (
                " × ".join(i.labels),
                *(i.members, i.order, i.effect),
                *(i.interval or unknown),
                *(i.kind, i.is_sure, i.coefficient),
            )
            for i in found
        ],
        columns=[
            *("labels", "members", "order", "effect", "low", "high"),
            *("kind", "sure", "coefficient"),
        ],
    )
