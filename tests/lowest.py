"""Prints the lower bounds of ``pyproject.toml`` as pins: what ``make test-lowest`` installs.

    python tests/lowest.py                        # of every dependency
    python tests/lowest.py --but torch,transformers
"""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def pins(but: frozenset[str] = frozenset()) -> list[str]:
    """``name==lowest`` of each dependency that is not among ``but``."""
    given = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["dependencies"]
    pairs = [line.split(">=") for line in given]
    return [f"{name}=={lowest}" for name, lowest in pairs if name not in but]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--but", default="", help="names to leave out, with commas between them")
    print("\n".join(pins(frozenset(parser.parse_args().but.split(",")))))


if __name__ == "__main__":
    main()
