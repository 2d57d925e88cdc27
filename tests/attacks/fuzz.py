"""Mutations of whole files and rows, for as long as one likes.

    python tests/attacks/fuzz.py --seconds 3600 --seed 1
    python tests/attacks/fuzz.py --seconds 3600 --atheris  # pip install atheris

Each outcome must be a valid record, which can be shown and saved again, or one of the package's own
errors, within seconds and megabytes. What is neither is printed, and its bytes are kept.
"""

from __future__ import annotations

import argparse
import copy
import io
import json
import random
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # as a script: so that attacks are imported as tests do
    sys.path[0] = str(Path(__file__).parents[1])

from record_factory import captioned_record, make_record, with_doubt

from attacks.forging import parquet
from attacks.measured import Call, costs
from attacks.outcome import Attack, Outcome
from proxyspex_hf import InteractionExplanation, ProxySpexError
from proxyspex_hf.hub.entries import INDEX, LISTED_COLUMNS, HubEntry, index_row
from proxyspex_hf.hub.rows import content_id, record_from_rows, rows_of
from proxyspex_hf.hub.schema import EXPLANATIONS, QUERIES
from proxyspex_hf.hub.tables import Table
from proxyspex_hf.record.record import ExplanationRecord
from proxyspex_hf.record.serialize import dumps, loads

__all__ = ["ATTACKS", "run"]

TEXT = "It is not a bad film"
RECORDS = (captioned_record(), make_record(TEXT, seed=1), with_doubt(make_record(TEXT, seed=2)))
STORED = sorted((Path(__file__).parents[1] / "data").glob("explanation_v*.json"))
ROWS = [rows_of(record) for record in RECORDS]
NAN, INF = float("nan"), float("inf")
NUMBERS = (
    0,
    -1,
    1,
    2**31,
    2**63,
    -(2**63),
    10**400,
    0.5,
    -0.0,
    5e-324,
    1.7e308,
    -1.7e308,
    NAN,
    INF,
)
ODD: tuple[Any, ...] = (None, True, False, "", "\ud83d", "a\0b", "é" * 300, [], {}, [[]], [None],
                        [[[[[[1]]]]]], {"a": {"a": {"a": 1}}}, "9" * 400, *NUMBERS)  # fmt: skip
BYTES = (b"\0", b"\xff", b"\x80", b"[", b"]", b"{", b",", b'"', b"\\ud800", b"9" * 5000, b"1e999",
         b"NaN", b"-", b"\xef\xbb\xbf", b"PAR1", b"\xff\xff\xff\xff\x0f", b"\x15\xfe")  # fmt: skip

Random = random.Random
Target = Callable[[Random], bytes]


def changed_tree(tree: Any, rng: Random) -> Any:
    """The same with one value somewhere replaced, moved, repeated or taken away."""
    tree = copy.deepcopy(tree)
    place, steps = tree, []
    while isinstance(place, (dict, list)) and len(place) and (not steps or rng.random() < 0.7):
        step = rng.choice(list(place)) if isinstance(place, dict) else rng.randrange(len(place))
        steps.append((place, step))
        place = place[step]
    holder, step = steps[-1]
    action = rng.randrange(5)
    if action == 0:
        del holder[step]
    elif action == 1 and isinstance(place, (int, float)):
        holder[step] = rng.choice(NUMBERS)
    elif action == 2 and isinstance(place, list):
        holder[step] = place * rng.choice((0, 2, 3, 50))
    elif action == 3 and isinstance(tree, dict):
        holder[step] = copy.deepcopy(tree[rng.choice(list(tree))])
    else:
        holder[step] = rng.choice(ODD)
    return tree


