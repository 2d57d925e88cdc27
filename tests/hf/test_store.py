"""The cache directory: nothing is asked twice, not after a crash, not beside another process."""

from __future__ import annotations

import json
import shutil
import signal
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from children import Child
from counting import AGAIN, rows_asked
from tiny_models import roberta_pipeline

from proxyspex_hf import InputError, InteractionExplainer
from proxyspex_hf.hf.store import ValueStore
from proxyspex_hf.hf.weights import weights_fingerprint

TEXT = "It could have been great, but the plot is dull and never funny."


def bound(explainer: InteractionExplainer) -> None:
    """Bind the text, as every call does."""
    explainer.value_function(TEXT)


def test_a_second_run_asks_nothing_and_is_the_same(tmp_path: Path) -> None:
    pipe = roberta_pipeline()
    options = {"budget": 60, "n_test": 10, "proxy": "lasso", "cache_dir": tmp_path}
    explainer = InteractionExplainer(pipe, **options)
    binding = rows_asked(pipe, lambda: bound(explainer))
    first = explainer(TEXT)
    again: list[Any] = []
    asked = rows_asked(pipe, lambda: again.append(InteractionExplainer(pipe, **options)(TEXT)))
    assert asked == binding + AGAIN
    assert again[0] == first
    assert again[0] == InteractionExplainer(pipe, budget=60, n_test=10, proxy="lasso")(TEXT)
    # More masks: only the new ones, and the trial of the way in which they are asked.
    more = InteractionExplainer(pipe, budget=60, n_test=20, proxy="lasso", cache_dir=tmp_path)
    assert 0 < rows_asked(pipe, lambda: more(TEXT)) - binding - AGAIN <= 30 + 4 * 8


@pytest.mark.parametrize(
    "change",
    [{"masking": "delete"}, {"target": "NEUTRAL"}, {"mask_token": "_"}, {"value": "margin"}],
)
def test_what_changes_a_value_changes_the_key(tmp_path: Path, change: dict) -> None:
    pipe = roberta_pipeline()
    explainer = InteractionExplainer(
        pipe, budget=40, n_test=0, proxy="lasso", cache_dir=tmp_path, target=0
    )
    explainer(TEXT)
    explainer(TEXT, **change)
    assert len(list(tmp_path.glob("*.values"))) == 2


def test_changed_weights_are_another_model(tmp_path: Path) -> None:
    pipe = roberta_pipeline()
    before = weights_fingerprint(pipe.model)
    explainer = InteractionExplainer(
        pipe, budget=40, n_test=0, proxy="lasso", cache_dir=tmp_path, target=0
    )
    first = explainer(TEXT)
    with torch.no_grad():
        pipe.model.classifier.out_proj.bias += 1.0
    assert weights_fingerprint(pipe.model) != before
    shift = explainer(TEXT).record.queries.values - first.record.queries.values
    np.testing.assert_allclose(shift, 1.0, atol=1e-5)


def test_records_survive_damage_to_others(tmp_path: Path) -> None:
    store = ValueStore(tmp_path, {"a": 1}, 12)
    masks = [bytes([i, 16 * (i % 16)]) for i in range(50)]
    store.add({mask: float(i) for i, mask in enumerate(masks)})
    data = bytearray(store.path.read_bytes())
    header = struct.unpack("<8sII", data[:16])
    assert header[:2] == (b"PSPXVAL1", 2)
    assert json.loads(data[16 : 16 + header[2]]) == {"a": 1}
    start = 16 + header[2]
    data[start + 14 * 7 + 4] ^= 0x40  # a bit of the eighth value
    store.path.write_bytes(bytes(data[:-5]))  # and the last record torn
    again = ValueStore(tmp_path, {"a": 1}, 12)
    found = again.new()
    assert masks[7] not in found
    assert masks[49] not in found
    assert found == {m: float(i) for i, m in enumerate(masks) if i not in (7, 49)}
    again.add({masks[7]: 7.0, masks[49]: 49.0})
    assert ValueStore(tmp_path, {"a": 1}, 12).new() == {m: float(i) for i, m in enumerate(masks)}
    assert again.new() == {masks[7]: 7.0, masks[49]: 49.0}


def test_a_directory_that_is_emptied_meanwhile_is_filled_again(tmp_path: Path) -> None:
    store = ValueStore(tmp_path / "c", {"a": 1}, 20)
    store.add({b"abc": 2.0})
    shutil.rmtree(tmp_path / "c")
    assert store.new() == {}
    store.add({b"abd": 1.0})
    assert ValueStore(tmp_path / "c", {"a": 1}, 20).new() == {b"abd": 1.0}


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    store = ValueStore(tmp_path, {"a": 1}, 20)
    store.path.unlink()
    store.path.mkdir()  # what another user's file is to a user; root reads that
    with pytest.raises(InputError, match=r"cannot read .*\.values: Is a directory"):
        store.new()


