"""What it is worth that the terms also meet the whole input: effects there, against R² elsewhere.

    python tests/bench/whole_input.py                      # the tables of data
    python tests/bench/whole_input.py --only review --alphas 2 --weights 0 0.1 1
    python tests/bench/whole_input.py --apart 0 4 --alphas 2

For every weight of the whole input (``_FULL_INPUT`` of ``core/sparsify.py``; it and its neighbours
count so much each beside all other masks) the R² of the sparse spectrum, and "effects": the squared
error of what removing a mask's features does to the whole input, f(whole) - f(mask), over its
square. Uniform rows are judged on the uniform test masks, mixed rows on all three densities
together, each weighted alike. LASSO is fitted to the same masks.

With ``--apart`` the whole input's value is moved away from all others, by so many of their standard
deviations, as where a model says what no masked input makes it say. Then R² alone is told, of the
explanation as it is and of one that comes near that value at any price (no ``_PRICE`` of
``core/algorithm.py``).
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

import numpy as np
from harness.command import command, command_line
from harness.problems import DATA, SAMPLINGS, Problem, read_tables
from harness.report import Row, describe, grouped, machine, markdown_table, write_json

from proxyspex_hf.checks import BoolArray, FloatArray
from proxyspex_hf.core import ProxySPEX, algorithm, sparsify
from proxyspex_hf.core.faithfulness import r2_score
from proxyspex_hf.core.spectrum import FourierSpectrum


def judged(spectrum: FourierSpectrum, problem: Problem, sampling: str) -> dict[str, float]:
    """R², and the error of effects at the whole input; means over the densities."""
    whole = np.ones((1, problem.n), dtype=np.bool_)
    says, is_ = float(spectrum.evaluate(whole)[0]), problem.full_value
    tests = problem.tests
    found = []
    for name in ["uniform"] if sampling == "uniform" else ["50", "70", "90"]:
        masks, values = tests[name]
        predicted = spectrum.evaluate(masks)
        effects = is_ - values
        off = (says - predicted) - effects
        found.append((r2_score(values, predicted), np.square(off).sum() / np.square(effects).sum()))
    r2, effects = np.mean(found, axis=0).tolist()
    return {"r2": r2, "effects": effects}


def table(rows: Sequence[Row]) -> str:
    """A line for each table, budget and sampling."""
    ways = list(dict.fromkeys(row["way"] for row in rows))
    lines = []
    for (name, alpha, sampling), cell in grouped(rows, ("table", "alpha", "sampling")).items():
        by_way = {row["way"]: row for row in cell}
        figures = [f"{by_way[way]['r2']:.3f} / {by_way[way]['effects']:.3f}" for way in ways]
        lines.append([name, f"{alpha:g}", sampling, *figures])
    return markdown_table(["table", "α", "sampling", *ways], lines)


def moved_away(
    problem: Problem,
    masks: BoolArray,
    values: FloatArray,
    drawn: FloatArray,
    jumps: Sequence[float],
    alpha: float,
    sampling: str,
) -> list[Row]:
    """R² at one half and at 0.9 where the whole input's value is another."""
    whole, rows = masks.all(axis=1), []
    for jump in jumps:
        moved = values + np.where(whole, jump * values[~whole].std(), 0.0)
        for way, (price, proxy) in {
            "at any price": (np.inf, "blend"),
            "as it is": (algorithm._PRICE, "blend"),
            "LASSO": (np.inf, "lasso"),
        }.items():
            with patch.object(algorithm, "_PRICE", price):
                how = ProxySPEX(proxy, refine="none" if proxy == "lasso" else "project")
                fit = how.fit(masks, moved, densities=drawn)
            row: Row = {"table": problem.name, "alpha": alpha, "sampling": sampling}
            row |= {"jump": jump, "way": way, "apart": fit.refinement.endswith(algorithm.APART)}
            for name in ("50", "90"):
                tests, answers = problem.tests[name]
                row[f"r2_{name}"] = r2_score(answers, fit.spectrum.evaluate(tests))
            rows.append(row)
    return rows


def table_apart(rows: Sequence[Row]) -> str:
    ways = list(dict.fromkeys(row["way"] for row in rows))
    lines = []
    for key, cell in grouped(rows, ("table", "alpha", "sampling", "jump")).items():
        by_way = {row["way"]: row for row in cell}
        figures = [f"{by_way[way]['r2_50']:.3f} / {by_way[way]['r2_90']:.3f}" for way in ways]
        apart = "yes" if by_way["as it is"]["apart"] else "no"
        name, alpha, sampling, jump = key
        lines.append([name, f"{alpha:g}", sampling, f"{jump:g}", apart, *figures])
    return markdown_table(["table", "α", "sampling", "moved by", "let go", *ways], lines)


@command
def main(given: Sequence[str] | None = None) -> int:
    parser = command_line(__doc__)
    parser.add_argument("--tables", type=Path, default=DATA)
    parser.add_argument("--only", help="tables whose name contains this")
    parser.add_argument("--alphas", type=float, nargs="+", default=[1.0, 2.0])
    parser.add_argument("--samplings", nargs="+", choices=SAMPLINGS, default=list(SAMPLINGS))
    parser.add_argument("--weights", type=float, nargs="+", default=[0.0, 0.01, 0.1, 1.0])
    parser.add_argument("--apart", type=float, nargs="+", default=[], help="standard deviations")
    parser.add_argument("--json", type=Path, help="every fit")
    options = parser.parse_args(given)
    problems = read_tables(options.tables, options.only)
    rows: list[Row] = []
    for problem, alpha, sampling in itertools.product(problems, options.alphas, options.samplings):
        if problem.budget(alpha, sampling) is None:
            continue
        masks, values = problem.rows(alpha, sampling, 0)
        drawn = np.where(masks.all(axis=1), 0.0, masks.mean(axis=1))
        if options.apart:
            rows += moved_away(problem, masks, values, drawn, options.apart, alpha, sampling)
            continue
        ways = {f"weight {weight:g}": (weight, "blend") for weight in options.weights}
        for way, (weight, proxy) in {**ways, "LASSO": (0.0, "lasso")}.items():
            at_any_price = patch.object(algorithm, "_PRICE", np.inf)
            with at_any_price, patch.object(sparsify, "_FULL_INPUT", weight):
                how = ProxySPEX(proxy, refine="none" if proxy == "lasso" else "project")
                spectrum = how.fit(masks, values, densities=drawn).spectrum
            rows.append(
                {"table": problem.name, "alpha": alpha, "sampling": sampling, "way": way}
                | judged(spectrum, problem, sampling)
            )
        if options.json is not None:
            write_json(options.json, rows)
    print(describe(machine()), end="\n\n")
    print(table_apart(rows) if options.apart else table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
