"""Figure 7 of the paper: what the model's output loses with the features that a method names.

For each r, the removal set (equation 4, by integer programming) of each method's explanation; the
model itself is then asked: |f([n]) − f(S)| / |f([n])|. Uniform masks, as in the paper, and beyond
it the same number of masks of three densities, nearer to the input that features are removed from.

    python examples/paper/figure07.py --quick
"""

from __future__ import annotations

from pathlib import Path

import drawing
import numpy as np
from cases import DENSITIES
from common import Row, Study, run
from inputs import DATASETS, cases

from proxyspex_hf.core.removal import removal_curve

RS = (1, 2, 3, 5, 8, 12, 20)
#: Seconds for one removal set; one that is not proven by then says so.
LIMIT = 20.0


def measure(study: Study) -> Row:
    rows: list[Row] = []
    for case in cases(study, ("sentiment", "stories", "captions")):
        alpha = case.sizes.alpha
        fits = {method: case.fit(method, alpha) for method in ("default", "paper", "lasso")}
        spex = case.spex_at(alpha)
        if spex is not None:
            fits["spex"] = spex
        for method in ("default", "lasso"):
            fits[f"{method}, mixed"] = case.fit(method, alpha, DENSITIES)
        full = float(case.values(np.ones((1, case.n), np.bool_))[0])
        rs = [r for r in RS if r < case.n]
        for method, fit in fits.items():
            solutions = removal_curve(fit.spectrum, rs, time_limit=LIMIT)
            actual = case.values(np.stack([solution.mask for solution in solutions]))
            head = {**case.head, "method": method, "alpha": alpha, "masks": fit.asked}
            rows += [
                {
                    **head,
                    "r": r,
                    "change": abs(full - value) / abs(full),
                    "predicted": abs(solution.change) / abs(full),
                    "full": full,
                    "status": solution.status,
                    "seconds": solution.seconds,
                    "removed": list(solution.removed),
                }
                for r, solution, value in zip(rs, solutions, actual.tolist(), strict=True)
            ]
    return {"rows": rows}


def draw(result: Row, path: Path) -> None:
    def panel(axis: object, rows: list[Row]) -> None:
        for method in drawing.names(rows, "method"):
            points = [(row["r"], row["change"]) for row in rows if row["method"] == method]
            drawing.line(axis, method, points)
        axis.set(xlabel="removed features r", xticks=drawing.names(rows, "r"))  # type: ignore[attr-defined]

    drawing.by_dataset(
        result["rows"],
        panel,
        path,
        y="relative change of the model's output",
        title=lambda dataset: DATASETS[dataset].title,
    )


if __name__ == "__main__":
    columns = ("dataset", "input", "n", "method", "masks", "r", "change", "predicted", "status")
    run("figure07", __doc__, measure, draw, columns)
