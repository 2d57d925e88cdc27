"""Prints the dependencies of ``pyproject.toml``, for environments of ``make``.

python tests/lowest.py --but torch,transformers           # their names
python tests/lowest.py --but torch,transformers --pinned  # at their lower bounds
"""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def dependencies() -> dict[str, str]:
    """The lower bound of each by its name."""
    given = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["dependencies"]
    return dict(line.split(">=") for line in given)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--but", default="", help="names to leave out, with commas between them")
    parser.add_argument("--pinned", action="store_true", help="name==lowest, not the name alone")
    given = parser.parse_args()
    for name, lowest in dependencies().items():
        if name not in given.but.split(","):
            print(f"{name}=={lowest}" if given.pinned else name)


if __name__ == "__main__":
    main()
