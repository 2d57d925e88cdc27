"""Run the attacks and print one table: what was attacked, what was tried, what came of it.

    python tests/attacks/run.py                 # short forms, under 20 seconds each
    python tests/attacks/run.py --long          # long forms
    python tests/attacks/run.py rebinding       # one kind
    python tests/attacks/run.py --page          # and the table of docs/attacks.md

Everything stays on loopback. Ends with 1 where a defence did not hold.
"""

from __future__ import annotations

import argparse
import os
import pkgutil
import sys
import time
from importlib import import_module
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before anything of the Hub is imported
if __name__ == "__main__":  # as a script: so that attacks are imported as tests do
    sys.path[0] = str(Path(__file__).parents[1])

from attacks.before import BEFORE
from attacks.outcome import Attack, Outcome

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "attacks.md"
#: Characters of what was tried that the page shows.
SHOWN = 160


def kinds() -> list[str]:
    """The modules that attack something."""
    names = sorted(module.name for module in pkgutil.iter_modules([str(HERE)]))
    return [
        name for name in names if name not in ("before", "outcome", "run") and "test" not in name
    ]


def attacks(kind: str) -> tuple[Attack, ...]:
    """The attacks of one module; those that only serve others have none."""
    found: tuple[Attack, ...] = getattr(import_module(f"attacks.{kind}"), "ATTACKS", ())
    return found


def table(rows: list[tuple[Outcome, float]]) -> str:
    """The outcomes as text."""
    lines = []
    for outcome, seconds in rows:
        verdict = "held" if outcome.held else "BROKEN"
        lines.append(f"{verdict:7}{outcome.name} ({seconds:.1f} s)")
        lines.append(f"       tried:   {outcome.tried}")
        lines.append(f"       outcome: {outcome.figures}")
    held = sum(outcome.held for outcome, _ in rows)
    return "\n".join([*lines, f"{held} of {len(rows)} held"])


def write_page(rows: list[tuple[Outcome, float]]) -> None:
    """The table between the page's markers."""
    lines = ["| attack | tried | 0.1.0 | now |", "| --- | --- | --- | --- |"]
    for outcome, _ in rows:
        tried = outcome.tried if len(outcome.tried) <= SHOWN else f"{outcome.tried[:SHOWN]} …"
        now = f"{'held' if outcome.held else '**broken**'}: {outcome.figures}"
        cells = (outcome.name, tried, BEFORE.get(outcome.name, "not tried"), now)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    start, end = "<!-- attacks -->\n", "<!-- /attacks -->"
    head, rest = PAGE.read_text("utf-8").split(start, 1)
    page = head + start + "\n".join(lines) + "\n" + end + rest.split(end, 1)[1]
    PAGE.write_text(page, encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", nargs="*", help=f"one or more of {', '.join(kinds())}")
    parser.add_argument("--long", action="store_true", help="minutes instead of seconds")
    parser.add_argument("--page", action="store_true", help="write docs/attacks.md, of all kinds")
    given = parser.parse_args(arguments)
    if given.page and given.kind:
        parser.error("the page has all kinds.")
    unknown = set(given.kind) - set(kinds())
    if unknown:
        parser.error(f"no such kind: {', '.join(sorted(unknown))}")
    rows: list[tuple[Outcome, float]] = []
    for kind in given.kind or kinds():
        for attack in attacks(kind):
            start = time.perf_counter()
            rows.append((attack(given.long), time.perf_counter() - start))
            print(table(rows[-1:]).rsplit("\n", 1)[0], flush=True)
    print(table(rows).rsplit("\n", 1)[-1])
    if given.page:
        write_page(rows)
    return int(not all(outcome.held for outcome, _ in rows))


if __name__ == "__main__":
    sys.exit(main())
