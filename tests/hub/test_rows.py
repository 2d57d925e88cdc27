"""Rows and files of strangers: what is whole is read exactly, everything else is refused."""

from __future__ import annotations

import copy
import io
import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from record_factory import captioned_record, make_record, review_record, with_doubt

from proxyspex_hf import InputError, InteractionExplanation, SchemaError
from proxyspex_hf.core import FourierSpectrum
from proxyspex_hf.hub import tables
from proxyspex_hf.hub.entries import INDEX, HubEntry, index_row
from proxyspex_hf.hub.outbox import pack, write_files
from proxyspex_hf.hub.rows import Row, _identity, content_id, record_from_rows, rows_of
from proxyspex_hf.hub.schema import EXPLANATIONS, QUERIES, field_table
from proxyspex_hf.hub.tables import Table, batch_of, write_table
from proxyspex_hf.record.record import ExplanationRecord, Target
from proxyspex_hf.sharing import read_explanations

RECORDS = [captioned_record(), review_record(n_extra=40)]
ROWS = [rows_of(record) for record in RECORDS]


def stored(row: Row, queries: Row, folder: Path) -> ExplanationRecord:
    """What comes back of two rows through Parquet files."""
    out = []
    for name, columns, content in (("e", EXPLANATIONS, row), ("q", QUERIES, queries)):
        path = folder / f"{name}.parquet"
        write_table(path, [batch_of(content, columns)])
        out.append(next(Table(path, columns, name).rows()))
    return record_from_rows(*out)


@pytest.mark.parametrize("record", RECORDS, ids=["image", "text"])
def test_a_record_survives_its_rows(record: ExplanationRecord, tmp_path: Path) -> None:
    back = stored(*rows_of(record), tmp_path)
    assert back == record
    assert back.provenance.created == record.provenance.created
    assert dict(back.provenance.seconds) == dict(record.provenance.seconds)
    assert back.schema_version == record.schema_version
    np.testing.assert_array_equal(back.queries.masks, record.queries.masks)


def test_every_column_is_written_and_has_a_meaning() -> None:
    for columns, row in ((EXPLANATIONS, ROWS[0][0]), (QUERIES, ROWS[0][1])):
        assert set(row) == {column.name for column in columns}
        assert all(len(column.meaning) >= 1 for column in columns)
        assert field_table(columns).count("\n") == len(columns) + 1


def test_the_documentation_lists_every_column() -> None:
    page = (Path(__file__).parents[2] / "docs" / "hub.md").read_text(encoding="utf-8")
    assert field_table(EXPLANATIONS) in page
    assert field_table(QUERIES) in page


def test_files_of_schema_version_2_are_read_for_ever() -> None:
    folder = Path(__file__).parents[1] / "data" / "hub_v2"
    text, image = sorted(read_explanations(folder), key=lambda e: len(e.features))
    assert image.record.task == "zero-shot-image-classification"
    assert image.spectrum.to_dict() == {
        (): 0.5, (0,): -0.5, (5,): -0.25, (0, 5): 1.0, (3, 4, 6): 0.125,
    }  # fmt: skip
    assert image.record.picture is not None
    assert (image.record.picture.width, image.record.picture.height) == (6, 4)
    assert image.record.settings.arguments == {"question": None, "others": [["x", 1.5]]}
    assert image.record.provenance.quantization == "int8"
    assert image.record.provenance.noise_floor == 0.25
    assert text.text == "not bad"
    assert text.faithfulness == {0.5: 0.87, 0.7: 0.83, 0.9: 0.62}
    assert text.record.queries.masks.tolist()[:2] == [[True, True], [False, False]]


# Ids


