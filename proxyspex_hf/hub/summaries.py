"""What a summary takes of many explanations, from their plain columns: no whole one is read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

from proxyspex_hf.core.effects import KINDS, Kind
from proxyspex_hf.errors import SchemaError
from proxyspex_hf.hub.entries import HubEntry, read_id
from proxyspex_hf.hub.faults import patiently
from proxyspex_hf.hub.pull import entries_of
from proxyspex_hf.hub.repository import (
    ANEW,
    DEFAULT_CONFIG,
    Snapshot,
    check_place,
    hub_api,
    index_path,
    paths_of,
)
from proxyspex_hf.hub.rows import MAX_EFFECTS, Row
from proxyspex_hf.hub.schema import EXPLANATIONS, SUMMARIZED
from proxyspex_hf.hub.tables import Allowance
from proxyspex_hf.record.json_reader import Reader, integers, short
from proxyspex_hf.record.limits import MAX_EFFECT, MAX_FEATURES, MAX_TEXT

_COLUMNS = tuple(column for column in EXPLANATIONS if column.name in SUMMARIZED)
_EXCERPT = 200


@dataclass(frozen=True)
class Summarized:
    """What a summary takes of one explanation.

    Attributes:
        id: on the Hub; empty elsewhere.
        title: the beginning of the input, or the task without a text.
        label, kind: of what is explained.
        features: the features' texts.
        effects: (members, effect at the input, kind) of those told from zero.
    """

    id: str
    title: str
    label: str
    kind: str
    features: tuple[str, ...]
    effects: tuple[tuple[tuple[int, ...], float, Kind], ...]

    @classmethod
    def from_row(cls, row: Row) -> Summarized | None:
        """Validate the columns of an untrusted row; None where it lacks effects, or their kinds.

        Raises:
            SchemaError: one is missing or damaged.
        """
        reader = Reader(row, "")
        identity = read_id(reader)
        if row.get("effects") is None or row.get("effect_kinds") is None:
            return None
        features = reader.texts("features", MAX_FEATURES, MAX_TEXT)
        effects = []
        for item in reader.array("effects", MAX_EFFECTS):
            each = Reader(item, "effects")
            members = tuple(integers(each.array("members", len(features)), "members", None))
            inside = members and members[0] >= 0 and members[-1] < len(features)
            if not inside or any(a >= b for a, b in pairwise(members)):
                raise SchemaError(
                    f"effects.members must be indices of features, ascending, got {short(members)}."
                )
            size = each.number("effect")
            if abs(size) > MAX_EFFECT:
                raise SchemaError(f"effects.effect must be within ±{MAX_EFFECT:g}, got {size:g}.")
            effects.append((members, size))
        kinds = reader.texts("effect_kinds", len(effects), MAX_TEXT)
        if len(kinds) != len(effects) or not set(kinds) <= set(KINDS):
            raise SchemaError(
                f"effect_kinds must hold one of {', '.join(KINDS)} for each of the {len(effects)} "
                f"effects, got {short(list(kinds))}."
            )
        text, task = reader.text("input", MAX_TEXT), reader.text("task", 200)
        return cls(
            id=identity,
            title=text[:_EXCERPT] or task,
            label=reader.text("target", MAX_TEXT),
            kind=reader.text("target_kind", 200),
            features=features,
            effects=tuple(
                (members, size, cast(Kind, kind))
                for (members, size), kind in zip(effects, kinds, strict=True)
            ),
        )


@dataclass(frozen=True)
class Summaries:
    """What was read of a data set.

    Attributes:
        rows: the newest explanations that have the columns, the newest first.
        lacking: ids of those that do not, the newest first.
        total: explanations in the data set.
    """

    rows: tuple[Summarized, ...]
    lacking: tuple[str, ...]
    total: int


def summaries(
    repo_id: str,
    *,
    config_name: str = DEFAULT_CONFIG,
    revision: str | None = None,
    token: str | bool | None = None,
    most: int,
) -> Summaries:
    """The columns of the newest explanations of a data set, at most ``most`` of them.

    Raises:
        InputError, HubError, SchemaError: as a listing.
    """
    check_place(repo_id, config_name, revision)

    def read() -> Summaries:
        snapshot = Snapshot(hub_api(token), repo_id, revision)
        entries = entries_of(snapshot, config_name)
        found, lacking = _read(snapshot, config_name, entries[:most])
        return Summaries(found, lacking, len(entries))

    return patiently(read, repo_id, "summarize")


def _read(
    snapshot: Snapshot, config: str, entries: Sequence[HubEntry]
) -> tuple[tuple[Summarized, ...], tuple[str, ...]]:
    wanted: dict[str, set[str]] = defaultdict(set)
    for entry in entries:
        wanted[entry.file].add(entry.id)
    allowance, found = Allowance.gathering(), dict[str, Summarized | None]()
    for file, ids in wanted.items():
        place = paths_of(config, file)[0]
        with snapshot.table(place, _COLUMNS, allowance=allowance) as table:
            for row in table.rows():
                if row.get("id") in ids and row["id"] not in found:
                    found[row["id"]] = Summarized.from_row(row)
    missing = [entry.id for entry in entries if entry.id not in found]
    if missing:
        raise SchemaError(
            f"{snapshot.repo_id} does not hold {missing[0]}, which {index_path(config)} names. "
            f"{ANEW}"
        )
    ordered = [(entry.id, found[entry.id]) for entry in entries]
    return (
        tuple(row for _, row in ordered if row is not None),
        tuple(name for name, row in ordered if row is None),
    )
