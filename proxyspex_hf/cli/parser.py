"""Parsers that say what was misspelled, with the usage of the command it was given to."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any


class Command(argparse.ArgumentParser):
    """The parser of one command: it answers for its own options."""

    def parse_known_args(  # type: ignore[override]  # its overloads say no more than Any
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> Any:
        given, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}{self._hint(unknown)}")
        return given, unknown

    def _hint(self, unknown: Sequence[str]) -> str:
        known = list(self._option_string_actions)
        for given in unknown:
            near = get_close_matches(given.partition("=")[0], known, n=1)
            if given.startswith("--") and near:
                return f". Did you mean {near[0]}?"
        return ""
