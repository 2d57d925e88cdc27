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
from common import HERE
from measures import NAMES, by_dataset

PAGE = HERE.parents[1] / "docs" / "paper.md"
MARKED = re.compile(
    r"(?P<open><!-- paper: (?P<name>\w+) -->\n)(?P<body>.*?)(?P<close><!-- /paper -->)", re.DOTALL
)


def claims(results: Results) -> str:
    """One line a claim, with what was measured, the verdict and the script."""
    columns = ("the paper says", "where", "measured here", "verdict", "script")
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    for claim in CLAIMS:
        measured, verdict = claim.measured(results)
        lines.append(
            f"| {claim.text} | {claim.where} | {measured} | **{verdict}** | {claim.figure} |"
        )
    return "\n".join(lines) + "\n"


def inputs(results: Results) -> str:
    """What was measured: one line a data set."""
    found = {**by_dataset(results("figure03")["rows"]), **by_dataset(results("figure06")["rows"])}
    lines = ["| data set | inputs | features | α |", "|---|---|---|---|"]
    for dataset, rows in found.items():
        sizes = sorted({row["n"] for row in rows})
        alphas = sorted({row["alpha"] for row in rows if row.get("alpha") is not None})
        features = f"{sizes[0]} to {sizes[-1]}" if len(sizes) > 1 else str(sizes[0])
        shown = ", ".join(map(str, alphas)) if alphas else "all subsets"
        count = len({row["input"] for row in rows})
        lines.append(f"| {NAMES[dataset]} | {count} | {features} | {shown} |")
    return "\n".join(lines) + "\n"


TABLES = {"claims": claims, "inputs": inputs}


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
