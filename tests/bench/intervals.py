"""How often 90% intervals hold the truth, and how wide they are, for every kind of number.

    python tests/bench/intervals.py                     # the games of data/games, then the page
    python tests/bench/intervals.py --games DIR --tables DIR --seeds 5
    python tests/bench/intervals.py --quick             # one game, α = 1 and 2, one seed

On games, all of whose 2^n values are known (see ``indices.py``), every number is compared with its
true value; on value tables (see ``tables.py``), predictions with held-out masks. *Held* is the
share of numbers within their interval. *Width* is the median width over the standard deviation of
the true numbers. What every mask was asked for is known and not counted: predictions are of masks
that were not asked, and a single effect whose two masks were both asked has no width to speak of.

Writes ``results/intervals.json``, and the table and picture of ``docs/intervals.md``.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from harness.command import BenchError, command, command_line
from harness.games import Game, read_games
from harness.problems import Problem, read_tables
from harness.report import Row, grouped, markdown_table, write_json

from proxyspex_hf.core import Cached, FunctionOfMasks, ProxySPEX, all_masks, exact_spectrum
from proxyspex_hf.core.attribution import Attribution, attribute, explain
from proxyspex_hf.core.effects import effects_at_input, removal_masks
from proxyspex_hf.core.faithfulness import TEST_DENSITIES, weighted_r2
from proxyspex_hf.core.indices import interactions
from proxyspex_hf.core.intervals import prediction_intervals, with_intervals
from proxyspex_hf.core.posterior import stretched
from proxyspex_hf.core.queries import Queries, plan
from proxyspex_hf.core.removal.best import best_removal

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "intervals.md"
INDICES = (
    ("Shapley", 1),
    ("Banzhaf", 1),
    ("Influence", 1),
    ("BII", 2),
    ("SII", 2),
    ("STII", 2),
    ("FBII", 2),
    ("FSII", 2),
    ("Moebius", 2),
    ("OR", 2),
)
#: Masks at each density whose predictions are looked at.
PREDICTIONS = 300
#: Random removal sets of each size.
REMOVALS, SIZES = 20, (2, 3, 5)


def row(kind: str, truth: Any, intervals: Any) -> Row | None:
    """Coverage and width of some numbers of one kind."""
    truth, intervals = np.asarray(truth, dtype=np.float64), np.asarray(intervals)
    if not len(truth):
        return None
    slack = 1e-9 * (1.0 + np.abs(truth))
    held = (intervals[:, 0] - slack <= truth) & (truth <= intervals[:, 1] + slack)
    spread = float(truth.std()) or 1.0
    width = float(np.median(intervals[:, 1] - intervals[:, 0])) / spread
    return {"kind": kind, "held": int(held.sum()), "count": len(truth), "width": width}


def of_game(game: Game, alpha: float, seed: int) -> Iterator[Row | None]:
    """Every kind of number of one explanation of a game."""
    n = game.n
    function = Cached(FunctionOfMasks(game, n))
    found = attribute(function, plan(n, alpha=alpha), ProxySPEX(seed=seed))
    spectrum, posterior = found.fit.spectrum, found.posterior
    if posterior is None:
        raise RuntimeError("a game whose every subset was asked has no intervals")
    effects = effects_at_input(spectrum, posterior)
    for size, name in ((1, "effect of one at the input"), (2, "effect of a pair at the input")):
        true = game.truth["single" if size == 1 else "pair"]
        own = [e for e in effects if e.order == size]
        yield row(name, [true[e.members] for e in own], [e.interval for e in own])
    exact = exact_spectrum(game.values)
    for index, order in INDICES:
        true = interactions(exact, index, order).to_dict()
        scored = with_intervals(interactions(spectrum, index, order), spectrum, posterior)
        if scored.intervals is None:
            raise RuntimeError("scores of a fit have intervals")
        named = [(t, i) for t, i in zip(scored.sets, scored.intervals, strict=True) if t]
        yield row(index, [true.get(t, 0.0) for t, _ in named], [i for _, i in named])
    rng = np.random.default_rng(seed)
    asked = {mask.tobytes() for mask in found.queries.masks}
    for density in (0.1, *TEST_DENSITIES):
        masks = np.unique(rng.random((PREDICTIONS, n)) < density, axis=0)
        masks = masks[[mask.tobytes() not in asked for mask in masks]]
        intervals = prediction_intervals(spectrum, posterior, masks)
        yield row(f"prediction, {density:.0%} kept", game(masks), intervals)
    yield row(*_removals(game, found, rng))
    yield row("R²", *_r2(game, found))


def _removals(
    game: Game, found: Attribution, rng: np.random.Generator
) -> tuple[str, list[float], list[Any]]:
    """What random sets of features and the best ones lose."""
    n, posterior, spectrum = game.n, found.posterior, found.fit.spectrum
    sets = [rng.choice(n, k, replace=False).tolist() for k in SIZES for _ in range(REMOVALS)]
    sets += [list(best_removal(spectrum, k).removed) for k in SIZES]
    truth, intervals = [], []
    for members in sets:
        masks = removal_masks(n, [members])
        full, left = game(masks).tolist()
        shown, shown_left = spectrum.evaluate(masks).tolist()
        estimate = posterior.combination(masks, np.array([[1.0, -1.0]]))  # type: ignore[union-attr]
        truth.append(full - left)
        intervals.append(stretched(estimate, np.array([shown - shown_left]))[0])
    return "change by a removal set", truth, intervals


def _r2(game: Game, found: Attribution) -> tuple[list[float], list[Any]]:
    """R² over the masks that were not asked, as it is of masks left out."""
    every = all_masks(game.n)
    asked = {mask.tobytes() for mask in found.queries.masks}
    new = np.array([mask.tobytes() not in asked for mask in every])
    kept = every.sum(axis=1)
    predictions = found.fit.spectrum.evaluate(every)
    truth, intervals = [], []
    for score in found.faithfulness:
        weights = score.density**kept * (1 - score.density) ** (game.n - kept) * new
        r2 = weighted_r2(game.values, predictions, weights)
        if score.interval is not None and r2 is not None:
            truth.append(r2)
            intervals.append(score.interval)
    return truth, intervals


def of_table(problem: Problem, alpha: float, seed: int) -> Iterator[Row | None]:
    """Predictions of held-out masks, and R², of a table's mixed masks."""
    if problem.budget(alpha, "mixed") is None:
        return
    masks, values = problem.rows(alpha, "mixed", seed)
    share = masks.mean(axis=1)
    drawn = np.array([min(TEST_DENSITIES, key=lambda d, s=s: abs(d - s)) for s in share.tolist()])
    drawn[0] = 0.0
    queries = Queries(masks, values, len(values), drawn)
    how = plan(problem.n, budget=len(values), density="mixed")
    found = explain(queries, how, ProxySPEX(seed=seed), {})
    if found.posterior is None:
        return
    truth, intervals = [], []
    for density, score in zip(TEST_DENSITIES, found.faithfulness, strict=True):
        held_out, values = problem.tests[f"{100 * density:.0f}"]
        own = prediction_intervals(found.fit.spectrum, found.posterior, held_out)
        yield row(f"held-out prediction, {density:.0%} kept", values, own)
        r2 = weighted_r2(values, found.fit.spectrum.evaluate(held_out), np.ones(len(values)))
        if score.interval is not None and r2 is not None:
            truth.append(r2)
            intervals.append(score.interval)
    yield row("R² of held-out masks", truth, intervals)


