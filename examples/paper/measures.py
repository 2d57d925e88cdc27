"""What the results say of the paper's claims: a sentence of figures, and the verdict they give.

Each function reads ``results/*.json``; the rule of its verdict stands in its docstring.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from itertools import pairwise, product

from common import Row
from reading import (
    NAMES,
    Measured,
    Results,
    by_dataset,
    listed,
    median,
    of,
    shared,
    signed,
    spread,
    verdict,
)


def times_of_spex(method: str) -> Callable[[Results], Measured]:
    def measured(results: Results) -> Measured:
        """Ten times, at every α where SPEX reached the R² on all inputs; where it did not: more."""
        parts, held = [], []
        for dataset, rows in by_dataset(results("figure01")["spex_needs"]).items():
            known, texts = [], []
            for alpha in sorted({row["alpha"] for row in rows}):
                here = of(rows, method=method, alpha=alpha)
                times = median(here, "times")
                reached = sum(row["spex_masks"] is not None for row in here)
                if reached == len(here):
                    known.append(times)
                    texts.append(f"{times:.1f} at α = {alpha}")
                else:
                    more = f" (reached on {reached} of {len(here)})" if reached else ""
                    texts.append(f"over {times:.1f} at α = {alpha}{more}")
            parts.append(f"{NAMES[dataset]}: {', '.join(texts)}")
            held.append(min(known) >= 10 if known else None)
        return listed(parts), verdict(held)

    return measured


def over_lasso(method: str) -> Callable[[Results], Measured]:
    def measured(results: Results) -> Measured:
        """15% of LASSO's R² on average, over inputs and α."""
        parts, held = [], []
        for dataset, rows in by_dataset(results("figure06")["rows"]).items():
            own = {(r["input"], r["alpha"]): r["r2"] for r in of(rows, method=method)}
            lasso = {(r["input"], r["alpha"]): r["r2"] for r in of(rows, method="lasso")}
            ours, theirs = statistics.mean(own.values()), statistics.mean(lasso.values())
            gaps = spread(own[at] - lasso[at] for at in own)
            parts.append(
                f"{NAMES[dataset]}: {signed(ours)} to {signed(theirs)}, {ours / theirs - 1:+.0%}, "
                f"a difference of {gaps}"
            )
            held.append(ours >= 1.15 * theirs > 0)
        return "means: " + listed(parts), verdict(held)

    return measured


def _gain(rows: list[Row], method: str) -> tuple[float, float]:
    """Medians at the least and the largest α, over the inputs that have both."""
    alphas = sorted({row["alpha"] for row in rows})
    mine = shared(of(rows, method=method), "alpha", (alphas[0], alphas[-1]))
    return median(of(mine, alpha=alphas[0]), "r2"), median(of(mine, alpha=alphas[-1]), "r2")


def _several_alphas(results: Results) -> dict[str, list[Row]]:
    """The data sets that were measured at more than one α."""
    found = by_dataset(results("figure06")["rows"]).items()
    return {name: rows for name, rows in found if len({row["alpha"] for row in rows}) > 1}


def _inputs(dataset: str, rows: list[Row]) -> str:
    """The data set, with how many of its inputs have the least and the largest α."""
    alphas = sorted({row["alpha"] for row in rows})
    both = {row["input"] for row in shared(rows, "alpha", (alphas[0], alphas[-1]))}
    return f"{NAMES[dataset]} (α = {alphas[0]} → {alphas[-1]}, {len(both)})"


def lasso_levels_off(results: Results) -> Measured:
    """From the least to the largest α LASSO gains less than the default, on the same inputs."""
    parts, held = [], []
    for dataset, rows in _several_alphas(results).items():
        gains, texts = {}, []
        for method in ("default", "lasso"):
            least, most = _gain(rows, method)
            gains[method] = most - least
            texts.append(f"{method} {signed(least)} → {signed(most)}")
        parts.append(f"{_inputs(dataset, rows)}: {', '.join(texts)}")
        held.append(gains["lasso"] < gains["default"])
    return listed(parts), verdict(held)


