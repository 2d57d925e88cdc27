"""Results that are kept: one line of JSON each, so that runs may append at the same time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

KEY = ("method", "version", "content", "alpha", "sampling", "seed")


def key_of(row: dict[str, Any]) -> tuple[Any, ...]:
    """What a result depends on: who made it, in which version, from which rows."""
    return tuple(float(row[k]) if k == "alpha" else row[k] for k in KEY)


class ResultCache:
    """Rows by key in a file of JSON lines. A later line replaces an earlier one of its key."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def rows(self) -> dict[tuple[Any, ...], dict[str, Any]]:
        if not self.path.exists():
            return {}
        rows = {}
        for number, line in enumerate(self.path.read_text("utf-8").splitlines(), 1):
            try:
                row = json.loads(line)
                rows[key_of(row)] = row
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"{self.path}, line {number} is not a result: {error}") from error
        return rows

    def get(self, wanted: dict[str, Any]) -> dict[str, Any] | None:
        return self.rows().get(key_of(wanted))

    def add(self, row: dict[str, Any]) -> None:
        key_of(row)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, sort_keys=True) + "\n")
