"""How attribution grows with features and masks: time and peak memory by step.

    python tests/bench/growth.py [--sizes 64 128 256 512 1000] [--alpha 4] [--json F]
    python tests/bench/growth.py --quick
    python tests/bench/growth.py --method gp --sizes 64 --masks 1000 2000 4000 8000

A sparse hierarchical function of n features (200 coefficients up to order 5) with Gaussian noise of
a fifth of its standard deviation is asked α·n·log2(n) masks, at most ``--most``: uniform ones, or
with ``--sampling mixed`` of density 0.5, 0.7 and 0.9. Each size runs in a process of its own, which
reports its phases, and how far its resident memory had grown by the end of each, Python and
libraries included. A star marks seconds taken beside other work.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from harness.command import command_line
from harness.implementations import settings_of
from harness.measure import OtherWork
from harness.report import describe, machine, markdown_table, write_json
from toolbox import hierarchical

from proxyspex_hf.core import Progress, ProxySPEX, budget_for, sample_masks
from proxyspex_hf.core.faithfulness import TEST_DENSITIES, r2_score

NOISE = 0.2
COLUMNS = ("n", "masks", "step", "seconds", "peak MiB by its end", "R² by density", "terms")


def peak_mib() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Kilobytes on Linux, bytes on macOS.
    return used / (2**20 if sys.platform == "darwin" else 2**10)


class Steps:
    """Time and memory by the phases that the fit reports, in the order of their first report."""

    def __init__(self) -> None:
        self.steps: dict[str, dict[str, float]] = {}
        self._name, self._since = "preparing", time.perf_counter()

    def __call__(self, progress: Progress) -> None:
        if progress.phase != self._name:
            self.close()
            self._name = progress.phase

    def close(self) -> None:
        now = time.perf_counter()
        step = self.steps.setdefault(self._name, {"seconds": 0.0, "peak_mib": 0.0})
        step["seconds"] += now - self._since
        step["peak_mib"] = peak_mib()
        self._since = now


def draw(n: int, m: int, sampling: str, seed: int) -> np.ndarray:
    densities = (0.5,) if sampling == "uniform" else TEST_DENSITIES
    masks = sample_masks(n, -(-m // len(densities)), density=densities[0], seed=seed)
    for density in densities[1:]:
        more = sample_masks(
            n, m // len(densities), density=density, seed=seed, exclude=masks, anchors=False
        )
        masks = np.concatenate([masks, more])
    return masks


def one_size(n: int, m: int, settings: dict[str, Any], sampling: str, seed: int) -> dict[str, Any]:
    """Fit one size in this process."""
    truth = hierarchical(n, 200, 5, seed=seed)
    masks = draw(n, m, sampling, seed)
    rng = np.random.default_rng(seed)
    clean = truth.evaluate(masks)
    values = clean + NOISE * clean.std() * rng.standard_normal(len(masks))
    before, beside, steps = peak_mib(), OtherWork(), Steps()
    start = time.perf_counter()
    found = ProxySPEX(**{"seed": seed, **settings}).fit(masks, values, progress=steps)
    seconds = time.perf_counter() - start
    steps.close()
    load = beside.cores()
    r2 = {}
    for density in TEST_DENSITIES:
        test = sample_masks(n, 1000, density=density, seed=seed + 10**6, anchors=False)
        r2[f"{100 * density:.0f}"] = r2_score(truth.evaluate(test), found.spectrum.evaluate(test))
    return {
        "n": n,
        "masks": len(masks),
        "sampling": sampling,
        "steps": steps.steps,
        "before_mib": before,
        "seconds": seconds,
        "peak_mib": peak_mib(),
        "chosen": found.method,
        "terms": len(found.spectrum),
        "r2": r2,
        "load": load,
    }


def in_child(n: int, m: int, options: argparse.Namespace) -> dict[str, Any]:
    command = [
        sys.executable, __file__, "--one", str(n), str(m), "--method", options.method,
        "--sampling", options.sampling, "--seed", str(options.seed),
    ]  # fmt: skip
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, env=os.environ)
    if done.returncode:
        return {"n": n, "masks": m, "error": f"ended with exit code {done.returncode}"}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def lines(found: dict[str, Any]) -> list[list[str]]:
    """One size as lines of the table of ``COLUMNS``."""
    start = [str(found["n"]), str(found["masks"])]
    if "error" in found:
        return [[*start, found["error"], "", "", "", ""]]
    out = [[*start, "(input)", "", f"{found['before_mib']:.0f}", "", ""]]
    out += [
        [*start, name, f"{step['seconds']:.1f}", f"{step['peak_mib']:.0f}", "", ""]
        for name, step in found["steps"].items()
    ]
    star = " *" if (found["load"] or 0.0) > 0.3 else ""
    r2 = ", ".join(f"{v:.3f}" for v in found["r2"].values() if v is not None)
    total = f"**{found['seconds']:.1f}**{star}"
    out.append([*start, "all", total, f"{found['peak_mib']:.0f}", r2, str(found["terms"])])
    return out


def main(given: Sequence[str] | None = None) -> int:
    parser = command_line(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256, 512, 1000])
    parser.add_argument("--alpha", type=float, default=4.0)
    parser.add_argument("--masks", type=int, nargs="+", help="exact numbers, instead of --alpha")
    parser.add_argument("--most", type=int, default=40_000)
    parser.add_argument("--method", default="default", help="as in tables.py")
    parser.add_argument("--sampling", choices=["uniform", "mixed"], default="uniform")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="64 and 128 features, α = 2")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(given)
    if options.quick:
        options.sizes, options.alpha = [64, 128], 2.0
    if options.one:
        settings = settings_of(options.method)
        print(json.dumps(one_size(*options.one, settings, options.sampling, options.seed)))
        return 0
    info = machine()
    print(describe(info), end="\n\n")
    print(markdown_table(COLUMNS, []))
    rows = []
    for n in options.sizes:
        for m in options.masks or [budget_for(n, options.alpha)]:
            rows.append(in_child(n, min(m, options.most), options))
            body = markdown_table(COLUMNS, lines(rows[-1])).splitlines()[2:]
            print("\n".join(body), flush=True)
            if options.json:
                write_json(options.json, rows, method=options.method)
    return 1 if any("error" in row for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
