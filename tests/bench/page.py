"""Writes the figures of docs/faithfulness.md: its tables, between markers, and its pictures.

    python tests/bench/page.py                # tables and, with matplotlib, pictures
    python tests/bench/page.py --check        # exit code 1 if a table is not what the JSON gives

The prose is by hand. A table stands between ``<!-- bench: NAME -->`` and ``<!-- /bench -->``; the
names are those of ``harness/sections.py``. A table whose JSON has not been made is left as it is.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.command import command_line
from harness.sections import SECTIONS

HERE = Path(__file__).parent
MARKED = re.compile(
    r"(?P<open><!-- bench: (?P<name>[\w-]+) -->\n)(?P<body>.*?)(?P<close><!-- /bench -->)", re.S
)


class PageError(Exception):
    """A page whose markers cannot be followed."""


def fill(page: str, results: Path) -> tuple[str, list[str]]:
    """The page with every marked table made anew; and the names of those left as they were.

    Raises:
        PageError: a marker names no section, or has no end.
    """
    left = []

    def new(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in SECTIONS:
            raise PageError(f"no section {name!r}; there are {', '.join(SECTIONS)}")
        file, make = SECTIONS[name]
        if not (results / file).exists():
            left.append(name)
            return match[0]
        made = make(json.loads((results / file).read_text("utf-8")))
        return f"{match['open']}{made}\n{match['close']}"

    if page.count("<!-- bench: ") != len(MARKED.findall(page)):
        raise PageError("a marker <!-- bench: NAME --> has no end <!-- /bench -->")
    return MARKED.sub(new, page), left


def main(given: Sequence[str] | None = None) -> int:
    parser = command_line(__doc__)
    parser.add_argument("--page", type=Path, default=HERE.parents[1] / "docs" / "faithfulness.md")
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--pictures", type=Path, help="default: pictures/ beside the page")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args(given)
    before = options.page.read_text("utf-8")
    after, left = fill(before, options.results)
    for name in left:
        print(
            f"{name}: no {SECTIONS[name][0]} in {options.results}, left as it is", file=sys.stderr
        )
    if options.check:
        print("as the JSON gives" if after == before else f"{options.page} is not up to date")
        return int(after != before)
    options.page.write_text(after, encoding="utf-8")
    from pictures import write_pictures

    for path in write_pictures(
        options.results, options.pictures or options.page.parent / "pictures"
    ):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
