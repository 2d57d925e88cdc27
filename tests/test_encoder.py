"""Training the classifier of six layers: stopped and gone on with, it ends as it would have."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf

TRAIN = Path(__file__).parents[1] / "examples" / "train"
MODULES = ("encoder", "teacher", "measure", "hardware", "reviews", "batches")


@pytest.fixture
def encoder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(sys, "path", [str(TRAIN), *sys.path])
    yield import_module("encoder")
    for name in MODULES:
        sys.modules.pop(name, None)


def tiny() -> Any:
    torch.manual_seed(1)
    config = tf.BertConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=64,
    )  # fmt: skip
    return tf.BertForSequenceClassification(config)


def batches(encoder: Any) -> Iterator[Any]:
    """Texts whose first word says the label."""
    rng = np.random.default_rng(0)
    while True:
        ids = torch.from_numpy(rng.integers(2, 40, (16, 6)))
        labels = torch.from_numpy((ids[:, 0] > 20).numpy().astype(np.float32))
        yield encoder.Batch(ids, torch.ones_like(ids), labels)


def test_a_stopped_training_ends_as_it_would_have(encoder: Any, tmp_path: Path) -> None:
    hw = encoder.Hardware(torch.device("cpu"), bf16=False)

    def train(name: str, stops: tuple[int, ...]) -> tuple[Any, float]:
        for stop in stops:
            model = tiny()
            training = encoder.Training(model, 40, 0.01, tmp_path / name)
            loss = training.run(batches(encoder), hw, every=10, until=stop)
            assert training.done == stop
        return model, loss

    whole, last = train("whole.safetensors", (40,))
    resumed, again = train("stopped.safetensors", (10, 30, 40))
    assert last < 0.6  # of ln 2 for a guess
    assert again == pytest.approx(last, rel=1e-6)
    for name, tensor in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], tensor)


def test_another_plan_goes_on_unless_it_is_over(encoder: Any, tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    hw = encoder.Hardware(torch.device("cpu"), bf16=False)
    encoder.Training(tiny(), 2, 0.01, file).run(batches(encoder), hw)
    more = encoder.Training(tiny(), 3, 0.01, file)
    assert more.done == 2
    more.run(batches(encoder), hw)
    with pytest.raises(SystemExit, match="more than 2 steps"):
        encoder.Training(tiny(), 2, 0.01, file)


def test_where_no_encoder_was_trained_it_is_said(
    encoder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoder, "FOLDER", tmp_path)
    with pytest.raises(SystemExit, match=r"encoder\.py"):
        encoder.local_copy()
