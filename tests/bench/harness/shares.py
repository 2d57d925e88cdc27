"""Where the engine's time goes: in the model itself, or in what is done around it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from proxyspex_hf.hf.answers import Asker


class _Watch:
    """Processor time by name."""

    def __init__(self) -> None:
        self.taken: Counter[str] = Counter()
        self._start = 0.0

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            start = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                self.taken[name] += time.process_time() - start

        return timed

    def before(self, *_: Any) -> None:
        self._start = time.process_time()

    def after(self, *_: Any) -> None:
        self.taken["forward"] += time.process_time() - self._start


def engine_shares(function: Any, masks: np.ndarray, repeats: int) -> dict[str, float]:
    """Shares of the engine's processor time, which add up to 1, and what padding costs.

    ``forward`` is inside the model's own forward; ``masks to inputs`` makes the masked tokens;
    ``assembly`` makes tensors of them (pixels are masked there) and reads the outputs; ``rest``
    forms batches, switches the model to evaluation, scores and remembers. ``padding`` is the share
    of the model's token positions that hold no token.
    """
    watch, positions, empty = _Watch(), 0, 0

    def count(_module: Any, _args: Any, kwargs: dict[str, Any]) -> None:
        nonlocal positions, empty
        attention = kwargs.get("attention_mask")
        if attention is not None:
            positions += attention.numel()
            empty += int((attention == 0).sum())
        watch.before()

    function(masks)
    hooks = [
        function.model.register_forward_pre_hook(count, with_kwargs=True),
        function.model.register_forward_hook(watch.after),
    ]
    # Shadowed on the instance alone, and only while it is watched.
    function.items = watch.around("items", function.items)
    function.outputs = watch.around("outputs", function.outputs)
    try:
        start = time.process_time()
        for _ in range(repeats):
            Asker(function)(masks)
        total = time.process_time() - start
    finally:
        del function.items, function.outputs
        for hook in hooks:
            hook.remove()
    taken = watch.taken
    parts = {
        "forward": taken["forward"],
        "masks to inputs": taken["items"],
        "assembly": taken["outputs"] - taken["forward"],
        "rest": total - taken["items"] - taken["outputs"],
    }
    return {
        **{name: round(part / total, 3) for name, part in parts.items()},
        "padding": round(empty / positions, 3) if positions else 0.0,
    }


def forward_share(model: Any, run: Callable[[], Any], repeats: int) -> float:
    """Share of ``run``'s processor time that is inside the model's own forward."""
    watch = _Watch()
    hooks = [
        model.register_forward_pre_hook(watch.before),
        model.register_forward_hook(watch.after),
    ]
    try:
        start = time.process_time()
        for _ in range(repeats):
            run()
        total = time.process_time() - start
    finally:
        for hook in hooks:
            hook.remove()
    return round(watch.taken["forward"] / total, 3)
