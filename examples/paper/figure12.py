"""Figure 12 of the paper: which proxy recovers which kind of function (appendix B.4).

Every proxy gets the same α·n·log2(n) uniform masks; R² is measured on held-out ones. Two numbers a
cell: the proxy itself, and the sparse refined spectrum (at most 200 coefficients) made of it.

    python examples/paper/figure12.py --quick                  # minutes: n = 32, small grids
    python examples/paper/figure12.py                          # hours: n = 64, the grids in full
    python examples/paper/figure12.py --tables DIR --only-tables   # value tables of real models
    python examples/paper/figure12.py --quick --spex           # needs: pip install sparse-transform

Prints a Markdown table, writes figure12.json, and figure12.png if matplotlib is installed.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from proxyspex_hf.core import FourierSpectrum, FunctionOfMasks, ProxySPEX, budget_for, sample_masks
from proxyspex_hf.core.faithfulness import r2_score
from proxyspex_hf.core.proxies.base import Proxy
from proxyspex_hf.core.proxies.boosting import BoostedTrees
from proxyspex_hf.core.proxies.forest import RandomForest
from proxyspex_hf.core.proxies.lasso import Lasso
from proxyspex_hf.core.proxies.network import NeuralNetwork
from proxyspex_hf.core.synthetic import complete_hierarchy, peak

FULL: dict[str, Proxy] = {
    "boosting": BoostedTrees(),
    "paper": BoostedTrees.paper(),
    "lasso": Lasso(),
    "forest": RandomForest.paper(),
    "network": NeuralNetwork.paper(),
}
#: The same proxies with less of their grids; "paper" keeps its depths and rates at 500 trees.
QUICK: dict[str, Proxy] = {
    "boosting": BoostedTrees(),
    "paper": BoostedTrees(rounds=(500,), any_round=False, patience=None, race=None),
    "lasso": Lasso(),
    "forest": RandomForest(trees=(100,)),
    "network": NeuralNetwork(),
}


@dataclass(frozen=True)
class Problem:
    """Masks and values to fit and to test; ``function`` where SPEX may ask its own masks."""

    name: str
    alpha: int
    masks: np.ndarray
    values: np.ndarray
    test_masks: np.ndarray
    test_values: np.ndarray
    function: FourierSpectrum | None = None


def synthetic(n: int, seeds: int, alphas: list[int]) -> Iterator[Problem]:
    """Both functions of appendix B.4 at every α."""
    for name, make in (("complete hierarchy", complete_hierarchy), ("peak", peak)):
        for alpha in alphas:
            for seed in range(seeds):
                function = make(n, seed=seed)
                masks = sample_masks(n, budget_for(n, alpha), seed=seed)
                test = sample_masks(n, 1000, seed=10**6 + seed, exclude=masks, anchors=False)
                values = function.evaluate(masks), function.evaluate(test)
                yield Problem(name, alpha, masks, values[0], test, values[1], function)


def tables(folder: Path, alphas: list[int]) -> Iterator[Problem]:
    """Value tables, at every α that they have masks for."""
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as table:
            n, n_train = int(table["n"]), int(table["n_train"])
            masks = np.unpackbits(table["masks"], axis=1)[:, :n].astype(bool)
            values = table["values"].astype(float)
        for alpha in alphas:
            rows = budget_for(n, alpha)
            if rows <= n_train:
                test = slice(n_train, None)
                yield Problem(
                    path.stem, alpha, masks[:rows], values[:rows], masks[test], values[test]
                )


def measure(problem: Problem, proxy: Proxy) -> dict[str, Any]:
    """Held-out R² of a proxy and of its sparse spectrum."""
    start = time.perf_counter()
    fit = ProxySPEX(proxy=proxy).fit(problem.masks, problem.values)
    return {
        "proxy_r2": r2_score(problem.test_values, fit.predict(problem.test_masks)),
        "spectrum_r2": r2_score(problem.test_values, fit.spectrum.evaluate(problem.test_masks)),
        "chosen": {} if fit.cv is None else dict(fit.cv.best.params),
        "estimated": fit.estimated,
        "asked": len(problem.masks),
        "seconds": round(time.perf_counter() - start, 2),
    }


def measure_spex(problem: Problem) -> dict[str, Any] | None:
    """SPEX asks its own masks, at most as many; None where that needs the real model's."""
    from proxyspex_hf.core.spex import spex

    if problem.function is None:
        return None
    start = time.perf_counter()
    function = FunctionOfMasks(problem.function.evaluate, problem.function.n_features)
    found = spex(function, budget=len(problem.masks))
    r2 = r2_score(problem.test_values, found.spectrum.evaluate(problem.test_masks))
    return {
        "proxy_r2": None,
        "spectrum_r2": r2,
        "chosen": {"b": found.b, "t": found.t, "recovered": found.recovered},
        "estimated": False,
        "asked": len(found.masks),
        "seconds": round(time.perf_counter() - start, 2),
    }


