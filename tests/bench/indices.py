"""Accuracy of indices on games whose 2^n values are all known: ours and shapiq's.

    python tests/bench/indices.py                       # ours anew, the others as they were kept
    python tests/bench/indices.py --quick               # ours on one game, α = 1, one seed
    python tests/bench/indices.py --methods ours ours:density=uniform,proxy=gaussian ours@ShaplEIG
    python tests/bench/indices.py --games DIR --shapiq build/shapiq/bin/python

The games of ``data/games`` are the values of a real sentiment classifier on all subsets of 14
words, one input each. Other games are ``.npz`` files with ``n``, at most 15, and ``values`` (2^n of
them; row r keeps feature i where bit i of r is set).

The budget is round(α n log2 n) model calls, and every mask that a method asks counts, held-out ones
too. Errors are Σ(φ̂ − φ)² / Σφ²: of the Shapley values (SV), of the Faith-Shapley interactions of
order 2 (FSII: singles and pairs together, then pairs alone), of the Shapley interactions of pairs
(SII, and so k-SII), and of the effects at the input: I(i) = f(N) − f(N∖i), what the value
loses without feature i, and I(ij) = f(N) − f(N∖i) − f(N∖j) + f(N∖ij). R² is over all subsets, each
weighted by its probability when every feature is kept with probability 0.1, 0.5 or 0.9. Each line
is the median over games and seeds; what a method does not estimate is left empty.

``ours@NAME`` is ours on the very masks that a method of shapiq drew. Options follow a colon:
for ours, those of sampling (``question=input``, ``density=uniform``, ``density=0.1+0.5+0.9``,
``n_test=10``) and of ``ProxySPEX``; for a class of shapiq, its own arguments
(``ProxySHAP:adjustment=true``).

shapiq 1.8.0 needs Python 3.12 or newer, and so an environment of its own:

    python3.12 -m venv build/shapiq
    build/shapiq/bin/pip install 'shapiq[shapleig]==1.8.0' lightgbm xgboost

What it gave is kept in ``--cache`` with its version, and is not run again for the same game,
budget, seed and version. Without ``--shapiq`` only the kept results are shown.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.cache import ResultCache
from harness.command import BenchError, command, command_line, some
from harness.games import DENSITIES, ERRORS, Estimates, Game, accuracy, read_games
from harness.implementations import own_version
from harness.index_methods import Method, method_named, ours, ours_on
from harness.report import describe, grouped, machine, markdown_table, median_of, write_json
from harness.shapiq_process import Shapiq, WorkerError, estimates_of, masks_asked

from proxyspex_hf.core import Cached, FunctionOfMasks, budget_for
from proxyspex_hf.errors import InputError

HERE = Path(__file__).parent
OURS = (
    "ours",
    "ours:question=input",
    "ours:question=shapley",
    "ours:density=wide",
    "ours:density=mixed",
    "ours:density=uniform",
)
PUBLIC = (
    "LeverageSHAP",
    "OddSHAP",
    "RegressionMSR",
    "ShaplEIG",
    "ProxySHAP",
    "ProxySHAP:adjustment=true",
    "ProxySPEX",
)
HEADINGS = ("SV", "FSII", "FSII pairs", "SII pairs", "I(i)", "I(ij)")
Row = dict[str, Any]


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = command_line(__doc__)
    parser.add_argument("--games", type=Path, default=HERE / "data" / "games")
    parser.add_argument("--only", help="games whose name contains this")
    parser.add_argument("--alphas", type=float, nargs="+", default=[1.0, 2.0])
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--methods", nargs="+", default=[*OURS, "ours@ShaplEIG", *PUBLIC])
    parser.add_argument("--shapiq", type=Path, metavar="PYTHON", help="an interpreter with shapiq")
    parser.add_argument("--limit", type=float, default=900.0, help="seconds for one run of shapiq")
    parser.add_argument("--cache", type=Path, default=HERE / "results" / "indices_public.jsonl")
    parser.add_argument("--again", action="store_true", help="try again what failed")
    parser.add_argument("--quick", action="store_true", help="ours, one game, α = 1, one seed")
    parser.add_argument("--json", type=Path, help="every run, with machine and versions")
    options = parser.parse_args(given)
    if options.quick:
        options.alphas, options.seeds, options.methods = [1.0], 1, ["ours"]
    return options


class Bench:
    """Runs methods on games; what shapiq gave is kept."""

    def __init__(self, cache: ResultCache, shapiq: Shapiq | None, again: bool) -> None:
        self.cache, self.shapiq, self.again = cache, shapiq, again

    def run(self, game: Game, method: Method, alpha: float, seed: int) -> Row | None:
        """One method on one game; None for a public one that is neither kept nor to be run."""
        budget = budget_for(game.n, alpha)
        top = {
            "game": game.name,
            "content": game.content_hash,
            "n": game.n,
            "alpha": alpha,
            "budget": budget,
            "sampling": "own",
            "seed": seed,
            "method": method.name,
        }
        if not method.public:
            row = self.own(game, method, budget, seed, top)
        else:
            row = self.public(game, method, budget, seed, top)
            if row is not None and "error" not in row:
                found = accuracy(game, estimates_of(row["estimates"], game.n))
                row = row | found | {"calls": len(row["asked"])}
        if row is None:
            return None
        if row.get("calls", 0) > budget:
            row["error"] = f"asked {row['calls']} masks, with a budget of {budget}"
        # The same values may lie in a file of another name.
        return {key: v for key, v in row.items() if key not in ("asked", "estimates")} | top

    def own(self, game: Game, method: Method, budget: int, seed: int, top: Row) -> Row | None:
        """Ours, on its own masks or on those of a public method."""
        if method.masks_of:
            drawn_by = method_named(method.masks_of)
            drawn = self.public(game, drawn_by, budget, seed, top | {"method": drawn_by.name})
            if drawn is None or "error" in drawn:
                return None
            masks = masks_asked(drawn["asked"], game.n)
        values_of = Cached(FunctionOfMasks(game, game.n))
        top = top | {"version": own_version()}
        start = time.perf_counter()
        try:
            if method.masks_of:
                spectrum = ours_on(masks, values_of(masks), seed, **method.settings)
            else:
                spectrum = ours(values_of, game.n, budget, seed, **method.settings)
        except InputError as error:  # the budget is too small for what is asked
            return top | {"error": str(error)}
        seconds = round(time.perf_counter() - start, 3)
        found = accuracy(game, Estimates(spectrum))
        return top | found | {"seconds": seconds, "calls": values_of.calls}

    def public(self, game: Game, method: Method, budget: int, seed: int, top: Row) -> Row | None:
        """What shapiq gave: kept, or else asked for and kept from now on."""
        version = self.version_of(method.name)
        if version is None:
            return None
        top = top | {"version": version}
        row = self.cache.get(top)
        if self.shapiq is None or (row is not None and not ("error" in row and self.again)):
            return row
        top["libraries"] = self.shapiq.versions
        try:
            row = top | self.shapiq.run(game, method, budget, seed)
        except WorkerError as error:
            row = top | {"error": str(error)}
        self.cache.add(row)
        return row

    def version_of(self, name: str) -> str | None:
        """Of the interpreter, or else of the last result that was kept."""
        if self.shapiq is not None:
            return f"shapiq {self.shapiq.versions['shapiq']}"
        kept = [row["version"] for row in self.cache.rows().values() if row["method"] == name]
        return kept[-1] if kept else None


def median_at(rows: Sequence[Row], kind: str, key: str) -> float | None:
    """Of the runs that have the figure; None where none has."""
    return median_of(rows, lambda row: row[kind].get(key))


def table(rows: Sequence[Row]) -> str:
    """A line for each α and method: medians over games and seeds."""
    lines = []
    for (alpha, name), group in grouped(rows, ("alpha", "method")).items():
        good = [row for row in group if "error" not in row]
        errors = [median_at(good, "errors", name) for name in ERRORS]
        r2 = [median_at(good, "r2", f"{density:g}") for density in DENSITIES]
        calls = median_of(good, lambda row: row["calls"])
        shown = ["" if value is None else f"{value:.3f}" for value in [*errors, *r2]]
        runs = str(len(good)) if len(good) == len(group) else f"{len(good)} of {len(group)}"
        lines.append([f"{alpha:g}", name, "" if calls is None else f"{calls:g}", runs, *shown])
    columns = ["α", "method", "calls", "runs", *HEADINGS, *(f"R² {d:g}" for d in DENSITIES)]
    return markdown_table(columns, lines)


def run_all(options: argparse.Namespace, games: Sequence[Game], methods: Sequence[Method]) -> int:
    """Every method on every game; prints the table last."""
    rows: list[Row] = []
    missing: dict[str, int] = {}
    with contextlib.ExitStack() as stack:
        shapiq = None
        if options.shapiq is not None:
            shapiq = stack.enter_context(Shapiq(options.shapiq, options.limit))
            print(f"shapiq {shapiq.versions['shapiq']}", file=sys.stderr)
        bench = Bench(ResultCache(options.cache), shapiq, options.again)
        for alpha, method in itertools.product(options.alphas, methods):
            for game, seed in itertools.product(games, range(options.seeds)):
                row = bench.run(game, method, alpha, seed)
                if row is None:
                    missing[method.name] = missing.get(method.name, 0) + 1
                else:
                    rows.append(row)
            if options.json is not None:
                write_json(options.json, rows)
    for name, count in missing.items():
        print(f"{name}: {count} results are neither kept nor could be made", file=sys.stderr)
    for row in rows:
        if "error" in row:
            where = f"{row['game']}, α = {row['alpha']:g}, seed {row['seed']}"
            print(f"{row['method']} on {where}: {row['error']}", file=sys.stderr)
    print(describe(machine()), end="\n\n")
    print(table(rows))
    return 0


@command
def main(given: Sequence[str] | None = None) -> int:
    options = arguments(given)
    try:
        methods = [method_named(name) for name in options.methods]
    except (TypeError, ValueError) as error:
        raise BenchError(str(error)) from error
    games = some(read_games(options.games, options.only), "games", options.games)
    return run_all(options, games[:1] if options.quick else games, methods)


if __name__ == "__main__":
    sys.exit(main())
