"""The examples run as they stand, at a small budget."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from proxyspex_hf import InteractionExplanation

ROOT = Path(__file__).parents[1]


def run_here(monkeypatch: pytest.MonkeyPatch, name: str, *options: str, out: Path) -> None:
    """In this process: another would spend most of its time on importing torch."""
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    monkeypatch.setattr(sys, "argv", [name, *options, "--out", str(out)])
    runpy.run_path(str(ROOT / "examples" / name), run_name="__main__")


def test_the_review_is_explained_and_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_here(monkeypatch, "01_review.py", "--alpha", "0.4", out=tmp_path)
    out = capsys.readouterr().out
    explanation = InteractionExplanation.load(tmp_path / "review.json")
    assert explanation.record.settings.sampling.startswith("question any, 4 rounds: density 0.1, ")
    assert (tmp_path / "review.html").read_text() == explanation.to_html()
    assert "Removing the words that matter most" in out
    assert explanation.top(1)[0].labels[0] in out


def test_patches_and_words_of_a_caption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_here(monkeypatch, "03_clip.py", "--alpha", "0.3", out=tmp_path)
    out = capsys.readouterr().out
    explanation = InteractionExplanation.load(tmp_path / "clip.json")
    assert explanation.text == "a penguin and a guitar"
    assert len(explanation.features) == 36 + 5
    assert {"penguin", "guitar"} & {label for x in explanation.top(5) for label in x.labels}
    assert "A patch with a word:" in out
    assert (tmp_path / "clip_loss.html").stat().st_size > 10_000


def test_patches_and_superpixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_here(monkeypatch, "04_images.py", "--alpha", "0.3", out=tmp_path)
    assert "row 1, column 1" in (tmp_path / "patches.html").read_text()
    assert "region 1" in (tmp_path / "superpixels.html").read_text()
