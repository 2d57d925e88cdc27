"""Figure 7 of the paper: what the model's output loses with the features that a method names.

For each r, the removal set (equation 4, by integer programming) of each method's explanation; the
model itself is then asked: |f([n]) − f(S)| / |f([n])|. Uniform masks, as in the paper, and beyond
it the same number of masks of three densities, nearer to the input that features are removed from.

    python examples/paper/figure07.py --quick
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import drawing
import numpy as np
from cases import DENSITIES
from common import Row, Study, progress, run
from inputs import DATASETS, cases

from proxyspex_hf.core import FourierSpectrum
from proxyspex_hf.core.removal.best import best_removal

RS = (1, 2, 3, 5, 10, 20)
#: Seconds for one removal set; one that is not proven by then says so.
LIMIT = 10.0


def measure(study: Study) -> Row:
    rows: list[Row] = []
    for case in cases(study, ("sentiment", "encoder", "stories", "articles", "captions")):
        alpha = case.sizes.alpha
        fits = {method: case.fit(method, alpha) for method in ("default", "paper", "lasso")}
        spex = case.spex_at(alpha)
        if spex is not None:
            fits["spex"] = spex
        for method in ("default", "lasso") if case.sizes.mixed else ():
            fits[f"{method}, mixed"] = case.fit(method, alpha, DENSITIES)
        full = float(case.values(np.ones((1, case.n), np.bool_))[0])
        rs = [r for r in RS if r < case.n]
        for method, fit in fits.items():
            found = [removal(study, fit.spectrum, r) for r in rs]
            masks = np.ones((len(rs), case.n), np.bool_)
            for mask, solution in zip(masks, found, strict=True):
                mask[solution["removed"]] = False
            head = {**case.head, "method": method, "alpha": alpha, "masks": fit.asked}
            rows += [
                {
                    **head,
                    "r": r,
                    "change": abs(full - value) / abs(full),
                    "predicted": abs(solution["change"]) / abs(full),
                    "full": full,
                    **{key: solution[key] for key in ("status", "seconds", "removed")},
                }
                for r, solution, value in zip(rs, found, case.values(masks).tolist(), strict=True)
            ]
    return {"rows": rows}


def removal(study: Study, spectrum: FourierSpectrum, r: int) -> Row:
    """The r features whose removal moves the explanation most, and what it says they do."""

    def compute() -> Row:
        solution = best_removal(spectrum, r, time_limit=LIMIT)
        found = {key: getattr(solution, key) for key in ("change", "status", "seconds")}
        return {**found, "removed": list(solution.removed)}

    progress(f"removal of {r} of {spectrum.n_features} features by {len(spectrum)} terms")
    return study.memory.recall(compute, what="removal", of=digest(spectrum), r=r, limit=LIMIT)


def digest(spectrum: FourierSpectrum) -> str:
    """Equal for equal spectra."""
    return hashlib.sha256(repr(spectrum.to_dict()).encode()).hexdigest()


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
