"""Figure 12 of the paper: which proxy recovers which kind of function (appendix B.4).

Every proxy gets the same α·n·log2(n) uniform masks of a complete hierarchy, of peaks with nothing
beneath them, and of real inputs. R² on held-out masks, twice: of the proxy itself, and of the
sparse refined spectrum made of it. SPEX chooses its own masks, at most as many.

    python examples/paper/figure12.py --quick      # n = 32, small grids
    python examples/paper/figure12.py --full       # n = 64, the paper's grids
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import drawing
import numpy as np
from cases import methods
from common import Row, Study, progress, run
from inputs import DATASETS, cases

from proxyspex_hf.core import (
    FourierSpectrum,
    FunctionOfMasks,
    ProxySPEX,
    budget_for,
    sample_masks,
)
from proxyspex_hf.core.faithfulness import r2_score
from proxyspex_hf.core.spex import spex
from proxyspex_hf.core.synthetic import complete_hierarchy, peak

FUNCTIONS: dict[str, Callable[..., FourierSpectrum]] = {
    "complete hierarchy": complete_hierarchy,
    "peak": peak,
}
#: Features, functions of each kind, α, and the numbers of trees in the paper's grid.
SIZES = {
    "tiny": (12, 1, (2,), (20,)),
    "quick": (32, 1, (2, 4, 6, 8), (500,)),
    "full": (64, 5, (2, 4, 6, 8), (500, 1000, 5000)),
}
PROXIES = ("default", "paper", "lasso", "forest", "network")


def measure(study: Study) -> Row:
    n, count, alphas, trees = SIZES[study.setting]
    rows: list[Row] = []
    for kind, make in FUNCTIONS.items():
        for alpha in alphas:
            for seed in range(study.seed, study.seed + count):
                known = {"dataset": kind, "input": f"seed {seed}", "n": n, "alpha": alpha}
                proxies = {name: methods(trees, n, seed)[name] for name in PROXIES}
                rows += synthetic(study, known, make(n, seed=seed), proxies, seed)
    # Forests and networks take hours on the masks of a long review.
    real = ("sentiment", "captions") if study.setting == "full" else ("captions",)
    for case in cases(study, real):
        for alpha in case.sizes.alphas:
            for name in PROXIES:
                fit = case.fit(name, alpha)
                head = {**case.head, "alpha": alpha, "method": name, "masks": fit.asked}
                r2 = case.r2(fit.spectrum)
                rows.append({**head, "proxy_r2": fit.proxy_r2, "spectrum_r2": r2})
    return {"rows": rows}


def synthetic(
    study: Study,
    known: Row,
    function: FourierSpectrum,
    proxies: dict[str, ProxySPEX],
    seed: int,
) -> list[Row]:
    """Every proxy, and SPEX, on a known function."""
    n = function.n_features
    masks = sample_masks(n, budget_for(n, known["alpha"]), seed=seed)
    test = sample_masks(n, 1000, seed=10**6 + seed, exclude=masks, anchors=False)
    truth = function.evaluate(test)

    def fitted(how: ProxySPEX) -> Row:
        fit = how.fit(masks, function.evaluate(masks))
        return scored(fit.spectrum, len(masks), r2_score(truth, fit.predict(test)))

    def decoded() -> Row:
        decoding: Literal["soft", "hard"] = "soft" if study.setting == "full" else "hard"
        asked = FunctionOfMasks(function.evaluate, n)
        found = spex(asked, budget=len(masks), decoding=decoding, seed=seed)
        return scored(found.spectrum, len(found.masks), None)

    def scored(found: FourierSpectrum, asked: int, proxy_r2: float | None) -> Row:
        r2 = r2_score(truth, found.evaluate(test))
        return {"masks": asked, "proxy_r2": proxy_r2, "spectrum_r2": r2}

    runs: dict[str, tuple[str, Callable[[], Row]]] = {
        name: (repr(how), lambda how=how: fitted(how))  # type: ignore[misc]
        for name, how in proxies.items()
    }
    if study.setting != "tiny":
        runs["spex"] = (f"spex, {study.setting}", decoded)
    rows = []
    for name, (how, compute) in runs.items():
        progress(f"{known['dataset']}, {known['input']}, α = {known['alpha']}: {name}")
        found = study.memory.recall(compute, what="figure12", how=how, seed=seed, **known)
        rows.append({**known, "method": name, **found})
    return rows


def draw(result: Row, path: Path) -> None:
    rows = result["rows"]
    datasets = drawing.names(rows, "dataset")
    figure, axes = drawing.panels(1, len(datasets))
    for axis, dataset in zip(axes[0], datasets, strict=True):
        here = [row for row in rows if row["dataset"] == dataset]
        for method in drawing.names(here, "method"):
            best = [
                (row["alpha"], np.clip(row[key], -0.3, 1.0))
                for row in here
                if row["method"] == method
                for key in ["spectrum_r2" if row["proxy_r2"] is None else "proxy_r2"]
            ]
            drawing.line(axis, method, best)
        title = DATASETS[dataset].title if dataset in DATASETS else f"synthetic: {dataset}"
        axis.set_title(title, fontsize=10)
        axis.set(xlabel="α", xticks=drawing.names(here, "alpha"), ylim=(-0.33, 1.03))
    axes[0][0].set_ylabel("R² of the proxy, held-out masks")
    drawing.legend(figure, axes)
    drawing.save(figure, path)


if __name__ == "__main__":
    columns = (
        "dataset", "input", "n", "alpha", "masks", "method", "proxy_r2", "spectrum_r2",
    )  # fmt: skip
    run("figure12", __doc__, measure, draw, columns)
