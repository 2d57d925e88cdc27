"""Measures the toolbox over a spectrum: indices against spectralexplain, and removal.

    python tests/bench/toolbox.py [--json out.json] [--repeats 7] [--time-limit 60] [--skip-large]

Prints Markdown tables of medians. The ratio column needs spectralexplain in the environment.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from proxyspex_hf.core.indices import INDICES, interactions
from proxyspex_hf.core.moebius import moebius
from proxyspex_hf.core.removal.best import best_removal, removal_curve
from proxyspex_hf.core.spectrum import FourierSpectrum


def hierarchical(
    n: int, k: int, order: int, seed: int, *, decay: float = 0.6, active: int | None = None
) -> FourierSpectrum:
    """A staircase spectrum: sets grow out of sets, magnitudes fall by ``decay`` per order."""
    rng = np.random.default_rng(seed)
    pool = rng.choice(n, active or n, replace=False)
    coefficients: dict[tuple[int, ...], float] = {(): float(rng.normal())}
    while len(coefficients) < k:
        keys = list(coefficients)
        base = keys[rng.integers(len(keys))] if rng.random() < 0.6 else ()
        feature = int(pool[int(len(pool) * rng.random() ** 2)])
        key = tuple(sorted({*base, feature}))
        if len(key) <= order and key not in coefficients:
            coefficients[key] = float(rng.normal()) * decay ** (len(key) - 1)
    return FourierSpectrum.from_dict(coefficients, n)


def flat(n: int, k: int, order: int, seed: int) -> FourierSpectrum:
    """Unrelated random sets of 1 to ``order`` features, coefficients of one size."""
    rng = np.random.default_rng(seed)
    coefficients: dict[tuple[int, ...], float] = {(): float(rng.normal())}
    while len(coefficients) < k:
        size = int(rng.integers(1, order + 1))
        key = tuple(sorted(rng.choice(n, size, replace=False).tolist()))
        coefficients[key] = float(rng.normal())
    return FourierSpectrum.from_dict(coefficients, n)


def median_ms(call: Callable[[], object], repeats: int) -> float:
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def reference(spectrum: FourierSpectrum) -> dict[str, Callable[[int], object]] | None:
    """spectralexplain's converters from the same Fourier dictionary, Möbius step included."""
    try:
        from spectralexplain import utils
    except ImportError:
        return None
    utils.tqdm = lambda iterable: iterable  # its progress bars are not part of the measurement
    fourier = {}
    for members, value in spectrum.to_dict().items():
        key = np.zeros(spectrum.n_features, dtype=int)
        key[list(members)] = 1
        fourier[tuple(key.tolist())] = value
    converters = {
        "Moebius": lambda m, order: m,
        "BII": utils.mobius_to_banzhaf_ii,
        "SII": utils.mobius_to_shapley_ii,
        "STII": utils.mobius_to_shapley_taylor_ii,
        "FBII": utils.mobius_to_faith_banzhaf_ii,
        "FSII": utils.mobius_to_faith_shapley_ii,
    }
    return {
        name: (lambda order, f=f: f(utils.fourier_to_mobius(fourier), order=order))
        for name, f in converters.items()
    }


def measure_indices(repeats: int) -> list[dict[str, Any]]:
    spectrum = hierarchical(512, 200, 5, seed=0)
    theirs = reference(spectrum)
    rows = []
    for entry in INDICES:
        for order in [1] if entry.only_singles else [1, 2, 3]:
            ours = median_ms(lambda e=entry, o=order: interactions(spectrum, e.name, o), repeats)
            row: dict[str, Any] = {"index": entry.name, "order": order, "ms": round(ours, 3)}
            if theirs and entry.name in theirs:
                row["spectralexplain_ms"] = round(
                    median_ms(lambda e=entry, o=order: theirs[e.name](o), min(repeats, 3)), 1
                )
                row["times_faster"] = round(row["spectralexplain_ms"] / ours)
            rows.append(row)
    rows.append(
        {
            "index": "Moebius, all",
            "order": 5,
            "ms": round(median_ms(lambda: moebius(spectrum), repeats), 3),
        }
    )
    return rows


def measure_removal(repeats: int, time_limit: float, large: bool) -> list[dict[str, Any]]:
    cases: list[tuple[str, Callable[[int], FourierSpectrum]]] = [
        ("hierarchical 256/200", lambda s: hierarchical(256, 200, 5, s)),
        (
            "hierarchical, 60 active, no decay 256/200",
            lambda s: hierarchical(256, 200, 5, s, decay=1.0, active=60),
        ),
        ("flat 256/200", lambda s: flat(256, 200, 5, s)),
    ]
    if large:
        cases += [
            ("hierarchical 512/500", lambda s: hierarchical(512, 500, 5, s)),
            ("hierarchical 1000/1000", lambda s: hierarchical(1000, 1000, 5, s)),
        ]
    rows = []
    for name, make in cases:
        for r in (5, 20, 50):
            found = [best_removal(make(s), r, time_limit=time_limit) for s in range(repeats)]
            rows.append(
                {
                    "spectrum (n/coefficients)": name,
                    "r": r,
                    "median_s": round(statistics.median(s.seconds for s in found), 3),
                    "max_s": round(max(s.seconds for s in found), 3),
                    "optimal": f"{sum(s.status == 'optimal' for s in found)}/{repeats}",
                    "max_relative_gap": f"{max(s.gap / s.objective for s in found):.1e}",
                    "max_nodes": max(s.nodes for s in found),
                }
            )
    spectrum = hierarchical(256, 200, 5, 0)
    start = time.perf_counter()
    removal_curve(spectrum, range(1, 51), time_limit=time_limit)
    rows.append(
        {
            "spectrum (n/coefficients)": "hierarchical 256/200, curve",
            "r": "1..50",
            "median_s": round(time.perf_counter() - start, 3),
        }
    )
    return rows


def markdown(rows: list[dict[str, Any]]) -> str:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [columns, ["---"] * len(columns)]
    lines += [[str(row.get(column, "")) for column in columns] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--time-limit", type=float, default=60.0)
    parser.add_argument("--skip-large", action="store_true")
    parser.add_argument("--only", choices=["indices", "removal"])
    arguments = parser.parse_args()
    result: dict[str, Any] = {}
    if arguments.only != "removal":
        result["indices"] = measure_indices(arguments.repeats)
        print("## Indices, n = 512, 200 coefficients of order <= 5, medians\n")
        print(markdown(result["indices"]))
        if "times_faster" not in result["indices"][-2]:
            print("\nspectralexplain is absent: no ratios.")
    if arguments.only != "indices":
        result["removal"] = measure_removal(
            arguments.repeats, arguments.time_limit, not arguments.skip_large
        )
        print("\n## Removal, both directions, one thread\n")
        print(markdown(result["removal"]))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
