"""Data attribution at the paper's size: 50,000 training points, 300,000 trainings (appendix C.1).

Margins are made up, so that it is known what there is to find: strong single points, a dense tail
of weak ones, noise, and pairs and triples planted at known strength. Strength is the z that a set
would have if all but it and the noise were known: its coefficient over the noise's standard
deviation, times the root of the number of fitted masks. There are four kinds of pairs: of two
strong points, of a strong and any other, of two that are among the twentieth with the largest
weights in the tail, and of two weak ones, where nothing points at the pair and the screen does not
look. Triples add a weak point to a pair of two strong ones, or are of three weak points.

    python tests/bench/datamodels.py                                 # 2 GB of disk
    python tests/bench/datamodels.py --features 5000 --masks 30000   # a minute

Prints what was recovered and what was found that is not there, by strength; R² on held-out masks;
time by phase; and the peak of memory that is not backed by a file (Linux).
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import tempfile
import threading
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from proxyspex_hf.core import FourierSpectrum
from proxyspex_hf.progress_bar import ProgressBar
from proxyspex_hf.studies.data.attribution import DataAttribution
from proxyspex_hf.studies.data.packed import PackedMasks

N_STRONG = 200
NOISE, STRONG, TAIL = 0.3, 0.45, 0.25  # shares of the variance, interactions beside them
WEAKEST, STRONGEST = 4.0, 40.0  # expected z
BANDS = (WEAKEST, 6.0, 8.0, 12.0, STRONGEST + 1e-9)
#: Of single points: the tail's own weights reach z of 9 or so.
SINGLE_BANDS = (10.0, 20.0, 30.0, 40.0, 60.0, 1e9)


class Planted:
    """What the margins are made of; coefficients of ±1 parities."""

    def __init__(self, n: int, n_fitted: int, n_pairs: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.weights = rng.standard_normal(n) * np.sqrt(TAIL / n)
        strong = rng.choice(n, N_STRONG, replace=False)
        sizes = rng.uniform(0.5, 1.5, N_STRONG) * rng.choice((-1.0, 1.0), N_STRONG)
        self.weights[strong] = sizes * np.sqrt(STRONG / np.square(sizes).sum())
        by_strength = strong[np.argsort(-np.abs(self.weights[strong]))]
        weak = np.setdiff1d(np.arange(n), strong)
        upper = weak[np.argsort(-np.abs(self.weights[weak]))[: len(weak) // 20]]
        rest = np.setdiff1d(weak, upper)
        self.sets: dict[tuple[int, ...], tuple[str, float]] = {}
        strengths = np.geomspace(WEAKEST, STRONGEST, n_pairs)
        pools = {
            "two strong": (strong, strong),
            "one strong": (by_strength[:40], weak),
            "upper twentieth": (upper, upper),
            "none strong": (rest, rest),
            "triple, none strong": (rest, rest, rest),
        }
        for kind, members in pools.items():
            for z in strengths:
                drawn = tuple(sorted(int(rng.choice(pool)) for pool in members))
                while len(set(drawn)) < len(drawn) or drawn in self.sets:
                    drawn = tuple(sorted(int(rng.choice(pool)) for pool in members))
                self.sets[drawn] = (kind, float(z))
        largest = [s for s, (kind, z) in self.sets.items() if kind == "two strong" and z > 15]
        for pair, z in zip(largest, np.geomspace(WEAKEST, STRONGEST, len(largest)), strict=True):
            third = int(rng.choice(np.setdiff1d(weak, pair)))
            self.sets[tuple(sorted((*pair, third)))] = ("triple, two strong", float(z))
        self.unit = np.sqrt(NOISE / n_fitted)
        self.coefficients = {
            members: z * self.unit * float(rng.choice((-1, 1)))
            for members, (_, z) in self.sets.items()
        }

    def margins(self, masks: PackedMasks, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Noisy margins and the same without noise, (m,) each."""
        features = np.unique([i for members in self.sets for i in members])
        clean = np.empty(len(masks))
        for rows, kept in masks.float_blocks(64):
            clean[rows] = self.weights.sum() - 2.0 * (kept @ self.weights)
            signs = 1.0 - 2.0 * masks.columns(features, rows)
            for members, coefficient in self.coefficients.items():
                columns = np.searchsorted(features, members)
                clean[rows] += coefficient * signs[:, columns].prod(axis=1)
        noise = np.random.default_rng(seed).standard_normal(len(masks)) * np.sqrt(NOISE)
        return clean + noise, clean


class MemoryPeak:
    """The highest RssAnon seen, in bytes, sampled every 50 ms."""

    def __enter__(self) -> MemoryPeak:
        self.peak, self._stop = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._stop.wait(0.05):
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith("RssAnon:"):
                    self.peak = max(self.peak, int(line.split()[1]) * 1024)

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def recovered(planted: Planted, found: set[tuple[int, ...]]) -> dict[str, dict[str, str]]:
    """Planted sets that were found, by kind and by expected z."""
    out: dict[str, dict[str, str]] = {}
    for low, high in pairwise(BANDS):
        hits: Counter[str] = Counter()
        totals: Counter[str] = Counter()
        for members, (kind, z) in planted.sets.items():
            if low <= z < high:
                totals[kind] += 1
                hits[kind] += members in found
        out[f"z {low:.0f} to {high:.0f}"] = {k: f"{hits[k]} of {totals[k]}" for k in totals}
    return out


