"""Data sets as they lie about: files of other programs, columns that are not there, rows that
cannot be read, places that cannot be written; and how far the reading is."""

from __future__ import annotations

import codecs
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from proxyspex_hf import InputError, InteractionExplainer, explain_dataset
from proxyspex_hf.core.progress import Progress
from proxyspex_hf.dataset.sources import Columns, Row, opened, rows_of
from proxyspex_hf.progress_bar import ProgressBar

TEXT = Columns("text")
LINE = b'{"text": "not bad"}\n'


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HOME", str(tmp_path / "home"))
    return tmp_path


def of_words() -> InteractionExplainer:
    return InteractionExplainer(
        lambda texts: [float(len(text) + 3 * ("not" in text)) for text in texts],
        features="words",
        budget=20,
        rounds=1,
        proxy="lasso",
    )


def read(place: Path, content: bytes | None = None, columns: Columns = TEXT) -> list[Row]:
    if content is not None:
        place.write_bytes(content)
    return list(rows_of(opened(place), columns))


def test_a_mark_at_the_beginning_is_no_part_of_the_first_row(tmp_path: Path) -> None:
    (first, second) = read(tmp_path / "a.jsonl", codecs.BOM_UTF8 + LINE + b"\r\n" + LINE)
    assert first == Row(0, "not bad")
    assert second == Row(1, "not bad")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (codecs.BOM_UTF8 + b'[{"text": "not bad"}]', "one JSON list, not JSON Lines"),
        (b'\n\n [{"text": "not bad"},\n{"text": "so good"}]', "one JSON list, not JSON Lines"),
        (json.dumps({"text": "not bad"}, indent=1).encode(), "one JSON object over several lines"),
        (LINE.decode().encode("utf-16"), "encoded in UTF-16: JSON Lines are in UTF-8"),
    ],
)
def test_files_that_are_no_json_lines_are_told_as_such(
    content: bytes, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path / "a.json", content)


def test_a_folder_is_of_one_kind_of_file(tmp_path: Path) -> None:
    (tmp_path / "a.ndjson").write_bytes(LINE)
    (tmp_path / "b.jsonl").write_bytes(LINE * 2)
    (tmp_path / "state.json").write_bytes(b"{}")
    assert [row.value for row in read(tmp_path)] == ["not bad"] * 3
    pq.write_table(pa.table({"text": ["so good"]}), tmp_path / "c.parquet")
    with pytest.raises(InputError, match=r"Parquet \(c.parquet\) and JSON Lines \(a.ndjson\)"):
        read(tmp_path)


def test_a_column_that_no_row_has_is_misspelled(home: Path) -> None:
    asked: list[Any] = []
    for data in ([{"text": "a b"}] * 20, iter([{"text": "a b"}] * 20)):
        with pytest.raises(InputError, match=r"no column 'txt'; it has 'text'"):
            explain_dataset(data, "txt", lambda: asked.append(1) or of_words(), out=home / "out")  # type: ignore[arg-type, func-returns-value]
    # One row without it is that row's fault.
    rows = list(rows_of([{"txet": "a b"}, {"text": "a b"}, {}], TEXT))
    assert [row.error for row in rows] == [
        "the row has no column 'text'.",
        None,
        "the row has no column 'text'.",
    ]
    assert list(rows_of([], TEXT)) == []
    assert "mapping of columns" in str(next(rows_of([7], TEXT)).error)


def picture() -> bytes:
    made = io.BytesIO()
    Image.new("RGB", (4, 4)).save(made, "PNG")
    return made.getvalue()


def of_images(*images: dict[str, Any]) -> datasets.Dataset:
    kind = datasets.Features({"image": datasets.Image()})
    return datasets.Dataset.from_dict({"image": list(images)}, features=kind)


def test_a_picture_that_cannot_be_decoded_costs_no_other_row() -> None:
    good = {"bytes": picture(), "path": None}
    data = of_images(good, {"bytes": b"no picture", "path": None}, {"path": "/no/such.png"}, good)
    for _ in range(2):  # with the same words each time: the row's key is made of them
        rows = list(rows_of(data, Columns("image")))
        assert [row.error is None for row in rows] == [True, False, False, True]
        assert rows[1].error == (
            "the row cannot be read: UnidentifiedImageError: cannot identify image file "
            "<_io.BytesIO object>."
        )
        assert "No such file" in str(rows[2].error)
        assert rows[3].value.size == (4, 4)


