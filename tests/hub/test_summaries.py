"""What recurs in a data set, from plain columns: as from whole explanations, which stay unread."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_server import HubServer
from record_factory import from_effects, make_record

from proxyspex_hf import (
    InputError,
    InteractionExplanation,
    SchemaError,
    explanations_summary,
    hub_summary,
    push_explanations,
)
from proxyspex_hf.hub.entries import INDEX, HubEntry, index_row
from proxyspex_hf.hub.rows import rows_of
from proxyspex_hf.hub.schema import EXPLANATIONS, QUERIES
from proxyspex_hf.hub.summaries import Summarized
from proxyspex_hf.hub.tables import batch_of

REPO = "me/explanations"
TEXT = "It is not a bad film, it is a dull one"


def recurring(found: Any) -> list[tuple[Any, ...]]:
    """All but the examples, which are numbered as they were read."""
    return [(r.words, r.label, r.count, r.total, r.mean, r.raising) for r in found.recurring]


def stored(
    server: HubServer, path: Path, row: dict[str, Any], changes: dict[str, list[Any]]
) -> None:
    """A data set of one row again and again, with ``changes`` to its columns."""
    index = index_row(HubEntry.from_row(row, "a.parquet", 0))
    count, files = len(changes["id"]), {}
    for name, columns, one in (
        ("explanations/a.parquet", EXPLANATIONS, row),
        ("queries/a.parquet", QUERIES, {**rows_of(make_record(TEXT))[1], "id": row["id"]}),
        ("index/explanations.parquet", INDEX, index),
    ):
        table = pa.Table.from_batches([batch_of(one, columns)] * count)
        for column, values in changes.items():
            place = table.schema.get_field_index(column)
            if place >= 0:
                field = table.schema.field(place)
                table = table.set_column(place, field, pa.array(values, field.type))
        pq.write_table(table, path / "t", row_group_size=500)
        files[name] = (path / "t").read_bytes()
    server.put(REPO, files)


def test_columns_say_what_whole_explanations_say(hub: HubServer, reads: Any) -> None:
    given = [
        InteractionExplanation(make_record(f"{name} is not a bad film", seed=i))
        for i, name in enumerate(("Anna", "Bodil", "Clara"))
    ]
    push_explanations(given, REPO)
    reads.clear()
    found = hub_summary(REPO)
    whole = explanations_summary(given)
    assert sorted(recurring(found)) == sorted(recurring(whole))
    assert len(found.recurring) > 5
    assert found.note == ""
    assert not any("queries/" in path for path in reads)  # masks and values stayed there
    # An example is read when it is looked at.
    row = next(r for r in found.recurring if "clara" in r.words)
    assert found.explanations[row.examples[0]] == given[2]
    assert any("queries/" in path for path in reads)
    assert "Clara is not a bad film" in found.to_html(top=5)


def test_what_an_or_does_is_in_the_columns(hub: HubServer) -> None:
    either = {(): 1.0, (0, 2): -1.0}  # f(N) = 1 until both are gone
    given = [
        InteractionExplanation(make_record(f"dull {x} never", from_effects(either, 3)))
        for x in ("a", "b")
    ]
    push_explanations(given, REPO)
    (both,) = hub_summary(REPO).recurring
    assert (both.words, both.mean, both.raising) == (("dull", "never"), -1.0, 1.0)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths of the files that were opened or downloaded."""
    from proxyspex_hf.hub.repository import Snapshot

    seen: list[str] = []
    for name in ("download", "table"):
        own: Callable[..., Any] = getattr(Snapshot, name)

        def watched(self: Any, path: str, *args: Any, own: Any = own, **kwargs: Any) -> Any:
            seen.append(path)
            return own(self, path, *args, **kwargs)

        monkeypatch.setattr(Snapshot, name, watched)
    return seen


def test_thousands_of_rows_are_counted(hub: HubServer, tmp_path: Path) -> None:
    row, count = {**rows_of(make_record(TEXT))[0], "id": "0" * 32}, 5_000
    effects = [{"members": [2, 4], "effect": 1.5, "low": 1.0, "high": 2.0}]
    oldest = [{**effects[0], "effect": 2.5}]
    changes = {
        "id": [f"{i:032x}" for i in range(count)],
        "created": [f"2026-01-01T00:00:{i:05d}" for i in range(count)],
        "effects": [oldest, *([effects] * (count - 1))],
        "effect_kinds": [["both needed"]] * count,
    }
    stored(hub, tmp_path, row, changes)
    found = hub_summary(REPO)
    (both,) = found.recurring
    assert (both.words, both.count, both.total) == (("bad", "not"), count, count)
    assert both.mean == pytest.approx(1.5 + 1 / count)
    assert found.summarized[both.examples[0]].id == "0" * 32
    newest = hub_summary(REPO, most=500)
    assert newest.recurring[0].count == 500
    assert newest.recurring[0].mean == 1.5  # the oldest is not among them
    assert newest.note == "These are the newest of 5,000."
    with pytest.raises(InputError, match="most must be from 1 to 10,000, got 0"):
        hub_summary(REPO, most=0)


@pytest.mark.parametrize("lacking", [["effects", "effect_kinds"], ["effect_kinds"]])
def test_older_rows_are_read_whole_and_too_many_are_said(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacking: list[str]
) -> None:
    given = [InteractionExplanation(make_record(TEXT, seed=seed)) for seed in range(4)]
    push_explanations(given, REPO)
    path = next(p for p in hub.repo(REPO).log()[0].files if p.startswith("explanations/"))
    _, blob = hub.repo(REPO).file("main", path)
    (tmp_path / "t").write_bytes(blob.data)
    table = pq.read_table(tmp_path / "t").drop_columns(lacking)
    pq.write_table(table, tmp_path / "t")
    hub.put(REPO, {path: (tmp_path / "t").read_bytes()})
    found = hub_summary(REPO)
    assert sorted(recurring(found)) == sorted(recurring(explanations_summary(given)))
    assert found.note == ""
    monkeypatch.setattr("proxyspex_hf.overview._MOST_WHOLE", 2)
    found = hub_summary(REPO)
    assert len(found.explanations) == 2
    said = "4 were written before 0.2, without a column of effects: of those only the newest 2"
    assert said in found.note
    assert said in " ".join(found.to_text().split())
    assert said in found.to_html()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"effects": [{"members": [0, 99], "effect": 1.0}]}, "indices of features"),
        ({"effects": [{"members": [1, 0], "effect": 1.0}]}, "indices of features"),
        ({"effects": [{"members": [], "effect": 1.0}]}, "indices of features"),
        ({"effects": [{"members": [0], "effect": float("nan")}]}, "finite"),
        ({"effects": [{"members": [0], "effect": 1.0}] * 1001}, "at most 1000"),
        ({"effects": "x"}, "must be a list"),
        ({"effects": [{"members": [0], "effect": 1.7e308}]}, "within"),
        ({"effects": [{"members": [0], "effect": 1.0}], "effect_kinds": ["odd"]}, "one of alone"),
        ({"effects": [{"members": [0], "effect": 1.0}], "effect_kinds": []}, "each of the 1"),
        ({"features": None}, "features"),
        ({"id": "../../etc"}, "32 hexadecimal digits"),
    ],
)
def test_a_strangers_columns_are_checked(change: dict[str, Any], said: str) -> None:
    row = rows_of(make_record(TEXT))[0]
    assert Summarized.from_row(row) is not None
    with pytest.raises(SchemaError, match=said):
        Summarized.from_row({**row, **change})
