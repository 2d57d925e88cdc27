"""A model that fails: nothing that was answered is lost, and what failed is named."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from counting import AGAIN, rows_asked
from filelock import FileLock
from tiny_models import roberta_pipeline

from proxyspex_hf import InteractionExplainer, ModelError, ProxySPEX, ProxySpexWarning, Retry
from proxyspex_hf.errors import InputError
from proxyspex_hf.hf.failures import is_out_of_memory
from proxyspex_hf.hf.store import ValueStore

TEXT = "It could have been great, but the plot is dull and never funny."

NO_MEMORY: list[Callable[[], BaseException]] = [
    lambda: MemoryError("Unable to allocate 2 GiB"),
    lambda: RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    lambda: RuntimeError(
        "[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory: you "
        "tried to allocate 8589934592 bytes."
    ),
    lambda: RuntimeError("MPS backend out of memory (MPS allocated: 18 GB)"),
    lambda: RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
    lambda: RuntimeError("HIP out of memory"),
    lambda: RuntimeError("std::bad_alloc"),
    lambda: ValueError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate"),
    lambda: OSError(errno.ENOMEM, "Cannot allocate memory"),
]


@pytest.mark.parametrize("make", NO_MEMORY, ids=range(len(NO_MEMORY)))
def test_memory_runs_out_in_any_wording(make: Callable[[], BaseException]) -> None:
    assert is_out_of_memory(make())
    wrapped = ModelError("the model failed")
    wrapped.__cause__ = make()
    assert is_out_of_memory(wrapped)
    assert not is_out_of_memory(RuntimeError("shapes cannot be multiplied"))


@pytest.mark.parametrize("make", [*NO_MEMORY[:3], lambda: RuntimeError("an unknown wording")])
def test_a_batch_that_fails_is_halved_and_the_size_remembered(
    monkeypatch: pytest.MonkeyPatch, make: Callable[[], BaseException]
) -> None:
    pipe = roberta_pipeline()
    masks = np.random.default_rng(0).random((40, 13)) < 0.5
    plain = InteractionExplainer(pipe).value_function(TEXT)(masks)
    function = InteractionExplainer(pipe).value_function(TEXT, batch_size=16)
    assert function.way == "together"
    forward, sizes, failed = pipe.model.forward, [], []

    def small(*args: Any, **kwargs: Any) -> Any:
        rows = len(kwargs["input_ids"])
        (failed if rows > 5 else sizes).append(rows)
        if rows > 5:
            raise make()
        return forward(*args, **kwargs)

    monkeypatch.setattr(pipe.model, "forward", small)
    np.testing.assert_allclose(function(masks), plain, atol=1e-5)
    assert failed == [16, 8]  # once, not at each batch
    assert max(sizes) == 4
    assert sum(sizes) == len(np.unique(masks, axis=0))


def test_one_input_that_fails_is_named_and_costs_no_other() -> None:
    asked: list[int] = []
    broken = True

    def function(masks: np.ndarray) -> np.ndarray:
        asked.append(len(masks))
        if (
            broken
            and (masks.sum(axis=1) == 9).any()
            and not masks[:, 4][masks.sum(axis=1) == 9].all()
        ):
            raise KeyError("no such thing")
        return masks @ np.arange(10.0)

    explainer = InteractionExplainer(function, progress=False, budget=80, batch_size=32)
    with pytest.raises(ModelError, match=r"KeyError.*with 9 of 10 features kept \(removed: 4\)"):
        explainer(10)
    before = sum(asked)
    broken = False
    asked.clear()
    assert explainer(10).top(1)[0].members == (9,)
    assert sum(asked) < 80 - (before - 32 * 3)  # what came was kept
    assert sum(asked) < 80


def test_not_a_number_at_one_mask_keeps_the_others() -> None:
    asked: list[int] = []
    broken = True

    def function(masks: np.ndarray) -> np.ndarray:
        asked.append(len(masks))
        values = masks @ np.arange(10.0)
        return np.where(broken & ~masks.any(axis=1), np.nan, values)

    explainer = InteractionExplainer(function, progress=False, budget=80)
    with pytest.raises(ModelError, match=r"the function 'function' gave nan for 1 of"):
        explainer(10)
    first = sum(asked)
    broken = False
    asked.clear()
    explainer(10)
    # The one that is missing, and the few that show it to be the same function.
    assert sum(asked) <= 80 - first + 1 + AGAIN


def test_a_network_is_asked_again_only_where_it_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    sizes: list[int] = []

    def flaky(masks: np.ndarray) -> np.ndarray:
        sizes.append(len(masks))
        if len(sizes) % 3:
            raise ConnectionError("the server went away")
        return masks @ np.arange(9.0)

    with pytest.raises(ModelError, match="ConnectionError: the server went away"):
        InteractionExplainer(flaky, progress=False, budget=40)(9)
    assert len(sizes) == 1  # neither halved nor tried again
    assert waits == []
    sizes.clear()
    explainer = InteractionExplainer(
        flaky, progress=False, budget=40, retry=Retry(times=2, wait=0.5), rounds=1
    )
    assert explainer(9).top(1)[0].members == (8,)
    assert waits == [0.5, 1.0] * (len(sizes) // 3)
    with pytest.raises(ModelError, match="ConnectionError"):
        InteractionExplainer(flaky, progress=False, budget=40, retry=Retry(times=1))(9)


def test_a_fit_that_does_not_fit_into_memory_keeps_the_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []

    def function(masks: np.ndarray) -> np.ndarray:
        asked.append(len(masks))
        return masks @ np.arange(10.0)

    explainer = InteractionExplainer(function, progress=False, budget=60)
    with monkeypatch.context() as patched:
        patched.setattr(
            ProxySPEX, "fit", lambda *_, **__: (_ for _ in ()).throw(MemoryError("1 TiB"))
        )
        with pytest.raises(InputError, match=r"the fit of 60 masks of 10 features .*\(1 TiB\)"):
            explainer(10)
    asked.clear()
    assert explainer(10).top(1)[0].members == (9,)
    assert sum(asked) <= AGAIN


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"times": -1}, "retry times must lie between 0 and 1000, got -1"),
        ({"wait": 0}, "retry wait must be a positive number"),
        ({"on": ("ConnectionError",)}, "retry on must be error classes"),
        ({"on": ()}, "retry on must be error classes"),
    ],
)
def test_retries_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Retry(**settings)
    assert Retry(times=9).waits()[-2:] == (60.0, 60.0)
    assert Retry(on=OSError).on == (OSError,)  # type: ignore[arg-type]


def damaged(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "value":
        data[-6] ^= 4
    elif how == "mask":
        data[-14 * 3] ^= 1
    elif how == "header":
        data[20] ^= 1
    elif how == "torn":
        data = data[:-5]
    elif how == "several":
        for place in (-6, -14 * 9 - 6, -14 * 20 - 6):
            data[place] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("how", ["value", "mask", "header", "torn", "several"])
def test_damage_changes_no_bit_of_what_comes_out(tmp_path: Path, how: str) -> None:
    pipe = roberta_pipeline()
    options = {"budget": 40, "n_test": 0, "proxy": "lasso", "batch_size": 8, "target": 0}
    explainer = InteractionExplainer(pipe, cache_dir=tmp_path, **options)
    first = explainer(TEXT)
    (path,) = tmp_path.glob("*.values")
    damaged(path, how)
    made: list[Any] = []
    fresh = InteractionExplainer(pipe, cache_dir=tmp_path, **options)
    binding = rows_asked(pipe, lambda: InteractionExplainer(pipe, **options).value_function(TEXT))
    asked = rows_asked(pipe, lambda: made.append(fresh(TEXT)))
    assert made[0] == first
    np.testing.assert_array_equal(made[0].record.queries.values, first.record.queries.values)
    lost = {"header": 0, "several": 3}.get(how, 1)
    # Each lost record costs the batch it was asked in, and the trial of how to ask.
    assert asked - binding <= AGAIN + lost * 8 + 4 * 8


def test_a_write_that_fails_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ValueStore(tmp_path, {"a": 1}, 12)
    store.add({b"ab": 1.0, b"cd": 2.0})
    size = store.path.stat().st_size
    opened = Path.open

    def full(self: Path, mode: str = "r", *rest: Any, **more: Any) -> Any:
        file = opened(self, mode, *rest, **more)
        if mode == "ab":
            write = file.write

            def half(data: bytes) -> int:
                write(data[: len(data) // 2])
                file.flush()
                raise OSError(errno.ENOSPC, "No space left on device")

            return FailsToWrite(file, half)
        return file

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", full)
        with pytest.raises(InputError, match="No space left on device"):
            store.add({b"ef": 3.0, b"gh": 4.0})
    assert store.path.stat().st_size == size
    store.add({b"ef": 3.0, b"gh": 4.0})
    again = ValueStore(tmp_path, {"a": 1}, 12)
    assert again.new() == {b"ab": 1.0, b"cd": 2.0, b"ef": 3.0, b"gh": 4.0}
    assert not again.damaged


class FailsToWrite:
    def __init__(self, file: Any, write: Callable[[bytes], int]) -> None:
        self._file, self.write = file, write

    def __enter__(self) -> FailsToWrite:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def test_a_directory_that_cannot_be_written_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ValueStore(tmp_path, {"a": 1}, 12).add({b"ab": 1.0})

    def refused(self: FileLock, *_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(FileLock, "acquire", refused)
    with pytest.warns(ProxySpexWarning, match="cannot be written: answers that lie there are read"):
        store = ValueStore(tmp_path, {"a": 1}, 12)
    assert store.new() == {b"ab": 1.0}
    store.add({b"cd": 2.0})
    store.clear()
    assert store.new() == {}
    with pytest.warns(ProxySpexWarning, match="cannot be written"):
        assert ValueStore(tmp_path, {"other": 1}, 12).new() == {}


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_without_locks_gets_a_lock_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def unsupported(self: FileLock, *_: object, **__: object) -> None:
        raise OSError(number, "No locks available")

    monkeypatch.setattr(FileLock, "acquire", unsupported)
    store = ValueStore(tmp_path, {"a": 1}, 12)
    store.add({b"ab": 1.0})
    assert ValueStore(tmp_path, {"a": 1}, 12).new() == {b"ab": 1.0}
    assert not list(tmp_path.glob("*.softlock"))  # given back


def test_a_long_wait_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxyspex_hf.hf.store._PATIENCE", 0.05)
    store = ValueStore(tmp_path, {"a": 1}, 12)
    taken = threading.Event()

    def hold() -> None:
        with FileLock(store.path.with_suffix(".lock")):
            taken.set()
            time.sleep(0.5)

    other = threading.Thread(target=hold)
    other.start()
    taken.wait()
    with pytest.warns(ProxySpexWarning, match="waiting for another process that holds"):
        store.add({b"ab": 1.0})
    other.join()
    assert store.new() == {b"ab": 1.0}


def test_paths_that_cannot_be(tmp_path: Path) -> None:
    explainer = InteractionExplainer(roberta_pipeline(), cache_dir=f"{tmp_path}/a\0b")
    with pytest.raises(InputError, match="cannot be used"):
        explainer(TEXT)
