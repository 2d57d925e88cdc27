"""Figures 5 and 11 of the paper: the share of its faithfulness that k coefficients keep.

Of the spectra with the most terms that there are: every coefficient of boosted trees, the 500 of
the default, and, for short sentences, the exact spectrum of all subsets.

    python examples/paper/figure05.py --quick
"""

from __future__ import annotations

from pathlib import Path

import drawing
from common import Row, Study, run
from inputs import DATASETS, cases

from proxyspex_hf.core import all_masks
from proxyspex_hf.core.hierarchy import relative_faithfulness
from proxyspex_hf.core.walsh import exact_spectrum

KS = (5, 10, 20, 50, 100, 200, 500, 1000, 2000)


def measure(study: Study) -> Row:
    rows: list[Row] = []
    for case in cases(study, ("sentiment", "encoder", "stories", "articles", "captions")):
        masks, values = case.tests()
        alphas = sorted({min(case.sizes.alphas), case.sizes.alpha})
        for method in ("default", "trees"):
            for alpha in alphas:
                spectrum = case.fit(method, alpha).spectrum
                head = {**case.head, "method": method, "alpha": alpha, "terms": len(spectrum) - 1}
                rows += truncated(head, spectrum, masks, values)
    for case in cases(study, ("sentences",)):
        masks = all_masks(case.n)
        values = case.values(masks)
        spectrum = exact_spectrum(values)
        head = {**case.head, "method": "exact", "alpha": None, "terms": len(spectrum) - 1}
        rows += truncated(head, spectrum, masks, values)
    return {"rows": rows}


def truncated(head: Row, spectrum: object, masks: object, values: object) -> list[Row]:
    """R² of the k largest coefficients beside ∅, at each k that there are."""
    ks = [k for k in KS if k <= head["terms"]]
    found = relative_faithfulness(spectrum, masks, values, ks)  # type: ignore[arg-type]
    return [
        {**head, "r2": found.full, "k": k, "r2_of_k": float(r2), "share": float(r2) / found.full}
        for k, r2 in zip(ks, found.r2, strict=True)
    ]


def draw(result: Row, path: Path) -> None:
    def panel(axis: object, rows: list[Row]) -> None:
        alphas = [alpha for alpha in drawing.names(rows, "alpha") if alpha is not None]
        for method in drawing.names(rows, "method"):
            for alpha in drawing.names(rows, "alpha"):
                points = [
                    (row["k"], max(row["share"], 0.0))
                    for row in rows
                    if (row["method"], row["alpha"]) == (method, alpha)
                ]
                label = drawing.STYLES[method]["label"]
                more = {} if alpha is None else {"label": f"{label}, α = {alpha}"}
                dash = {"linestyle": ":"} if alpha is not None and alpha != max(alphas) else {}
                drawing.line(axis, method, points, **more, **dash)
        axis.axhline(1.0, color="#777777", linewidth=0.8)  # type: ignore[attr-defined]
        axis.set_xlabel("k largest coefficients")  # type: ignore[attr-defined]
        drawing.log_axis(axis, [row["k"] for row in rows])

    drawing.by_dataset(
        result["rows"],
        panel,
        path,
        y="R² of k coefficients / R² of all",
        title=lambda dataset: DATASETS[dataset].title,
    )


if __name__ == "__main__":
    columns = ("dataset", "input", "n", "method", "alpha", "terms", "r2", "k", "r2_of_k", "share")
    run("figure05", __doc__, measure, draw, columns)
