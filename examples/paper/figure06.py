"""Figure 6 of the paper: faithfulness against the inference multiplier, and by density.

Uniform masks, as in the paper: every method gets α·n·log2(n) of them (SPEX at most as many, of
its own); R² on held-out uniform masks. Then, beyond the paper, the same number of masks of three
densities: how faithful near the actual input?

    python examples/paper/figure06.py --quick
"""

from __future__ import annotations

from pathlib import Path

import drawing
from cases import DENSITIES
from common import Row, Study, run
from inputs import DATASETS, cases
from reading import shared

METHODS = ("default", "paper", "lasso")


def measure(study: Study) -> Row:
    rows: list[Row] = []
    near: list[Row] = []
    for case in cases(study, ("sentiment", "encoder", "stories", "articles", "captions")):
        for alpha in case.sizes.alphas:
            fits = {method: case.fit(method, alpha) for method in METHODS}
            spex = case.spex_at(alpha)
            if spex is not None:
                fits["spex"] = spex
            for method, fit in fits.items():
                head = {**case.head, "method": method, "alpha": alpha, "masks": fit.asked}
                r2 = case.r2(fit.spectrum)
                rows.append({**head, "r2": r2, "proxy_r2": fit.proxy_r2})
        alpha = case.sizes.alpha
        for method in ("default", "lasso"):
            for fitted, densities in (("uniform", (0.5,)), ("mixed", DENSITIES)):
                if fitted == "mixed" and not case.sizes.mixed:
                    continue
                fit = case.fit(method, alpha, densities)
                head = {**case.head, "method": method, "alpha": alpha, "fitted": fitted}
                near += [
                    {**head, "density": density, "r2": case.r2(fit.spectrum, density)}
                    for density in DENSITIES
                ]
    return {"rows": rows, "by_density": near}


def draw(result: Row, path: Path) -> None:
    rows, near = result["rows"], result["by_density"]
    datasets = drawing.names(rows, "dataset")
    figure, axes = drawing.panels(2, len(datasets))
    for (above, below), dataset in zip(axes.T, datasets, strict=True):
        here = [row for row in rows if row["dataset"] == dataset]
        # Lines over α join the same inputs: some α are asked of the first inputs only.
        whole = shared(here, "alpha", drawing.names(here, "alpha"))
        for method in drawing.names(here, "method"):
            points = [(row["alpha"], row["r2"]) for row in whole if row["method"] == method]
            drawing.line(above, method, points)
        drawing.head(above, f"{DATASETS[dataset].title}, every α", whole)
        drawing.head(below, "by density", [row for row in near if row["dataset"] == dataset])
        above.set(xlabel="α (α·n·log₂n masks)", xticks=drawing.names(here, "alpha"))
        for method in ("default", "lasso"):
            for fitted, style in (("uniform", method), ("mixed", f"{method}, mixed")):
                points = [
                    (row["density"], max(row["r2"], -1.0))
                    for row in near
                    if (row["dataset"], row["method"], row["fitted"]) == (dataset, method, fitted)
                ]
                drawing.line(below, style, points)
        below.set(xlabel="features kept (R² below −1 drawn at −1)", xticks=DENSITIES)
    axes[0][0].set_ylabel("R² on held-out uniform masks")
    axes[1][0].set_ylabel("R² by density of the test masks")
    drawing.legend(figure, axes)
    drawing.save(figure, path)


if __name__ == "__main__":
    columns = ("dataset", "input", "n", "method", "alpha", "masks", "r2", "proxy_r2")
    run("figure06", __doc__, measure, draw, columns)