def test_the_id_is_of_the_content(tmp_path: Path) -> None:
    record = make_record("not a bad film")
    assert content_id(record) == content_id(make_record("not a bad film"))
    later = replace(record.provenance, created="2030", seconds={})
    assert content_id(replace(record, provenance=later)) == content_id(record)
    changed = [
        replace(record, task="fill-mask"),
        replace(record, provenance=replace(record.provenance, noise_floor=0.1)),
        replace(record, settings=replace(record.settings, seed=7)),
        make_record("not a bad film", seed=1),
        make_record("not a bad movie"),
    ]
    assert len({content_id(other) for other in [record, *changed]}) == 6
    # The number 4 and the number 4.0 are one number, and a file has only the latter.
    whole = replace(record, settings=replace(record.settings, alpha=4))
    assert rows_of(whole)[0]["id"] == content_id(stored(*rows_of(whole), tmp_path))


def test_an_id_does_not_change_from_version_to_version() -> None:
    loaded = InteractionExplanation.load(Path(__file__).parents[1] / "data" / "explanation_v1.json")
    assert content_id(loaded.record) == ID_OF_VERSION_1


def with_zeros(zero: float) -> ExplanationRecord:
    """Numbers of every kind that are zero."""
    record = with_doubt(make_record("not a bad film"))
    spectrum, queries, doubt = record.spectrum, record.queries, record.doubt
    assert doubt is not None
    coefficients, values, densities = (
        array.copy() for array in (spectrum.coefficients, queries.values, queries.densities)
    )
    coefficients[1] = values[3] = densities[3] = zero
    return replace(
        record,
        spectrum=FourierSpectrum(spectrum.n_features, spectrum.support, coefficients),
        queries=replace(queries, values=values, densities=densities),
        faithfulness=(replace(record.faithfulness[0], r2=zero, interval=(zero, 1.0)),),
        fit=replace(record.fit, dropped_energy=zero, cv=({"scores": [zero, 1], "at": zero},)),
        doubt=replace(doubt, level=zero),
        settings=replace(record.settings, arguments={"weights": [[zero, 2], {"x": zero}]}),
    )


def test_zeros_of_either_sign_are_one_content() -> None:
    ours, theirs = with_zeros(0.0), with_zeros(-0.0)
    assert ours == theirs
    assert content_id(ours) == content_id(theirs)
    # Rows of before, whose ids told them apart, are read all the same.
    rows = rows_of(theirs)
    packed = np.packbits(theirs.queries.masks, axis=1).tobytes()
    before = _identity(theirs, packed, signed_zeros=True)
    assert before != content_id(theirs)
    for row in rows:
        row["id"] = before
    assert record_from_rows(*rows) == theirs
    with pytest.raises(SchemaError, match="damaged or altered"):
        record_from_rows({**rows[0], "seed": 77}, rows[1])


ID_OF_VERSION_1 = "64dd9636b30608bacf9a32a102aa4937"


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        (0, "input", RECORDS[1].text.replace("not", "now")),
        (0, "coefficients", [0.0] * len(ROWS[1][0]["coefficients"])),
        (0, "model", "someone/else"),
        (1, "n_fit", 5),
        (1, "values", np.zeros(len(ROWS[1][1]["values"]))),
    ],
)
def test_what_was_altered_is_not_read(table: int, column: str, value: Any, tmp_path: Path) -> None:
    rows = copy.deepcopy(ROWS[1])
    rows[table][column] = value
    with pytest.raises(SchemaError, match="damaged or altered"):
        stored(*rows, tmp_path)


# Single faults, named


def _broken(table: int, column: str, value: Any) -> tuple[Row, Row]:
    rows = copy.deepcopy(ROWS[0])
    rows[table][column] = value
    return rows


