"""The pages on served models and data sets: their code runs, their commands are commands."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hub_server import HubServer
from hub_server.clients import environment_for, point_to
from inference_server import InferenceServer
from tiny_pipelines import generator

from proxyspex_hf.cli import _parser

DOCS = Path(__file__).parents[1] / "docs"


def blocks(page: str) -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands(page: str, program: str) -> list[list[str]]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return [shlex.split(c) for c in re.findall(rf"^    \$ {program} (.*)$", text, re.MULTILINE)]


def test_served_models(tmp_path: Path) -> None:
    pipe = generator()
    pipe.tokenizer.save_pretrained(tmp_path / "tokenizer")
    names: dict[str, Any] = {}
    found = blocks("served.md")
    assert len(found) == 2
    with InferenceServer(pipe, "vllm", name="my-model") as server:
        for code in found:
            code = code.replace("http://host:8000/v1", server.url)
            exec(code.replace("me/my-model", str(tmp_path / "tokenizer")), names)
        assert server.url in names["explanation"].record.provenance.device
        assert names["found"].noise < 1e-5
        # The page's table of dialects is the package's.
        from proxyspex_hf.hf.served.model import _CLASSES, _SCORING

        text = (DOCS / "served.md").read_text(encoding="utf-8")
        rows = re.findall(r"^\| `([\w-]+)` \|", text, re.MULTILINE)
        assert rows == [kind.name for kind in (*_SCORING, *_CLASSES)]


@pytest.mark.parametrize("page", ["served.md", "data-sets.md"])
def test_the_commands_exist(page: str) -> None:
    found = commands(page, "proxyspex-hf")
    assert len(found) >= 2
    for words in found:
        assert _parser().parse_args(words).run


@pytest.mark.filterwarnings("ignore:'HfApi.run_uv_job' is experimental")
def test_data_sets_and_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    with HubServer() as hub:
        hub.add_user("hf_me", "me")
        point_to(hub, monkeypatch, tmp_path / "home")
        for code in blocks("data-sets.md"):
            exec(code, names)
        assert names["run"].known == 2
        assert names["job"].id == "job0"
        ((words, *more),) = [commands("data-sets.md", "hf")]
        assert not more
        done = subprocess.run(
            [sys.executable, "-m", "huggingface_hub.cli.hf", *_detached(words)],
            env=environment_for(hub, tmp_path / "home"),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        for job in hub.jobs.values():
            _check_job(job)
        assert len(hub.jobs) == 2
        assert not hub.repos  # nothing was uploaded


def _detached(words: list[str]) -> list[str]:
    """The same without waiting for the job's end; what follows the script is its own."""
    place = words.index("run") + 1
    return [*words[:place], "--detach", *words[place:]]


def _check_job(job: dict[str, Any]) -> None:
    """A job that runs the package's command, with the token as a secret, three times at most."""
    line = [*job["command"], *job.get("arguments", [])]
    assert line[:2] == ["uv", "run"]
    own = line[line.index("proxyspex-hf") + 1 :]
    assert own[0] == "explain-dataset"
    given = _parser().parse_args(own)
    assert (given.push, given.column, given.model) == ("me/explanations", "text", "me/my-model")
    assert any(word.startswith("proxyspex-hf[hub]") for word in line)
    assert job["secrets"] == {"HF_TOKEN": "hf_me"}
    assert "hf_me" not in str({**job, "secrets": None})
    assert job["flavor"] == "a10g-small"
    assert job["timeoutSeconds"] == 6 * 3600
    assert job["attempts"] == 3
