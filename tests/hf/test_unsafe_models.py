"""Models that would run their own code are refused with a reason, and run none."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from proxyspex_hf import DEMO_MODEL, InputError, InteractionExplainer
from proxyspex_hf.app.models import SHIPPED, Models
from proxyspex_hf.hf.loading import load_pipeline

TASK = "text-classification"


class Payload:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.mark}",)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "ran"


def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DEMO_MODEL, tmp_path / "model"))


def change(file: Path, **values: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def pickled(tmp_path: Path, mark: Path, name: str = "pytorch_model.bin") -> Path:
    model = copied(tmp_path)
    for file in model.glob("*.safetensors"):
        file.unlink()
    (model / name).write_bytes(pickle.dumps(Payload(mark)))
    return model


def with_code(tmp_path: Path, mark: Path) -> Path:
    model = copied(tmp_path)
    classes = {"AutoConfig": "theirs.C", "AutoModelForSequenceClassification": "theirs.M"}
    change(model / "config.json", model_type="theirs", auto_map=classes)
    (model / "theirs.py").write_text(f"open({str(mark)!r}, 'w')\n")
    return model


def with_tokenizer_code(tmp_path: Path, mark: Path) -> Path:
    model = copied(tmp_path)
    own = {"AutoTokenizer": ["theirs.T", "theirs.T"]}
    change(model / "tokenizer_config.json", tokenizer_class="Theirs", auto_map=own)
    (model / "theirs.py").write_text(f"open({str(mark)!r}, 'w')\n")
    return model


@pytest.mark.parametrize("task", [TASK, None])
@pytest.mark.parametrize(
    ("made", "said"),
    [
        (pickled, "no weights in the safetensors format"),
        (with_code, "needs Python code of its own"),
        (with_tokenizer_code, "needs Python code of its own"),
    ],
)
def test_it_is_refused_in_words_and_nothing_runs(
    tmp_path: Path, mark: Path, made: Any, said: str, task: str | None, monkeypatch: Any
) -> None:
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked at the terminal"))
    model = made(tmp_path, mark)
    with pytest.raises(InputError, match=said):
        load_pipeline(model, task=task)
    with pytest.raises(InputError, match=said):
        InteractionExplainer.from_pretrained(str(model), task=task)
    with pytest.raises(InputError, match=said):
        Models(SHIPPED, any_model=True).offer(str(model), task)
    assert not mark.exists()


def test_even_honest_pickles_are_not_read(tmp_path: Path, mark: Path) -> None:
    model = pickled(tmp_path, mark)
    whole = load_pipeline(DEMO_MODEL, task=TASK).model.state_dict()
    torch.save(whole, model / "pytorch_model.bin")
    with pytest.raises(InputError, match="save_pretrained writes that file"):
        load_pipeline(model, task=TASK)


def test_a_pickle_beside_safe_weights_is_left_alone(tmp_path: Path, mark: Path) -> None:
    model = copied(tmp_path)
    (model / "pytorch_model.bin").write_bytes(pickle.dumps(Payload(mark)))
    assert load_pipeline(model, task=TASK)("good")[0]["label"]
    assert not mark.exists()


def test_a_directory_without_weights_is_not_called_unsafe(tmp_path: Path) -> None:
    model = copied(tmp_path)
    for file in model.glob("*.safetensors"):
        file.unlink()
    with pytest.raises(InputError, match="cannot load"):
        load_pipeline(model, task=TASK)
