"""Many explanations at once: which words and combinations recur, and what they do."""

from __future__ import annotations

import math
import statistics
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from proxyspex_hf.checks import as_integer
from proxyspex_hf.core.effects import Kind
from proxyspex_hf.errors import InputError
from proxyspex_hf.explanation import InteractionExplanation
from proxyspex_hf.files import write_whole
from proxyspex_hf.given import as_explanations
from proxyspex_hf.hub.pull import pull, pull_one
from proxyspex_hf.hub.rows import content_id
from proxyspex_hf.hub.summaries import Summarized, summaries
from proxyspex_hf.record.record import ExplanationRecord
from proxyspex_hf.viz.overview_page import Group, render_overview, render_overview_text
from proxyspex_hf.viz.wording import raises, visible

if TYPE_CHECKING:
    import pandas as pd


#: Explanations that stay in memory for their stories.
_MOST = 10_000
#: Explanations without plain columns that are read whole: each takes up to a second.
_MOST_WHOLE = 50
_EXAMPLES = 3


@dataclass(frozen=True)
class Recurring:
    """A word, or a combination of words, over many inputs.

    Attributes:
        words: in the order of the alphabet, lower case, without punctuation around them.
        label: the explained label or output; empty over all of them.
        count: in how many inputs its effect is told from zero.
        total: in how many inputs its words stand; a word that it has twice, twice.
        mean: of its effect at the input, over the ``count`` inputs.
        interval: 90% of that mean, by how much the inputs differ; None where there is only one.
        raising: in what share of the ``count`` inputs it raises the value; where either of two
            words is enough to raise it, their effect is below zero.
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
        explanations: them; of a data set on the Hub, each is read when it is looked at.
        recurring: over all labels, the most frequent first, then by the size of the mean.
        by_label: the same for each label.
        summarized: what was counted of each.
        note: what was left out of the count, in words; empty where nothing was.

    Example:
        >>> len(explanations_summary([explanation]).explanations)
        1
    """

    explanations: Sequence[InteractionExplanation]
    recurring: tuple[Recurring, ...]
    by_label: dict[str, tuple[Recurring, ...]]
    summarized: tuple[Summarized, ...] = ()
    note: str = ""

    def top(
        self, k: int = 10, *, order: int | None = None, label: str | None = None
    ) -> list[Recurring]:
        """The ``k`` that recur most, of one ``order`` or one explained ``label`` if given.

        Raises:
            InputError: a label that none of them explains; ``k`` below 0, or ``order`` below 1.
        """
        found = self.recurring
        if label is not None:
            if label not in self.by_label:
                known = ", ".join(map(repr, self.by_label))
                raise InputError(f"no explanation is of label={label!r}; there are {known}.")
            found = self.by_label[label]
        k = as_integer("k", k, 0)
        if order is not None:
            order = as_integer("order", order, 1)
        return [r for r in found if order in (None, len(r.words))][:k]

    def to_dataframe(self, label: str | None = None) -> pd.DataFrame:
        """One row per word or combination, over all labels or one ``label``.

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
        """One HTML file without scripts, in which a click on a row opens its examples.

        Args:
            path: where it is also written, if given.
            top: rows for each label.
        """
        page = render_overview(self._records, self._groups, top=top, note=self.note)
        if path is not None:
            write_whole(path, page)
        return page

    def to_text(self, *, top: int = 15, label: str | None = None) -> str:
        """The ``top`` rows as text for a terminal, over all labels or one ``label``."""
        rows = tuple(self.top(len(self.recurring), label=label))
        group = Group(label or "", rows)
        return render_overview_text(self._records, group, top=top, note=self.note)

    @property
    def _records(self) -> Sequence[ExplanationRecord]:
        return _Records(self.explanations)

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
    for explanation in as_explanations(explanations):
        given.append(explanation)
        if len(given) > _MOST:
            raise InputError(f"at most {_MOST:,} explanations are summarized at once.")
    if not given:
        raise InputError("there is no explanation to summarize.")
    return _overview(tuple(given), [_summarized(explanation) for explanation in given])


def hub_summary(
    repo_id: str,
    *,
    config_name: str = "explanations",
    revision: str | None = None,
    token: str | bool | None = None,
    most: int = 5_000,
) -> Overview:
    """What recurs in a data set on the Hub, from its plain columns: whole explanations are read
    only for the examples that are looked at.

    Of rows that were written before 0.2, which have no such columns, the newest 50 are read whole.
    What was left out is said in ``note``.

    Args:
        repo_id: ``"owner/name"`` of the data set.
        config_name: name of the collection within it.
        revision: branch, tag or commit.
        token: access token; default the one of ``hf auth login`` or ``HF_TOKEN``.
        most: how many explanations at most, the newest first; up to 10,000.

    Raises:
        HubError: the Hub could not be reached or refused.
        SchemaError: a file is damaged, altered, or of a newer version.
        InputError: ``most`` out of range, or explanations that cannot be counted together, as for
            :func:`explanations_summary`.

    Example:
        >>> hub_summary("me/explanations").top(3)  # doctest: +SKIP
    """
    if not isinstance(most, int) or not 1 <= most <= _MOST:
        raise InputError(f"most must be from 1 to {_MOST:,}, got {most!r}.")
    where: dict[str, Any] = {"config_name": config_name, "revision": revision, "token": token}
    read = summaries(repo_id, most=most, **where)
    older = list(read.lacking[:_MOST_WHOLE])
    whole = {}
    if older:
        records = pull(repo_id, older, **where)
        whole = {content_id(record): InteractionExplanation(record) for record in records}
    given = [*read.rows, *(_summarized(each, name) for name, each in whole.items())]

    def one(name: str) -> InteractionExplanation:
        return InteractionExplanation(pull_one(repo_id, name, **where))

    explanations = _Pulled([each.id for each in given], whole, one)
    seen = len(read.rows) + len(read.lacking)
    note = f"These are the newest of {read.total:,}." if seen < read.total else ""
    if len(read.lacking) > len(older):
        note += (
            f" {len(read.lacking):,} were written before 0.2, without a column of effects: of "
            f"those only the newest {len(older)} are counted."
        )
    return replace(_overview(explanations, given), note=note.strip())


class _Records(Sequence[ExplanationRecord]):
    """The records of explanations, which may be read only when they are looked at."""

    def __init__(self, explanations: Sequence[InteractionExplanation]) -> None:
        self._explanations = explanations

    def __len__(self) -> int:
        return len(self._explanations)

    @overload
    def __getitem__(self, place: int) -> ExplanationRecord: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[ExplanationRecord]: ...
    def __getitem__(self, place: int | slice) -> ExplanationRecord | Sequence[ExplanationRecord]:
        found = self._explanations[place]
        if isinstance(found, InteractionExplanation):
            return found.record
        return [explanation.record for explanation in found]


class _Pulled(Sequence[InteractionExplanation]):
    """Explanations of a data set, each read when it is looked at."""

    def __init__(
        self,
        ids: list[str],
        whole: dict[str, InteractionExplanation],
        one: Callable[[str], InteractionExplanation],
    ) -> None:
        self._ids, self._whole, self._one = ids, dict(whole), one

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, place: int) -> InteractionExplanation: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[InteractionExplanation]: ...
    def __getitem__(
        self, place: int | slice
    ) -> InteractionExplanation | Sequence[InteractionExplanation]:
        if isinstance(place, slice):
            return [self[i] for i in range(len(self))[place]]
        name = self._ids[place]
        if name not in self._whole:
            self._whole[name] = self._one(name)
        return self._whole[name]


def _summarized(explanation: InteractionExplanation, identity: str = "") -> Summarized:
    record = explanation.record
    return Summarized(
        id=identity,
        title=explanation.text or record.task,
        label=record.target.label,
        kind=record.target.kind,
        features=record.features.labels,
        effects=tuple((e.members, e.value, e.kind) for e in record.effects if e.is_sure),
    )


def _overview(
    explanations: Sequence[InteractionExplanation], given: Sequence[Summarized]
) -> Overview:
    """Count.

    Raises:
        InputError: numbers of different kinds.
    """
    kinds = {each.kind for each in given}
    if len(kinds) > 1:
        raise InputError(
            f"the explanations are of {', '.join(sorted(kinds))}: numbers of different units have "
            "no mean. Summarize those of one kind."
        )
    numbered = list(enumerate(given))
    by_label = {
        label: _recurring([(i, each) for i, each in numbered if each.label == label], label)
        for label in dict.fromkeys(each.label for each in given)
    }
    return Overview(explanations, _recurring(numbered, ""), by_label, tuple(given))


def _recurring(numbered: list[tuple[int, Summarized]], label: str) -> tuple[Recurring, ...]:
    sizes: dict[tuple[str, ...], dict[int, tuple[float, Kind]]] = defaultdict(dict)
    present: dict[tuple[str, int], set[int]] = defaultdict(set)  # where a word stands so often
    for index, each in numbered:
        words = [_word(text) for text in each.features]
        for word, times in Counter(words).items():
            for often in range(1, times + 1):
                present[word, often].add(index)
        for members, value, kind in each.effects:
            key = tuple(sorted(words[i] for i in members))
            before, _ = sizes[key].get(index, (0.0, kind))
            if abs(value) > abs(before):  # a word that stands there twice counts once
                sizes[key][index] = value, kind
    found = []
    for key, seen in sizes.items():
        total = set.intersection(*(present[needed] for needed in Counter(key).items()))
        values = [value for value, _ in seen.values()]
        largest = sorted(seen, key=lambda i: -abs(seen[i][0]))[:_EXAMPLES]
        mean, interval = _mean(values)
        raising = sum(raises(kind) for _, kind in seen.values()) / len(seen)
        found.append(
            Recurring(key, label, len(seen), len(total), mean, interval, raising, tuple(largest))
        )
    return tuple(sorted(found, key=lambda r: (-r.count, -abs(r.mean), r.words)))


def _mean(values: list[float]) -> tuple[float, tuple[float, float] | None]:
    """The mean, and 90% of it by Student's t over inputs; None where there is only one."""
    from scipy.stats import t  # slow to import

    # Sums and squares of values near the ends of float64 would leave it; a power of two is exact.
    _, unit = math.frexp(max(map(abs, values)))
    parts = [math.ldexp(value, -unit) for value in values]
    mean = statistics.fmean(parts)
    if len(values) < 2:
        return math.ldexp(mean, unit), None
    error = statistics.stdev(parts) / math.sqrt(len(parts))
    reach = float(t.ppf(0.95, len(parts) - 1)) * error
    return math.ldexp(mean, unit), (math.ldexp(mean - reach, unit), math.ldexp(mean + reach, unit))


def _word(text: str) -> str:
    """How a feature is counted: without case, and without punctuation around it."""
    plain = unicodedata.normalize("NFKC", visible(text)).casefold()
    bare = plain.strip("".join(c for c in plain if unicodedata.category(c)[0] in "PZ"))
    return bare or plain
