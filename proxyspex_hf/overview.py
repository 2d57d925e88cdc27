"""Many explanations at once: which words and combinations recur, and what they do."""

from __future__ import annotations

import math
import statistics
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from proxyspex_hf.errors import InputError
from proxyspex_hf.explanation import InteractionExplanation
from proxyspex_hf.files import write_whole
from proxyspex_hf.record import ExplanationRecord
from proxyspex_hf.viz.overview_page import Group, render_overview, render_overview_text
from proxyspex_hf.viz.wording import visible

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Overview", "Recurring", "explanations_summary"]

#: Explanations that stay in memory for their stories.
_MOST = 10_000
_EXAMPLES = 3


@dataclass(frozen=True)
class Recurring:
    """A word, or a combination of words, over many inputs.

    Attributes:
        words: in the order of the alphabet, lower case, without punctuation around them.
        label: the explained label or output; empty over all of them.
        count: in how many inputs its effect is told from zero.
        total: in how many inputs its words stand.
        mean: of its effect at the input, over the ``count`` inputs.
        interval: 90% of that mean, by how much the inputs differ; None where there is only one.
        raising: in what share of the ``count`` inputs it raises the value.
        examples: indices of explanations with the largest effects, the largest first.

    Example:
        >>> strongest = explanations_summary([explanation, explanation]).top(1)[0]
        >>> strongest.words, strongest.count, strongest.total
        (('bad', 'not'), 2, 2)
    """

    words: tuple[str, ...]
    label: str
    count: int
    total: int
    mean: float
    interval: tuple[float, float] | None
    raising: float
    examples: tuple[int, ...]


@dataclass(frozen=True)
class Overview:
    """What recurs in many explanations of one kind of number.

    Attributes:
        explanations: them.
        recurring: over all labels, the most frequent first, then by the size of the mean.
        by_label: the same for each label.

    Example:
        >>> len(explanations_summary([explanation]).explanations)
        1
    """

    explanations: tuple[InteractionExplanation, ...]
    recurring: tuple[Recurring, ...]
    by_label: dict[str, tuple[Recurring, ...]]

    def top(
        self, k: int = 10, *, order: int | None = None, label: str | None = None
    ) -> list[Recurring]:
        """The ``k`` that recur most, of one ``order`` or one explained ``label`` if given.

        Raises:
            InputError: a label that none of them explains.
        """
        found = self.recurring
        if label is not None:
            if label not in self.by_label:
                known = ", ".join(map(repr, self.by_label))
                raise InputError(f"no explanation is of label={label!r}; there are {known}.")
            found = self.by_label[label]
        return [r for r in found if order in (None, len(r.words))][: max(0, k)]

    def to_dataframe(self, label: str | None = None) -> pd.DataFrame:
        """One row per word or combination, over all labels or one.

        Columns: words, order, count, total, mean, low, high (90% of the mean), raising, examples.
        """
        import pandas as pd  # 0.3 s to import: only for those who ask for a frame

        nan = float("nan")
        columns = ["words", "order", "count", "total", "mean", "low", "high", "raising", "examples"]
        rows = [
            (
                " × ".join(r.words),
                len(r.words),
                r.count,
                r.total,
                r.mean,
                *(r.interval or (nan, nan)),
                r.raising,
                r.examples,
            )
            for r in self.top(len(self.recurring), label=label)
        ]
        return pd.DataFrame(rows, columns=columns)

    def to_html(self, path: str | Path | None = None, *, top: int = 40) -> str:
        """One HTML file without scripts: a click on a row opens its examples."""
        page = render_overview(self._records, self._groups, top=top)
        if path is not None:
            write_whole(path, page)
        return page

    def to_text(self, *, top: int = 15, label: str | None = None) -> str:
        """The list for a terminal."""
        rows = tuple(self.top(len(self.recurring), label=label))
        return render_overview_text(self._records, Group(label or "", rows), top=top)

    @property
    def _records(self) -> list[ExplanationRecord]:
        return [explanation.record for explanation in self.explanations]

    @property
    def _groups(self) -> list[Group]:
        groups = [Group("", self.recurring)]
        if len(self.by_label) > 1:
            groups += [Group(label, rows) for label, rows in self.by_label.items()]
        return groups

    def __str__(self) -> str:
        return self.to_text()

    def __repr__(self) -> str:
        return f"Overview({len(self.explanations)} explanations, {len(self.recurring)} recurring)"


