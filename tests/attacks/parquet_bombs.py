"""Small Parquet files that would cost gigabytes, opened and listed as untrusted files are."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from attacks.forging import Row, data_page, parquet, with_footer, without_note
from attacks.measured import Call, costs, summed_up
from attacks.opened import ASKED, EXPLANATION, ID
from attacks.outcome import Attack, Outcome
from proxyspex_hf.hub.entries import LISTED_COLUMNS
from proxyspex_hf.hub.schema import EXPLANATIONS, QUERIES, arrow_schema
from proxyspex_hf.hub.thrift import I64

__all__ = ["ATTACKS", "listings", "rows"]

#: A megabyte, and an explanation of ten words that does not matter.
MB = 2**20


def _features(n: int) -> Row:
    return {"n_features": n, "features": ["x"] * n, "spans": [], "feature_kind": "features"}


def _queries(n: int, m: int) -> Row:
    width = -(-n // 8)
    whole = np.packbits(np.ones(n, dtype=bool)).tobytes()
    return {
        "n_features": n,
        "masks": whole + b"\0" * (width * (m - 1)),
        "values": [0.0] * m,
        "densities": [0.5] * m,
        "n_fit": m,
    }


def _explanations(**changes: Any) -> bytes:
    return parquet(EXPLANATIONS, [{**EXPLANATION, **changes}])


def _asked(**changes: Any) -> bytes:
    return parquet(QUERIES, [{**ASKED, **changes}])


def _subsets(n: int) -> list[list[int]]:
    every = ([i for i in range(n) if bits >> i & 1] for bits in range(2**n))
    return sorted(every, key=lambda members: (len(members), members))


def rows(long: bool) -> Iterator[tuple[str, bytes, bytes]]:
    """Name, explanations, queries: of one row each, to be refused."""
    e, q = _explanations(), _asked()
    yield from _shared(e, q)
    yield from _forged(e, q)
    yield "a text of 100 MB", _explanations(input="a" * 100_000_000), q
    yield "4,194 masks of 100,000", e, _asked(**_queries(100_000, 4194))
    if not long:  # the others take a minute to make
        return
    for n, m in ((100_000, 4194), (100_000, 16_777), (16_000, 16_777), (2000, 130_000)):
        yield f"{m} masks of {n}", _explanations(**_features(n)), _asked(**_queries(n, m))
    yield (
        "another's masks, as many as are read",
        _explanations(**_features(1600)),
        _asked(**_queries(1600, 2**28 // 1600)),
    )
    head = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + (100).to_bytes(4, "big") * 2
    for size in (31, 255):
        image = {"bytes": head + b"\0" * (size * MB), "path": "/etc/passwd"}
        yield (
            f"picture of {size} MB",
            _explanations(image=image, image_width=100, image_height=100),
            q,
        )
    yield "text of 400 MB", _explanations(input="a" * 400_000_000), q
    yield "labels of 200 MB", _explanations(features=["a" * 9_900_000] * 20), q
    smile = "😀" * 2_900_000
    yield (
        "texts as long as are read",
        _explanations(input=smile, target=smile, predicted=smile, notes=[smile]),
        q,
    )
    yield (
        "a million combinations",
        _explanations(support=[[0]] * 1_000_000, coefficients=[0.0] * 1_000_000),
        q,
    )
    yield (
        "one combination 10,000 times",
        _explanations(
            **_features(10_000), support=[list(range(10_000))] * 250, coefficients=[0.0] * 250
        ),
        _asked(**_queries(10_000, 100)),
    )
    yield (
        "16 million corners",
        _explanations(regions=[[[0, 0, 1, 0, 1, 1, 0, 1] * 20_000] * 20] * 5),
        q,
    )
    yield (
        "ten million values",
        e,
        _asked(masks=b"\0" * 10_000_000, values=[0.0] * 10_000_000, densities=[0.5] * 10_000_000),
    )
    yield "400,000 structures", _explanations(spans=[{"start": 9, "stop": 1}] * 400_000), q
    for name, inner in (("lists", "[],"), ("objects", "{},"), ("pairs", '{"a":1},')):
        yield f"JSON of {name}", _explanations(cv=f"[{inner * 1_200_000}1]"), q
    yield "a 100,000 digit number", _explanations(cv="1" * 100_000), q
    yield "a nested list", _explanations(arguments="[" * 200_000 + "]" * 200_000), q
    n = 18
    yield (
        "every subset of 18",
        _explanations(**_features(n), support=_subsets(n), coefficients=[1.0] * 2**n),
        _asked(**_queries(n, 2**n)),
    )


def _shared(e: bytes, q: bytes) -> Iterator[tuple[str, bytes, bytes]]:
    """One value in a dictionary, and many that refer to it."""
    for size in (16, 60, 100):
        many = [{**ASKED, "id": ID if i == 31 else f"{i:032x}", "masks": b""} for i in range(32)]
        for row in many:
            row.update(values=list(row["values"]), densities=list(row["densities"]))
        table = pa.Table.from_pylist(many, schema=arrow_schema(QUERIES))
        value = pa.DictionaryArray.from_arrays(
            pa.array([0] * 32, pa.int32()), pa.array([b"\0" * (size * MB)], pa.binary())
        )
        table = table.set_column(table.schema.get_field_index("masks"), "masks", value)
        stream = pa.BufferOutputStream()
        pq.write_table(
            table, stream, compression="zstd", dictionary_pagesize_limit=2**30, store_schema=False
        )
        yield f"32 rows share {size} MB", e, stream.getvalue().to_pybytes()
    yield "a text 2,000 times in one list", _explanations(notes=["x" * 100_000] * 2000), q


def _forged(e: bytes, q: bytes) -> Iterator[tuple[str, bytes, bytes]]:
    """Numbers in the structure that are not so."""

    def changed(position: int, **changes: Any) -> Callable[[list[Any]], None]:
        def change(pages: list[Any]) -> None:
            part = pages[position]
            chunk = replace(part.chunk, codec=0, values=changes.pop("values", part.chunk.values))
            pages[position] = replace(part, chunk=chunk, **changes)

        return change

    run = b"\xfe\xff\xff\xff\x0f\x01"  # the value 1, 2^31 - 1 times
    levels = (len(run).to_bytes(4, "little") + run) * 2
    page = data_page(2**31 - 1, len(levels) + 2, len(levels) + 2) + levels + b"\0\0"
    yield (
        "a run of 2^31 levels",
        e,
        without_note(q, changed(4, content=page, values=2**31 - 1, dictionary=0)),
    )
    huge = data_page(200, 10, 2**31 - 1) + b"\0" * 10
    yield (
        "a page of 2 GB that it has not",
        e,
        without_note(q, changed(4, content=huge, values=200, dictionary=0)),
    )
    for name, encoding in (("delta lengths", 6), ("delta texts", 7), ("delta integers", 5)):
        odd = data_page(1, 12, 12, encoding) + b"\xff" * 12
        yield name, e, without_note(q, changed(3, content=odd, values=1, dictionary=0))
    size = b"\xfc\x80\xad\xe2\x04"  # 10 million structs
    for field in (2, 4, 5):
        yield (
            f"a footer's list {field} of ten million",
            e,
            with_footer(b"PAR1", bytes([0x15, 0x02, (field - 1) << 4 | 9]) + size),
        )
    element = {1: 6, 3: 0, 4: b"x"}
    wide = {1: 2, 2: [{4: b"s", 5: 9000}, *[element] * 9000], 3: I64(0), 4: [], 5: []}
    yield "9,000 columns", with_footer(b"PAR1", wide), q
    deep = {1: 2, 2: [{4: b"s", 5: 1}, *[{3: 2, 4: b"x", 5: 1}] * 5000, element], 3: I64(0), 4: []}
    yield "columns 5,000 deep", with_footer(b"PAR1", deep), q
    groups = {1: 2, 2: [{4: b"s", 5: 1}, {1: 6, 3: 0, 4: b"id"}], 3: I64(0),
              4: [{1: [], 2: I64(0), 3: I64(0)}] * 100_000}  # fmt: skip
    yield "100,000 row groups", with_footer(b"PAR1", groups), q
    note = [{1: b"ARROW:schema", 2: b"A" * 10_000_000}, {1: b"k", 2: b"v" * 5_000_000}]
    wordy = {1: 2, 2: [{4: b"s", 5: 1}, {1: 6, 3: 0, 4: b"id"}], 3: I64(0), 4: [], 5: note}
    yield "metadata of 15 MB", with_footer(b"PAR1", wordy), q


def listings() -> Iterator[tuple[str, bytes]]:
    """Explanations that are listed, or refused to be."""
    whole = pa.Table.from_pylist([{**EXPLANATION}], schema=arrow_schema(EXPLANATIONS))
    listed = whole.select([column.name for column in LISTED_COLUMNS])

    def many(count: int, group: int, **changes: Any) -> bytes:
        place = pa.array(np.zeros(count, dtype=np.int64))
        columns = {name: listed[name].combine_chunks().take(place) for name in listed.schema.names}
        columns["id"] = pa.array([f"{i:032x}" for i in range(count)])
        for name, value in changes.items():
            columns[name] = pa.array([value] * count, columns[name].type)
        stream = pa.BufferOutputStream()
        pq.write_table(pa.table(columns), stream, compression="zstd", row_group_size=group)
        return stream.getvalue().to_pybytes()

    yield "50,000 rows", many(50_000, 10_000)
    yield "1,000 row groups", many(1000, 1)
    yield "a million rows", many(1_000_000, 100_000)
    scores = [{"density": 0.5, "r2": 0.5, "linear_r2": 0.5, "n_masks": 1}] * 1000
    yield "2,000 rows of 1,000 scores", many(2000, 200, faithfulness=scores)
    yield "1,000 rows of a text of a megabyte", many(1000, 10, input="a" * MB)
    yield "50,000 rows of a long text", many(50_000, 50_000, model="m" * 9000, input="é" * 10_000)


def one_row(long: bool) -> Outcome:
    """Rows that would cost gigabytes."""
    return _measured("small files of large rows", rows(long), "attacks.opened:pair", refused=True)


def many_rows(long: bool) -> Outcome:
    """Listings that would."""
    return _measured("listings without end", listings(), "attacks.opened:listing", refused=False)


def _measured(
    name: str, bombs: Iterator[tuple[Any, ...]], function: str, *, refused: bool
) -> Outcome:
    calls = []
    largest = 0
    with tempfile.TemporaryDirectory() as folder:
        for number, (said, *contents) in enumerate(bombs):
            places = [Path(folder) / f"{number}-{i}.parquet" for i in range(len(contents))]
            for place, content in zip(places, contents, strict=True):
                place.write_bytes(content)
                largest = max(largest, len(content))
            calls.append(Call(said, function, tuple(map(str, places))))
        found = costs(calls)
    held = all(cost.cheap and (cost.refused or not refused) for cost in found)
    kinds = ", ".join(call.name for call in calls)
    return Outcome(name, f"{kinds}; files up to {largest >> 10} kB", held, summed_up(found))


ATTACKS: tuple[Attack, ...] = (one_row, many_rows)
