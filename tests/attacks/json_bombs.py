"""JSON files that would cost more than they should, or that hold what no explanation can."""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from record_factory import captioned_record, make_record

from attacks.measured import Call, costs, summed_up
from attacks.outcome import Attack, Outcome
from proxyspex_hf.record.serialize import record_to_json

__all__ = ["ATTACKS", "bombs"]

_DIGITS = "9" * 5000


def _file(change: Callable[[dict[str, Any]], None], record: Any = None) -> bytes:
    data = record_to_json(record or make_record("It is not a bad film", seed=1))
    change(data)
    return json.dumps(data).encode()


def _replaced(place: str, value: str) -> bytes:
    """A file with a piece of raw JSON somewhere."""
    *path, last = place.split(".")

    def change(data: dict[str, Any]) -> None:
        for step in path:
            data = data[step]
        data[last] = "HERE"

    return _file(change).replace(b'"HERE"', value.encode())


def _png(kind: bytes, size: int) -> bytes:
    import zlib

    bomb = zlib.compress(b"\0" * size, 9)
    data = b"name\0\0" + (b"\0\0" if kind == b"iTXt" else b"") + bomb
    if kind == b"iTXt":
        data = b"name\0\1\0\0\0" + bomb
    chunk = len(data).to_bytes(4, "big") + kind + data + b"\0\0\0\0"
    picture = captioned_record().picture
    if picture is None:
        raise RuntimeError("the record has a picture")
    return picture.png[:33] + chunk + picture.png[33:]


def bombs() -> Iterator[tuple[str, bytes]]:
    """Name and content of files to be refused."""
    for name, inner in (
        ("lists", "[],"),
        ("objects", "{},"),
        ("pairs", '{"a":1},'),
        ("ones", "1,"),
    ):
        yield f"30 MB of {name}", f"[{inner * (30_000_000 // len(inner))}1]".encode()
    keys = ",".join(f'"{i}":1' for i in range(1_000_000))
    yield "a million keys", f"{{{keys}}}".encode()
    yield "60 MB of text with one wide character", b'{"text": "' + b"a" * 60_000_000 + "😀".encode()
    yield "70 MB", b" " * 70_000_000
    yield "nested lists", b"[" * 1_000_000
    yield "nested objects", b'{"a":' * 1_000_000
    yield "an integer of 5,000 digits", _replaced("schema_version", _DIGITS)
    yield "a coefficient of 4,000 digits", _replaced("spectrum.coefficients", f"[{_DIGITS[:4000]}]")
    for token in ("NaN", "Infinity", "-Infinity", "1e999"):
        yield token, _replaced("fit.dropped_energy", token)
    for place in ("text", "target.label", "provenance.model", "settings.mask_token", "task"):
        yield f"half a character in {place}", _replaced(place, '"\\ud83d"')
    yield "half a character in a key", _replaced("settings.arguments", '{"\\udc00": 1}')
    yield "half a character deep down", _replaced("settings.arguments", '{"a": [["\\udc00"]]}')
    yield "a key twice", _replaced("text", '"It is not a bad film", "text": "It is a bad film"')
    yield "a truth value for a number", _replaced("settings.seed", "true")
    yield "a byte order mark and nothing", b"\xef\xbb\xbf"
    yield "UTF-16", _file(lambda data: None).decode().encode("utf-16")
    for kind, size in ((b"zTXt", 2**30), (b"iTXt", 2**28), (b"iCCP", 2**28)):
        png = base64.b64encode(_png(kind, size // 8)).decode()
        yield (
            f"a picture's {kind.decode()}",
            _file(lambda data, png=png: data["picture"].update(png=png), captioned_record()),
        )
    wide = captioned_record().picture
    large = bytearray(wide.png if wide else b"")
    large[16:24] = (60_000).to_bytes(4, "big") * 2
    yield (
        "a picture of 3.6 billion pixels",
        _file(
            lambda data: data["picture"].update(
                png=base64.b64encode(large).decode(), width=60_000, height=60_000
            ),
            captioned_record(),
        ),
    )


def files(long: bool) -> Outcome:
    """All of them."""
    calls = []
    with tempfile.TemporaryDirectory() as folder:
        for number, (said, content) in enumerate(bombs()):
            place = Path(folder) / f"{number}.json"
            place.write_bytes(content)
            calls.append(Call(said, "attacks.opened:file", (str(place),)))
        calls.append(Call("a null byte in a path", "attacks.opened:file", ("a\0b",)))
        found = costs(calls)
    held = all(cost.refused and cost.cheap for cost in found)
    return Outcome("JSON files", ", ".join(c.name for c in calls), held, summed_up(found))


ATTACKS: tuple[Attack, ...] = (files,)