def measured(problem: Game | Problem, alpha: float, seed: int) -> list[Row]:
    """The rows of one explanation with what they are of."""
    rows = of_game if isinstance(problem, Game) else of_table
    top = {"of": problem.name, "alpha": alpha, "seed": seed}
    return [top | found for found in rows(problem, alpha, seed) if found is not None]  # type: ignore[operator]


def table(rows: Sequence[Row]) -> str:
    """Coverage and width by kind and α."""
    alphas = sorted({row["alpha"] for row in rows})
    lines = []
    for (kind,), own in grouped(rows, ("kind",)).items():
        by_alpha = grouped(own, ("alpha",))
        line, widths = [kind], {}
        for alpha in alphas:
            cell = by_alpha.get((alpha,), [])
            count = sum(row["count"] for row in cell)
            held = sum(row["held"] for row in cell)
            line.append(f"{held / count:.0%} of {count:,}" if count else "")
            if cell:
                widths[alpha] = statistics.median(row["width"] for row in cell)
        line += [f"{widths[alpha]:.3g}" if alpha in widths else "" for alpha in alphas]
        first, last = widths.get(alphas[0]), widths.get(alphas[-1])
        line.append(f"{last / first:.2f}" if first and last else "")
        lines.append(line)
    names = [f"α = {alpha:g}" for alpha in alphas]
    head = ["number", *(f"held, {name}" for name in names), *(f"width, {name}" for name in names)]
    return markdown_table([*head, "last width / first"], lines)