def gap_grows(results: Results) -> Measured:
    """R² of ProxySPEX less LASSO's at the least and the largest α, on the same inputs."""
    parts, held = [], []
    for dataset, rows in _several_alphas(results).items():
        texts = []
        for method in ("default", "paper"):
            ours, lasso = _gain(rows, method), _gain(rows, "lasso")
            before, after = ours[0] - lasso[0], ours[1] - lasso[1]
            texts.append(f"{method} {signed(before)} → {signed(after)}")
            held.append(after > before)
        parts.append(f"{_inputs(dataset, rows)}: {', '.join(texts)}")
    return listed(parts), verdict(held)


def spex_needs_alpha(results: Results) -> Measured:
    """SPEX below LASSO at every α where it can be run, but perhaps the largest.

    One α alone cannot tell.
    """
    parts, held = [], []
    for dataset, rows in by_dataset(results("figure06")["rows"]).items():
        gaps = []
        for alpha in sorted({row["alpha"] for row in of(rows, method="spex")}):
            here = shared(of(rows, alpha=alpha), "method", ("spex", "lasso"))
            spex = {row["input"]: row["r2"] for row in of(here, method="spex")}
            lasso = {row["input"]: row["r2"] for row in of(here, method="lasso")}
            gap = [spex[name] - lasso[name] for name in spex]
            gaps.append(statistics.median(gap))
            parts.append(f"{NAMES[dataset]}, α = {alpha}: {spread(gap)}")
        if gaps:
            held.append(all(gap < 0 for gap in gaps[:-1]) if len(gaps) > 1 else None)
    return "SPEX less LASSO: " + listed(parts), verdict(held)


def rate(rate: str, floor: float) -> Callable[[Results], Measured]:
    def measured(results: Results) -> Measured:
        """The least median over k, by data set and method, of the faithful spectra."""
        parts, held = [], []
        for dataset, rows in by_dataset(
            row for row in results("figure03")["rows"] if row["faithful"]
        ).items():
            for method in dict.fromkeys(row["method"] for row in rows):
                mine = of(rows, method=method)
                ks = sorted({row["k"] for row in mine})
                least, k = min((median(of(mine, k=k), rate), k) for k in ks)
                lowest = min(row[rate] for row in of(mine, k=k))
                below = f", one {lowest:.0%}" if lowest < least - 0.005 else ""
                parts.append(f"{NAMES[dataset]}, {method}: {least:.0%} (k = {k}{below})")
                held.append(least >= floor)
        return "least: " + listed(parts), verdict(held)

    return measured


def r2_rises(results: Results) -> Measured:
    """R² of the k largest coefficients never falls by more than 0.01 as k grows."""
    drops, rows = [], results("figure03")["rows"]
    for key in dict.fromkeys((r["dataset"], r["input"], r["method"]) for r in rows):
        mine = [r["r2_of_k"] for r in rows if (r["dataset"], r["input"], r["method"]) == key]
        drops.append(max((a - b for a, b in pairwise(mine)), default=0.0))
    fell = sum(drop > 0.01 for drop in drops)
    text = f"{len(drops)} spectra; R² falls by more than 0.01 at a larger k in {fell} of them"
    return text, verdict([fell == 0])


def two_hundred(results: Results) -> Measured:
    """The share of R² that 200 coefficients keep at the largest α: 95% or more."""
    parts, held = [], []
    for dataset, rows in by_dataset(results("figure05")["rows"]).items():
        for method in dict.fromkeys(row["method"] for row in rows):
            mine = of(rows, method=method, k=200)
            if not mine:
                continue
            alpha = max((row["alpha"] or 0 for row in mine), default=0)
            mine = [row for row in mine if (row["alpha"] or 0) == alpha]
            share, lowest = median(mine, "share"), min(row["share"] for row in mine)
            parts.append(f"{NAMES[dataset]}, {method}: {share:.1%} (least {lowest:.1%})")
            held.append(share >= 0.95)
    return listed(parts), verdict(held)


