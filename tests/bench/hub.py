"""A thousand explanations to the Hub and back: time, size, memory, and the cost of one of them.

    python tests/bench/hub.py [--count 1000] [--features 100] [--coefficients 200] [--queries 2000]

The Hub is the tests' loopback server, in a process of its own, so these are the costs of packing,
checking and HTTP; a real network's come on top, by the bytes that are printed. Each step runs in a
fresh process with an empty cache; memory is the process's peak over what it held before the step.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[1]))

from hub_server import HubServer
from hub_server.clients import environment_for
from record_factory import make_record, random_spectrum

from proxyspex_hf import InteractionExplanation, pull_explanations, push_explanations
from proxyspex_hf.core.masks import sample_masks
from proxyspex_hf.core.queries import Queries
from proxyspex_hf.record.record import FitReport

REPO = "me/explanations"


def explanations(given: argparse.Namespace) -> list[InteractionExplanation]:
    """Different ones, each with noise on float32 values as a model gives them."""
    out = []
    rows = tuple(
        {"max_depth": depth, "n_trees": trees, "learning_rate": rate, "r2": 0.8, "folds": [0.8] * 5}
        for depth in (3, 5, None)
        for trees in (500, 1000, 5000)
        for rate in (0.01, 0.1)
    )
    for seed in range(given.count):
        rng = np.random.default_rng(seed)
        text = " ".join(f"word{i}" for i in rng.integers(0, 5000, given.features))
        spectrum = random_spectrum(given.features, k=given.coefficients, seed=seed)
        masks = sample_masks(given.features, given.queries, seed=seed)
        noisy = spectrum.evaluate(masks) + rng.normal(0, 0.1, len(masks))
        out.append(
            InteractionExplanation(
                make_record(
                    text,
                    spectrum,
                    queries=Queries(
                        masks=masks,
                        values=noisy.astype(np.float32).astype(np.float64),
                        n_fit=len(masks) - 300,
                        densities=np.repeat([0.5, 0.7, 0.9], -(-len(masks) // 3))[: len(masks)],
                    ),
                    fit=FitReport("boosting", "depth 5", "ridge", 0.8, rows),
                )
            )
        )
    return out


def peak() -> float:
    """The most memory that this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured(step: Callable[[], Any]) -> dict[str, float]:
    before, start = peak(), time.perf_counter()
    step()
    return {"seconds": time.perf_counter() - start, "memory": peak() - before}


def run_step(given: argparse.Namespace) -> None:
    """One step, in the process that measures it."""
    if given.step in ("push", "again"):
        made = explanations(given)
        result = measured(lambda: push_explanations(made, REPO))
    elif given.step == "add one":
        (made,) = explanations(argparse.Namespace(**{**vars(given), "count": 1}))
        result = measured(lambda: made.refit(proxy="lasso").push_to_hub(REPO))
    elif given.step == "pull all":
        result = measured(lambda: sum(1 for _ in pull_explanations(REPO)))
    elif given.step == "pull one":
        result = measured(lambda: InteractionExplanation.from_hub(REPO, given.id))
    else:
        result = measured(lambda: InteractionExplanation.list_hub(REPO))
    sys.stdout.write(json.dumps(result))


def an_id(files: dict[str, bytes]) -> str:
    """The id in the middle of the first file."""
    path = next(path for path in files if path.startswith("explanations/"))
    ids = pq.read_table(io.BytesIO(files[path]), columns=["id"])["id"].to_pylist()
    return str(ids[len(ids) // 2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--features", type=int, default=100)
    parser.add_argument("--coefficients", type=int, default=200)
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--id", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step:
        run_step(given)
        return
    with HubServer() as hub:
        hub.add_user("hf_me", "me")
        identity = "none yet"
        for step in ("push", "again", "list", "pull all", "pull one", "add one"):
            with tempfile.TemporaryDirectory() as home:
                start = len(hub.requests)
                done = subprocess.run(
                    [sys.executable, *sys.argv, "--step", step, "--id", identity],
                    env=environment_for(hub, Path(home)),
                    stdout=subprocess.PIPE,
                    check=True,
                )
                result = json.loads(done.stdout)
                asked = hub.requests[start:]
                print(
                    f"{step:>9}: {result['seconds']:7.2f} s, {result['memory']:6.0f} MB more, "
                    f"{len(asked):3} requests, {hub.sent(start) / 1e6:8.3f} MB received"
                )
            if step == "push":
                files = hub.files(REPO)
                identity = an_id(files)
                size = sum(map(len, files.values()))
                print(
                    f"{'size':>9}: {size / 1e6:.1f} MB in {len(files)} files, "
                    f"{size / given.count / 1e3:.1f} kB an explanation"
                )


if __name__ == "__main__":
    main()
