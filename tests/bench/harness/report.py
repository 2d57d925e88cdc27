"""Rows of JSON -> Markdown, and what machine and versions they were made with."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

Row = dict[str, Any]
TESTS = ("uniform", "50", "70", "90")
#: What makes a line of the table; seeds are summed up in it.
CELL = ("table", "alpha", "sampling", "method")


def machine() -> dict[str, Any]:
    names = ["numpy", "scikit-learn", "lightgbm", "proxyspex-hf", "spectralexplain", "shapiq"]
    versions = {}
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    return {
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "processor": processor(),
        "load": [round(x, 2) for x in os.getloadavg()],
        "python": platform.python_version(),
        "system": platform.system(),
        "versions": versions,
    }


def processor() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
            names = [line.partition(":")[2] for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0].strip() if names else platform.machine()


def write_json(path: Path, rows: Sequence[Row], **about: Any) -> None:
    """Rows, one a line, with the machine; the file is replaced only when whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    top = json.dumps({"machine": machine(), **about}, indent=1, ensure_ascii=False)
    partial = path.with_suffix(".part")
    partial.write_text(f'{top[:-2]},\n "rows": [\n{lines}\n]}}\n', encoding="utf-8")
    partial.replace(path)


def describe(found: dict[str, Any]) -> str:
    """A machine in a line."""
    versions = ", ".join(f"{k} {v}" for k, v in found["versions"].items() if v)
    return f"{found['cores']} cores ({found['processor']}), Python {found['python']}; {versions}"


def spread(values: Iterable[float | None], digits: int = 3) -> str:
    """Median, and least to greatest where there are several."""
    known = [v for v in values if v is not None]
    if not known:
        return "–"
    middle = f"{statistics.median(known):.{digits}f}"
    if len(known) == 1:
        return middle
    return f"{middle} ({min(known):.{digits}f} to {max(known):.{digits}f})"


def grouped(rows: Sequence[Row], keys: Sequence[str] = CELL) -> dict[tuple[Any, ...], list[Row]]:
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[k] for k in keys), []).append(row)
    return groups


def median_of(rows: Sequence[Row], figure: Callable[[Row], float | None]) -> float | None:
    known = [v for v in map(figure, rows) if v is not None]
    return statistics.median(known) if known else None


def markdown_table(columns: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    shown = [columns, ["---"] * len(columns), *lines]
    # A bar would end the cell: names come from files.
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in shown
    )


COLUMNS = (
    "table", "α", "rows", "sampling", "method", "R² uniform", "R² 0.5", "R² 0.7", "R² 0.9",
    "proxy's own R²", "terms", "full input off by", "seconds",
)  # fmt: skip


def markdown_line(rows: Sequence[Row]) -> list[str]:
    """One cell of the bench (its seeds) as a line of the table of ``COLUMNS``."""
    first = rows[0]
    failed = [row["error"] for row in rows if "error" in row]
    start = [
        first["table"], f"{first['alpha']:g}", str(first["masks"]), first["sampling"],
        first["method"],
    ]  # fmt: skip
    good = [row for row in rows if "error" not in row]
    if not good:
        return [*start, failed[0], *[""] * (len(COLUMNS) - len(start) - 1)]
    own = "uniform" if first["sampling"] == "uniform" else "90"
    dense = [row["dense_r2"][own] for row in good if "dense_r2" in row]
    off = [100 * row["full_error"] for row in good]
    return [
        *start,
        *(spread(row["r2"][test] for row in good) for test in TESTS),
        f"{spread(dense)} ({own})" if dense else "",
        spread((row["terms"] for row in good), 0),
        f"{statistics.median(off):.1f}% (at most {max(off):.1f}%)",
        # Seconds under load are upper ends.
        spread((row["seconds"] for row in good), 1) + (" *" if is_loaded(good) else ""),
    ]


def is_loaded(rows: Sequence[Row]) -> bool:
    """Whether other work ran beside any of these."""
    return any((row.get("load") or 0.0) > 0.3 for row in rows)


def markdown(rows: Sequence[Row]) -> str:
    return markdown_table(COLUMNS, [markdown_line(group) for group in grouped(rows).values()])