def _changes(rows: list[Row], methods: tuple[str, str]) -> list[tuple[float, float]]:
    """The model's change, mean over r, by two methods, on each input that has both."""
    both = shared(rows, "method", methods)
    return [
        tuple(
            statistics.mean(row["change"] for row in of(both, input=name, method=method))
            for method in methods
        )
        for name in dict.fromkeys(row["input"] for row in both)
    ]  # type: ignore[return-value]


def removals(ours: str, theirs: str) -> Callable[[Results], Measured]:
    def measured(results: Results) -> Measured:
        """The model's own change, mean over inputs and r: 20% more than the other's."""
        parts, held = [], []
        for dataset, rows in by_dataset(results("figure07")["rows"]).items():
            each = _changes(rows, (ours, theirs))
            if not each:
                continue
            own, other = (statistics.mean(column) for column in zip(*each, strict=True))
            ratios = sorted(mine / lasso - 1 for mine, lasso in each)
            by_input = f"{len(each)} inputs: {ratios[0]:+.0%} to {ratios[-1]:+.0%}"
            parts.append(
                f"{NAMES[dataset]}: {own:.2f} to {other:.2f}, {own / other - 1:+.0%}"
                + (f" ({by_input})" if len(each) > 1 else " (one input)")
            )
            held.append(own >= 1.2 * other)
        return "means over r: " + listed(parts), verdict(held)

    return measured


def spex_removal(results: Results) -> Measured:
    """SPEX's removal sets change the output less than LASSO's, but for reviews."""
    parts, held = [], []
    for dataset, rows in by_dataset(results("figure07")["rows"]).items():
        each = _changes(rows, ("spex", "lasso"))
        if not each:
            continue
        spex, lasso = (statistics.mean(column) for column in zip(*each, strict=True))
        parts.append(f"{NAMES[dataset]} ({len(each)}): {spex:.2f} to {lasso:.2f}")
        held.append((spex > lasso) == (dataset in ("sentiment", "encoder")))
    return "means over r: " + listed(parts), verdict(held)


def solving_is_quick(results: Results) -> Measured:
    """Every removal set of the paper's explanations is proven optimal, half within a second."""
    rows = of(results("figure07")["rows"], method="paper")
    proven = sum(row["status"] == "optimal" for row in rows)
    middle, most = median(rows, "seconds"), max(row["seconds"] for row in rows)
    text = (
        f"{proven} of {len(rows)} proven optimal; median {middle:.2f} s, at most {most:.1f} s "
        "(on a busy machine)"
    )
    return text, verdict([proven == len(rows), middle < 1])


def speed(method: str) -> Callable[[Results], Measured]:
    def measured(results: Results) -> Measured:
        """SPEX's time over ours at the highest R² that both reach on all its inputs: 3 times."""
        parts, held = [], []
        for dataset, found in by_dataset(results("figure13")["reached"]).items():
            rows = shared(found, "method", (method, "spex"))
            if not rows:
                continue
            both = [
                level
                for level in sorted({row["level"] for row in rows})
                if all(
                    row["seconds"] is not None
                    for name in (method, "spex")
                    for row in of(rows, level=level, method=name)
                )
            ]
            if not both:
                parts.append(f"{NAMES[dataset]}: no R² that both reach")
                held.append(None)
                continue
            at = both[-1]
            ours, spex = (
                sum(row["seconds"] for row in of(rows, level=at, method=name))
                for name in (method, "spex")
            )
            parts.append(f"{NAMES[dataset]}, R² {at}: {spex / ours:.1f} times")
            held.append(spex / ours >= 3)
        return listed(parts), verdict(held)

    return measured