def explanations_summary(explanations: Iterable[InteractionExplanation]) -> Overview:
    """Which words and combinations recur in many explanations, with counts and mean effects.

    Args:
        explanations: a list, or what :func:`proxyspex_hf.pull_explanations` gives for a data set
            on the Hub; of one kind of number, such as log-odds.

    Raises:
        InputError: none, more than 10,000, or explanations of numbers of different kinds.

    Example:
        >>> explanations_summary([explanation, explanation]).top(1)[0].words
        ('bad', 'not')
    """
    given: list[InteractionExplanation] = []
    for explanation in explanations:
        if not isinstance(explanation, InteractionExplanation):
            raise InputError(
                f"explanations must be InteractionExplanation, got {type(explanation).__name__}."
            )
        given.append(explanation)
        if len(given) > _MOST:
            raise InputError(f"at most {_MOST:,} explanations are summarized at once.")
    if not given:
        raise InputError("there is no explanation to summarize.")
    kinds = {explanation.record.target.kind for explanation in given}
    if len(kinds) > 1:
        raise InputError(
            f"the explanations are of {', '.join(sorted(kinds))}: numbers of different units have "
            "no mean. Summarize those of one kind."
        )
    numbered = list(enumerate(given))
    labels = dict.fromkeys(explanation.record.target.label for explanation in given)
    by_label = {
        label: _recurring([(i, e) for i, e in numbered if e.record.target.label == label], label)
        for label in labels
    }
    return Overview(tuple(given), _recurring(numbered, ""), by_label)


def _recurring(
    numbered: list[tuple[int, InteractionExplanation]], label: str
) -> tuple[Recurring, ...]:
    sizes: dict[tuple[str, ...], dict[int, float]] = defaultdict(dict)
    present: dict[str, set[int]] = defaultdict(set)
    for index, explanation in numbered:
        words = [_word(text) for text in explanation.features.labels]
        for word in words:
            present[word].add(index)
        for effect in explanation.record.effects:
            if not effect.is_sure:
                continue
            key = tuple(sorted(words[i] for i in effect.members))
            before = sizes[key].get(index, 0.0)
            if abs(effect.value) > abs(before):  # a word that stands there twice counts once
                sizes[key][index] = effect.value
    found = []
    for key, values in sizes.items():
        total = set.intersection(*(present[word] for word in key))
        largest = sorted(values, key=lambda i: -abs(values[i]))[:_EXAMPLES]
        mean = statistics.fmean(values.values())
        raising = sum(value > 0 for value in values.values()) / len(values)
        interval = _of_mean(list(values.values()))
        found.append(
            Recurring(key, label, len(values), len(total), mean, interval, raising, tuple(largest))
        )
    return tuple(sorted(found, key=lambda r: (-r.count, -abs(r.mean), r.words)))


def _of_mean(values: list[float]) -> tuple[float, float] | None:
    """90% of the mean, by Student's t over inputs."""
    from scipy.stats import t  # slow to import

    if len(values) < 2:
        return None
    mean, error = statistics.fmean(values), statistics.stdev(values) / math.sqrt(len(values))
    reach = float(t.ppf(0.95, len(values) - 1)) * error
    return mean - reach, mean + reach


def _word(text: str) -> str:
    """How a feature is counted: without case, and without punctuation around it."""
    plain = unicodedata.normalize("NFKC", visible(text)).casefold()
    bare = plain.strip("".join(c for c in plain if unicodedata.category(c)[0] in "PZ"))
    return bare or plain
