"""Writes the table of docs/paper.md from results/*.json; the prose around it is by hand.

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

PAGE = HERE.parents[1] / "docs" / "paper.md"
START, END = "<!-- paper: claims -->\n", "<!-- /paper -->"


def table(results: Results) -> str:
    """One line a claim, with what was measured, the verdict and the command."""
    lines = [
        "| the paper says | where | measured here | verdict | script |",
        "|---|---|---|---|---|",
    ]
    for claim in CLAIMS:
        measured, verdict = claim.measured(results)
        lines.append(
            f"| {claim.text} | {claim.where} | {measured} | **{verdict}** | {claim.figure} |"
        )
    return "\n".join(lines) + "\n"


def fill(page: str, results: Results) -> str:
    """The page with the table made anew.

    Raises:
        ValueError: the page has not exactly one pair of markers.
    """
    if page.count(START) != 1 or page.count(END) != 1:
        raise ValueError(f"the page must have one {START.strip()} and one {END}")
    pattern = f"{re.escape(START)}.*?{re.escape(END)}"
    return re.sub(pattern, lambda _: START + table(results) + END, page, flags=re.DOTALL)


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
