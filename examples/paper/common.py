"""What the scripts of this directory share: their options, and what has been computed before.

A script gives ``run`` two functions: one makes rows from a study, one draws them. Every answer of a
model and every fit is kept under ``--cache`` as soon as it is there, so a run that was stopped goes
on where it was, and scripts that need the same fit share it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import proxyspex_hf.core

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "proxyspex_hf" / "paper"

Row = dict[str, Any]


def core_code() -> str:
    """A hash of the algorithm's source: what another algorithm computed is not read again."""
    digest = hashlib.sha256()
    for path in sorted(Path(proxyspex_hf.core.__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


class Memory:
    """Results on disk, one JSON file a key.

    Attributes:
        directory: where they lie; the models' answers are kept in ``answers`` beside them.
        computed: how many results were not there yet.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.code = core_code()
        self.computed = 0
        (directory / "results").mkdir(parents=True, exist_ok=True)

    @property
    def answers(self) -> Path:
        return self.directory / "answers"

    def recall(self, compute: Callable[[], Row], **key: Any) -> Row:
        """``compute()``, or what it gave for this key before."""
        text = json.dumps({**key, "core": self.code}, sort_keys=True, default=str)
        name = hashlib.sha256(text.encode()).hexdigest()
        path = self.directory / "results" / f"{name}.json"
        if path.exists():
            found: Row = json.loads(path.read_text("utf-8"))["result"]
            return found
        result = compute()
        self.computed += 1
        write(path, {"key": json.loads(text), "result": result})
        return result


@dataclass(frozen=True)
class Study:
    """One run of a script.

    Attributes:
        setting: ``"quick"``, ``"medium"``, ``"full"``, or ``"tiny"`` (for tests).
        seed: of the choice of inputs, of the masks and of the fits.
        counts: how many inputs of a data set to take where not as many as the setting says.
    """

    setting: str
    seed: int
    memory: Memory
    counts: dict[str, int]


def write(path: Path, data: Any) -> None:
    """JSON, replaced only when whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.part")
    partial.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", "utf-8")
    partial.replace(path)


def about(study: Study) -> Row:
    """What a result was made with."""
    packages = ("numpy", "scikit-learn", "lightgbm", "torch", "transformers")
    return {
        "core": study.memory.code,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "versions": {name: version(name) for name in packages},
    }


def completed(result: Row, before: Row, left_out: Collection[str]) -> Row:
    """A result with an earlier one's rows of the data sets that were left out, which were made with
    what they were made with.

    Raises:
        SystemExit: the earlier one has another setting or seed.
    """
    for key in ("setting", "seed"):
        if before[key] != result[key]:
            raise SystemExit(
                f"--keep: the JSON has {key} {before[key]}, not {result[key]}: give another --out"
            )
    out = dict(result)
    out["made with"] = {
        **{name: made for name, made in before["made with"].items() if name in left_out},
        **result["made with"],
    }
    for key, rows in before.items():
        if isinstance(rows, list) and rows and "dataset" in rows[0]:
            order = list(dict.fromkeys(row["dataset"] for row in [*rows, *result[key]]))
            kept = [row for row in rows if row["dataset"] in left_out]
            out[key] = sorted([*kept, *result[key]], key=lambda row: order.index(row["dataset"]))
    return out


def folder_of(package: str, install: str) -> Path:
    """Where a package lies; importing it would need all that it depends on."""
    found = find_spec(package)
    if found is None or found.origin is None:
        raise SystemExit(f"this needs: pip install --no-deps {install}")
    return Path(found.origin).parent


def table(rows: Iterable[Row], columns: Sequence[str]) -> str:
    """Rows as Markdown; numbers with three decimals, a dash for what is not known."""

    def cell(value: Any) -> str:
        if value is None:
            return "–"
        return f"{value:.3f}" if isinstance(value, float) else str(value)

    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(cell(row.get(c)) for c in columns) + " |" for row in rows]
    return "\n".join(lines)


def progress(text: str) -> None:
    """A line for whoever waits."""
    print(text, file=sys.stderr, flush=True)


def run(
    name: str,
    doc: str,
    measure: Callable[[Study], Row],
    draw: Callable[[Row, Path], None],
    columns: Sequence[str],
    given: Sequence[str] | None = None,
) -> None:
    """Measure, write ``NAME.json`` and ``NAME.png``, print the table.

    ``measure`` gives the JSON's content; its ``"rows"`` are the table.
    """
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    size = parser.add_mutually_exclusive_group()
    for setting, text in (
        ("quick", "few inputs (the default)"),
        ("medium", "what docs/paper.md is made of: hours of one core"),
        ("full", "as many as the paper"),
    ):
        size.add_argument(
            f"--{setting}", dest="setting", action="store_const", const=setting, help=text
        )
    size.add_argument(
        "--tiny", dest="setting", action="store_const", const="tiny", help=argparse.SUPPRESS
    )
    parser.set_defaults(setting="quick")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="for JSON and PNG")
    parser.add_argument("--cache", type=Path, default=CACHE, help="answers and fits; reused")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--inputs",
        nargs="+",
        default=[],
        metavar="DATASET=COUNT",
        help="another number of inputs, such as sentiment=5; 0 leaves a data set out",
    )
    parser.add_argument(
        "--keep", action="store_true", help="of data sets that are left out, what the JSON has"
    )
    options = parser.parse_args(given)
    counts = {}
    for each in options.inputs:
        dataset, _, count = each.partition("=")
        if not count.isdigit():
            parser.error(f"--inputs takes DATASET=COUNT, got {each!r}")
        counts[dataset] = int(count)
    study = Study(options.setting, options.seed, Memory(options.cache), counts)
    found = measure(study)
    if not found["rows"]:
        parser.error("no input is left: this figure has none of the data sets that --inputs leaves")
    names = dict.fromkeys(row["dataset"] for row in found["rows"] if "dataset" in row)
    result = {
        "figure": name,
        "setting": study.setting,
        "seed": study.seed,
        "made with": dict.fromkeys(names or [name], about(study)),
        **found,
    }
    before = options.out / f"{name}.json"
    if options.keep and before.exists():
        left_out = [dataset for dataset, count in counts.items() if count == 0]
        result = completed(result, json.loads(before.read_text("utf-8")), left_out)
    write(before, result)
    draw(result, options.out / f"{name}.png")
    print(table(result["rows"], columns))
