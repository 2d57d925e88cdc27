"""What the docs say of the code is what the code says."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import generated
import pytest

from proxyspex_hf.cli.main import _parser
from proxyspex_hf.hf.served.model import _CLASSES, _SCORING

DOCS = Path(__file__).parents[1] / "docs"


def test_the_pages_are_not_stale() -> None:
    assert generated.main(["--check"]) == 0


def test_what_is_stale_is_found_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "tables.md"
    page.write_text("a\n<!-- generated: proxies -->\nby nobody\n<!-- /generated -->\nby hand\n")
    monkeypatch.setattr(generated, "PAGES", (page,))
    monkeypatch.setattr(generated, "ROOT", tmp_path)
    assert generated.main(["--check"]) == 1
    assert "tables.md is stale" in capsys.readouterr().err
    assert "by nobody" in page.read_text()
    assert generated.main([]) == 0
    assert "by nobody" not in page.read_text()
    assert "| `lasso` | LASSO over single features" in page.read_text()
    assert page.read_text().endswith("by hand\n")
    assert generated.main(["--check"]) == 0


def test_every_option_of_every_command_is_told() -> None:
    page = (DOCS / "cli.md").read_text(encoding="utf-8")
    (commands,) = [a for a in _parser()._actions if isinstance(a, argparse._SubParsersAction)]
    parts = re.split(r"^## ", page, flags=re.MULTILINE)[1:]
    told = {part.split("\n", 1)[0]: part for part in parts}
    assert list(told) == list(commands.choices)
    for name, command in commands.choices.items():
        assert (command.epilog or "").strip() in told[name]
        for option in command._option_string_actions:
            if option not in ("-h", "--help"):
                row = re.search(rf"^\|.*`{option}[ `].*\| (.*) \|$", told[name], re.MULTILINE)
                assert row is not None, (name, option)
                assert len(row[1].split("(default")[0]) > 5, f"{name} {option} has no help"


def test_the_page_on_served_models_has_every_dialect() -> None:
    text = (DOCS / "served.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w-]+)` \|", text, re.MULTILINE)
    assert rows == [kind.name for kind in (*_SCORING, *_CLASSES)]


def test_the_exit_codes_are_those_of_the_module() -> None:
    import proxyspex_hf.cli.main as module

    codes = re.findall(r"\b(\d+) ", (module.__doc__ or "").split("Exit codes:")[1])
    for page in ("cli.md", "howto/app.md"):
        text = (DOCS / page).read_text(encoding="utf-8").split("Exit codes:")[1]
        assert re.findall(r"\b(\d+)\s", text)[: len(codes)] == codes
