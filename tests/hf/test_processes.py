"""Two processes, as ``accelerate launch`` starts them, give what one gives, bit for bit."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from proxyspex_hf import InteractionExplanation

TESTS = Path(__file__).parents[1]

SCRIPT = """
import os, sys
sys.path.insert(0, {tests!r})
from tiny_models import roberta_pipeline
from proxyspex_hf import InteractionExplainer
pipe = roberta_pipeline()
rows = 0
def count(module, args, kwargs):
    global rows
    rows += len(kwargs["input_ids"])
explainer = InteractionExplainer(
    pipe, budget=90, n_test=10, proxy="lasso", batch_size=8, masking="delete", **{options!r}
)
pipe.model.register_forward_pre_hook(count, with_kwargs=True)
explanation = explainer("It could have been great, but the plot is dull and never funny.")
rank = os.environ.get("RANK", "0")
explanation.save(f"{out}/{{rank}}.json")
open(f"{out}/{{rank}}.rows", "w").write(str(rows))
"""


def run(out: Path, count: int, **options: str) -> list[InteractionExplanation]:
    out.mkdir()
    code = SCRIPT.format(tests=str(TESTS), out=out, options=options)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    launched = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env={
                **os.environ,
                "PYTHONPATH": str(TESTS.parent),
                "OMP_NUM_THREADS": "1",
                **(launched if count > 1 else {}),
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "ACCELERATE_USE_CPU": "true",
            },
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    return [InteractionExplanation.load(out / f"{rank}.json") for rank in range(count)]


def test_two_processes_split_the_work_and_agree_with_one(tmp_path: Path) -> None:
    (one,) = run(tmp_path / "one", 1)
    two = run(tmp_path / "two", 2)
    assert two[0] == one
    assert two[1] == one
    rows = [int((tmp_path / "two" / f"{rank}.rows").read_text()) for rank in range(2)]
    alone = int((tmp_path / "one" / "0.rows").read_text())
    # Each also asks the few that binding takes.
    assert max(rows) < 0.7 * alone
    cached = run(tmp_path / "cached", 2, cache_dir=str(tmp_path / "cache"))
    assert cached[0] == one
    (again,) = run(tmp_path / "again", 1, cache_dir=str(tmp_path / "cache"))
    assert again == one
    assert int((tmp_path / "again" / "0.rows").read_text()) < 0.2 * alone
