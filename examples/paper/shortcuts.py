"""What the shortcuts of the smaller settings change: fewer trees, and SPEX's hard decoding.

The quick and the medium setting have 500 trees at most in the paper's grid, and let SPEX decode
hard. Here both are what they are in the paper, on a few inputs at one α, beside the shortcut.

    python examples/paper/shortcuts.py --medium
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Literal

import drawing
from cases import Case, Fit
from common import Row, Study, progress, run
from inputs import DATASETS, cases

#: How many inputs of each data set: few, and of the quickest.
INPUTS = {"captions": 8, "stories": 2, "encoder": 3}
#: The paper's grid has all three.
TREES = (500, 1000, 5000)
DECODING: tuple[Literal["hard", "soft"], ...] = ("hard", "soft")


def measure(study: Study) -> Row:
    rows: list[Row] = []
    for name, count in INPUTS.items():
        for case in islice(cases(study, (name,)), study.counts.get(name, count)):
            sizes = case.sizes
            for i in range(1, len(TREES) + 1):
                case.sizes = replace(sizes, trees=TREES[:i])
                rows.append(grid(case))
            for decoding in DECODING if sizes.spex[0] else ():
                case.sizes = replace(sizes, spex=(sizes.spex[0], decoding))
                rows += decoded(case)
            progress(f"{case.dataset}, {case.name}: done")
    return {"rows": rows}


def grid(case: Case) -> Row:
    """The paper's trees, chosen among as many numbers of them as the case's sizes have."""
    fit = case.fit("paper", case.sizes.alpha)
    most = max(case.sizes.trees)
    return {**case.head, "method": "paper", "how": f"{most} trees", **scores(case, fit)}


def decoded(case: Case) -> list[Row]:
    """SPEX with the case's decoding, at the most masks that α allows."""
    fit = case.spex_at(case.sizes.alpha)
    how = case.sizes.spex[1]
    return [{**case.head, "method": "spex", "how": how, **scores(case, fit)}] if fit else []


def scores(case: Case, fit: Fit) -> Row:
    return {
        "alpha": case.sizes.alpha,
        "masks": fit.asked,
        "r2": case.r2(fit.spectrum),
        "seconds": fit.seconds,
    }


def draw(result: Row, path: Path) -> None:
    def panel(axis: object, rows: list[Row]) -> None:
        for method in drawing.names(rows, "method"):
            points = [(row["seconds"], row["r2"]) for row in rows if row["method"] == method]
            style = {"linestyle": "", "label": drawing.STYLES[method]["label"]}
            drawing.line(axis, method, points, **style)
        axis.set(xscale="log", xlabel="processor seconds of the fit")  # type: ignore[attr-defined]

    drawing.by_dataset(
        result["rows"],
        panel,
        path,
        y="R² on held-out uniform masks",
        title=lambda dataset: DATASETS[dataset].title,
    )


if __name__ == "__main__":
    columns = ("dataset", "input", "n", "method", "how", "alpha", "masks", "r2", "seconds")
    run("shortcuts", __doc__, measure, draw, columns)
