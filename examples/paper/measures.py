"""What the results say of the paper's claims: a sentence of figures, and the verdict they give.

Each function reads ``results/*.json``; the rule of its verdict stands in its docstring.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path

from common import Row

YES, PARTLY, NO, OPEN = "reproduced", "in part", "not reproduced", "open"
NAMES = {
    "sentiment": "reviews",
    "stories": "stories",
    "captions": "captions",
    "sentences": "sentences",
}
Measured = tuple[str, str]


class Results:
    """The JSON files of a folder, by figure."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, figure: str) -> Row:
        found: Row = json.loads((self._folder / f"{figure}.json").read_text("utf-8"))
        return found


def verdict(held: Iterable[bool | None]) -> str:
    """Of a claim that holds on all, some or none of the data sets; None where that is open."""
    each = set(held)
    if len(each) == 1:
        return {True: YES, False: NO, None: OPEN}[each.pop()]
    return PARTLY if each else OPEN


def by_dataset(rows: Iterable[Row]) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["dataset"], []).append(row)
    return groups


def of(rows: Iterable[Row], **wanted: object) -> list[Row]:
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def median(rows: Iterable[Row], key: str) -> float:
    return statistics.median(row[key] for row in rows)


def listed(parts: Iterable[str]) -> str:
    return "; ".join(parts)


def signed(number: float, digits: int = 3) -> str:
    return f"{number:.{digits}f}".replace("-", "−")


def times_of_spex(method: str) -> Callable[[Results], Measured]:
    def measured(results: Results) -> Measured:
        """Ten times, at every α where SPEX reached the R² on all inputs; where it did not: more."""
        parts, held = [], []
        for dataset, rows in by_dataset(results("figure01")["spex_needs"]).items():
            known, texts = [], []
            for alpha in sorted({row["alpha"] for row in rows}):
                here = of(rows, method=method, alpha=alpha)
                times = median(here, "times")
                if all(row["spex_masks"] is not None for row in here):
                    known.append(times)
                    texts.append(f"{times:.1f} at α = {alpha}")
                else:
                    texts.append(f"over {times:.1f} at {alpha}")
            parts.append(f"{NAMES[dataset]}: {', '.join(texts)}")
            held.append(min(known) >= 10 if known else None)
        return listed(parts), verdict(held)

    return measured


def over_lasso(method: str) -> Callable[[Results], Measured]:
    def measured(results: Results) -> Measured:
        """15% of LASSO's R² on average, over inputs and α."""
        parts, held = [], []
        for dataset, rows in by_dataset(results("figure06")["rows"]).items():
            ours = statistics.mean(row["r2"] for row in of(rows, method=method))
            lasso = statistics.mean(row["r2"] for row in of(rows, method="lasso"))
            parts.append(
                f"{NAMES[dataset]}: {signed(ours)} to {signed(lasso)}, {ours / lasso - 1:+.0%}"
            )
            held.append(ours >= 1.15 * lasso > 0)
        return "means: " + listed(parts), verdict(held)

    return measured


def _gain(rows: list[Row], method: str) -> tuple[float, float]:
    """Medians at the least and the largest α."""
    mine = of(rows, method=method)
    alphas = sorted({row["alpha"] for row in mine})
    return median(of(mine, alpha=alphas[0]), "r2"), median(of(mine, alpha=alphas[-1]), "r2")


def lasso_levels_off(results: Results) -> Measured:
    """From the least to the largest α LASSO gains less than the default."""
    parts, held = [], []
    for dataset, rows in by_dataset(results("figure06")["rows"]).items():
        gains = {}
        for method in ("default", "lasso"):
            least, most = _gain(rows, method)
            gains[method] = most - least
            parts.append(f"{NAMES[dataset]}, {method}: {signed(least)} → {signed(most)}")
        held.append(gains["lasso"] < gains["default"])
    return listed(parts), verdict(held)


def gap_grows(results: Results) -> Measured:
    """R² of ProxySPEX less LASSO's at the least and the largest α."""
    parts, held = [], []
    for dataset, rows in by_dataset(results("figure06")["rows"]).items():
        for method in ("default", "paper"):
            ours, lasso = _gain(rows, method), _gain(rows, "lasso")
            before, after = ours[0] - lasso[0], ours[1] - lasso[1]
            parts.append(f"{NAMES[dataset]}, {method}: {signed(before)} → {signed(after)}")
            held.append(after > before)
    return listed(parts), verdict(held)


def spex_needs_alpha(results: Results) -> Measured:
    """SPEX below LASSO at every α where it can be run, but perhaps the largest."""
    parts, held = [], []
    for dataset, rows in by_dataset(results("figure06")["rows"]).items():
        alphas = sorted({row["alpha"] for row in of(rows, method="spex")})
        gaps = []
        for alpha in alphas:
            spex = median(of(rows, method="spex", alpha=alpha), "r2")
            gaps.append(spex - median(of(rows, method="lasso", alpha=alpha), "r2"))
            parts.append(f"{NAMES[dataset]}, α = {alpha}: {signed(gaps[-1])}")
        if gaps:
            held.append(all(gap < 0 for gap in gaps[:-1]))
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
                parts.append(f"{NAMES[dataset]}, {method}: {least:.0%} (k = {k})")
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
            share = median(mine, "share")
            parts.append(f"{NAMES[dataset]}, {method}: {share:.1%}")
            held.append(share >= 0.95)
    return listed(parts), verdict(held)