def changed_bytes(content: bytes, rng: Random) -> bytes:
    """The same with a few bytes flipped, inserted, cut out or moved."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        if not data:
            break
        # Half of them in the last part, where a Parquet file has its structure.
        low = max(0, len(data) - 3000) if rng.random() < 0.5 else 0
        at = rng.randrange(low, len(data))
        action = rng.randrange(5)
        if action == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif action == 1:
            data[at] = rng.randrange(256)
        elif action == 2:
            data[at:at] = rng.choice(BYTES)
        elif action == 3:
            del data[at : at + rng.choice((1, 4, 100))]
        else:
            start = rng.randrange(len(data))
            data[at:at] = data[start : start + rng.choice((4, 64, 500))]
    return bytes(data)


def shown(record: ExplanationRecord) -> None:
    """What anybody may do with what was read."""
    explanation = InteractionExplanation(record)
    again = loads(dumps(record).encode(), "again")
    if again != record or hash(again) != hash(record):
        raise AssertionError("what was read is saved as something else")
    str(explanation)
    explanation.to_html()


def json_file(data: bytes) -> None:
    """A file as ``load`` reads it."""
    shown(loads(data, "file"))


def rows(data: bytes) -> None:
    """Rows that came through no Parquet file; here as Python's text."""
    explanation, asked = json.loads(data)
    for row in (explanation, asked):
        for name in ("masks", "image"):
            if isinstance(row, dict) and isinstance(row.get(name), str):
                raw = row[name].encode("latin-1", errors="replace")
                row[name] = raw if name == "masks" else {"bytes": raw, "path": None}
    if isinstance(explanation, dict) and isinstance(asked, dict):
        HubEntry.from_row(explanation, "file", 0)
        record = record_from_rows(explanation, asked)
        if content_id(record) != explanation["id"]:
            raise AssertionError("another content was read under this id")
        shown(record)


def parquet_file(data: bytes) -> None:
    """Three Parquet files one behind the other, with their lengths before them."""
    lengths = [int.from_bytes(data[i : i + 4], "big") for i in (0, 4)]
    a, b = 8 + lengths[0], 8 + lengths[0] + lengths[1]
    files = [io.BytesIO(part) for part in (data[8:a], data[a:b], data[b:])]
    for i, row in enumerate(Table(files[2], INDEX, "index").rows()):
        HubEntry.from_row(row, "file", i)
    for i, row in enumerate(Table(files[0], LISTED_COLUMNS, "list").rows()):
        HubEntry.from_row(row, "file", i)
    found = Table(files[0], EXPLANATIONS, "e").rows()
    asked = Table(files[1], QUERIES, "q").rows()
    for row, queries in zip(found, asked, strict=False):
        shown(record_from_rows(row, queries))


def _joined(parts: list[bytes]) -> bytes:
    return b"".join([*(len(part).to_bytes(4, "big") for part in parts[:2]), *parts])


def _parquets(options: dict[str, Any]) -> list[bytes]:
    index = [index_row(HubEntry.from_row(e, "a.parquet", i)) for i, (e, _) in enumerate(ROWS)]
    return [
        parquet(EXPLANATIONS, [e for e, _ in ROWS], **options),
        parquet(QUERIES, [q for _, q in ROWS], **options),
        parquet(INDEX, index, **options),
    ]


FILES = [
    _parquets(options)
    for options in (
        {},
        {"compression": "none", "use_dictionary": False},
        {"compression": "gzip", "data_page_version": "2.0", "row_group_size": 1},
        {"compression": "snappy", "store_schema": False, "write_page_index": True},
    )
]
TREES = [json.loads(path.read_text()) for path in STORED]
TREES += [json.loads(dumps(record)) for record in RECORDS]


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, bytes):
            value = value.decode("latin-1")
        elif isinstance(value, dict) and isinstance(value.get("bytes"), bytes):
            value = value["bytes"].decode("latin-1")
        out[name] = value.tolist() if hasattr(value, "tolist") else value
    return out


