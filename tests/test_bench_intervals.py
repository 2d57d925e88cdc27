"""The bench of intervals: what it counts, and the page it writes."""

from __future__ import annotations

from pathlib import Path

import intervals
import numpy as np
import pytest


def test_shares_held_and_widths_are_counted() -> None:
    found = intervals.row("x", [0.0, 1.0, 2.0], np.array([[-1, 1], [0, 0.5], [2, 2]]))
    assert (found["held"], found["count"]) == (2, 3)
    assert found["width"] == pytest.approx(0.5 / np.std([0.0, 1.0, 2.0]))
    assert intervals.row("x", [], []) is None
    rows = [
        {"of": "g", "alpha": alpha, "seed": 0} | found | {"width": 1.0 / alpha}
        for alpha in (1.0, 4.0)
    ]
    assert intervals.table(rows).splitlines()[-1] == (
        "| x | 67% of 3 | 67% of 3 | 1 | 0.25 | 0.25 |"
    )


def test_every_kind_of_number_of_a_game_is_compared(tmp_path: Path) -> None:
    (game,) = intervals.read_games(intervals.HERE / "data" / "games", "sentiment1")
    rows = intervals.measured(game, 2.0, 0)
    kinds = {row["kind"] for row in rows}
    assert {name for name, _ in intervals.INDICES} < kinds
    assert {"effect of a pair at the input", "change by a removal set", "R²"} < kinds
    held, count = (sum(row[name] for row in rows) for name in ("held", "count"))
    assert count > 1500
    assert 0.8 < held / count < 1.0
    page = tmp_path / "page.md"
    page.write_text("# a\n<!-- bench: intervals -->\nold\n<!-- /bench -->\nb\n", "utf-8")
    intervals.write_page(rows, page)
    text = page.read_text("utf-8")
    assert text.startswith("# a\n<!-- bench: intervals -->\n| number |")
    assert text.endswith("|\n<!-- /bench -->\nb\n")
    assert "old" not in text
