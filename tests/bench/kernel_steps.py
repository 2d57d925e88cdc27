"""How many steps learning a kernel takes: by the unit of a step, and by what L-BFGS remembers.

    python tests/bench/kernel_steps.py                       # the tables of data
    python tests/bench/kernel_steps.py --alphas 0.5 --only review

Every kernel is learnt on the standardised values of a table's first masks. "above" is the negative
log posterior, in nats, above the least that was found by any of the ways for the same masks;
"evaluations" are of the posterior and its gradient, of which each takes O(m³).
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from harness.command import command, command_line
from harness.problems import DATA, read_tables
from harness.report import Row, describe, grouped, machine, markdown_table, write_json

from proxyspex_hf.core.proxies.kernel import _Posterior, minimised, signs

#: A step's unit of what all features share: one, or 1/√n.
UNITS = ("1", "1/√n")


def learnt(posterior: _Posterior, unit: str, memory: int, steps: int) -> tuple[float, int]:
    """The loss that is reached, and evaluations."""
    scale = posterior.scale if unit == "1/√n" else np.ones(len(posterior.start))
    found = minimised(posterior, posterior.start, scale, steps, memory)
    return float(found.fun), int(found.nfev)


def table(rows: Sequence[Row]) -> str:
    """A line for each way."""
    lines = []
    for way, group in grouped(rows, ("unit", "memory", "steps")).items():
        above = np.array([row["above"] for row in group])
        evaluations = float(np.mean([row["evaluations"] for row in group]))
        figures = [
            f"{np.median(above):.2f}",
            f"{np.quantile(above, 0.9):.2f}",
            f"{above.max():.1f}",
        ]
        lines.append([*map(str, way), f"{evaluations:.0f}", *figures])
    columns = ["unit", "memory", "steps", "evaluations", "above", "of nine in ten", "at most"]
    return markdown_table(columns, lines)


@command
def main(given: Sequence[str] | None = None) -> int:
    parser = command_line(__doc__)
    parser.add_argument("--tables", type=Path, default=DATA)
    parser.add_argument("--only", help="tables whose name contains this")
    parser.add_argument("--alphas", type=float, nargs="+", default=[0.5])
    parser.add_argument("--steps", type=int, nargs="+", default=[10, 20, 30, 40, 60])
    parser.add_argument("--memories", type=int, nargs="+", default=[10, 20])
    parser.add_argument("--reaches", type=int, nargs="+", default=[0, 3])
    parser.add_argument("--json", type=Path, help="every kernel")
    options = parser.parse_args(given)
    problems = read_tables(options.tables, options.only)
    rows: list[Row] = []
    for problem, alpha, sampling, reach in itertools.product(
        problems, options.alphas, ("uniform", "mixed"), options.reaches
    ):
        if problem.budget(alpha, sampling) is None:
            continue
        masks, values = problem.rows(alpha, sampling, 0)
        values = (values - values.mean()) / values.std()
        posterior = _Posterior(signs(masks), values, reach, None, None)
        ways = list(itertools.product(UNITS, options.memories, options.steps))
        found = [learnt(posterior, *way) for way in ways]
        least = min(loss for loss, _ in found)
        rows += [
            {
                "table": problem.name,
                "alpha": alpha,
                "sampling": sampling,
                "reach": reach,
                **dict(zip(("unit", "memory", "steps"), way, strict=True)),
                "above": loss - least,
                "evaluations": evaluations,
            }
            for way, (loss, evaluations) in zip(ways, found, strict=True)
        ]
        if options.json is not None:
            write_json(options.json, rows)
    print(describe(machine()), end="\n\n")
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
