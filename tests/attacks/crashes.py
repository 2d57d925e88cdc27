"""Crashes: a process killed anywhere, a cache that was damaged, a model that fails, huge values."""

from __future__ import annotations

import random
import signal
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from children import Child

from attacks.outcome import Attack, Outcome
from proxyspex_hf import InteractionExplainer, InteractionExplanation, ModelError, ProxySpexError

TEXT = "It could have been great, but the plot is dull and never funny."
#: Explains with a cache, so slowly that a kill strikes in the middle; prints the id.
_RUN = """
import time
import torch
from tiny_models import roberta_pipeline
from proxyspex_hf import InteractionExplainer
from proxyspex_hf.hub.rows import content_id
pipe = roberta_pipeline()
torch.nn.modules.module.register_module_forward_pre_hook(
    lambda module, args: time.sleep({pause} if module is pipe.model else 0)
)
print("ready", flush=True)
explainer = InteractionExplainer(pipe, budget=120, proxy="lasso", batch_size=4, rounds=1)
found = explainer({text!r}, cache_dir={cache!r}, progress=False)
print(content_id(found.record), flush=True)
"""


def _process(cache: str, pause: float) -> Child:
    return Child(_RUN.format(text=TEXT, cache=cache, pause=pause))


def _finished(cache: str) -> str:
    return _process(cache, 0.0).done().split()[-1]


def killed(long: bool) -> Outcome:
    """kill -9 at random moments; what is resumed is the same, bit for bit."""
    times = 20 if long else 1
    rng = random.Random(0)
    same = asked_before = 0
    with tempfile.TemporaryDirectory() as folder:
        expected = _finished(f"{folder}/undisturbed")
        for number in range(times):
            cache = f"{folder}/{number}"
            process = _process(cache, 0.05)
            while "ready" not in process.stdout:
                time.sleep(0.01)
            time.sleep(rng.uniform(0.2, 1.6))
            process.signal(signal.SIGKILL)
            process.wait()
            asked_before += sum(path.stat().st_size for path in Path(cache).glob("*.values"))
            same += _finished(cache) == expected
    return Outcome(
        "kill -9 in the middle",
        f"{times} kills at random moments of a run with a cache",
        same == times and asked_before > 0,
        f"{same} of {times} resumed runs with the id of an undisturbed one; {asked_before:,} bytes "
        "of answers were there",
    )


def damaged(long: bool) -> Outcome:
    """Flipped bits and torn ends of the cache."""
    from tiny_models import roberta_pipeline

    pipe, rng = roberta_pipeline(), random.Random(1)
    options: dict[str, Any] = {"budget": 60, "proxy": "lasso", "batch_size": 8, "progress": False}
    times = 60 if long else 8
    came: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        first = InteractionExplainer(pipe, cache_dir=folder, **options)(TEXT)
        (path,) = Path(folder).glob("*.values")
        whole = path.read_bytes()
        for number in range(times):
            data = bytearray(whole)
            for _ in range(1 + number % 3):
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            if number % 4 == 3:
                del data[rng.randrange(len(data) // 2, len(data)) :]
            path.write_bytes(bytes(data))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                again = InteractionExplainer(pipe, cache_dir=folder, **options)(TEXT)
            same = again.record.queries == first.record.queries
            came["same bits" if same and again == first else "other bits"] += 1
    return Outcome(
        "a damaged cache",
        f"{times} caches with flipped bits, a quarter of them torn",
        came["same bits"] == times,
        f"{dict(came)}",
    )


def failing(_long: bool) -> Outcome:
    """No memory in any wording, foreign errors, and values that are not numbers."""
    from tiny_models import roberta_pipeline

    pipe = roberta_pipeline()
    forward = pipe.model.forward
    masks = np.random.default_rng(0).random((60, 13)) < 0.5
    plain = InteractionExplainer(pipe).value_function(TEXT)(masks)
    wordings: list[Callable[[], Exception]] = [
        lambda: torch.OutOfMemoryError("CUDA out of memory."),
        lambda: RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        lambda: MemoryError("Unable to allocate 2 GiB"),
        lambda: RuntimeError("CUBLAS_STATUS_ALLOC_FAILED"),
        lambda: RuntimeError("a wording of tomorrow"),
    ]
    halved, wasted = 0, []
    for make in wordings:
        failed: list[int] = []

        def small(*args: Any, failed: list[int] = failed, make: Any = make, **more: Any) -> Any:
            if len(more["input_ids"]) > 5:
                failed.append(len(more["input_ids"]))
                raise make()
            return forward(*args, **more)

        pipe.model.forward = small
        values = InteractionExplainer(pipe).value_function(TEXT, batch_size=20)(masks)
        halved += bool(np.allclose(values, plain, atol=1e-4))
        wasted.append(len(failed))
    pipe.model.forward = forward
    named = 0
    kinds = (KeyError, ZeroDivisionError, StopIteration, AssertionError, NotImplementedError)
    for kind in kinds:

        def broken(rows: np.ndarray, kind: type[Exception] = kind) -> np.ndarray:
            if (rows.sum(axis=1) == 0).any():
                raise kind("no")
            return rows @ np.arange(10.0)

        try:
            InteractionExplainer(broken, progress=False)(10)
        except ModelError as error:
            named += kind.__name__ in str(error) and "with 0 of 10 features kept" in str(error)
    return Outcome(
        "a model that fails",
        f"{len(wordings)} wordings of no memory above 5 rows; {len(kinds)} errors at one mask",
        halved == len(wordings) and max(wasted) <= 4 and named == len(kinds),
        f"{halved} halved to the right values, with {max(wasted)} failed batches at most; {named} "
        "named the mask",
    )


def huge_values(_long: bool) -> Outcome:
    """Values of any size: explained, saved, loaded and shown, or an error of ours."""

    def base(masks: np.ndarray) -> np.ndarray:
        return masks[:, 0] - 2.0 * masks[:, 1] * masks[:, 2] + 0.3 * masks.sum(axis=1)

    levels = (1e-320, 1e-300, 1e-3, 1e12, 1e150, 1e200, 1e300, 1e304)
    functions: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        **{f"{size:g}": lambda m, size=size: base(m) * size for size in levels},
        "1e12 + small": lambda m: 1e12 + base(m),
        "one of 1e200": lambda m: base(m) + 1e200 * m.all(axis=1),
        "±1.7e308": lambda m: np.where(m[:, 0], 1.7e308, -1.7e308),
        "constant 1e300": lambda m: np.full(len(m), 1e300),
        "-0.0": lambda m: np.where(m.any(axis=1), -0.0, 0.0),
    }
    came: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        for function in functions.values():
            try:
                found = InteractionExplainer(function, progress=False, budget=40, proxy="lasso")(9)
                found.save(f"{folder}/e.json")
                same = InteractionExplanation.load(f"{folder}/e.json") == found
                shown = bool(str(found) and found.to_html() and found.removal(1))
                came["kept" if same and shown else "lost"] += 1
            except ProxySpexError as error:
                came[type(error).__name__] += 1
            except Exception as error:  # noqa: BLE001 - what is counted
                came[f"foreign {type(error).__name__}"] += 1
    held = came["kept"] == len(functions) - 1 and came["ModelError"] == 1
    return Outcome(
        "huge and tiny values",
        f"{len(functions)} functions from 1e-320 to 1.7e308: explained, saved, loaded, shown",
        held,
        f"{dict(came)}",
    )


ATTACKS: tuple[Attack, ...] = (killed, damaged, failing, huge_values)
