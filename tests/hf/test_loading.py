"""Loading: what was asked is what is there, and quantized values are what they are said to be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_pipelines import clip, generator, picture

from proxyspex_hf import DEMO_MODEL, InputError, InteractionExplainer
from proxyspex_hf.core.faithfulness import r2_score

TEXT = "It could have been great, but the plot is dull and never funny."


def saved(pipe: Any, directory: Path) -> str:
    pipe.save_pretrained(directory)
    return str(directory)


def masks_of(n: int, count: int = 60) -> np.ndarray:
    return np.random.default_rng(n).random((count, n)) < 0.5


@pytest.mark.parametrize(
    ("quantization", "kind", "least"), [("8bit", "int8", 0.99), ("4bit", "nf4", 0.9)]
)
def test_a_quantized_classifier(quantization: str, kind: str, least: float) -> None:
    plain = InteractionExplainer.from_pretrained(DEMO_MODEL, target="POSITIVE")
    small = InteractionExplainer.from_pretrained(
        DEMO_MODEL, quantization=quantization, target="POSITIVE", budget=40, n_test=4, proxy="lasso"
    )
    masks = masks_of(13)
    values = small.value_function(TEXT)(masks)
    r2 = r2_score(plain.value_function(TEXT)(masks), values)
    assert r2 is not None
    assert least < r2 < 1
    # Not even the last bit depends on what else is in the batch.
    alone = small.value_function(TEXT, batch_size=1)(masks)
    np.testing.assert_allclose(alone, values, atol=1e-4)
    record = small(TEXT).record
    assert record.provenance.quantization is not None
    assert record.provenance.quantization.startswith(kind)
    assert record.provenance.noise_floor is not None
    assert record.provenance.noise_floor < 1e-4
    whole = plain(TEXT, budget=40, n_test=0, proxy="lasso").record.provenance
    assert whole.quantization is None
    assert whole.noise_floor is None
    assert record.provenance.model_bytes < whole.model_bytes


@pytest.mark.parametrize(
    ("quantization", "kind", "least"), [("8bit", "int8", 0.95), ("4bit", "nf4", 0.3)]
)
def test_quantized_random_models_of_other_kinds(
    quantization: str, kind: str, least: float, tmp_path: Path
) -> None:
    pair = {"image": picture(48, 48), "text": "not bad, not dull"}
    cases: list[tuple[Any, Any, dict]] = [
        (generator(width=128), TEXT, {"mask_token": "_", "target": " great fun"}),
        (clip(width=64), pair, {"patches": (3, 3)}),
    ]
    for number, (pipe, value, options) in enumerate(cases):
        place = saved(pipe, tmp_path / str(number))
        small = InteractionExplainer.from_pretrained(
            place, task=pipe.task or None, quantization=quantization, **options
        )
        function = small.value_function(value)
        masks = masks_of(function.n_features)
        r2 = r2_score(
            InteractionExplainer(pipe, **options).value_function(value)(masks), function(masks)
        )
        assert r2 is not None
        assert least < r2 < 1, (number, r2)
        assert small(
            value, budget=40, n_test=0, proxy="lasso"
        ).record.provenance.quantization.startswith(kind)


def test_4_bits_on_a_cpu_need_layers_of_whole_blocks(tmp_path: Path) -> None:
    """bitsandbytes would fail in the first forward pass, with a shape that tells nobody why."""
    pipe = clip(width=96)
    pipe.save_pretrained(tmp_path)
    with pytest.raises(InputError, match="a layer of it takes 96 features, and 4-bit layers on"):
        InteractionExplainer.from_pretrained(
            str(tmp_path), task="zero-shot-image-classification", quantization="4bit"
        )


def test_half_precision_tells_its_noise() -> None:
    explainer = InteractionExplainer.from_pretrained(DEMO_MODEL, dtype="bfloat16", budget=40)
    record = explainer(TEXT, n_test=0, proxy="lasso").record
    assert record.provenance.dtype == "bfloat16"
    assert record.provenance.noise_floor is not None
    assert 0 <= record.provenance.noise_floor < 0.2


def test_a_device_map_works_unchanged() -> None:
    explainer = InteractionExplainer.from_pretrained(DEMO_MODEL, device_map="auto")
    plain = InteractionExplainer.from_pretrained(DEMO_MODEL)
    masks = masks_of(13, 10)
    np.testing.assert_allclose(
        explainer.value_function(TEXT)(masks), plain.value_function(TEXT)(masks), atol=1e-5
    )


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (DEMO_MODEL, {"quantization": "2bit"}, "quantization must be '8bit', '4bit' or None"),
        ("no/such-model", {"task": "text-classification"}, "cannot load 'no/such-model'"),
        (DEMO_MODEL, {"task": "no-such-task"}, "cannot load"),
        # Before anything is loaded: there is no such model.
        ("no/such-model", {"task": "object-detection"}, "task 'object-detection' is not supported"),
        ("no/such-model", {"task": "ner"}, "cannot load 'no/such-model' for ner"),
        (DEMO_MODEL, {"aplha": 2}, "unknown option 'aplha'"),
    ],
)
def test_what_cannot_be_loaded_says_so(model: str, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        InteractionExplainer.from_pretrained(model, **options)
