"""Whether R² of masks left out of the fit is what masks held out for a test alone say.

    python tests/bench/left_out.py                       # the value tables of data/
    python tests/bench/left_out.py --tables DIR --alphas 2 --seeds 5

Each table holds real models' values of masks that were drawn uniformly, or with 0.5, 0.7 and 0.9 of
the features kept, and of others held out. The package says R² of the fitted masks by fits that have
not seen them, importance weighted (docs/method.md, section 5); here it stands beside R² of the same
explanation on the held-out masks. *Off* is their difference: its mean over runs is the bias, beside
it the standard error. *Held* counts the 90% intervals that hold the figure of the held-out masks,
which has an error of its own.
"""

from __future__ import annotations

import itertools
import math
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from harness.command import command, command_line
from harness.problems import Problem, read_tables
from harness.report import Row, describe, grouped, machine, markdown_table, write_json

from proxyspex_hf.core import ProxySPEX
from proxyspex_hf.core.attribution import faithfulness_of
from proxyspex_hf.core.faithfulness import TEST_DENSITIES, r2_score
from proxyspex_hf.core.queries import Queries

HERE = Path(__file__).parent


def measured(problem: Problem, sampling: str, alpha: float, seed: int) -> list[Row]:
    """Both figures of one fit, at each density that its masks are drawn with."""
    masks, values = problem.rows(alpha, sampling, seed)
    m = len(values)
    drawn = TEST_DENSITIES if sampling == "mixed" else (0.5,)
    # A table does not say which mask was drawn with which density: equal parts of each were.
    densities = np.array(drawn)[np.arange(m) % len(drawn)]
    densities[0] = 0.0
    fit = ProxySPEX(seed=seed).fit(masks, values, densities=densities)
    found = faithfulness_of(Queries(masks, values, m, densities), fit, seed=seed)
    scores = {score.density: score for score in found}
    rows: list[Row] = []
    for density in drawn:
        key = "uniform" if sampling == "uniform" else f"{100 * density:.0f}"
        held_out, truth = problem.tests[key]
        said = scores[density]
        actual = r2_score(truth, fit.spectrum.evaluate(held_out))
        if said.r2 is None or actual is None or said.interval is None:
            continue
        rows.append(
            {
                "table": problem.name,
                "sampling": sampling,
                "alpha": alpha,
                "density": density,
                "seed": seed,
                "left_out": said.r2,
                "held_out": actual,
                "held": said.interval[0] <= actual <= said.interval[1],
            }
        )
    return rows


def table(rows: Sequence[Row]) -> str:
    """A line for each sampling, α and density, over tables and seeds."""
    lines = []
    for (sampling, alpha, density), group in grouped(
        rows, ("sampling", "alpha", "density")
    ).items():
        off = [row["left_out"] - row["held_out"] for row in group]
        error = statistics.stdev(off) / math.sqrt(len(off)) if len(off) > 1 else math.nan
        held = sum(row["held"] for row in group)
        lines.append(
            [
                sampling,
                f"{alpha:g}",
                f"{density:g}",
                f"{statistics.median(row['left_out'] for row in group):.3f}",
                f"{statistics.median(row['held_out'] for row in group):.3f}",
                f"{statistics.mean(off):+.3f} ± {error:.3f}",
                f"{held} of {len(group)}",
            ]
        )
    columns = ["masks", "α", "density", "R² left out", "R² held out", "off", "held"]
    return markdown_table(columns, lines)


@command
def main(given: Sequence[str] | None = None) -> int:
    parser = command_line(__doc__)
    parser.add_argument("--tables", type=Path, default=HERE / "data")
    parser.add_argument("--alphas", type=float, nargs="+", default=[1.0, 2.0])
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--largest", type=int, default=60, help="features of a table, at most")
    parser.add_argument("--json", type=Path, help="every run")
    options = parser.parse_args(given)
    problems = [p for p in read_tables(options.tables) if p.n <= options.largest]
    rows: list[Row] = []
    runs = itertools.product(("uniform", "mixed"), options.alphas, problems, range(options.seeds))
    for sampling, alpha, problem, seed in runs:
        if problem.budget(alpha, sampling) is not None:
            rows += measured(problem, sampling, alpha, seed)
        if options.json is not None:
            write_json(options.json, rows)
    print(describe(machine()), end="\n\n")
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
