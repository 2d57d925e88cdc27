"""How many model calls the same R² takes: today's default, one question, and 0.1.0.

    python tests/bench/calls.py                        # the shipped classifier on its review
    python tests/bench/calls.py --words 44 --alphas 0.5 1 2 --seeds 3

Every call counts. 0.1.0 drew its masks with 0.5, 0.7 and 0.9 of the features kept and asked 100
more at each of these densities for the test alone; that is ``density="mixed", n_test=100`` today.
R² is of masks that no method was given, 500 at each density. *Calls* says how many 0.1.0 would have
needed for the R² that a method has, read off between its own budgets (log calls against R²), and
*saved* the share of them that the method does without; empty where no budget of 0.1.0 has it.
"""

from __future__ import annotations

import itertools
import math
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from harness.command import command_line
from harness.report import Row, describe, grouped, machine, markdown_table, write_json

from proxyspex_hf import DEMO_MODEL, InteractionExplainer
from proxyspex_hf.core import Cached, FunctionOfMasks, ProxySPEX, sample_masks
from proxyspex_hf.core.attribution import attribute
from proxyspex_hf.core.faithfulness import TEST_DENSITIES, r2_score
from proxyspex_hf.core.queries import plan
from proxyspex_hf.demo import demo_review

BEFORE = "0.1.0"
METHODS: dict[str, dict[str, Any]] = {
    BEFORE: {"density": "mixed", "n_test": 100},
    "default": {},
    "question=input": {"question": "input"},
}
#: Masks at each density on which R² is taken.
HELD_OUT = 500


def needed(r2: float, before: Sequence[Row], density: str) -> float | None:
    """Calls with which 0.1.0 has an R²; None beyond what its budgets reach."""
    points = sorted((row["r2"][density], math.log(row["calls"])) for row in before)
    heights = [height for height, _ in points]
    if not heights or not heights[0] <= r2 <= heights[-1]:
        return None
    return math.exp(float(np.interp(r2, heights, [calls for _, calls in points])))


def medians(rows: Sequence[Row]) -> list[Row]:
    """Over seeds, for each input, method and α."""
    out = []
    for (words, method, alpha), group in grouped(rows, ("words", "method", "alpha")).items():
        r2 = {d: statistics.median(row["r2"][d] for row in group) for d in group[0]["r2"]}
        calls = statistics.median(row["calls"] for row in group)
        out.append({"words": words, "method": method, "alpha": alpha, "r2": r2, "calls": calls})
    return out


def table(rows: Sequence[Row]) -> str:
    """A line for each input, method and α."""
    lines = []
    found = medians(rows)
    for row in found:
        before = [r for r in found if r["method"] == BEFORE and r["words"] == row["words"]]
        cells = [str(row["words"]), row["method"], f"{row['alpha']:g}", f"{row['calls']:.0f}"]
        for density, r2 in row["r2"].items():
            calls = None if row["method"] == BEFORE else needed(r2, before, density)
            saved = "" if calls is None else f" (saved {1.0 - row['calls'] / calls:.0%})"
            cells.append(f"{r2:.3f}{saved}")
        lines.append(cells)
    return markdown_table(
        ["words", "method", "α", "calls", *(f"R² {d:g}" for d in TEST_DENSITIES)], lines
    )


def main(given: Sequence[str] | None = None) -> int:
    parser = command_line(__doc__)
    parser.add_argument("--words", type=int, nargs="+", default=[44, 105], help="of the review")
    parser.add_argument("--alphas", type=float, nargs="+", default=[0.5, 1.0, 1.5, 2.0])
    parser.add_argument("--seeds", type=int, default=2, help="how many")
    parser.add_argument("--json", type=Path, help="every run")
    options = parser.parse_args(given)

    from transformers import pipeline

    pipe = pipeline("text-classification", model=DEMO_MODEL, device="cpu")
    rows: list[Row] = []
    for words in options.words:
        text = " ".join(demo_review().split()[:words])
        function = InteractionExplainer(pipe, progress=False).value_function(text)
        n = function.n_features
        tests = {
            d: sample_masks(n, HELD_OUT, density=d, seed=10_000 + i, anchors=False)
            for i, d in enumerate(TEST_DENSITIES)
        }
        truths = {d: function(masks) for d, masks in tests.items()}
        runs = itertools.product(options.alphas, METHODS, range(options.seeds))
        for alpha, method, seed in runs:
            values_of = Cached(FunctionOfMasks(function, n))
            how = plan(n, alpha=alpha, **METHODS[method])
            fit = attribute(values_of, how, ProxySPEX(seed=seed)).fit
            r2 = {
                f"{d:g}": r2_score(truths[d], fit.spectrum.evaluate(masks))
                for d, masks in tests.items()
            }
            rows.append(
                {
                    "words": n,
                    "method": method,
                    "alpha": alpha,
                    "seed": seed,
                    "calls": values_of.calls,
                    "r2": r2,
                }
            )
            print(rows[-1], file=sys.stderr, flush=True)
            if options.json is not None:
                write_json(options.json, rows)
    print(describe(machine()), end="\n\n")
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
