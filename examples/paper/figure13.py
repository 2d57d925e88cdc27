"""Figure 13 of the paper: the time that an R² takes, of the model and of the attribution.

Processor time, which other work on the machine hardly changes: the model's for one mask, times the
masks asked, and the fit's. SPEX's decoder is compiled before it is timed.

    python examples/paper/figure13.py --quick
"""

from __future__ import annotations

from pathlib import Path

import drawing
from common import Row, Study, run
from inputs import DATASETS, cases

METHODS = ("default", "paper", "lasso")
LEVELS = (0.8, 0.9, 0.95, 0.97, 0.99)


def measure(study: Study) -> Row:
    rows: list[Row] = []
    for case in cases(study, ("sentiment", "encoder", "captions")):
        fits = [(name, a, case.fit(name, a)) for name in METHODS for a in case.sizes.alphas]
        fits += [("spex", None, case.spex(b)) for b in case.sizes.spex[0]]
        each = case.seconds_per_mask()
        rows += [
            {
                **case.head,
                "method": method,
                "alpha": alpha,
                "masks": fit.asked,
                "r2": case.r2(fit.spectrum),
                "model_seconds": each * fit.asked,
                "fit_seconds": fit.seconds,
                "seconds": each * fit.asked + fit.seconds,
            }
            for method, alpha, fit in fits
        ]
    return {"rows": rows, "reached": reached(rows)}


def reached(rows: list[Row]) -> list[Row]:
    """The quickest run of each method that has an R², on each input; None where none has."""
    found = []
    for dataset, name in dict.fromkeys((row["dataset"], row["input"]) for row in rows):
        here = [row for row in rows if (row["dataset"], row["input"]) == (dataset, name)]
        for level in LEVELS:
            for method in dict.fromkeys(row["method"] for row in here):
                good = [row for row in here if row["method"] == method and row["r2"] >= level]
                best = min(good, key=lambda row: row["seconds"], default=None)
                found.append(
                    {
                        "dataset": dataset,
                        "input": name,
                        "level": level,
                        "method": method,
                        **{
                            key: None if best is None else best[key]
                            for key in ("masks", "model_seconds", "fit_seconds", "seconds")
                        },
                    }
                )
    return found


def draw(result: Row, path: Path) -> None:
    rows = result["reached"]
    datasets = drawing.names(rows, "dataset")
    figure, axes = drawing.panels(1, len(datasets), width=4.6)
    for axis, dataset in zip(axes[0], datasets, strict=True):
        here = [row for row in rows if row["dataset"] == dataset]
        methods = drawing.names(here, "method")
        for j, method in enumerate(methods):
            label = drawing.STYLES[method]["label"]
            for i, level in enumerate(LEVELS):
                good = [
                    row
                    for row in here
                    if (row["method"], row["level"]) == (method, level) and row["seconds"]
                ]
                # A mean over some of the inputs would compare others than the bar beside it.
                if len(good) < len(drawing.names(here, "input")):
                    continue
                model = sum(row["model_seconds"] for row in good) / len(good)
                fit = sum(row["fit_seconds"] for row in good) / len(good)
                at = i + (j - (len(methods) - 1) / 2) * 0.2
                color = drawing.STYLES[method]["color"]
                axis.bar(at, model, 0.18, color=color, alpha=0.45)
                axis.bar(at, fit, 0.18, bottom=model, color=color, label=label)
                label = "_"  # once in the legend
        axis.set(
            xticks=range(len(LEVELS)),
            xticklabels=LEVELS,
            xlabel="R² to reach on every input",
        )
        drawing.head(axis, DATASETS[dataset].title, here)
    axes[0][0].set_ylabel("processor seconds (pale: the model)")
    drawing.legend(figure, axes)
    drawing.save(figure, path)


if __name__ == "__main__":
    columns = (
        "dataset", "input", "method", "alpha", "masks", "r2", "model_seconds", "fit_seconds",
    )  # fmt: skip
    run("figure13", __doc__, measure, draw, columns)