def new_json(rng: Random) -> bytes:
    """A JSON file."""
    tree = rng.choice(TREES)
    for _ in range(rng.choice((0, 1, 1, 2, 4))):
        tree = changed_tree(tree, rng)
    try:
        text = json.dumps(tree, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    except RecursionError:
        text = b"["
    return changed_bytes(text, rng) if rng.random() < 0.4 else text


def new_rows(rng: Random) -> bytes:
    """A pair of rows."""
    pair = [_plain(row) for row in rng.choice(ROWS)]
    for _ in range(rng.choice((1, 1, 2, 4))):
        pair = changed_tree(pair, rng)
        if len(pair) != 2:
            return b"[{}, {}]"
    return json.dumps(pair).encode()


def new_parquet(rng: Random) -> bytes:
    """Three files, one of them damaged."""
    parts = list(rng.choice(FILES))
    which = rng.randrange(3)
    parts[which] = changed_bytes(parts[which], rng)
    return _joined(parts)


KINDS: tuple[tuple[str, Target, Callable[[bytes], None]], ...] = (
    ("JSON", new_json, json_file),
    ("rows", new_rows, rows),
    ("Parquet", new_parquet, parquet_file),
)


def run(seconds: float, seed: int, keep: str | None = None) -> str:
    """Fuzz for some time; what came of it, beginning with ``"0 failed"`` if all was well."""
    # What overflows in a record is shown as well as it can be.
    warnings.filterwarnings("ignore", category=RuntimeWarning)
    rng = random.Random(seed)
    end = time.monotonic() + seconds
    counts: Counter[str] = Counter()
    failures: list[str] = []
    longest = 0.0
    while time.monotonic() < end:
        name, new, read = rng.choice(KINDS)
        data = new(rng)
        start = time.process_time()
        try:
            read(data)
            counts[f"{name} read"] += 1
        except ProxySpexError:
            counts[f"{name} refused"] += 1
        except Exception as error:  # noqa: BLE001  all that is not ours is what is looked for
            failures.append(f"{name}: {type(error).__name__}: {str(error)[:150]}")
            if keep is not None:
                Path(keep).mkdir(parents=True, exist_ok=True)
                (Path(keep) / f"{name}-{len(failures)}").write_bytes(data)
        longest = max(longest, time.process_time() - start)
    said = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
    slow = int(longest > 5.0)
    return "; ".join(
        [
            f"{len(failures) + slow} failed",
            said,
            f"at most {longest:.1f} s",
            *dict.fromkeys(failures),
        ]
    )


def guided(seconds: int) -> None:
    """The same bytes, but chosen by what code they reach."""
    import atheris

    def one(data: bytes) -> None:
        kinds = {1: json_file, 2: parquet_file}
        with suppress(ProxySpexError):
            kinds.get(data[0] if data else 0, json_file)(data[1:])

    with tempfile.TemporaryDirectory() as corpus:
        for i, tree in enumerate(TREES):
            (Path(corpus) / f"j{i}").write_bytes(b"\1" + json.dumps(tree).encode())
        for i, parts in enumerate(FILES):
            (Path(corpus) / f"p{i}").write_bytes(b"\2" + _joined(list(parts)))
        warnings.filterwarnings("ignore", category=RuntimeWarning)
        atheris.instrument_all()
        atheris.Setup(
            [sys.argv[0], corpus, f"-max_total_time={seconds}", "-rss_limit_mb=2000", "-timeout=20",
             "-max_len=200000"], one)  # fmt: skip
        atheris.Fuzz()


def mutations(long: bool) -> Outcome:
    """Mutations of JSON files, rows and Parquet files."""
    seconds = 600 if long else 12
    (cost,) = costs([Call("fuzz", "attacks.fuzz:run", (seconds, int(long)))])
    held = cost.outcome.startswith("returned 0 failed") and cost.megabytes <= 300
    return Outcome(
        "mutated files",
        f"{seconds} s of mutations of JSON files, rows and Parquet files",
        held,
        f"{cost.outcome.removeprefix('returned ')}; {cost.megabytes:.0f} MB over the start",
    )


ATTACKS: tuple[Attack, ...] = (mutations,)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", help="folder for what failed")
    parser.add_argument("--atheris", action="store_true", help="guided by coverage")
    given = parser.parse_args()
    if given.atheris:
        guided(given.seconds)
        return 0
    found = run(given.seconds, given.seed, given.keep)
    print(found)
    return int(not found.startswith("0 failed"))


if __name__ == "__main__":
    sys.exit(main())