NAMED: list[tuple[int, str, Any, str]] = [
    (0, "schema_version", 99, "schema version 99, .* upgrade the package"),
    (0, "schema_version", None, "schema_version must be an integer"),
    (0, "task", None, "task must be a text"),
    (0, "features", ["a"], "one label per span or region"),
    (0, "features", None, "features.labels must be a list"),
    (0, "spans", [{"start": 1}], "lists of integers|integers"),
    (0, "spans", [1], "spans must hold structures"),
    (0, "support", [[1]], "start with ∅|coefficients"),
    (0, "support", [[], [0], [5], [0, 5], [3, 4, 700]], "indices from 0 to 6"),
    (0, "coefficients", [float("nan")] * 5, "finite numbers"),
    (0, "n_features", 10**9, "n_features"),
    (0, "cv", "[", "cv is not JSON"),
    (0, "cv", "[" * 100_000, "cv is not JSON"),
    (0, "arguments", "[1]", "settings.arguments must be a JSON object"),
    (0, "image", {"bytes": b"GIF89a", "path": None}, "not a PNG file"),
    (0, "image", {"bytes": None, "path": "../../etc/passwd"}, "bytes of a PNG file"),
    (0, "image_width", 7, "pixels, not 7 x 4"),
    (0, "regions", [], "one label per span or region|region_kind needs regions"),
    (0, "versions", [{"package": None, "version": "1"}], "versions.package must hold texts"),
    (0, "seed", -1, "settings.seed"),
    (1, "masks", b"\x00", "has 1 bytes, expected"),
    (1, "masks", None, "queries.masks must be bytes"),
    (1, "values", [1.0], "at least the full and the empty mask"),
    (1, "n_fit", 10**9, "n_fit must be an integer from 2"),
    (1, "n_features", 3, "queries.n_features is 3, the explanation has 7"),
    (1, "id", "0" * 32, "queries has the id '0000"),
]