def spex_fits_quicker(results: Results) -> Measured:
    """Where their numbers of masks are nearest, SPEX's own time is below the paper's trees'."""
    parts, held = [], []
    for dataset, rows in by_dataset(results("figure13")["rows"]).items():
        pairs = [
            min(
                product(of(here, method="spex"), of(here, method="paper")),
                key=lambda pair: abs(pair[0]["masks"] / pair[1]["masks"] - 1),
            )
            for name in dict.fromkeys(row["input"] for row in of(rows, method="spex"))
            for here in [of(rows, input=name)]
        ]
        if not pairs:
            continue
        spex, trees = (median(column, "fit_seconds") for column in zip(*pairs, strict=True))
        masks, nearest = (median(column, "masks") for column in zip(*pairs, strict=True))
        parts.append(
            f"{NAMES[dataset]}: {spex:.1f} s at {masks:,.0f} masks, trees {trees:.1f} s at "
            f"{nearest:,.0f}"
        )
        held.append(spex < trees)
    return listed(parts), verdict(held)


def low_degree(results: Results) -> Measured:
    """In exact spectra, 90% of the energy lies in orders up to 3."""
    rows = of(results("figure03")["rows"], method="exact")
    share = [row["energy_to_order_3"] for row in {r["input"]: r for r in rows}.values()]
    text = (
        f"exact spectra of {len(share)} sentences (n = {rows[0]['n']}): at least {min(share):.1%}"
    )
    return f"{text} of the energy in orders up to 3", verdict([min(share) >= 0.9])


def how_many_interactions(results: Results) -> Measured:
    """No claim of the paper's: what of the default's spectrum is not single features."""
    parts = []
    for dataset, rows in by_dataset(results("figure03")["rows"]).items():
        method = "exact" if of(rows, method="exact") else "default"
        each = list({row["input"]: row for row in of(rows, method=method)}.values())
        energy = sorted(row["energy_of_interactions"] for row in each)
        count = sorted(row["interactions_of_200"] for row in each)
        parts.append(
            f"{NAMES[dataset]}: {statistics.median(energy):.1%} of the energy ({energy[0]:.1%} to "
            f"{energy[-1]:.1%}), {statistics.median(count):.0f} of the 200 largest coefficients "
            f"({count[0]} to {count[-1]})"
        )
    return listed(parts), "beyond the paper"


def near_the_input(results: Results) -> Measured:
    """No claim of the paper's: R² near the input by the masks that were fitted."""
    parts = []
    for dataset, rows in by_dataset(results("figure06")["by_density"]).items():
        both = shared(rows, "fitted", ("uniform", "mixed"))
        for fitted in ("uniform", "mixed"):
            mine = of(both or rows, method="default", fitted=fitted)
            if not mine:
                continue
            numbers = [signed(median(of(mine, density=d), "r2")) for d in (0.5, 0.7, 0.9)]
            count = len({row["input"] for row in mine})
            parts.append(f"{NAMES[dataset]} ({count}), {fitted}: {' / '.join(numbers)}")
    return listed(parts), "beyond the paper"


def shortcuts(results: Results) -> Measured:
    """No claim of the paper's: what the paper's grid and SPEX's soft decoding change."""
    parts = []
    for dataset, rows in by_dataset(results("shortcuts")["rows"]).items():
        for method, name in (("paper", "the paper's"), ("spex", "SPEX")):
            mine = of(rows, method=method)
            count = len({row["input"] for row in mine})
            texts = [
                f"{how} {signed(median(of(mine, how=how), 'r2'))} "
                f"in {median(of(mine, how=how), 'seconds'):.0f} s"
                for how in dict.fromkeys(row["how"] for row in mine)
            ]
            if texts:
                parts.append(f"{NAMES[dataset]} ({count}), {name}: {', '.join(texts)}")
    return listed(parts), "beyond the paper"
