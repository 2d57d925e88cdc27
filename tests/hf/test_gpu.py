"""What only a GPU can show: values there beside those of the processor (``make gpu``)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_pipelines import generator

from proxyspex_hf import DEMO_MODEL, InteractionExplainer

#: ``cpu`` tries the tests themselves where no GPU is.
DEVICE = os.environ.get("GPU_TESTS_DEVICE", "cuda")
TEXT = "Not once in two hours was I bored, and the ending is a joy."

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        DEVICE == "cuda" and not torch.cuda.is_available(), reason="needs a GPU: make gpu"
    ),
]


def masks(n: int, count: int = 200) -> np.ndarray:
    drawn = np.random.default_rng(0).random((count, n)) < 0.5
    drawn[0] = True
    return drawn


def r2(truth: np.ndarray, found: np.ndarray) -> float:
    return float(1 - np.square(truth - found).sum() / np.square(truth - truth.mean()).sum())


@pytest.mark.parametrize(
    ("dtype", "least"), [("float32", 0.99999), ("float16", 0.999), ("bfloat16", 0.99)]
)
def test_values_are_the_processors(dtype: str, least: float) -> None:
    found = []
    for device, kind in (("cpu", "float32"), (DEVICE, dtype)):
        explainer = InteractionExplainer.from_pretrained(
            DEMO_MODEL, target="POSITIVE", device_map=device, dtype=getattr(torch, kind)
        )
        function = explainer.value_function(TEXT)
        found.append(function(masks(function.n_features)))
    assert r2(*found) >= least


@pytest.mark.parametrize("quantization", ["8bit", "4bit"])
def test_a_quantized_language_model_says_the_same_in_every_batch(
    quantization: str, tmp_path: Path
) -> None:
    pytest.importorskip("bitsandbytes")
    pipe = generator(width=64)
    pipe.model.save_pretrained(tmp_path)
    pipe.tokenizer.save_pretrained(tmp_path)
    explainer = InteractionExplainer.from_pretrained(
        str(tmp_path),
        task="text-generation",
        quantization=quantization,
        device_map=DEVICE,
        value="log-perplexity",
        target=" a good answer",
    )
    function = explainer.value_function("the old story says that no bird sings at night")
    asked = masks(function.n_features, 40)
    values = function(asked)
    assert np.isfinite(values).all()
    assert len(np.unique(values)) > 30
    np.testing.assert_allclose(function(asked[:3]), values[:3], atol=1e-3)


def test_an_explanation_leaves_no_memory_behind() -> None:
    if DEVICE != "cuda":
        pytest.skip("of a GPU's memory")
    explainer = InteractionExplainer.from_pretrained(
        DEMO_MODEL, target="POSITIVE", device_map=DEVICE
    )
    held: list[Any] = []
    for _ in range(3):
        explainer(TEXT, progress=False)
        held.append(torch.cuda.memory_allocated())
    assert held[2] <= held[0]