def not_there(planted: Planted, found: dict[tuple[int, ...], float]) -> dict[str, str]:
    """Accepted sets that were not planted, of those accepted, by the z that the screen gave."""
    out = {}
    for low, high in pairwise((0.0, *BANDS[1:-1], float("inf"))):
        here = [members for members, z in found.items() if low <= abs(z) < high]
        false = sum(members not in planted.sets for members in here)
        out[f"|z| {low:.0f} to {high:.0f}"] = f"{false} of {len(here)}"
    return out


def singles(planted: Planted, spectrum: FourierSpectrum) -> dict[str, str]:
    """Points with the largest true weights among as many with the largest first-order terms."""
    true = np.abs(planted.weights) / planted.unit
    given = np.zeros(len(true))
    for members, coefficient in spectrum.to_dict().items():
        if len(members) == 1:
            given[members[0]] = abs(coefficient)
    wanted = np.flatnonzero(true >= SINGLE_BANDS[0])
    taken = set(np.argsort(-given)[: len(wanted)].tolist())
    out = {}
    for low, high in pairwise(SINGLE_BANDS):
        here = [i for i in wanted.tolist() if low <= true[i] < high]
        name = f"z {low:.0f} and more" if high > 1e6 else f"z {low:.0f} to {high:.0f}"
        out[name] = f"{sum(i in taken for i in here)} of {len(here)}"
    return {**out, "weaker ones among them": f"{len(taken - set(wanted.tolist()))}"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--features", type=int, default=50_000)
    parser.add_argument("--masks", type=int, default=300_000)
    parser.add_argument("--pairs", type=int, default=20, help="of each kind but one")
    parser.add_argument("--tests", type=int, default=1, help="test points explained together")
    parser.add_argument("--paired", type=int, default=1000, help="strongest: all pairs of them")
    parser.add_argument("--max-memory", type=int, default=2**30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dir", type=Path, default=Path(tempfile.gettempdir()) / "datamodels")
    parser.add_argument("--out", type=Path, help="a JSON file")
    options = parser.parse_args()
    options.dir.mkdir(parents=True, exist_ok=True)
    n, m = options.features, options.masks
    path = options.dir / f"masks-{n}-{m}-{options.seed}.npy"
    start = time.perf_counter()
    if path.exists():
        masks = PackedMasks.open(path, n)
    else:
        masks = PackedMasks.sample(n, m, seed=options.seed, path=path)
        masks = PackedMasks.open(path, n)
    drawn = time.perf_counter() - start
    plans = [Planted(n, m - min(m // 10, 10_000), options.pairs, s) for s in range(options.tests)]
    made = [planted.margins(masks, 10**6 + s) for s, planted in enumerate(plans)]
    margins = np.stack([noisy for noisy, _ in made], axis=1)
    print(f"{n} features, {m} masks: {masks.bits.nbytes / 2**30:.2f} GiB of bits", flush=True)
    with MemoryPeak() as memory:
        before, cpu = time.perf_counter(), time.process_time()
        study = DataAttribution(
            masks, margins, n_paired=options.paired, max_memory=options.max_memory
        )
        explained = study.explain(progress=ProgressBar())
        wall, cpu = time.perf_counter() - before, time.process_time() - cpu
    report: dict[str, Any] = {
        "features": n,
        "masks": m,
        "test points": options.tests,
        "all pairs among": options.paired,
        "machine": f"{platform.machine()}, numpy {np.__version__}",
        "max_memory": options.max_memory,
        "peak of memory without a file, MiB": round(memory.peak / 2**20),
        "peak with the mapped bits, MiB": round(
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        ),
        "seconds to draw masks": round(drawn, 1),
        "seconds to explain": round(wall, 1),
        "CPU seconds to explain": round(cpu, 1),
        "points": [],
    }
    rows = study.held_out_rows
    for planted, found, (noisy, clean) in zip(plans, explained, made, strict=True):
        screened = {s.members: s.z for s in found.screening.found}
        terms = {s for s, c in found.spectrum.to_dict().items() if len(s) > 1 and c != 0.0}
        variance = float(np.var(noisy[rows]))
        report["points"].append(
            {
                "held-out R²": found.r2,
                "held-out R², linear": found.linear_r2,
                "held-out R², LASSO on the candidates": found.lasso_r2,
                "R² of the noiseless margins": 1
                - float(np.mean((noisy - clean)[rows] ** 2)) / variance,
                "sets looked at": found.screening.tested,
                "sets accepted by the screen": len(screened),
                "accepted that were not planted": len(screened.keys() - planted.sets.keys()),
                "not planted, by strength": not_there(planted, screened),
                "single points recovered": singles(planted, found.spectrum),
                "recovered by the screen": recovered(planted, set(screened)),
                "recovered in the spectrum": recovered(planted, terms),
                "terms of order 2 and more": len(terms),
                "seconds": {k: round(v, 1) for k, v in found.seconds.items()},
            }
        )
    print(json.dumps(report, indent=1))
    if options.out is not None:
        options.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
