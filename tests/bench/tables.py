"""Faithfulness on value tables and synthetic functions: ours, the public ProxySPEX, and LASSO.

    python tests/bench/tables.py                        # all; long where nothing is cached
    python tests/bench/tables.py --quick                # two minutes: n <= 64, α = 2, one seed
    python tests/bench/tables.py --tables DIR --methods default boosting:n_coefficients=500
    python tests/bench/tables.py --time                 # ours beside theirs, all afresh, for time

The tables are those of ``data/`` here, or of ``--tables``. Every method gets the very same masks.
Seed 0 takes a table's top rows, another seed draws among all of them, and seeds the method. Figures
are of held-out masks: uniform ones, and such of density 0.5, 0.7 and 0.9; "full input off by" is in
percent of the values' range; a star marks seconds taken beside other work. Public implementations
(``pip install 'proxyspex-hf[bench]'``) are slow: what they gave is kept in ``--cache``, each in a
process of its own, and is not run again for the same version, rows and seed. Nor are ours for the
same code of the core, in ``--own-cache``: a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.cache import ResultCache
from harness.command import command, command_line, some
from harness.implementations import PUBLIC, Implementation, implementation
from harness.measure import Row, head, measure, measure_within
from harness.problems import DATA, SAMPLINGS, Problem, read_tables
from harness.report import (
    COLUMNS,
    describe,
    grouped,
    is_loaded,
    machine,
    markdown_line,
    markdown_table,
    median_of,
    spread,
    write_json,
)
from harness.synthetic_problems import synthetic_problems

HERE = Path(__file__).parent
RESULTS = HERE / "results"
QUICK_FEATURES = 64


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = command_line(__doc__)
    parser.add_argument("--tables", type=Path, default=DATA)
    parser.add_argument("--only", help="problems whose name contains this")
    parser.add_argument("--alphas", type=float, nargs="+", default=[1.0, 2.0, 4.0, 8.0])
    parser.add_argument("--methods", nargs="+", default=["default", "lasso", *PUBLIC])
    parser.add_argument("--samplings", nargs="+", choices=SAMPLINGS, default=list(SAMPLINGS))
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--public-seeds", type=int, default=2, help="at most, of public ones")
    parser.add_argument("--synthetic", action="store_true", help="synthetic functions as well")
    parser.add_argument("--no-tables", action="store_true", help="synthetic functions only")
    parser.add_argument("--quick", action="store_true", help="short inputs, α = 2, one seed")
    parser.add_argument("--time", action="store_true", help="run all afresh, in turns")
    parser.add_argument("--cache", type=Path, default=RESULTS / "public.jsonl")
    parser.add_argument("--own-cache", type=Path, default=HERE.parents[1] / "build" / "bench.jsonl")
    parser.add_argument("--cached-only", action="store_true", help="run no public one anew")
    parser.add_argument("--again", action="store_true", help="try again what failed")
    parser.add_argument("--limit", type=float, default=900.0, help="seconds for one public run")
    parser.add_argument("--json", type=Path, help="rows, with machine and versions")
    options = parser.parse_args(given)
    if options.quick:
        options.alphas, options.seeds, options.cached_only = [2.0], 1, True
    return options


def problems(options: argparse.Namespace) -> list[Problem]:
    found = [] if options.no_tables else read_tables(options.tables, options.only)
    if options.synthetic or options.no_tables or options.quick:
        found += synthetic_problems(options.only, quick=options.quick)
    return [p for p in found if p.n <= QUICK_FEATURES] if options.quick else found


def absent(*_: Any) -> Any:
    """In place of a public implementation that is not installed: its cached results remain."""
    raise RuntimeError("not installed")


def method_named(name: str, cache: ResultCache) -> Implementation | None:
    """By name; None, said, where it is neither installed nor has results in the cache."""
    how = implementation(name)
    if how is not None:
        return how
    versions = Counter(row["version"] for row in cache.rows().values() if row["method"] == name)
    if not versions:
        print(f"{name} is not installed: left out", file=sys.stderr)
        return None
    ((most, _),) = versions.most_common(1)  # of another one, a draw or two may have been compared
    print(f"{name} is not installed: cached results of {most}", file=sys.stderr)
    return Implementation(name, most, absent, public=True)


class Bench:
    """Runs cells and keeps their rows on disk."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.cache, self.own = ResultCache(options.cache), ResultCache(options.own_cache)
        self.rows: list[Row] = []

    def cell(
        self, problem: Problem, methods: Sequence[Implementation], alpha: float, sampling: str
    ) -> list[Row]:
        """Every method and seed; the methods take turns, so a busy minute hits all of them."""
        new = []
        for seed, how in itertools.product(range(self.options.seeds), methods):
            if how.public and seed >= self.options.public_seeds and not self.options.time:
                continue
            row = self.one(problem, how, alpha, sampling, seed)
            if row is not None:
                new.append(row)
        self.rows += new
        self.save()
        return new

    def one(
        self, problem: Problem, how: Implementation, alpha: float, sampling: str, seed: int
    ) -> Row | None:
        """One result; None for a public one that is not kept and not to be run."""
        if self.options.time:
            return measure(problem, how, alpha, sampling, seed)
        cache = self.cache if how.public else self.own
        top = head(problem, how, alpha, sampling, seed)
        row = cache.get(top)
        if row is not None and "error" in row and self.options.again:
            row = None
        if row is None and not how.public:
            row = measure(problem, how, alpha, sampling, seed)
            cache.add(row)
        elif row is None and not self.options.cached_only and how.fit is not absent:
            try:
                row = measure_within(self.options.limit, problem, how.name, alpha, sampling, seed)
            except (TimeoutError, RuntimeError) as error:
                row = top | {"error": str(error)}
            cache.add(row)
        # The same rows may lie in a file of another name.
        return None if row is None else row | {"table": problem.name}

    def save(self) -> None:
        if self.options.json is not None:
            write_json(self.options.json, self.rows)