def write_page(rows: Sequence[Row], page: Path) -> None:
    """The table between the page's markers."""
    text = page.read_text("utf-8")
    start, end = "<!-- bench: intervals -->\n", "<!-- /bench -->"
    if start not in text or end not in text:
        raise BenchError(f"{page} has no marker {start.strip()}")
    head, rest = text.split(start, 1)
    page.write_text(f"{head}{start}{table(rows)}\n{end}{rest.split(end, 1)[1]}", encoding="utf-8")


def draw(rows: Sequence[Row], path: Path) -> None:
    """Coverage against 90%, and width by α, one line a kind of number."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5), layout="constrained")
    held, width = figure.subplots(1, 2)
    for (kind,), own in grouped(rows, ("kind",)).items():
        cells = sorted(grouped(own, ("alpha",)).items())
        at = [alpha for (alpha,), _ in cells]
        counts = [(sum(r["held"] for r in c), sum(r["count"] for r in c)) for _, c in cells]
        held.plot(at, [h / c for h, c in counts], marker="o", label=kind)
        width.plot(at, [statistics.median(r["width"] for r in c) for _, c in cells], marker="o")
    held.axhspan(0.85, 0.95, alpha=0.15, color="black", linewidth=0)
    held.set(ylabel="share held by 90% intervals", ylim=(0.5, 1.0))
    width.set(ylabel="median width / spread of the truth", yscale="log")
    for axis in (held, width):
        axis.set(xlabel="α", xscale="log", xticks=at, xticklabels=[f"{a:g}" for a in at])
        axis.minorticks_off()
    figure.legend(loc="outside right", fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


@command
def main(given: Sequence[str] | None = None) -> int:
    parser = command_line(__doc__)
    parser.add_argument("--games", type=Path, default=HERE / "data" / "games")
    parser.add_argument("--tables", type=Path, default=HERE / "data")
    parser.add_argument("--only", help="games and tables whose name contains this")
    parser.add_argument("--alphas", type=float, nargs="+", default=[1.0, 2.0, 4.0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path, help="rows; default results/intervals.json")
    parser.add_argument("--no-page", action="store_true", help="leave the docs as they are")
    options = parser.parse_args(given)
    if options.quick:
        options.alphas, options.seeds, options.no_page = [1.0, 2.0], 1, True
    games = read_games(options.games, options.only)
    tables = [] if options.quick else read_tables(options.tables, options.only)
    rows: list[Row] = []
    for alpha in options.alphas:
        for seed in range(options.seeds):
            # A table's rows are what they are: one seed.
            for problem in [*games[: 1 if options.quick else None], *(tables if not seed else ())]:
                rows += measured(problem, alpha, seed)
            print(f"α = {alpha:g}, seed {seed}", file=sys.stderr, flush=True)
    print(table(rows))
    if options.json or not options.quick:
        write_json(options.json or HERE / "results" / "intervals.json", rows)
    if not options.no_page:
        write_page(rows, PAGE)
        draw(rows, PAGE.parent / "pictures" / "intervals.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
