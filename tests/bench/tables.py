"""Faithfulness and attribution time on value tables, ours beside the public ProxySPEX and LASSO.

    python tests/bench/tables.py --tables DIR [--alphas 1 2 4] [--methods default paper] [--json F]

A value table (``.npz``) holds one explained input of a real model: ``n``, bit-packed ``masks``,
their ``values``, and ``n_train``, how many rows are for fitting; the others test. Every method is
given the very same masks in the same process. Time is from values to spectrum: fit, extraction,
refinement. ``spectralexplain`` runs where it is installed (``pip install proxyspex-hf[bench]``);
best public R² of ``references.json`` in the same directory are shown beside.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LassoCV

from proxyspex_hf.core import FourierSpectrum, ProxySPEX, budget_for
from proxyspex_hf.core.faithfulness import r2_score

Predict = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Table:
    name: str
    n: int
    masks: np.ndarray
    values: np.ndarray
    test_masks: np.ndarray
    test_values: np.ndarray


def read_table(path: Path) -> Table:
    with np.load(path, allow_pickle=False) as data:
        n, n_train = int(data["n"]), int(data["n_train"])
        masks = np.unpackbits(data["masks"], axis=1)[:, :n].astype(bool)
        values = data["values"].astype(float)
    return Table(path.stem, n, masks[:n_train], values[:n_train], masks[n_train:], values[n_train:])


def ours(**settings: Any) -> Callable[[np.ndarray, np.ndarray, int], Predict]:
    def fit(masks: np.ndarray, values: np.ndarray, seed: int) -> Predict:
        return ProxySPEX(seed=seed, **settings).fit(masks, values).spectrum.evaluate

    return fit


def lasso(masks: np.ndarray, values: np.ndarray, seed: int) -> Predict:
    return LassoCV(eps=1e-3, alphas=100, cv=5, max_iter=5000).fit(masks, values).predict


def spectralexplain(masks: np.ndarray, values: np.ndarray, seed: int) -> Predict:
    from spectralexplain.utils import proxy_spex

    found = proxy_spex((masks.astype(int), values))
    n = masks.shape[1]
    terms = {tuple(np.flatnonzero(key).tolist()): float(value) for key, value in found.items()}
    return FourierSpectrum.from_dict(terms, n).evaluate


METHODS: dict[str, Callable[[np.ndarray, np.ndarray, int], Predict]] = {
    "default": ours(),
    "paper": ours(proxy="paper", refine="lasso"),
    "lasso": lasso,
    "spectralexplain": spectralexplain,
}
#: Methods whose result does not depend on a seed of ours.
FIXED = {"lasso", "spectralexplain"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", type=Path, default=Path("../shared/tables"))
    parser.add_argument("--alphas", type=float, nargs="+", default=[1.0, 2.0, 4.0])
    parser.add_argument("--methods", nargs="+", default=["default", "lasso", "spectralexplain"])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", help="tables whose name contains this")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    paths = [
        p for p in sorted(given.tables.glob("*.npz")) if not given.only or given.only in p.stem
    ]
    if not paths:
        print(f"no value tables (*.npz) in {given.tables}: pass --tables DIR", file=sys.stderr)
        return 2
    references = read_references(given.tables)
    methods = [m for m in given.methods if m != "spectralexplain" or installed("spectralexplain")]
    rows = []
    print("| table | α | masks | method | R² (min to max) | seconds | best public R² |")
    print("|---|---|---|---|---|---|---|")
    for path in paths:
        table = read_table(path)
        for alpha in given.alphas:
            m = min(budget_for(table.n, alpha), len(table.values))
            best = references.get(table.name, {}).get(f"{alpha:g}", {}).get("best_r2")
            for method in methods:
                scores, seconds = [], []
                for seed in range(1 if method in FIXED else given.seeds):
                    start = time.perf_counter()
                    predict = METHODS[method](table.masks[:m], table.values[:m], seed)
                    seconds.append(time.perf_counter() - start)
                    score = r2_score(table.test_values, predict(table.test_masks))
                    scores.append(float("nan") if score is None else score)
                row = {
                    "table": table.name,
                    "alpha": alpha,
                    "masks": m,
                    "method": method,
                    "r2": scores,
                    "seconds": seconds,
                    "best_public_r2": best,
                }
                rows.append(row)
                spread = f" ({min(scores):.4f} to {max(scores):.4f})" if len(scores) > 1 else ""
                print(
                    f"| {table.name} | {alpha:g} | {m} | {method} "
                    f"| {statistics.median(scores):.4f}{spread} "
                    f"| {statistics.median(seconds):.1f} | {best if best else ''} |",
                    flush=True,
                )
    if given.json:
        given.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1))
    return 0


def read_references(directory: Path) -> dict[str, Any]:
    path = directory / "references.json"
    return json.loads(path.read_text()) if path.exists() else {}


def installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        print(f"{package} is not installed: left out", file=sys.stderr)
        return False
    return True


def machine() -> dict[str, Any]:
    names = ["numpy", "scikit-learn", "lightgbm", "spectralexplain"]
    versions = {}
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    return {
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
        "python": platform.python_version(),
        "versions": versions,
    }


if __name__ == "__main__":
    sys.exit(main())