def cells(
    options: argparse.Namespace, found: Sequence[Problem]
) -> list[tuple[Problem, float, str]]:
    """Problem × α × sampling, where the problem has the rows; says what is left out."""
    out = []
    short: dict[str, list[str]] = {}
    for problem, alpha, sampling in itertools.product(found, options.alphas, options.samplings):
        if problem.budget(alpha, sampling) is None:
            short.setdefault(problem.name, []).append(f"α = {alpha:g} {sampling}")
        else:
            out.append((problem, alpha, sampling))
    for name, missing in short.items():
        print(f"{name} has too few rows for {', '.join(missing)}: left out", file=sys.stderr)
    return out


def time_ratios(rows: Sequence[Row]) -> str:
    """How many times as long as the first method the others took, by medians of the same run."""
    lines = []
    for (table, alpha, sampling), cell in grouped(rows, ("table", "alpha", "sampling")).items():
        by_method = grouped(cell, ("method",))
        own = median_of(next(iter(by_method.values())), lambda row: row["seconds"])
        for (method,), group in by_method.items():
            took = median_of(group, lambda row: row["seconds"])
            ratio = f"{took / own:.1f}" if own and took else ""
            star = " *" if is_loaded(group) else ""
            seconds = spread((row["seconds"] for row in group), 2) + star
            r2 = spread(row["r2"]["uniform"] for row in group)
            lines.append([table, f"{alpha:g}", sampling, method, r2, seconds, ratio])
    first = rows[0]["method"] if rows else ""
    columns = ["table", "α", "sampling", "method", "R² uniform", "seconds", f"× {first}"]
    return markdown_table(columns, lines)


@command
def main(given: Sequence[str] | None = None) -> int:
    options = arguments(given)
    found = some(problems(options), "tables", options.tables)
    bench = Bench(options)
    wanted = [method_named(name, bench.cache) for name in options.methods]
    methods = [how for how in wanted if how is not None]
    if options.time:
        methods = [how for how in methods if how.fit is not absent]
    info: dict[str, Any] = machine()
    print(describe(info), end="\n\n")
    if options.time and info["load"][0] > 0.5:
        print(f"other work runs here (load {info['load'][0]}): not for quoting", file=sys.stderr)
    print(markdown_table(COLUMNS, []))
    for problem, alpha, sampling in cells(options, found):
        by_method = grouped(bench.cell(problem, methods, alpha, sampling), ("method",))
        for rows in by_method.values():
            print(markdown_table(markdown_line(rows), []).splitlines()[0], flush=True)
    if options.time:
        print("\n" + time_ratios(bench.rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
