"""Two explanations side by side: two inputs, two models, or one before and after an edit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from proxyspex_hf.checks import as_integer, quoted
from proxyspex_hf.core.effects import Effect
from proxyspex_hf.errors import InputError
from proxyspex_hf.explanation import InteractionExplanation
from proxyspex_hf.files import write_whole
from proxyspex_hf.given import as_explanation
from proxyspex_hf.record.inputs import Features
from proxyspex_hf.record.record import ExplanationRecord
from proxyspex_hf.viz.compare_page import (
    Line,
    comparison_data,
    render_comparison,
    render_comparison_text,
)
from proxyspex_hf.viz.wording import visible

if TYPE_CHECKING:
    import pandas as pd


#: Numbers whose sum over two labels is constant (0 or 1): an effect on the one is that on the
#: other with its sign turned.
_TURNED = ("log-odds", "margin", "probability")
#: Rounding is doubled at most as often, which is beyond any effect.
_MOST_DOUBLED = 60


@dataclass(frozen=True)
class Difference:
    """One feature or combination in both explanations, or in one alone.

    Attributes:
        labels: the features' texts.
        first, second: their indices in each; None where an input does not have them.
        effects: the effect at the input in each; None where an input does not have the features.
        difference: the second effect minus the first; None where one is missing.
        interval: 90% of what the difference may be; None where an effect has none.

    Example:
        >>> compare(explanation, explanation).differences[0].difference
        0.0
    """

    labels: tuple[str, ...]
    first: tuple[int, ...] | None
    second: tuple[int, ...] | None
    effects: tuple[float | None, float | None]
    difference: float | None
    interval: tuple[float, float] | None

    @property
    def is_sure(self) -> bool:
        """Whether the difference is told from zero."""
        if self.difference is None:
            return False
        low, high = self.interval or (self.difference, self.difference)
        return low > 0.0 or high < 0.0


@dataclass(frozen=True)
class Comparison:
    """What differs between two explanations of the same kind of number.

    Attributes:
        first, second: the explanations.
        names: what they are called.
        differences: of every feature, and every combination that is told from zero in either; the
            largest difference first, then what only one input has.

    Example:
        >>> compare(explanation, explanation, ("before", "after"))
        Comparison('before', 'after', 0 differences)
    """

    first: InteractionExplanation
    second: InteractionExplanation
    names: tuple[str, str]
    differences: tuple[Difference, ...]

    def top(self, k: int = 10) -> list[Difference]:
        """The ``k`` largest differences that are told from zero.

        Raises:
            InputError: ``k`` is not an integer, or below 0.
        """
        k = as_integer("k", k, 0)
        return [found for found in self.differences if found.is_sure][:k]

    def to_dataframe(self) -> pd.DataFrame:
        """One row per feature or combination.

        Columns: labels, order, first, second (the effects), difference, low, high (90%), sure.
        """
        import pandas as pd  # 0.3 s to import: only for those who ask for a frame

        nan = float("nan")
        columns = ["labels", "order", "first", "second", "difference", "low", "high", "sure"]
        rows = [
            (
                " × ".join(d.labels),
                len(d.labels),
                *(nan if effect is None else effect for effect in d.effects),
                nan if d.difference is None else d.difference,
                *(d.interval or (nan, nan)),
                d.is_sure,
            )
            for d in self.differences
        ]
        return pd.DataFrame(rows, columns=columns)

    def to_html(self, path: str | Path | None = None, *, top: int = 30) -> str:
        """Both stories side by side, and the table, as one HTML file without scripts.

        Args:
            path: where it is also written, if given.
            top: rows of the table.
        """
        page = render_comparison(self._records, self.names, self._lines, top=top)
        if path is not None:
            write_whole(path, page)
        return page

    def page_data(self, *, top: int = 30) -> dict[str, Any]:
        """What :meth:`to_html` says, as JSON for the app's page."""
        return comparison_data(self._records, self.names, self._lines, top=top)

    def to_text(self, *, top: int = 10) -> str:
        """The ``top`` rows of the table as text for a terminal."""
        return render_comparison_text(self._records, self.names, self._lines, top=top)

    @property
    def _records(self) -> tuple[ExplanationRecord, ExplanationRecord]:
        return self.first.record, self.second.record

    @property
    def _lines(self) -> list[Line]:
        return [
            Line(" × ".join(map(visible, d.labels)), d.effects, d.difference, d.interval, d.is_sure)
            for d in self.differences
        ]

    def __str__(self) -> str:
        return self.to_text()

    def __repr__(self) -> str:
        sure = len(self.top(len(self.differences)))
        return f"Comparison({self.names[0]!r}, {self.names[1]!r}, {sure} differences)"


