"""What a listing says of one explanation, without its spectrum or queries."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from proxyspex_hf.errors import SchemaError
from proxyspex_hf.hub.rows import ID_LENGTH, Row
from proxyspex_hf.hub.schema import EXPLANATIONS, LISTED, Column
from proxyspex_hf.record.json_reader import Reader, short
from proxyspex_hf.record.limits import MAX_FEATURES, MAX_QUERIES, MAX_TEXT

_EXCERPT = 200
_STRONGEST = 3
#: Ours are three.
_SCORES = 5

LISTED_COLUMNS = tuple(
    replace(
        column, first={"top_interactions": _STRONGEST, "faithfulness": _SCORES}.get(column.name)
    )
    for column in EXPLANATIONS
    if column.name in LISTED
)
#: The index beside the data: what a listing shows, so that it need not be gathered from all files.
INDEX: tuple[Column, ...] = (
    *LISTED_COLUMNS,
    Column("file", pa.string(), "name of the Parquet file that holds the row, in both folders"),
    Column("row", pa.int64(), "its position in there"),
)


@dataclass(frozen=True)
class HubEntry:
    """One explanation in a listing.

    Attributes:
        id: for ``from_hub``.
        created: when it was made, ISO 8601.
        task: the pipeline's task.
        model: the model's name on the Hub, or its directory's.
        revision: commit of the model; None if unknown.
        text: the beginning of the input.
        target: which output is explained.
        feature_kind: what a mask switches: words, patches …
        n_features: n.
        n_queries: masks that were asked.
        strongest: up to three effects at the input that are told from zero, (words, effect) each.
        orders: how many features take part in each of them; a feature may hold what joins words.
        faithfulness: R² of masks that the fit had not seen, by density; None where not measured.
        file: name of the Parquet file that holds it.
        row: its position in there.

    Example:
        >>> pushed = explanation.push_to_hub("me/explanations")
        >>> (entry,) = InteractionExplanation.list_hub("me/explanations")
        >>> entry.id == pushed.ids[0], entry.target
        (True, 'POSITIVE')
    """

    id: str
    created: str
    task: str
    model: str
    revision: str | None
    text: str
    target: str
    feature_kind: str
    n_features: int
    n_queries: int
    strongest: tuple[tuple[str, float], ...]
    orders: tuple[int, ...]
    faithfulness: tuple[tuple[float, float | None], ...]
    file: str
    row: int

    @classmethod
    def from_row(cls, row: Row, file: str, position: int) -> HubEntry:
        """Validate the listed columns of an untrusted row.

        Raises:
            SchemaError: one is missing or damaged.
        """
        reader = Reader(row, "")
        identity = read_id(reader)
        top = [
            Reader(item, "top_interactions")
            for item in reader.array("top_interactions", 1000)[:_STRONGEST]
        ]
        scores = [Reader(item, "faithfulness") for item in reader.array("faithfulness", 1000)]
        return cls(
            id=identity,
            created=reader.text("created", 100),
            task=reader.text("task", 200),
            model=reader.text("model", 10_000),
            revision=reader.optional_text("model_revision", 1000),
            text=reader.text("input", MAX_TEXT)[:_EXCERPT],
            target=reader.text("target", MAX_TEXT)[:_EXCERPT],
            feature_kind=reader.text("feature_kind", 20),
            n_features=reader.integer("n_features", 1, MAX_FEATURES),
            n_queries=reader.integer("n_queries", 0, MAX_QUERIES),
            strongest=tuple(
                (item.text("features", MAX_TEXT)[:_EXCERPT], item.number("effect")) for item in top
            ),
            orders=tuple(item.integer("order", 1, MAX_FEATURES) for item in top),
            faithfulness=tuple(
                (item.number("density"), item.optional_number("r2")) for item in scores
            ),
            file=file,
            row=position,
        )


def index_row(entry: HubEntry) -> Row:
    """The row of the index, which :meth:`HubEntry.from_row` reads again."""
    data: dict[str, Any] = {
        "id": entry.id,
        "created": entry.created,
        "task": entry.task,
        "model": entry.model,
        "model_revision": entry.revision,
        "input": entry.text,
        "target": entry.target,
        "feature_kind": entry.feature_kind,
        "n_features": entry.n_features,
        "n_queries": entry.n_queries,
        "top_interactions": [
            {"features": words, "order": order, "effect": effect}
            for (words, effect), order in zip(entry.strongest, entry.orders, strict=True)
        ],
        "faithfulness": [{"density": density, "r2": r2} for density, r2 in entry.faithfulness],
        "file": entry.file,
        "row": entry.row,
    }
    return data


def is_id(text: str) -> bool:
    """Whether ``text`` is a whole id."""
    return len(text) == ID_LENGTH and set(text) <= set("0123456789abcdef")


def read_id(reader: Reader) -> str:
    """The id of an untrusted row.

    Raises:
        SchemaError: it is none.
    """
    identity = reader.text("id", ID_LENGTH)
    if not is_id(identity):
        raise SchemaError(f"id must be {ID_LENGTH} hexadecimal digits, got {short(identity)}.")
    return identity
