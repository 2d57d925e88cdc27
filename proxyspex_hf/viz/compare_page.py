"""Two explanations side by side, as a page without scripts and as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from proxyspex_hf.errors import InputError
from proxyspex_hf.record.record import ExplanationRecord
from proxyspex_hf.viz.markup import escape
from proxyspex_hf.viz.page import plain_page
from proxyspex_hf.viz.static import story
from proxyspex_hf.viz.text import wrapped
from proxyspex_hf.viz.verdict import scale_of, verdict_of
from proxyspex_hf.viz.view import story_data
from proxyspex_hf.viz.wording import decimals_for, number, signed, visible

_MINUS = "\N{MINUS SIGN}"


class Line(NamedTuple):
    """One row of the table; see :class:`proxyspex_hf.comparison.Difference`."""

    labels: str
    effects: tuple[float | None, float | None]
    difference: float | None
    interval: tuple[float, float] | None
    is_sure: bool


def render_comparison(
    records: tuple[ExplanationRecord, ExplanationRecord],
    names: tuple[str, str],
    lines: Sequence[Line],
    *,
    top: int = 30,
) -> str:
    """Both stories, and what differs, as one HTML file.

    Raises:
        InputError: ``top`` is below one.
    """
    if top < 1:
        raise InputError(f"top must be at least 1, got {top}.")
    decimals, sure = _decimals(lines), [line for line in lines if line.is_sure]
    columns = "".join(
        f'<section class="card story"><p class="kicker"><bdi>{escape(visible(name))}</bdi></p>'
        f"{story(record)}</section>"
        for name, record in zip(names, records, strict=True)
    )
    rows = "".join(
        f'<tr><th scope="row"><bdi>{escape(line.labels)}</bdi></th>'
        f'<td class="num"><b>{_said(line, decimals)}</b></td>'
        + "".join(f'<td class="num">{_effect(effect, decimals)}</td>' for effect in line.effects)
        + "</tr>"
        for line in sure[:top]
    )
    heads = "".join(f'<th scope="col"><bdi>{escape(visible(n))}</bdi></th>' for n in names)
    table = (
        f'<div class="scroll"><table><thead><tr><th scope="col">Effect</th>'
        f'<th scope="col">Difference ± 90%</th>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
        if sure
        else "<p>No difference can be told from zero.</p>"
    )
    alone = [line for line in lines if line.difference is None]
    more = f"<p class='fine'>{escape(_about(records, lines, alone))}</p>"
    body = (
        f"<header><h2>{escape(visible(names[0]))} beside {escape(visible(names[1]))}</h2></header>"
        f'<div class="pair">{columns}</div>'
        f'<section class="card differs"><h3>What differs</h3>{table}{more}</section>'
    )
    return plain_page(f"{names[0]} beside {names[1]}", body)


def comparison_data(
    records: tuple[ExplanationRecord, ExplanationRecord],
    names: tuple[str, str],
    lines: Sequence[Line],
    *,
    top: int = 30,
) -> dict[str, Any]:
    """What :func:`render_comparison` says, as JSON for a page that makes text nodes of it.

    ``rows`` are [labels, first effect, second effect, difference with its interval, 1 where it
    speaks for what the model said, else -1].

    Raises:
        InputError: ``top`` is below one.
    """
    if top < 1:
        raise InputError(f"top must be at least 1, got {top}.")
    decimals, sure = _decimals(lines), [line for line in lines if line.is_sure]
    alone = [line for line in lines if line.difference is None]
    up = scale_of(records[0].target).up
    return {
        "sides": [
            {"name": visible(name), "by": visible(record.provenance.model), **story_data(record)}
            for name, record in zip(names, records, strict=True)
        ],
        "rows": [
            [
                line.labels,
                *(_effect(effect, decimals) for effect in line.effects),
                _said(line, decimals),
                1 if (line.difference or 0.0) * up > 0 else -1,
            ]
            for line in sure[:top]
        ],
        "more": max(0, len(sure) - top),
        "about": _about(records, lines, alone),
    }


def render_comparison_text(
    records: tuple[ExplanationRecord, ExplanationRecord],
    names: tuple[str, str],
    lines: Sequence[Line],
    *,
    top: int = 10,
    width: int = 80,
) -> str:
    """The table for a terminal.

    Raises:
        InputError: ``top`` is below one.
    """
    if top < 1:
        raise InputError(f"top must be at least 1, got {top}.")
    decimals, out = _decimals(lines), []
    for name, record in zip(names, records, strict=True):
        said = visible(verdict_of(record, record.full_value).text)
        out += wrapped(f"{visible(name)}: {said}", width, "  ")
    sure = [line for line in lines if line.is_sure]
    room = 16
    if not sure:
        out += ["", "No difference can be told from zero."]
    else:
        heads = [visible(name)[:12] for name in names]
        room = max(16, *(len(_said(line, decimals, "-")) for line in sure[:top]))
        out += ["", f"{heads[0]:>12}  {heads[1]:>12}  {'difference ± 90%':>{room}}"]
    for line in sure[:top]:
        first, second = (_effect(effect, decimals, "-") for effect in line.effects)
        said = _said(line, decimals, "-")
        start = f"{first:>12}  {second:>12}  {said:>{room}}  "
        for piece in wrapped(line.labels, max(20, width - len(start))):
            out.append(start + piece)
            start = " " * len(start)
    if len(sure) > top:
        out.append(f"{'':{room + 28}}  … {len(sure) - top:,} more")
    alone = [line for line in lines if line.difference is None]
    out += ["", *wrapped(_about(records, lines, alone), width)]
    return "\n".join(line.rstrip() for line in out) + "\n"


def _about(
    records: tuple[ExplanationRecord, ExplanationRecord],
    lines: Sequence[Line],
    alone: Sequence[Line],
) -> str:
    kind = visible(records[0].target.kind)
    text = f"Effects at the input, in {kind}: the second minus the first."
    labels = [visible(record.target.label) for record in records]
    if records[0].target.is_opposite_of(records[1].target):
        text += (
            f" On {labels[0]}: those of the second, which explains {labels[1]}, are turned to it."
        )
    elif labels[0] != labels[1]:
        text += f" They explain {labels[0]} and {labels[1]}."
    if alone:
        text += f" {len(alone):,} of {len(lines):,} effects are of words that only one input has."
    hint = scale_of(records[0].target).hint
    return f"{text} {hint}" if hint else text


def _decimals(lines: Sequence[Line]) -> int:
    return decimals_for(line.difference for line in lines[:1] if line.difference is not None)


def _effect(effect: float | None, decimals: int, minus: str = _MINUS) -> str:
    return "\N{EN DASH}" if effect is None else signed(effect, decimals, minus)


def _said(line: Line, decimals: int, minus: str = _MINUS) -> str:
    if line.difference is None:
        return "\N{EN DASH}"
    return number(line.difference, line.interval, decimals, minus)