def compare(
    first: InteractionExplanation,
    second: InteractionExplanation,
    names: Sequence[str] = ("first", "second"),
) -> Comparison:
    """Effect by effect, what ``second`` has more than ``first``, with 90% intervals.

    Features are matched in order, by their texts; regions of images by their place, where both
    are divided alike. The two are taken to err independently. Where they explain the two labels of
    a model that chooses between them (log-odds, margin, probability), as before and after an edit
    that flips the answer, the second's effects are turned to the first's label.

    Args:
        first: an explanation, of a number such as log-odds.
        second: another, of the same kind of number.
        names: what to call the two.

    Raises:
        InputError: something else than explanations, numbers of different kinds, or not two names.

    Example:
        >>> compare(explanation, explanation).top()
        []
    """
    if isinstance(names, str) or len(names) != 2:
        raise InputError(f"names must be two, such as ('before', 'after'), got {quoted(names)}.")
    first, second = as_explanation("first", first), as_explanation("second", second)
    check_comparable(first, second)
    pairs = _matched(first.features, second.features)
    back = {j: i for i, j in pairs.items()}
    ours = {e.members: e for e in first.record.effects}
    theirs = {e.members: e for e in second.record.effects}
    wanted: dict[tuple[tuple[int, ...] | None, tuple[int, ...] | None], None] = {}
    for effect in first.record.effects:
        if effect.order == 1 or effect.is_sure:
            wanted[effect.members, _moved(effect.members, pairs)] = None
    for effect in second.record.effects:
        if effect.order == 1 or effect.is_sure:
            wanted[_moved(effect.members, back), effect.members] = None
    _complete(first.record, ours, [a for a, _ in wanted if a is not None])
    _complete(second.record, theirs, [b for _, b in wanted if b is not None])
    if _is_opposite(first, second):
        theirs = {members: _turned(effect) for members, effect in theirs.items()}
    both = first.features, second.features
    rounding = _rounding(first.record) + _rounding(second.record)
    found = [_difference(*both, a, b, ours, theirs, rounding) for a, b in wanted]
    found.sort(key=_size)
    return Comparison(first, second, (str(names[0]), str(names[1])), tuple(found))


def check_comparable(first: InteractionExplanation, second: InteractionExplanation) -> None:
    """Whether two explanations can be compared.

    Raises:
        InputError: they explain numbers of different kinds, or opposite labels in numbers of which
            neither follows from the other.
    """
    targets = first.record.target, second.record.target
    if targets[0].kind != targets[1].kind:
        raise InputError(
            f"the first explains a {targets[0].kind}, the second a {targets[1].kind}: their "
            "effects have different units. Explain both with the same value=."
        )
    if _is_opposite(first, second) and targets[0].kind not in _TURNED:
        raise InputError(
            f"the first explains {targets[0].label!r}, the second {targets[1].label!r} of the "
            f"same two: every sign is reversed. Explain both with target={targets[0].label!r}."
        )


def _is_opposite(first: InteractionExplanation, second: InteractionExplanation) -> bool:
    """Whether they explain the two labels of one choice."""
    return first.record.target.is_opposite_of(second.record.target)


def _turned(effect: Effect) -> Effect:
    """The effect on the other one of two labels."""
    ends = effect.interval
    turned = None if ends is None else (-ends[1], -ends[0])
    return replace(effect, value=-effect.value, interval=turned)


def _size(found: Difference) -> tuple[bool, float, tuple[str, ...]]:
    sizes = [abs(e) for e in found.effects if e is not None]
    by = max(sizes) if found.difference is None else abs(found.difference)
    return found.difference is None, -by, found.labels


def _matched(first: Features, second: Features) -> dict[int, int]:
    """Index in the first -> index in the second, in order."""
    pairs = {}
    if first.regions and first.grid == second.grid and len(first.regions) == len(second.regions):
        pairs = {i: i for i in range(len(first.regions))}
    starts = first.text_start, second.text_start
    ours = [visible(label) for label in first.labels[starts[0] :]]
    theirs = [visible(label) for label in second.labels[starts[1] :]]
    blocks = SequenceMatcher(None, ours, theirs, autojunk=False).get_matching_blocks()
    for block in blocks:
        for step in range(block.size):
            pairs[starts[0] + block.a + step] = starts[1] + block.b + step
    return pairs


def _moved(members: tuple[int, ...], pairs: dict[int, int]) -> tuple[int, ...] | None:
    if not all(i in pairs for i in members):
        return None
    return tuple(sorted(pairs[i] for i in members))


def _complete(
    record: ExplanationRecord,
    effects: dict[tuple[int, ...], Effect],
    wanted: Sequence[tuple[int, ...]],
) -> None:
    """Add the sets that are not among the record's effects, which are the largest."""
    missing = [members for members in wanted if members not in effects]
    effects |= {effect.members: effect for effect in record.effects_of(missing)}


def _difference(
    first: Features,
    second: Features,
    a: tuple[int, ...] | None,
    b: tuple[int, ...] | None,
    ours: dict[tuple[int, ...], Effect],
    theirs: dict[tuple[int, ...], Effect],
    rounding: float,
) -> Difference:
    features, members = (first, a) if a is not None else (second, b or ())
    labels = tuple(features.labels[i] for i in members)
    x, y = (None if a is None else ours[a]), (None if b is None else theirs[b])
    if x is None or y is None:
        values = tuple(None if effect is None else effect.value for effect in (x, y))
        return Difference(labels, a, b, (values[0], values[1]), None, None)
    interval = _interval(x.value, y.value, x.interval, y.interval)
    difference = y.value - x.value
    # An effect of t features is a sum of 2^t values, and each may be off.
    if abs(difference) <= math.ldexp(rounding, min(len(members), _MOST_DOUBLED)):
        difference = 0.0
        interval = interval and (min(interval[0], 0.0), max(interval[1], 0.0))
    return Difference(labels, a, b, (x.value, y.value), difference, interval)


def _rounding(record: ExplanationRecord) -> float:
    """How far a value may be off where the same model computes it in another order: as measured,
    and a digit of what it computes in."""
    computed = np.float64 if record.provenance.dtype == "float64" else np.float32
    digit = float(np.finfo(computed).eps) * float(np.abs(record.queries.values).max())
    return max(record.provenance.noise_floor or 0.0, digit)


def _interval(
    x: float,
    y: float,
    first: tuple[float, float] | None,
    second: tuple[float, float] | None,
) -> tuple[float, float] | None:
    """Distances to the ends add up as those of independent errors do."""
    if first is None or second is None:
        return None
    low = math.hypot(y - second[0], first[1] - x)
    high = math.hypot(second[1] - y, x - first[0])
    return y - x - low, y - x + high
