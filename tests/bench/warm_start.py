"""What starting from the kernel of an earlier input of the same model saves.

    python tests/bench/warm_start.py                 # the games of data/games: one model
    python tests/bench/warm_start.py --alphas 0.5 1 --seeds 5

Each game is explained cold, and from the kernel that was learnt on each of the others at α = 2.
Errors are those of ``indices.py``: Σ(φ̂ − φ)² / Σφ² of Shapley values and of the effects of one
and two features at the input, and R² over all subsets by density; medians.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.command import BenchError, command, command_line
from harness.games import DENSITIES, Estimates, Game, accuracy, read_games
from harness.report import Row, describe, grouped, machine, markdown_table, median_of, write_json

from proxyspex_hf.core import Cached, FunctionOfMasks, ProxySPEX
from proxyspex_hf.core.attribution import Attribution, attribute
from proxyspex_hf.core.proxies.kernel import MaskKernel
from proxyspex_hf.core.queries import plan

HERE = Path(__file__).parent
ERRORS = {"SV": "SV", "single": "I(i)", "pair": "I(ij)"}
#: At which the kernel of the earlier input is learnt: the default.
EARLIER = 2.0


def explained(game: Game, alpha: float, seed: int, start: MaskKernel | None = None) -> Attribution:
    """One game, cold or from a kernel."""
    function = Cached(FunctionOfMasks(game, game.n))
    algorithm = ProxySPEX(seed=seed, start=start)
    return attribute(function, plan(game.n, alpha=alpha), algorithm, start=start)


def table(rows: Sequence[Row]) -> str:
    """A line for each α, cold and warm."""
    lines = []
    for (alpha, start), group in grouped(rows, ("alpha", "start")).items():
        errors = [median_of(group, lambda row, e=e: row["errors"][e]) for e in ERRORS]
        r2 = [median_of(group, lambda row, d=d: row["r2"][f"{d:g}"]) for d in DENSITIES]
        shown = ["" if value is None else f"{value:.3f}" for value in [*errors, *r2]]
        lines.append([f"{alpha:g}", start, str(group[0]["calls"]), str(len(group)), *shown])
    columns = ["α", "start", "calls", "runs", *ERRORS.values(), *(f"R² {d:g}" for d in DENSITIES)]
    return markdown_table(columns, lines)


@command
def main(given: Sequence[str] | None = None) -> int:
    parser = command_line(__doc__)
    parser.add_argument("--games", type=Path, default=HERE / "data" / "games")
    parser.add_argument("--alphas", type=float, nargs="+", default=[0.5, 0.75, 1.0, 1.5])
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--json", type=Path, help="every run")
    options = parser.parse_args(given)
    games = read_games(options.games)
    if len(games) < 2:
        raise BenchError(f"a warm start needs two games, {options.games} has {len(games)}")
    kernels: dict[str, MaskKernel] = {}
    for game in games:
        posterior = explained(game, EARLIER, 0).posterior
        if posterior is not None:
            kernels[game.name] = posterior.doubt.kernel
    rows: list[Row] = []
    for alpha, seed, game in itertools.product(options.alphas, range(options.seeds), games):
        earlier = [None, *(kernel for name, kernel in kernels.items() if name != game.name)]
        for start in earlier:
            found = explained(game, alpha, seed, start)
            rows.append(
                {
                    "game": game.name,
                    "alpha": alpha,
                    "seed": seed,
                    "start": "cold" if start is None else "warm",
                    "calls": len(found.queries),
                    **accuracy(game, Estimates(found.fit.spectrum)),
                }
            )
            if options.json is not None:
                write_json(options.json, rows)
    print(describe(machine()), end="\n\n")
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
