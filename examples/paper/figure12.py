"""Figure 12 of the paper: which proxy recovers which kind of function (appendix B.4).

Every proxy gets the same α·n·log2(n) uniform masks of a complete hierarchy, of peaks with nothing
beneath them, and of the bench's value tables: what a 6-layer BERT said of two reviews, and a
language model of a story. R² on held-out masks, twice: of the proxy itself, and of the sparse
refined spectrum made of it. SPEX chooses its own masks, at most as many.

    python examples/paper/figure12.py --quick      # n = 32, small grids
    python examples/paper/figure12.py --full       # n = 64, the paper's grids; our reviews, too
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import drawing
import numpy as np
from cases import methods
from common import HERE, Row, Study, progress, run
from inputs import DATASETS, cases

from proxyspex_hf.checks import BoolArray, FloatArray
from proxyspex_hf.core import (
    FourierSpectrum,
    FunctionOfMasks,
    ProxySPEX,
    budget_for,
    sample_masks,
)
from proxyspex_hf.core.baselines.spex import spex
from proxyspex_hf.core.baselines.synthetic import complete_hierarchy, peak
from proxyspex_hf.core.faithfulness import r2_score

FUNCTIONS: dict[str, Callable[..., FourierSpectrum]] = {
    "complete hierarchy": complete_hierarchy,
    "peak": peak,
}
BENCH = HERE.parents[1] / "tests" / "bench" / "data"
TABLES = {
    "lm_tom_n29": "story, n = 29",
    "sent_rotten_tomatoes_n44": "review, n = 44",
    "sent_imdb_n105": "review, n = 105",
}
#: Features, functions of each kind, α, and the numbers of trees in the paper's grid.
SIZES = {
    "tiny": (12, 1, (2,), (20,)),
    "quick": (32, 1, (2, 4, 6, 8), (500,)),
    "medium": (32, 1, (2, 4, 6, 8), (500,)),
    "full": (64, 5, (2, 4, 6, 8), (500, 1000, 5000)),
}
PROXIES = ("default", "paper", "lasso", "forest", "network")


def measure(study: Study) -> Row:
    n, count, alphas, trees = SIZES[study.setting]
    rows: list[Row] = []
    few = alphas if study.setting == "full" else alphas[:2]
    for problem in (*synthetic(n, count, alphas, study.seed), *tables(few)):
        how = {name: methods(trees, problem.n, study.seed)[name] for name in PROXIES}
        rows += scores(study, problem, how)
    if study.setting == "full":  # forests and networks take hours on the masks of a long review
        for case in cases(study, ("sentiment",)):
            for alpha in case.sizes.alphas:
                for name in PROXIES:
                    fit = case.fit(name, alpha)
                    head = {**case.head, "alpha": alpha, "method": name, "masks": fit.asked}
                    r2 = case.r2(fit.spectrum)
                    rows.append({**head, "proxy_r2": fit.proxy_r2, "spectrum_r2": r2})
    return {"rows": rows}


@dataclass(frozen=True)
class Problem:
    """Masks and values to fit and to test; ``function`` where SPEX may ask its own masks."""

    head: Row
    masks: BoolArray
    values: FloatArray
    test_masks: BoolArray
    test_values: FloatArray
    function: FourierSpectrum | None = None

    @property
    def n(self) -> int:
        return self.masks.shape[1]


def synthetic(n: int, count: int, alphas: Sequence[int], first: int) -> Iterator[Problem]:
    """Both functions of appendix B.4 at every α."""
    for kind, make in FUNCTIONS.items():
        for alpha in alphas:
            for seed in range(first, first + count):
                function = make(n, seed=seed)
                masks = sample_masks(n, budget_for(n, alpha), seed=seed)
                test = sample_masks(n, 1000, seed=10**6 + seed, exclude=masks, anchors=False)
                head = {"dataset": kind, "input": f"seed {seed}", "n": n, "alpha": alpha}
                values = function.evaluate(masks), function.evaluate(test)
                yield Problem(head, masks, values[0], test, values[1], function)


def tables(alphas: Sequence[int]) -> Iterator[Problem]:
    """The value tables, at every α that they have masks for."""
    for stem, title in TABLES.items():
        with np.load(BENCH / f"{stem}.npz") as found:
            n, n_train = int(found["n"]), int(found["n_train"])
            masks = np.unpackbits(found["masks"], axis=1)[:, :n].astype(np.bool_)
            values = found["values"].astype(np.float64)
        for alpha in alphas:
            rows = budget_for(n, alpha)
            if rows <= n_train:
                head = {"dataset": title, "input": stem, "n": n, "alpha": alpha}
                test = slice(n_train, None)
                yield Problem(head, masks[:rows], values[:rows], masks[test], values[test])


def scores(study: Study, problem: Problem, proxies: dict[str, ProxySPEX]) -> list[Row]:
    """Every proxy on one problem, and SPEX where it may ask."""

    def fitted(how: ProxySPEX) -> Row:
        fit = how.fit(problem.masks, problem.values)
        proxy_r2 = r2_score(problem.test_values, fit.predict(problem.test_masks))
        return scored(fit.spectrum, len(problem.masks), proxy_r2)

    def decoded() -> Row:
        if problem.function is None:
            raise ValueError("SPEX needs a function to ask")
        asked = FunctionOfMasks(problem.function.evaluate, problem.n)
        decoding: Literal["soft", "hard"] = "soft" if study.setting == "full" else "hard"
        found = spex(asked, budget=len(problem.masks), decoding=decoding, seed=study.seed)
        return scored(found.spectrum, len(found.masks), None)

    def scored(found: FourierSpectrum, asked: int, proxy_r2: float | None) -> Row:
        r2 = r2_score(problem.test_values, found.evaluate(problem.test_masks))
        return {"masks": asked, "proxy_r2": proxy_r2, "spectrum_r2": r2}

    runs: dict[str, tuple[str, Callable[[], Row]]] = {
        name: (repr(how), lambda how=how: fitted(how))  # type: ignore[misc]
        for name, how in proxies.items()
    }
    if problem.function is not None and study.setting != "tiny":
        runs["spex"] = (f"spex, {study.setting}", decoded)
    rows = []
    for name, (how, compute) in runs.items():
        progress(f"{problem.head['dataset']}, α = {problem.head['alpha']}: {name}")
        key = {"what": "figure12", "how": how, "seed": study.seed, **problem.head}
        rows.append({**problem.head, "method": name, **study.memory.recall(compute, **key)})
    return rows


def draw(result: Row, path: Path) -> None:
    rows = result["rows"]
    datasets = drawing.names(rows, "dataset")
    figure, axes = drawing.panels(1, len(datasets), width=3.0)
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
        title = DATASETS[dataset].title if dataset in DATASETS else dataset
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
