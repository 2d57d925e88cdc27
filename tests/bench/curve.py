"""How faithful a sparse spectrum stays: R² at k coefficients over R² of the unsparsified proxy.

    python tests/bench/curve.py [--tables DIR] [--alphas 4] [--samplings uniform mixed] [--json F]

Each k is a fit of its own (``n_coefficients=k``), refined for so many. Uniform rows are judged on
the uniform test masks, mixed rows on all three densities together, each weighted alike.
"""

from __future__ import annotations

import itertools
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.command import command, command_line, some
from harness.implementations import Implementation, ours, own_version, settings_of
from harness.measure import Row, measure
from harness.problems import SAMPLINGS, read_tables
from harness.report import describe, grouped, machine, markdown_table, spread, write_json
from harness.synthetic_problems import synthetic_problems

KS = (10, 25, 50, 100, 200, 500)


def judged(r2: dict[str, float | None], sampling: str) -> float | None:
    """The R² that a sampling is for."""
    known = [r2["uniform"]] if sampling == "uniform" else [r2["50"], r2["70"], r2["90"]]
    return None if None in known else statistics.mean(v for v in known if v is not None)


def kept_share(row: Row) -> float | None:
    """R² of the sparse spectrum over that of the proxy; None where the proxy explains nothing."""
    sparse = judged(row["r2"], row["sampling"])
    dense = judged(row["dense_r2"], row["sampling"])
    return None if sparse is None or dense is None or dense <= 0 else sparse / dense


def markdown(rows: Sequence[Row], ks: Sequence[int]) -> str:
    lines = []
    for (table, alpha, sampling), cell in grouped(rows, ("table", "alpha", "sampling")).items():
        by_k = grouped(cell, ("k",))
        dense = spread(judged(row["dense_r2"], sampling) for row in by_k.get((max(ks),), cell))
        shares = [spread(map(kept_share, by_k.get((k,), []))) for k in ks]
        lines.append([table, f"{alpha:g}", sampling, dense, *shares])
    columns = ["table", "α", "sampling", "proxy's R²", *(f"k = {k}" for k in ks)]
    return markdown_table(columns, lines)


@command
def main(given: Sequence[str] | None = None) -> int:
    parser = command_line(__doc__)
    parser.add_argument("--tables", type=Path, default=Path(__file__).parent / "data")
    parser.add_argument("--only", help="problems whose name contains this")
    parser.add_argument("--synthetic", action="store_true", help="synthetic functions as well")
    parser.add_argument("--alphas", type=float, nargs="+", default=[4.0])
    parser.add_argument("--samplings", nargs="+", choices=SAMPLINGS, default=list(SAMPLINGS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--ks", type=int, nargs="+", default=list(KS))
    parser.add_argument("--method", default="default", help="one of ours, as in tables.py")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(given)
    problems = read_tables(options.tables, options.only)
    if options.synthetic:
        problems += synthetic_problems(options.only)
    some(problems, "tables", options.tables)
    info, settings = machine(), settings_of(options.method)
    rows: list[Row] = []
    for problem in problems:
        for alpha in options.alphas:
            for sampling in options.samplings:
                if problem.budget(alpha, sampling) is None:
                    continue
                for k, seed in itertools.product(options.ks, options.seeds):
                    how = Implementation(
                        options.method, own_version(), ours(**{**settings, "n_coefficients": k})
                    )
                    rows.append({**measure(problem, how, alpha, sampling, seed), "k": k})
        if options.json:
            write_json(options.json, rows, method=options.method)
    print(describe(info), end="\n\n")
    print(markdown(rows, options.ks))
    return 0


if __name__ == "__main__":
    sys.exit(main())
