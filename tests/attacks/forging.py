"""Parquet files that no writer would write: real ones, with numbers in their structure changed."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from proxyspex_hf.hub.footer import Footer, assembled, pages_of
from proxyspex_hf.hub.ranges import footer_bytes
from proxyspex_hf.hub.schema import Column, arrow_schema
from proxyspex_hf.hub.thrift import encoded

Row = dict[str, Any]


def parquet(columns: tuple[Column, ...], rows: list[Row], **options: Any) -> bytes:
    """Rows as a file that compresses well."""
    plain = [
        {name: value.tolist() if hasattr(value, "tolist") else value for name, value in row.items()}
        for row in rows
    ]
    stream = io.BytesIO()
    table = pa.Table.from_pylist(plain, schema=arrow_schema(columns))
    pq.write_table(table, stream, **{"compression": "zstd", **options})
    return stream.getvalue()


def without_note(content: bytes, change: Callable[[list[Any]], None] | None = None) -> bytes:
    """The same file without Arrow's note of its schema; ``change`` may alter its pages."""
    footer = Footer(footer_bytes(io.BytesIO(content)))
    pages = [
        pages_of(content[chunk.start : chunk.stop], chunk, 10_000)
        for chunk in footer.chunks(0, footer.columns)
    ]
    if change is not None:
        change(pages)
    return assembled(footer.columns, footer.rows[0], pages)


def with_footer(content: bytes, fields: dict[int, Any] | bytes) -> bytes:
    """The content behind another footer."""
    footer = fields if isinstance(fields, bytes) else encoded(fields)
    return content + footer + struct.pack("<I", len(footer)) + b"PAR1"


def data_page(values: int, packed: int, unpacked: int, encoding: int = 0) -> bytes:
    """The header of a page that says what it likes."""
    return encoded(
        {1: 0, 2: unpacked, 3: packed, 5: {1: values, 2: encoding, 3: 3, 4: 3}},
    )
