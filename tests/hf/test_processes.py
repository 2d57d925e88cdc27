"""Two processes, as ``accelerate launch`` starts them, give what one gives, bit for bit."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from children import Child
from counting import rows_asked
from tiny_models import roberta_pipeline

from proxyspex_hf import InteractionExplainer, InteractionExplanation

TEXT = "It could have been great, but the plot is dull and never funny."
OPTIONS = {"budget": 90, "n_test": 10, "proxy": "lasso", "batch_size": 8, "masking": "delete"}

#: Explains twice: without a cache, and with one.
SCRIPT = """
import os, sys
from counting import rows_asked
from tiny_models import roberta_pipeline
from proxyspex_hf import InteractionExplainer
pipe = roberta_pipeline()
rank = os.environ["RANK"]
for name, more in (("two", {{}}), ("cached", {{"cache_dir": {cache!r}}})):
    explainer = InteractionExplainer(pipe, **{options!r}, **more)
    found = []
    rows = rows_asked(pipe, lambda: found.append(explainer({text!r})))
    found[0].save(f"{out}/{{name}}{{rank}}.json")
    print(rows)
"""


def start(code: str, rank: int, port: int) -> Child:
    return Child(
        code,
        WORLD_SIZE="2",
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        ACCELERATE_USE_CPU="true",
    )


@pytest.fixture
def one_thread() -> Any:
    """As many as the children have: another number changes a forward pass in its last bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_two_processes_split_the_work_and_agree_with_one(tmp_path: Path) -> None:
    pipe, found = roberta_pipeline(), []

    def explain(**more: Any) -> None:
        found.append(InteractionExplainer(pipe, **OPTIONS, **more)(TEXT))

    alone = rows_asked(pipe, explain)
    cache = str(tmp_path / "cache")
    code = SCRIPT.format(out=tmp_path, options=OPTIONS, text=TEXT, cache=cache)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = [start(code, rank, port) for rank in range(2)]
    rows = [[int(line) for line in child.done().split()] for child in children]
    again = rows_asked(pipe, lambda: explain(cache_dir=cache))
    one = found[0]
    assert found[1] == one
    for name in ("two0", "two1", "cached0", "cached1"):
        assert InteractionExplanation.load(tmp_path / f"{name}.json") == one
    # Each also asks the few that binding takes.
    assert all(max(each) < 0.7 * alone for each in rows)
    assert again < 0.2 * alone
