"""Interaction indices as a live page ranks them: the largest scores, each with its interval."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from proxyspex_hf.core.indices import INDICES, interactions
from proxyspex_hf.core.interactions import Interactions
from proxyspex_hf.core.intervals import with_intervals
from proxyspex_hf.errors import InputError, SolveError
from proxyspex_hf.record.record import ExplanationRecord

#: Rows of the effects that are sent, and of each index; more would be no help to a reader.
MOST_ROWS, INDEX_ROWS = 200, 60

_ABOUT = {
    "Banzhaf": "the mean change when the feature is kept, over all subsets of the others",
    "Shapley": "the mean change when the feature is added, over all orders of adding",
    "Influence": "the part of the variance, over uniform masks, in which the feature takes part",
    "Moebius": "what exactly this combination adds, beyond all of its parts",
    "OR": "what is lost when all of its members are away, beyond its parts",
    "BII": "the mean discrete derivative, over all subsets of the others",
    "SII": "the discrete derivative, weighted as Shapley weighs",
    "STII": "Shapley-Taylor: the top order shares what larger combinations add",
    "FBII": "the best fit up to this order over uniform masks",
    "FSII": "the best fit up to this order, weighted as Shapley weighs",
}
_TITLES = {
    "Banzhaf": "Banzhaf value",
    "Shapley": "Shapley value",
    "Influence": "Influence",
    "Moebius": "Möbius",
    "OR": "OR interaction",
    "BII": "Banzhaf interaction (BII)",
    "SII": "Shapley interaction (SII)",
    "STII": "Shapley-Taylor (STII)",
    "FBII": "Faith-Banzhaf (FBII)",
    "FSII": "Faith-Shapley (FSII)",
}


def index_tables(record: ExplanationRecord, most: int = INDEX_ROWS) -> list[dict[str, Any]]:
    """Every index but the effect at the input, which is what the page opens on.

    Args:
        most: rows of each.
    """
    names = [entry.name for entry in INDICES if entry.name != "Effect"]
    return [table for name in names for table in _tables(record, name, most)]


def _tables(record: ExplanationRecord, name: str, most: int) -> list[dict[str, Any]]:
    """An index at its usual order, and those that depend on it at order 3, too."""
    largest = int(record.spectrum.orders.max())
    orders: list[int | None] = [None]
    if name in ("STII", "FBII", "FSII") and largest > 2:
        orders = [2, 3]
    return [_table(record, name, order, most) for order in orders]


def _table(record: ExplanationRecord, name: str, order: int | None, most: int) -> dict[str, Any]:
    title = _TITLES[name] + (f", order {order}" if order is not None else "")
    table: dict[str, Any] = {"name": name, "order": order, "title": title, "about": _ABOUT[name]}
    try:
        found = interactions(record.spectrum, name, order)
    except (InputError, SolveError) as error:  # more subsets than can be listed
        return {**table, "rows": [], "total": 0, "reason": str(error)}
    largest = np.argsort(-np.abs(found.values), kind="stable")
    largest = largest[(found.orders[largest] > 0) & (found.values[largest] != 0.0)]
    rows = _rows(record, found, np.sort(largest[:most]))
    rows.sort(key=lambda row: -abs(row[1]))
    return {**table, "rows": rows, "total": len(largest)}


def _rows(record: ExplanationRecord, found: Interactions, rows: np.ndarray) -> list[Any]:
    """Rows of an index as the page has them: [members, score, low, high]."""
    shown = replace(found, support=found.support[rows], values=found.values[rows])
    ends = _intervals(record, shown)
    sets = [tuple(i for i in row if i >= 0) for row in shown.support.tolist()]
    return [
        [members, value, *pair]
        for members, value, pair in zip(sets, shown.values.tolist(), ends, strict=True)
    ]


def _intervals(
    record: ExplanationRecord, shown: Interactions
) -> list[tuple[float | None, float | None]]:
    nothing: list[tuple[float | None, float | None]] = [(None, None)] * len(shown)
    posterior = record.posterior
    if posterior is not None and not any(e.interval for e in record.effects):
        posterior = None  # a stored kernel that makes no sense
    # Influence is a square: its interval takes draws, too many for a page that opens.
    if shown.index == "Influence" and not record.is_exact:
        return nothing
    try:
        with np.errstate(all="ignore"):
            found = with_intervals(shown, record.spectrum, posterior, exact=record.is_exact)
    except ValueError:
        return nothing
    if found.intervals is None:
        return nothing
    return [
        (low, high) if np.isfinite([low, high]).all() else (None, None)
        for low, high in found.intervals.tolist()
    ]
