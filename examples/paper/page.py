"""Writes the tables of docs/paper.md from results/*.json; the prose around them is by hand.

python examples/paper/page.py            # after `make paper`
python examples/paper/page.py --check    # exit code 1 if the page is not what the JSON gives
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from claims import CLAIMS, Results
from common import HERE, Row
from reading import NAMES, by_dataset, median, of

PAGE = HERE.parents[1] / "docs" / "paper.md"
MARKED = re.compile(
    r"(?P<open><!-- paper: (?P<name>\w+) -->\n)(?P<body>.*?)(?P<close><!-- /paper -->)", re.DOTALL
)


def claims(results: Results) -> str:
    """One line a claim, with what was measured, the verdict and the script."""
    columns = ("the paper says", "where", "measured here", "verdict", "script")
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    for claim in CLAIMS:
        there = results.has(claim.figure)
        measured, verdict = claim.measured(results) if there else ("not run", "not tested")
        lines.append(
            f"| {claim.text} | {claim.where} | {measured} | **{verdict}** | {claim.figure} |"
        )
    return "\n".join(lines) + "\n"


def inputs(results: Results) -> str:
    """What was measured: one line a data set."""
    fitted, spex = by_dataset(results("figure06")["rows"]), results("figure01")["rows"]
    mixed = [row for row in results("figure06")["by_density"] if row["fitted"] == "mixed"]
    columns = ("data set", "inputs", "features", "α (inputs)", "SPEX", "masks of three densities")
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    for dataset, rows in {**fitted, **by_dataset(results("figure03")["rows"])}.items():
        rows = fitted.get(dataset, rows)
        sizes = sorted({row["n"] for row in rows})
        features = f"{sizes[0]} to {sizes[-1]}" if len(sizes) > 1 else str(sizes[0])
        alphas = sorted({row["alpha"] for row in rows if row.get("alpha") is not None})
        counts = [f"{alpha} ({_inputs(of(rows, alpha=alpha))})" for alpha in alphas]
        shown = ", ".join(counts) if alphas else "all subsets"
        more = [
            _inputs(of(found, dataset=dataset)) or "–" for found in (of(spex, method="spex"), mixed)
        ]
        cells = (NAMES[dataset], _inputs(rows), features, shown, *more)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def _inputs(rows: list[Row]) -> int:
    return len({row["input"] for row in rows})


def seconds(results: Results) -> str:
    """What an input takes: processor seconds, medians over the inputs, at one α."""
    methods = ("default", "paper", "lasso", "spex")
    columns = (
        "data set", "α", "masks", "one mask, ms", "its masks", "default", "the paper's trees",
        "LASSO", "SPEX, most masks",
    )  # fmt: skip
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    for dataset, rows in by_dataset(results("figure13")["rows"]).items():
        counted = {a: _inputs(of(rows, alpha=a)) for a in {r["alpha"] for r in rows} - {None}}
        alpha = max(counted, key=lambda a: (counted[a], a))
        here = of(rows, alpha=alpha)
        masks = median(here, "masks")
        model = median(here, "model_seconds")
        cells = [NAMES[dataset], alpha, f"{masks:,.0f}", f"{model / masks * 1000:.1f}"]
        cells.append(f"{model:.1f}")
        for method in methods:
            mine = of(here, method=method)
            if method == "spex":
                own = of(rows, method=method)
                last = {row["input"]: row for row in own}  # the most masks come last
                mine = list(last.values())
            cells.append(f"{median(mine, 'fit_seconds'):.1f}" if mine else "–")
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


TABLES = {"claims": claims, "inputs": inputs, "seconds": seconds}


def fill(page: str, results: Results) -> str:
    """The page with its tables made anew.

    Raises:
        ValueError: the page has not each of the tables' markers once.
    """
    if sorted(match["name"] for match in MARKED.finditer(page)) != sorted(TABLES):
        raise ValueError(f"the page must have each of {', '.join(TABLES)} between markers, once")
    return MARKED.sub(lambda m: m["open"] + TABLES[m["name"]](results) + m["close"], page)


def main(given: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args(given)
    before = options.page.read_text("utf-8")
    after = fill(before, Results(options.results))
    if options.check:
        print("as the JSON gives" if after == before else f"{options.page} is not up to date")
        return int(after != before)
    options.page.write_text(after, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
