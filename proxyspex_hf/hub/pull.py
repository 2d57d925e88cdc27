"""Pulling: one explanation, several, or a listing, validated before use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from proxyspex_hf.errors import InputError, SchemaError
from proxyspex_hf.hub.entries import HubEntry
from proxyspex_hf.hub.faults import patiently
from proxyspex_hf.hub.repository import (
    ANEW,
    DEFAULT_CONFIG,
    Snapshot,
    check_place,
    hub_api,
    index_path,
    paths_of,
)
from proxyspex_hf.hub.rows import ID_LENGTH, Row, record_from_rows
from proxyspex_hf.hub.schema import EXPLANATIONS, QUERIES
from proxyspex_hf.hub.tables import pairs
from proxyspex_hf.progress_bar import hub_bar
from proxyspex_hf.record.record import ExplanationRecord

_SHORTEST_ID = 6


def listing(
    repo_id: str,
    *,
    config_name: str = DEFAULT_CONFIG,
    revision: str | None = None,
    token: str | bool | None = None,
) -> list[HubEntry]:
    """What a repository holds, the newest first; reads the index only."""
    check_place(repo_id, config_name, revision)

    def read() -> list[HubEntry]:
        snapshot = Snapshot(hub_api(token), repo_id, revision)
        return entries_of(snapshot, config_name)

    return patiently(read, repo_id, "list")


def pull_one(
    repo_id: str,
    id: str | None = None,  # noqa: A002  the Hub's columns call it that
    *,
    config_name: str = DEFAULT_CONFIG,
    revision: str | None = None,
    token: str | bool | None = None,
) -> ExplanationRecord:
    """One explanation; arguments and errors as ``InteractionExplanation.from_hub``."""
    check_place(repo_id, config_name, revision)

    def read() -> ExplanationRecord:
        snapshot = Snapshot(hub_api(token), repo_id, revision)
        entry = _chosen(entries_of(snapshot, config_name), id, repo_id)
        places = paths_of(config_name, entry.file)
        with snapshot.table(places[0], EXPLANATIONS) as table:
            row = table.row(entry.id, entry.row)
        with snapshot.table(places[1], QUERIES) as table:
            return _record(row, table.row(entry.id, entry.row), places[0])

    return patiently(read, repo_id, "pull from")


def pull(
    repo_id: str,
    ids: Sequence[str] | None = None,
    *,
    config_name: str = DEFAULT_CONFIG,
    revision: str | None = None,
    token: str | bool | None = None,
) -> Iterator[ExplanationRecord]:
    """Many explanations, one at a time; arguments and errors as ``pull_explanations``."""
    check_place(repo_id, config_name, revision)
    if isinstance(ids, str):
        raise InputError(f"ids must be a list of ids, got the text {ids!r}.")

    def opened() -> tuple[Snapshot, list[HubEntry]]:
        snapshot = Snapshot(hub_api(token), repo_id, revision)
        entries = entries_of(snapshot, config_name)
        if ids is not None:
            entries = [_chosen(entries, given, repo_id) for given in ids]
        return snapshot, list({entry.id: entry for entry in entries}.values())

    snapshot, entries = patiently(opened, repo_id, "pull from")
    return _stream(snapshot, config_name, entries)


def _stream(
    snapshot: Snapshot, config: str, entries: Sequence[HubEntry]
) -> Iterator[ExplanationRecord]:
    with hub_bar(len(entries), "pulling") as bar:
        for file in sorted({entry.file for entry in entries}):
            wanted = {entry.id for entry in entries if entry.file == file}
            for path in paths_of(config, file):
                patiently(partial(snapshot.download, path), snapshot.repo_id, "pull from")
            for record in _of_file(snapshot, config, file, wanted):
                bar.update()
                yield record


def _of_file(
    snapshot: Snapshot, config: str, file: str, wanted: set[str]
) -> Iterator[ExplanationRecord]:
    """The explanations of one file, which is in the cache by now."""
    places = paths_of(config, file)
    with (
        snapshot.table(places[0], EXPLANATIONS, whole=True) as table,
        snapshot.table(places[1], QUERIES, whole=True) as queries,
    ):
        missing = set(wanted)
        for row, asked in pairs(table, queries):
            if row["id"] in wanted:
                missing.discard(row["id"])
                yield _record(row, asked, places[0])
    if missing:
        raise SchemaError(
            f"{places[0]} does not hold {sorted(missing)[0]}, which {index_path(config)} names. "
            f"{ANEW}"
        )


def _record(row: Row, asked: Row, place: str) -> ExplanationRecord:
    """The explanation of two rows; what is wrong with it is told with its id, so that the others
    can be asked for by theirs."""
    try:
        return record_from_rows(row, asked)
    except SchemaError as error:
        raise SchemaError(f"{row['id']} in {place}: {error}") from error


def entries_of(snapshot: Snapshot, config: str) -> list[HubEntry]:
    """The explanations of a collection, the newest first.

    Raises:
        InputError: there are none.
    """
    entries = snapshot.entries(config)
    if not entries:
        others = snapshot.configs()
        known = f"it has config_name= {', '.join(others)}" if others else "it holds no explanations"
        raise InputError(f"{snapshot.repo_id} has no explanations in {config!r}: {known}.")
    return entries


def _chosen(entries: Sequence[HubEntry], wanted: str | None, repo_id: str) -> HubEntry:
    """The entry of an id, or of its beginning."""
    if wanted is None:
        if len(entries) == 1:
            return entries[0]
        raise InputError(
            f"{repo_id} holds {len(entries)} explanations: pass id= (such as "
            f"{entries[0].id[:8]!r}; list_hub names them all), or use pull_explanations."
        )
    if not isinstance(wanted, str) or not _SHORTEST_ID <= len(wanted) <= ID_LENGTH:
        raise InputError(
            f"id must be {_SHORTEST_ID} to {ID_LENGTH} hexadecimal digits, got {wanted!r}."
        )
    found = [entry for entry in entries if entry.id.startswith(wanted.lower())]
    if len(found) != 1:
        said = "more than one explanation" if found else "no explanation"
        raise InputError(
            f"{repo_id} has {said} whose id begins with {wanted!r}; list_hub names them."
        )
    return found[0]
