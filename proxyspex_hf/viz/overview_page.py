"""Many explanations on one page without scripts, and as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from proxyspex_hf.errors import InputError
from proxyspex_hf.record.record import ExplanationRecord
from proxyspex_hf.viz.markup import escape
from proxyspex_hf.viz.page import plain_page
from proxyspex_hf.viz.static import story
from proxyspex_hf.viz.text import wrapped
from proxyspex_hf.viz.verdict import scale_of, verdict_of
from proxyspex_hf.viz.wording import decimals_for, number, shortened, visible

_MINUS = "\N{MINUS SIGN}"
#: Stories on one page: each holds its whole input, and its image.
_MOST_STORIES = 120


class Row(Protocol):
    """See :class:`proxyspex_hf.overview.Recurring`."""

    @property
    def words(self) -> tuple[str, ...]: ...
    @property
    def count(self) -> int: ...
    @property
    def total(self) -> int: ...
    @property
    def mean(self) -> float: ...
    @property
    def interval(self) -> tuple[float, float] | None: ...
    @property
    def raising(self) -> float: ...
    @property
    def examples(self) -> tuple[int, ...]: ...


class Group(NamedTuple):
    """What recurs under one label; an empty label is all of them."""

    label: str
    rows: Sequence[Row]


def render_overview(
    records: Sequence[ExplanationRecord],
    groups: Sequence[Group],
    *,
    top: int = 40,
    note: str = "",
) -> str:
    """The page: a section for each label; a row opens to links, and those to stories at the foot.

    Raises:
        InputError: ``top`` is below one.
    """
    if top < 1:
        raise InputError(f"top must be at least 1, got {top}.")
    shown: dict[int, None] = {}
    sections = "".join(_section(group, records, shown, top) for group in groups)
    stories = "".join(
        f'<details class="card story"><summary>{escape(_title(records[i]))}</summary>'
        # A link to what is inside opens it.
        f'<div id="story-{i}">{story(records[i])}</div></details>'
        for i in shown
    )
    many = _counted(records)
    hint = scale_of(records[0].target).hint
    body = (
        f"<header><h2>What recurs in {many}</h2>"
        f'<p class="flip">Effects at the input, in {escape(visible(records[0].target.kind))}. '
        f"{escape(hint or '')} {escape(note)}</p></header>{sections}"
        f'<section class="stories"><h3>Examples</h3>{stories}</section>'
    )
    return plain_page(f"What recurs in {many}", body)


def _section(
    group: Group, records: Sequence[ExplanationRecord], shown: dict[int, None], top: int
) -> str:
    decimals = decimals_for(row.mean for row in group.rows)
    # Effects of opposite inputs may cancel in every row: then no bar has a length.
    largest = max((abs(row.mean) for row in group.rows[:top]), default=0.0)
    up = scale_of(records[0].target).up
    rows = "".join(_row(row, records, shown, decimals, largest, up) for row in group.rows[:top])
    title = f"Where it explains {group.label}" if group.label else "All labels"
    state = "" if group.label else " open"
    return (
        f'<details class="card"{state}><summary>{escape(visible(shortened(title)))}</summary>'
        f'<div class="recurring">{rows or "<p>No effect is told from zero.</p>"}</div></details>'
    )


def _row(
    row: Row,
    records: Sequence[ExplanationRecord],
    shown: dict[int, None],
    decimals: int,
    largest: float,
    up: int,
) -> str:
    links = []
    for i in row.examples:
        if i in shown or len(shown) < _MOST_STORIES:
            shown[i] = None
            links.append(f'<li><a href="#story-{i}">{escape(_title(records[i]))}</a></li>')
    words = " \N{MULTIPLICATION SIGN} ".join(f"<bdi>{escape(word)}</bdi>" for word in row.words)
    # By what most of its inputs say of it: the effect of an OR that raises is below zero.
    sign = "pos" if (row.raising >= 0.5) == (up > 0) else "neg"
    width = f"{100 * (abs(row.mean) / largest) if largest else 0.0:.1f}"
    return (
        f'<details class="{sign}"><summary><span class="num count">{row.count:,} of {row.total:,}'
        f'</span> <svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" '
        f'aria-hidden="true"><rect width="{width}" height="10"/></svg> '
        f'<span class="num value">{number(row.mean, row.interval, decimals, _MINUS)}</span> '
        f"{words}</summary><ul>{''.join(links)}</ul></details>"
    )


def _title(record: ExplanationRecord) -> str:
    said = verdict_of(record, record.full_value).text
    return visible(f"{shortened(said, 80)} {shortened(record.text or record.task, 100)}")


def _counted(records: Sequence[ExplanationRecord]) -> str:
    return "1 explanation" if len(records) == 1 else f"{len(records):,} explanations"


def render_overview_text(
    records: Sequence[ExplanationRecord],
    group: Group,
    *,
    top: int = 15,
    width: int = 80,
    note: str = "",
) -> str:
    """The list for a terminal.

    Raises:
        InputError: ``top`` is below one.
    """
    if top < 1:
        raise InputError(f"top must be at least 1, got {top}.")
    target = records[0].target
    decimals = decimals_for(row.mean for row in group.rows)
    of = f", {visible(shortened(group.label))}" if group.label else ""
    many = _counted(records)
    out = wrapped(f"{many}{of}, effects in {visible(target.kind)}", width)
    hint = scale_of(target).hint
    for more in (hint, note):
        out += wrapped(more, width) if more else []
    out += ["", f"{'inputs':>12}  {'mean effect ± 90%':>24}  combination"]
    for row in group.rows[:top]:
        said = number(row.mean, row.interval, decimals)
        start = f"{f'{row.count:,} of {row.total:,}':>12}  {said:>24}  "
        for piece in wrapped(" × ".join(row.words), max(20, width - len(start))):
            out.append(start + piece)
            start = " " * len(start)
    if len(group.rows) > top:
        out.append(f"{'':40}… {len(group.rows) - top:,} more")
    return "\n".join(line.rstrip() for line in out) + "\n"
