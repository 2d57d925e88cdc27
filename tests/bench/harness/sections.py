"""The tables of the page on faithfulness, each made of the bench's JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from harness.implementations import PUBLIC
from harness.report import Row, describe, grouped, markdown_table, median_of, spread

Result = dict[str, Any]


def _good(rows: Iterable[Row], **wanted: Any) -> list[Row]:
    return [r for r in rows if "error" not in r and all(r[k] == v for k, v in wanted.items())]


def best_public(rows: Sequence[Row], test: str = "uniform") -> tuple[float, str] | None:
    """The better public implementation by its median R², and its name."""
    found = []
    for (method,), group in grouped(rows, ("method",)).items():
        r2 = median_of(group, lambda row: row["r2"][test]) if method in PUBLIC else None
        if r2 is not None:
            found.append((r2, method))
    return max(found, default=None)


def inferences(result: Result, method: str = "default") -> str:
    """Ours at α beside the better public one at α, 2α and 4α, on uniform rows."""
    rows = _good(result["rows"], sampling="uniform", synthetic=False)
    lines = []
    for (table, alpha), cell in grouped(rows, ("table", "alpha")).items():
        mine = _good(cell, method=method)
        if not mine:
            continue
        rivals = []
        for times in (1, 2, 4):
            there = [r for r in rows if r["table"] == table and r["alpha"] == times * alpha]
            best = best_public(there)
            rivals.append("–" if best is None else f"{best[0]:.3f} ({best[1]})")
        own = spread(row["r2"]["uniform"] for row in mine)
        additive = spread(row["r2"]["uniform"] for row in _good(cell, method="lasso"))
        masks = str(mine[0]["masks"])
        lines.append([table, f"{alpha:g}", masks, f"**{own}**", *rivals, additive])
    columns = ["input", "α", "masks", method, "public at α", "at 2α", "at 4α", "LASSO"]
    return markdown_table(columns, lines)


def densities(result: Result) -> str:
    """Every method by the density of the test masks, and which rows it was fitted to."""
    rows = _good(result["rows"], synthetic=False)
    lines = []
    for key, group in grouped(rows, ("table", "alpha", "sampling", "method")).items():
        table, alpha, sampling, method = key
        if alpha not in (2.0, 4.0):
            continue
        r2 = [spread(row["r2"][test] for row in group) for test in ("50", "70", "90")]
        off = median_of(group, lambda row: 100 * row["full_error"])
        terms = spread((row["terms"] for row in group), 0)
        lines.append([table, f"{alpha:g}", sampling, method, *r2, f"{off:.1f}%", terms])
    columns = [
        "input",
        "α",
        "fitted to",
        "method",
        "0.5",
        "0.7",
        "0.9",
        "full input off by",
        "terms",
    ]
    return markdown_table(columns, lines)


def synthetic(result: Result) -> str:
    """R² over all 2^n masks of functions that are known, by method; uniform rows."""
    rows = _good(result["rows"], synthetic=True, sampling="uniform")
    methods = list(dict.fromkeys(row["method"] for row in rows))
    lines = []
    for (table, alpha), cell in grouped(rows, ("table", "alpha")).items():
        figures = [spread(row["exact_r2"] for row in _good(cell, method=m)) for m in methods]
        lines.append([table, f"{alpha:g}", str(cell[0]["masks"]), *figures])
    return markdown_table(["function", "α", "masks", *methods], lines)


def curve(result: Result) -> str:
    from curve import markdown

    return markdown(result["rows"], sorted({row["k"] for row in result["rows"]}))


def times(result: Result) -> str:
    from tables import time_ratios

    return time_ratios(result["rows"])


def growth(result: Result) -> str:
    from growth import COLUMNS, lines

    return markdown_table(COLUMNS, [line for row in result["rows"] for line in lines(row)])


def whole_input(result: Result) -> str:
    from whole_input import table

    return table(result["rows"])


def made_with(result: Result) -> str:
    return describe(result["machine"])


#: Sections of the page by name: the JSON file that they are made of, and how.
SECTIONS: dict[str, tuple[str, Callable[[Result], str]]] = {
    "inferences": ("tables.json", inferences),
    "densities": ("tables.json", densities),
    "synthetic": ("synthetic.json", synthetic),
    "curve": ("curve.json", curve),
    "whole-input": ("whole_input.json", whole_input),
    "times": ("times.json", times),
    "growth": ("growth.json", growth),
    "machine": ("tables.json", made_with),
    "times-machine": ("times.json", made_with),
    "growth-machine": ("growth.json", made_with),
}
