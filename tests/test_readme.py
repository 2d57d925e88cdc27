"""Every code block of the README runs, in the order in which a reader meets it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from hub_server import HubServer
from hub_server.clients import point_to
from tiny_pipelines import generator

from proxyspex_hf.cli import _parser

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_python_blocks_run_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 8
    # The reader's own language model, here a tiny one.
    names: dict[str, object] = {"llm": generator()}
    with HubServer() as hub:
        hub.add_user("hf_me", "me")
        point_to(hub, monkeypatch, tmp_path / "home")
        for number, block in enumerate(blocks):
            code = compile(block, f"README.md block {number}", "exec")
            exec(code, names)
        assert len(hub.repo("me/explanations").log()) == 3
    assert (tmp_path / "explanation.html").stat().st_size > 10_000
    printed = capsys.readouterr().out
    assert "dull" in printed
    assert "R²" in printed
    truth = {(): 0.1, (1,): -0.3, (0, 2): 0.5}
    found = names["fit"].spectrum.to_dict()  # type: ignore[attr-defined]
    assert all(abs(found[members] - value) < 0.02 for members, value in truth.items())


def test_the_commands_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^    make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for line in re.findall(r"^\$ proxyspex-hf (.*)$", README, re.MULTILINE):
        assert _parser().parse_args(shlex.split(line)).run


def test_linked_files_exist() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
