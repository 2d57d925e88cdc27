"""What an attack opens, as a reader of the package would."""

from __future__ import annotations

from pathlib import Path

from record_factory import make_record

import proxyspex_hf.hub.pull
import proxyspex_hf.hub.push  # noqa: F401  imported once, before anything is measured
from proxyspex_hf import InteractionExplanation
from proxyspex_hf.hub.entries import LISTED_COLUMNS, HubEntry
from proxyspex_hf.hub.rows import record_from_rows, rows_of
from proxyspex_hf.hub.schema import EXPLANATIONS, QUERIES
from proxyspex_hf.hub.tables import Table

#: What every pair of bombs is a variation of.
EXPLANATION, ASKED = rows_of(make_record("It is not a bad film", seed=1))
ID = EXPLANATION["id"]


def pair(explanations: str, queries: str) -> str:
    """One explanation of two Parquet files."""
    row = Table(Path(explanations), EXPLANATIONS, "e").row(ID, 0)
    asked = Table(Path(queries), QUERIES, "q").row(ID, 0)
    return type(record_from_rows(row, asked)).__name__


def listing(explanations: str) -> str:
    """All entries of one Parquet file."""
    rows = Table(Path(explanations), LISTED_COLUMNS, "e").rows()
    return f"{len([HubEntry.from_row(row, 'e', i) for i, row in enumerate(rows)])} entries"


def file(path: str) -> str:
    """One JSON file."""
    return type(InteractionExplanation.load(path)).__name__