@pytest.mark.parametrize("kind", ["arrow", "pandas", "numpy", "torch", None])
def test_a_stream_gives_its_rows(kind: str | None) -> None:
    data = datasets.Dataset.from_dict({"text": ["not bad", "so good"], "more": [0, 1]})
    for stream in (
        data.to_iterable_dataset(),
        data.to_iterable_dataset(num_shards=2),
        data.to_iterable_dataset().map(lambda row: {"text": row["text"]}),  # no columns known
        datasets.IterableDataset.from_generator(lambda: iter(data)),
    ):
        rows = list(rows_of(stream.with_format(kind), TEXT))
        assert [row.value for row in rows] == ["not bad", "so good"]
        assert [row.error for row in rows] == [None, None]
    with pytest.raises(InputError, match=r"no column 'txet'; it has 'text', 'more'"):
        list(rows_of(data.to_iterable_dataset(), Columns("txet")))


def test_a_picture_of_a_stream_that_cannot_be_decoded_costs_no_other_row() -> None:
    good = {"bytes": picture(), "path": None}
    stream = of_images(good, {"bytes": b"no picture", "path": None}, good).to_iterable_dataset()
    rows = list(rows_of(stream, Columns("image")))
    assert [row.error for row in rows] == [
        None,
        "the row cannot be read: UnidentifiedImageError: cannot identify image file "
        "<_io.BytesIO object>.",
        None,
    ]
    assert rows[2].value.size == (4, 4)


def test_what_was_read_before_a_source_failed_is_not_lost() -> None:
    def failing() -> Iterator[dict[str, str]]:
        yield {"text": "not bad"}
        yield {"text": "so good"}
        raise ConnectionError("gone")

    rows = rows_of(failing(), TEXT)
    assert [next(rows).value, next(rows).value] == ["not bad", "so good"]
    with pytest.raises(ConnectionError, match="gone"):
        next(rows)


def test_a_disk_that_fails_is_no_rows_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    data = of_images({"bytes": picture(), "path": None})

    def broken(*_: Any, **__: Any) -> Any:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(datasets.Image, "decode_example", broken)
    with pytest.raises(OSError, match="Input/output error"):
        list(rows_of(data, Columns("image")))


@pytest.mark.parametrize("kind", ["arrow", "pandas", "numpy", None])
def test_formats_of_a_data_set(kind: str | None) -> None:
    data = datasets.Dataset.from_dict({"text": ["not bad", "so good"]}).with_format(kind)
    assert [row.value for row in rows_of(data, TEXT)] == ["not bad", "so good"]


@pytest.mark.parametrize("out", ["", 3, "file/folder", "file"])
def test_a_folder_that_cannot_be_is_refused_before_anything_is_explained(
    out: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    Path("file").write_text("")
    made: list[int] = []
    with pytest.raises(InputError, match=r"file's path must be|cannot write file/folder|is a file"):
        explain_dataset(iter([{"text": "a b"}]), "text", lambda: made.append(1), out=out)  # type: ignore[arg-type, func-returns-value]
    assert made == []


def counts(data: Any, out: Path) -> list[tuple[int, int]]:
    told: list[tuple[int, int]] = []

    def tell(step: Progress) -> None:
        told.append((step.done, step.total))

    explain_dataset(data, "text", of_words(), out=out, progress=tell)
    return told


def test_how_far_it_is(home: Path) -> None:
    texts = [{"text": f"row {i} is not bad"} for i in range(5)]
    whole = [(i, 5) for i in range(1, 6)]
    lines = home / "a.jsonl"
    lines.write_text("\n\n".join(map(json.dumps, texts)))
    table = home / "a.parquet"
    pq.write_table(pa.Table.from_pylist(texts), table)
    assert counts(texts, home / "1") == whole
    assert counts(lines, home / "2") == whole
    assert counts(str(table), home / "3") == whole
    # Of a stream the end is not known: there is one more until it is there.
    stream = [(i, i + 1) for i in range(1, 6)]
    assert counts(iter(texts), home / "4") == [*stream, (5, 5)]
    assert counts([], home / "5") == []


def test_the_bar_of_a_stream_stays(capsys: pytest.CaptureFixture[str]) -> None:
    bar = ProgressBar()

    def steps() -> Iterator[tuple[int, int]]:
        yield from ((i, i + 1) for i in range(1, 40))
        yield 39, 39

    for done, total in steps():
        bar(Progress("rows", done, total, 1.0))
    shown = capsys.readouterr().err
    assert "39/39" in shown
    assert shown.count("\n") == 1
