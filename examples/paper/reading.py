"""Reading the results: which rows belong together, numbers as text, and verdicts."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable
from pathlib import Path

from common import Row

YES, PARTLY, NO, OPEN = "reproduced", "in part", "not reproduced", "open"
NAMES = {
    "sentiment": "reviews",
    "encoder": "reviews under the encoder",
    "stories": "stories",
    "articles": "articles",
    "captions": "captions",
    "sentences": "sentences",
}
Measured = tuple[str, str]


class Results:
    """The JSON files of a folder, by figure."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def has(self, figure: str) -> bool:
        """Whether the figure was made."""
        return (self._folder / f"{figure}.json").exists()

    def __call__(self, figure: str) -> Row:
        found: Row = json.loads((self._folder / f"{figure}.json").read_text("utf-8"))
        return found


def verdict(held: Iterable[bool | None]) -> str:
    """Of a claim that holds on all, some or none of the data sets; None where that is open."""
    each = set(held)
    if len(each) == 1:
        return {True: YES, False: NO, None: OPEN}[each.pop()]
    return PARTLY if each else OPEN


def by_dataset(rows: Iterable[Row]) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["dataset"], []).append(row)
    return groups


def of(rows: Iterable[Row], **wanted: object) -> list[Row]:
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def median(rows: Iterable[Row], key: str) -> float:
    return statistics.median(row[key] for row in rows)


def spread(numbers: Iterable[float], digits: int = 3) -> str:
    """The median, and the range where there are several: 0.97 (0.95 to 0.98)."""
    found = sorted(numbers)
    middle = signed(statistics.median(found), digits)
    if len(found) == 1:
        return middle
    return f"{middle} ({signed(found[0], digits)} to {signed(found[-1], digits)})"


def shared(rows: Iterable[Row], key: str, wanted: Iterable[object]) -> list[Row]:
    """The rows of the inputs that have every one of ``wanted`` under ``key``.

    Some methods and α are measured on the first inputs only; medians over other inputs than those
    would compare these with those.
    """
    each = list(rows)
    needed = set(wanted)
    seen: dict[str, set[object]] = {}
    for row in each:
        seen.setdefault(row["input"], set()).add(row[key])
    return [row for row in each if needed <= seen[row["input"]]]


def listed(parts: Iterable[str]) -> str:
    return "; ".join(parts)


def signed(number: float, digits: int = 3) -> str:
    return f"{number:.{digits}f}".replace("-", "−")