def markdown(rows: list[dict[str, Any]], methods: list[str]) -> str:
    """One line a function and α; mean over seeds; proxy / spectrum."""

    def mean(cell: list[dict[str, Any]], key: str) -> str:
        known = [row[key] for row in cell if row[key] is not None]
        return f"{np.mean(known):.3f}" if known else "–"

    lines = [
        "| function | α | masks | " + " | ".join(methods) + " |",
        "|---|---|---|" + "---|" * len(methods),
    ]
    for name, alpha in dict.fromkeys((row["function"], row["alpha"]) for row in rows):
        here = [row for row in rows if (row["function"], row["alpha"]) == (name, alpha)]
        cells = []
        for method in methods:
            cell = [row for row in here if row["method"] == method]
            cells.append(f"{mean(cell, 'proxy_r2')} / {mean(cell, 'spectrum_r2')}")
        lines.append(f"| {name} | {alpha} | {here[0]['masks']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def picture(rows: list[dict[str, Any]], methods: list[str], path: Path) -> bool:
    """The figure; False where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        return False
    names = list(dict.fromkeys(row["function"] for row in rows))
    figure = Figure(figsize=(4.5 * len(names), 3.6), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(names), sharey=True))
    for axis, name in zip(axes, names, strict=True):
        for method in methods:
            points: dict[int, list[float]] = {}
            for row in rows:
                r2 = row["spectrum_r2"] if row["proxy_r2"] is None else row["proxy_r2"]
                if row["function"] == name and row["method"] == method and r2 is not None:
                    points.setdefault(row["alpha"], []).append(r2)
            axis.plot(list(points), [np.mean(v) for v in points.values()], "o-", label=method)
        axis.set(title=name, xlabel="α", ylim=(-0.3, 1.02))
    axes[0].set_ylabel("R² on held-out masks")
    axes[0].legend()
    figure.savefig(path, dpi=150)
    return True


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="n = 32 and small grids")
    parser.add_argument("--n", type=int, help="features of the synthetic functions")
    parser.add_argument("--seeds", type=int, default=1, help="functions of each kind")
    parser.add_argument("--alphas", type=int, nargs="+", default=[2, 4, 6, 8])
    parser.add_argument("--methods", nargs="+", choices=list(FULL), default=list(FULL))
    parser.add_argument("--spex", action="store_true", help="SPEX as well, on its own masks")
    parser.add_argument("--tables", type=Path, help="folder of value tables (.npz)")
    parser.add_argument("--only-tables", action="store_true")
    parser.add_argument("--out", type=Path, default=Path(), help="folder for the JSON and the PNG")
    options = parser.parse_args()
    proxies = QUICK if options.quick else FULL
    runs: dict[str, Callable[[Problem], dict[str, Any] | None]] = {
        name: lambda problem, proxy=proxies[name]: measure(problem, proxy)  # type: ignore[misc]
        for name in options.methods
    }
    if options.spex:
        runs["spex"] = measure_spex
    problems: list[Problem] = []
    if not options.only_tables:
        n = options.n or (32 if options.quick else 64)
        problems += synthetic(n, options.seeds, options.alphas)
    if options.tables is not None:
        problems += tables(options.tables, options.alphas)
    options.out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for problem in problems:
        for name, run in runs.items():
            result = run(problem)
            if result is None:
                continue
            head = {"function": problem.name, "alpha": problem.alpha, "method": name}
            rows.append({**head, "masks": len(problem.masks), **result})
            # After each cell: a long run that is stopped has lost one cell.
            (options.out / "figure12.json").write_text(json.dumps(rows, indent=1), "utf-8")
    print(markdown(rows, list(runs)))
    if not picture(rows, list(runs), options.out / "figure12.png"):
        print("\n(no figure12.png: matplotlib is not installed)")


if __name__ == "__main__":
    main()
