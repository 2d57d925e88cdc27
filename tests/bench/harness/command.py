"""What every script of the bench does on its command line."""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


class BenchError(Exception):
    """What was given cannot be measured; the message names it and says what is wrong."""


def command_line(doc: str | None) -> argparse.ArgumentParser:
    """One whose help is a script's own text, as it stands."""
    return argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def command(main: Callable[[Sequence[str] | None], int]) -> Callable[..., int]:
    """A script's ``main``, which says what was wrong and ends with 2."""

    @functools.wraps(main)
    def run(given: Sequence[str] | None = None) -> int:
        try:
            return main(given)
        except BenchError as error:
            print(error, file=sys.stderr)
            return 2

    return run


def some(found: list[T], kind: str, folder: Path) -> list[T]:
    """What a folder has, ``kind`` being ``"tables"`` or ``"games"``.

    Raises:
        BenchError: it has none.
    """
    if not found:
        raise BenchError(f"no {kind} (*.npz) in {folder}: pass --{kind} DIR")
    return found