def _removal(mean: dict[str, float], ours: str, theirs: str) -> tuple[str, bool]:
    ratio = mean[ours] / mean[theirs] - 1
    return f"{mean[ours]:.2f} to {mean[theirs]:.2f}, {ratio:+.0%}", ratio >= 0.2


def removals(ours: str, theirs: str) -> Callable[[Results], Measured]:
    def measured(results: Results) -> Measured:
        """The model's own change, mean over inputs and r: 20% more than the other's."""
        parts, held = [], []
        for dataset, rows in by_dataset(results("figure07")["rows"]).items():
            mean = {
                method: statistics.mean(row["change"] for row in of(rows, method=method))
                for method in dict.fromkeys(row["method"] for row in rows)
            }
            if ours in mean:
                text, good = _removal(mean, ours, theirs)
                parts.append(f"{NAMES[dataset]}: {text}")
                held.append(good)
        return "means over r: " + listed(parts), verdict(held)

    return measured


def spex_removal(results: Results) -> Measured:
    """SPEX's removal sets change the output less than LASSO's, but for reviews."""
    parts, held = [], []
    for dataset, rows in by_dataset(results("figure07")["rows"]).items():
        if not of(rows, method="spex"):
            continue
        spex, lasso = (
            statistics.mean(row["change"] for row in of(rows, method=method))
            for method in ("spex", "lasso")
        )
        parts.append(f"{NAMES[dataset]}: {spex:.2f} to {lasso:.2f}")
        held.append((spex > lasso) == (dataset == "sentiment"))
    return "means over r: " + listed(parts), verdict(held)


def solving_is_quick(results: Results) -> Measured:
    """Every removal set of the paper's explanations is proven optimal, within a second each."""
    rows = of(results("figure07")["rows"], method="paper")
    proven = sum(row["status"] == "optimal" for row in rows)
    middle, most = median(rows, "seconds"), max(row["seconds"] for row in rows)
    text = (
        f"{proven} of {len(rows)} proven optimal; median {middle:.2f} s, at most {most:.1f} s "
        "(on a busy machine)"
    )
    return text, verdict([proven == len(rows), middle < 1])


def _proxies(results: Results, dataset: str) -> Row:
    """Median R² of each proxy at the largest α."""
    rows = of(results("figure12")["rows"], dataset=dataset)
    alpha = max(row["alpha"] for row in rows)
    found: Row = {"alpha": alpha}
    for method in dict.fromkeys(row["method"] for row in rows):
        key = "spectrum_r2" if method == "spex" else "proxy_r2"
        found[method] = median(of(rows, alpha=alpha, method=method), key)
    return found


def _each(found: Row) -> str:
    numbers = [f"{name} {signed(r2)}" for name, r2 in found.items() if name != "alpha"]
    return f"α = {found['alpha']}: " + ", ".join(numbers)


def trees_lead_hierarchy(results: Results) -> Measured:
    """The paper's trees above LASSO, forest and network by 0.1 at the largest α."""
    found = _proxies(results, "complete hierarchy")
    others = [found[name] for name in ("lasso", "forest", "network")]
    return _each(found), verdict([found["paper"] > max(others) + 0.1])


def trees_lead_real(results: Results) -> Measured:
    """The paper's trees above LASSO, forest and network on each real input at the largest α."""
    parts, held = [], []
    for dataset in dict.fromkeys(row["dataset"] for row in results("figure12")["rows"]):
        if dataset in ("complete hierarchy", "peak"):
            continue
        found = _proxies(results, dataset)
        parts.append(f"{dataset}, {_each(found)}")
        held.append(found["paper"] > max(found[name] for name in ("lasso", "forest", "network")))
    return listed(parts), verdict(held)


def trees_fail_on_peaks(results: Results) -> Measured:
    """Neither our default nor the paper's trees reach R² 0.1; SPEX does."""
    found = _proxies(results, "peak")
    held = [found["paper"] < 0.1, found.get("spex", 1.0) > 0.9]
    return _each(found), verdict(held)


def speed(method: str) -> Callable[[Results], Measured]:
    def measured(results: Results) -> Measured:
        """SPEX's time over ours at the highest R² that both reach on all inputs: 3 times."""
        parts, held = [], []
        for dataset, rows in by_dataset(results("figure13")["reached"]).items():
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
                held.append(False)
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
        masks, nearest = min(
            ((spex["masks"], trees["masks"]) for spex in of(rows, method="spex")
             for trees in of(rows, method="paper")),
            key=lambda pair: abs(pair[0] / pair[1] - 1),
        )  # fmt: skip
        spex = median(of(rows, method="spex", masks=masks), "fit_seconds")
        trees = median(of(rows, method="paper", masks=nearest), "fit_seconds")
        parts.append(
            f"{NAMES[dataset]}: {spex:.1f} s at {masks:,} masks, trees {trees:.1f} s at {nearest:,}"
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


def near_the_input(results: Results) -> Measured:
    """No claim of the paper's: R² near the input by the masks that were fitted."""
    parts = []
    for dataset, rows in by_dataset(results("figure06")["by_density"]).items():
        for fitted in ("uniform", "mixed"):
            mine = of(rows, method="default", fitted=fitted)
            numbers = [signed(median(of(mine, density=d), "r2")) for d in (0.5, 0.7, 0.9)]
            parts.append(f"{NAMES[dataset]}, {fitted}: {' / '.join(numbers)}")
    return listed(parts), "beyond the paper"