def test_a_file_that_is_no_cache_is_begun_anew(tmp_path: Path) -> None:
    store = ValueStore(tmp_path, {"a": 1}, 12)
    store.add({b"ab": 1.0})
    store.path.write_bytes(b"\x00" * 300)
    again = ValueStore(tmp_path, {"a": 1}, 12)
    assert again.new() == {}
    again.add({b"cd": 2.0})
    assert ValueStore(tmp_path, {"a": 1}, 12).new() == {b"cd": 2.0}


def test_damaged_values_are_asked_again(tmp_path: Path) -> None:
    pipe = roberta_pipeline()
    explainer = InteractionExplainer(pipe, budget=40, n_test=0, proxy="lasso", cache_dir=tmp_path)
    first = explainer(TEXT)
    (path,) = tmp_path.glob("*.values")
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    data[-17] ^= 1
    path.write_bytes(bytes(data))
    again = explainer(TEXT)
    np.testing.assert_allclose(again.record.queries.values, first.record.queries.values, atol=1e-5)


def test_values_of_an_unnamed_function_are_not_kept(tmp_path: Path) -> None:
    explainer = InteractionExplainer(roberta_pipeline(), cache_dir=tmp_path)
    with pytest.raises(InputError, match="cache_dir cannot be used with a user-supplied function"):
        explainer(TEXT, value=lambda z: z[:, 0])
    occupied = tmp_path / "file"
    occupied.write_text("")
    with pytest.raises(InputError, match=r"cache_dir=.* cannot be used"):
        explainer(TEXT, cache_dir=occupied)


SLOW = """
import time
import torch
from tiny_models import roberta_pipeline
from proxyspex_hf import InteractionExplainer
pipe = roberta_pipeline()
# Beside the model: its own hooks belong to its key.
torch.nn.modules.module.register_module_forward_pre_hook(
    lambda module, args: time.sleep({pause} if module is pipe.model else 0)
)
explainer = InteractionExplainer(
    pipe, budget=120, n_test=0, proxy="lasso", batch_size=4, cache_dir={cache!r}
)
explainer({text!r})
"""


def start(cache: Path, pause: float) -> Child:
    return Child(SLOW.format(cache=str(cache), text=TEXT, pause=pause))


def records(cache: Path) -> int:
    # 13 features: 2 bytes of mask, 8 of value, 4 of checksum; binding made the header.
    sizes = []
    for path in cache.glob("*.values"):
        with path.open("rb") as file:
            header = struct.unpack("<8sII", file.read(16))
        sizes.append((path.stat().st_size - 16 - header[2]) // 14)
    return sum(sizes)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As many as the children have: another number changes a forward pass in its last bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_killed_in_the_middle_it_continues(tmp_path: Path) -> None:
    child = start(tmp_path, 0.1)
    deadline = time.monotonic() + 120
    while records(tmp_path) < 20 and time.monotonic() < deadline:
        time.sleep(0.05)
    child.signal(signal.SIGKILL)
    assert child.wait().returncode == -signal.SIGKILL
    kept = records(tmp_path)
    assert 20 <= kept < 120
    pipe = roberta_pipeline()
    explainer = InteractionExplainer(
        pipe, budget=120, n_test=0, proxy="lasso", batch_size=4, cache_dir=tmp_path
    )
    binding = rows_asked(pipe, lambda: explainer.value_function(TEXT).way)
    found: list[Any] = []
    asked = rows_asked(pipe, lambda: found.append(explainer(TEXT)))
    assert asked - binding == 120 - kept + AGAIN
    assert records(tmp_path) == 120
    # Bit for bit what an undisturbed run gives.
    assert found[0] == InteractionExplainer(
        pipe, budget=120, n_test=0, proxy="lasso", batch_size=4
    )(TEXT)


def test_two_processes_share_a_cache(tmp_path: Path) -> None:
    """Started with another hash seed than this one, which finds their answers by the same key."""
    for child in [start(tmp_path, 0.02) for _ in range(2)]:
        child.done()
    pipe = roberta_pipeline()
    explainer = InteractionExplainer(
        pipe, budget=120, n_test=0, proxy="lasso", batch_size=4, cache_dir=tmp_path
    )
    binding = rows_asked(pipe, lambda: bound(explainer))
    assert rows_asked(pipe, lambda: explainer(TEXT)) == binding + AGAIN
    (path,) = tmp_path.glob("*.values")
    assert records(tmp_path) >= 120
    assert path.stat().st_size < 16 + 10_000 + 14 * 241
