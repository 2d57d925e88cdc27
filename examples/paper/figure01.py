"""Figure 1 of the paper: faithfulness against the number of inferences, and how many SPEX needs.

ProxySPEX and LASSO at several α; SPEX from few masks to many times as many. For each point of
ProxySPEX: the fewest masks, of those tried, at which SPEX is as faithful.

    python examples/paper/figure01.py --quick
"""

from __future__ import annotations

from pathlib import Path

import drawing
from common import Row, Study, run
from inputs import DATASETS, cases

METHODS = ("default", "paper", "lasso")


def measure(study: Study) -> Row:
    rows: list[Row] = []
    needed: list[Row] = []
    for case in cases(study, ("sentiment", "encoder", "captions")):
        spex = [case.spex(bits) for bits in case.sizes.spex[0]]
        scored = [(fit.asked, case.r2(fit.spectrum)) for fit in spex]
        rows += [
            {**case.head, "method": "spex", "alpha": None, "masks": masks, "r2": r2}
            for masks, r2 in scored
        ]
        for method in METHODS:
            for alpha in case.sizes.alphas:
                fit = case.fit(method, alpha)
                r2 = case.r2(fit.spectrum)
                head = {**case.head, "method": method, "alpha": alpha, "masks": fit.asked}
                rows.append({**head, "r2": r2})
                if scored:
                    needed.append({**head, "r2": r2, **spex_needs(scored, fit.asked, r2)})
    return {"rows": rows, "spex_needs": needed}


def spex_needs(scored: list[tuple[int, float]], asked: int, r2: float) -> Row:
    """The fewest masks at which SPEX reaches ``r2``, and how many times ``asked`` they are.

    Where it never does, ``masks`` is None and ``times`` what the most masks tried come to: it needs
    more.
    """
    enough = [masks for masks, found in scored if found >= r2]
    most = max(masks for masks, _ in scored)
    return {
        "spex_masks": min(enough) if enough else None,
        "times": (min(enough) if enough else most) / asked,
    }


def draw(result: Row, path: Path) -> None:
    def panel(axis: object, rows: list[Row]) -> None:
        for method in drawing.names(rows, "method"):
            for i, name in enumerate(drawing.names(rows, "input")):
                points = [
                    (row["masks"], max(row["r2"], -0.2))
                    for row in rows
                    if (row["method"], row["input"]) == (method, name)
                ]
                label = {} if i == 0 else {"label": "_"}
                drawing.line(axis, method, points, **label, markersize=3, linewidth=1.1)
        axis.set_xlabel("model inferences")  # type: ignore[attr-defined]
        drawing.log_axis(axis, [row["masks"] for row in rows])

    drawing.by_dataset(
        result["rows"],
        panel,
        path,
        y="R² on held-out uniform masks",
        title=lambda dataset: DATASETS[dataset].title,
    )


if __name__ == "__main__":
    columns = ("dataset", "input", "n", "method", "alpha", "masks", "r2")
    run("figure01", __doc__, measure, draw, columns)