@pytest.mark.parametrize(("table", "column", "value", "message"), NAMED)
def test_damaged_columns_are_named(table: int, column: str, value: Any, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        record_from_rows(*_broken(table, column, value))


def test_what_no_column_can_hold_is_refused_before_it_is_sent() -> None:
    for text in ("a \udcff film",):
        with pytest.raises(InputError, match="cannot be stored as a row"):
            pack([replace(RECORDS[1], task=text)])
    huge = replace(RECORDS[1], settings=replace(RECORDS[1].settings, seed=2**63))
    with pytest.raises(InputError, match="cannot be stored as a row"):
        pack([huge])


# Files


def parquet(table: pa.Table, **options: Any) -> Path:
    stream = io.BytesIO()
    pq.write_table(table, stream, **options)
    return stream  # type: ignore[return-value]


def explanations(**changes: pa.Array) -> pa.Table:
    table = pa.Table.from_batches([batch_of(ROWS[0][0], EXPLANATIONS)])
    for name, column in changes.items():
        table = table.set_column(table.schema.get_field_index(name), name, column)
    return table


def test_other_widths_and_further_columns_are_read() -> None:
    """As ``datasets`` or pandas write the same rows again."""
    table = explanations(
        seed=pa.array([0], pa.int16()), input=pa.array(["This a red dot"], pa.large_string())
    ).append_column("added_later", pa.array([1]))
    table = table.select(table.schema.names[::-1])
    row = next(Table(parquet(table), EXPLANATIONS, "e").rows())
    assert "added_later" not in row
    assert record_from_rows(row, ROWS[0][1]) == RECORDS[0]


WRONG: list[tuple[Callable[[], Any], str]] = [
    (lambda: io.BytesIO(b""), "damaged or not a Parquet file"),
    (lambda: io.BytesIO(b"PAR1 nothing PAR1"), "damaged or not a Parquet file"),
    (lambda: io.BytesIO(b"\x89PNG\r\n\x1a\n" * 10), "damaged or not a Parquet file"),
    (lambda: parquet(pa.table({"a": [1]})), "has no column 'id'"),
    (lambda: parquet(pa.table({"id": [1]})), "id has the type int64, expected string"),
    (
        lambda: parquet(explanations(coefficients=pa.array(["1.0"]))),
        "coefficients has the type string, expected list",
    ),
    (
        lambda: parquet(explanations(support=pa.array([[[0.5]]]))),
        "support has the type list<.*double.*, expected list",
    ),
    (
        lambda: parquet(explanations(parts=pa.array([[{"name": "a"}]]))),
        "parts has the type .*expected list<.*struct",
    ),
    (
        lambda: parquet(explanations(task=pa.array(["a"]).dictionary_encode())),
        "task has the type dictionary",
    ),
]


@pytest.mark.parametrize(("source", "message"), WRONG)
def test_files_that_are_no_tables_of_explanations(source: Callable[[], Any], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        next(Table(source(), EXPLANATIONS, "e").rows())


def test_files_larger_than_any_explanation_are_not_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = parquet(explanations())
    monkeypatch.setattr(tables, "MAX_GROUP_BYTES", 100)
    with pytest.raises(SchemaError, match=r"row group of \d+ bytes; at most 100 are read"):
        next(Table(source, EXPLANATIONS, "e").rows())
    monkeypatch.setattr(tables, "MAX_ROWS", 0)
    with pytest.raises(SchemaError, match="more than 0 rows"):
        Table(source, EXPLANATIONS, "e")


@pytest.mark.parametrize("column", ["input", "notes"])
def test_a_small_file_that_grows_without_end_is_not_decoded(
    column: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long text that is stored once and said many times, alone or in one list."""
    monkeypatch.setattr(tables, "MAX_GROUP_BYTES", 2**21)
    long = "x" * 2**16
    if column == "notes":
        table = explanations(notes=pa.array([[long] * 200]))
    else:
        table = pa.concat_tables([explanations(input=pa.array([long]))] * 200).combine_chunks()
    small = parquet(table, compression="zstd")
    assert small.getbuffer().nbytes < 300_000  # type: ignore[attr-defined]
    if column == "notes":
        with pytest.raises(SchemaError, match="bytes of text in 1 rows"):
            next(Table(small, EXPLANATIONS, "e").rows())
    else:
        monkeypatch.setattr(tables, "_ROWS_AT_ONCE", 8)  # a few at a time do no harm
        assert next(Table(small, EXPLANATIONS, "e").rows())["input"] == long


def test_one_row_is_read_from_its_group_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "GROUP_BYTES", 1)
    packed = pack([make_record(f"not bad {i}") for i in range(20)])
    entries = write_files(tmp_path, "explanations", packed)
    (path,) = (tmp_path / "queries").iterdir()
    assert pq.ParquetFile(path).num_row_groups == 20
    table = Table(path, QUERIES, "q")
    read: list[int] = []
    group = table._group
    monkeypatch.setattr(table, "_group", lambda i: read.append(i) or group(i))
    assert table.row(entries[7].id, entries[7].row)["id"] == entries[7].id
    assert read == [7]
    # An index that is wrong costs time, no more.
    assert table.row(entries[3].id, 10**6)["id"] == entries[3].id
    with pytest.raises(SchemaError, match="does not hold ffff"):
        table.row("f" * 32, 0)


def test_a_column_that_arrow_stumbles_over_does_not_end_the_process() -> None:
    """A histogram of the wrong length in a footer: asking Arrow about that column aborts."""
    path = Path(__file__).parents[1] / "data" / "damaged_histogram.parquet"
    code = (
        "import sys; from pathlib import Path; from proxyspex_hf.hub.tables import Table;"
        "from proxyspex_hf.hub.schema import EXPLANATIONS; from proxyspex_hf import SchemaError\n"
        f"try: list(Table(Path({str(path)!r}), EXPLANATIONS, 'e').rows())\n"
        "except SchemaError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "histogram size mismatch" in done.stdout


# Fuzzing: accepted only if it is what was written, refused only with our own error.

JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.binary(max_size=9),
    st.just([]),
    st.just({}),
    st.lists(st.integers(-3, 9), max_size=3),
    st.lists(st.dictionaries(st.text(max_size=3), st.integers(), max_size=2), max_size=2),
)


def _steps(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value)
    return list(range(min(len(value), 6))) if isinstance(value, list) else []


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_mutated_rows(data: st.DataObject) -> None:
    which = data.draw(st.integers(0, 1))
    rows = copy.deepcopy(ROWS[which])
    place: Any = rows[data.draw(st.integers(0, 1))]
    for _ in range(4):
        key = data.draw(st.sampled_from(_steps(place)))
        if _steps(place[key]) and data.draw(st.booleans()):
            place = place[key]
            continue
        if isinstance(place, dict) and data.draw(st.integers(0, 3)) == 0:
            del place[key]
        else:
            place[key] = data.draw(JUNK)
        break
    with suppress(SchemaError):
        HubEntry.from_row(rows[0], "a.parquet", 0)
    try:
        record = record_from_rows(*rows)
    except SchemaError:
        return
    assert record == RECORDS[which]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[bytes, bytes]]:
    """The bytes of real files, compressed as we write them and not at all."""
    folder = tmp_path_factory.mktemp("files")
    write_files(folder, "explanations", pack(RECORDS))
    out = []
    for options in ({}, {"compression": "none", "use_dictionary": False}):
        pair = []
        for name in ("explanations", "queries"):
            (path,) = (folder / name).iterdir()
            stream = io.BytesIO(path.read_bytes())
            if options:
                stream = parquet(pq.read_table(path), **options)  # type: ignore[assignment]
            pair.append(stream.getvalue())
        out.append((pair[0], pair[1]))
    return out


PLACES = st.floats(0, 1, exclude_max=True)
MUTATIONS = st.one_of(
    st.tuples(st.just("flip"), PLACES, st.binary(min_size=1, max_size=1)),
    st.tuples(st.just("footer"), PLACES, st.binary(min_size=1, max_size=1)),
    st.tuples(st.just("insert"), PLACES, st.binary(min_size=1, max_size=20)),
    st.tuples(st.just("cut"), PLACES, st.just(b"")),
)


def mutated(content: bytes, mutation: tuple[str, float, bytes]) -> bytes:
    kind, place, new = mutation
    low = max(0, len(content) - 3000) if kind == "footer" else 0
    at = low + int(place * (len(content) - low))
    if kind == "cut":
        return content[:at]
    return content[:at] + new + content[at + (0 if kind == "insert" else 1) :]


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    pair=st.integers(0, 1),
    table=st.integers(0, 1),
    mutations=st.lists(MUTATIONS, min_size=1, max_size=8),
)
def test_mutated_files(
    files: list[tuple[bytes, bytes]],
    pair: int,
    table: int,
    mutations: list[tuple[str, float, bytes]],
) -> None:
    contents = list(files[pair])
    for mutation in mutations:
        contents[table] = mutated(contents[table], mutation)
    by_id = {content_id(record): record for record in RECORDS}
    try:
        rows = Table(io.BytesIO(contents[0]), EXPLANATIONS, "e").rows()
        queries = Table(io.BytesIO(contents[1]), QUERIES, "q").rows()
        found = [record_from_rows(row, asked) for row, asked in zip(rows, queries, strict=False)]
    except SchemaError:
        return
    for record in found:
        assert record == by_id[content_id(record)]


def test_the_json_columns_hold_what_was_said() -> None:
    row = ROWS[0][0]
    assert json.loads(row["arguments"]) == RECORDS[0].settings.arguments
    assert row["top_interactions"][0] == {
        "features": "row 1, column 1 × red", "order": 2, "effect": 2.0,
    }  # fmt: skip


def test_the_index_keeps_the_order_of_features_that_hold_what_joins_words(tmp_path: Path) -> None:
    record = make_record("a × b")
    features = replace(record.features, labels=("a × b", *record.features.labels[1:]))
    entry = HubEntry.from_row(rows_of(replace(record, features=features))[0], "a.parquet", 0)
    write_table(tmp_path / "i", [batch_of(index_row(entry), INDEX)])
    row = next(Table(tmp_path / "i", INDEX, "i").rows())
    tops = rows_of(record)[0]["top_interactions"][:3]
    assert [top["order"] for top in row["top_interactions"]] == [top["order"] for top in tops]
    assert HubEntry.from_row(row, "a.parquet", 0) == entry


def test_the_other_label_of_two_comes_back() -> None:
    record = make_record("not bad", target=Target("GOOD", 1, "log-odds", "GOOD", other="BAD"))
    explanation, queries = rows_of(record)
    assert explanation["other_label"] == "BAD"
    assert record_from_rows(explanation, queries).target == record.target
    old = {name: value for name, value in explanation.items() if name != "other_label"}
    with pytest.raises(SchemaError):  # the content is not what its id says
        record_from_rows(old, queries)
