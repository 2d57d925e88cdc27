"""A model as it is asked: on its own device, without dropout or gradients, by many threads."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from proxyspex_hf.hf.kept_state import KeptState


class _Modes:
    """Which modules of a model were training, and which threads are evaluating it now, each as
    often as it has entered; and what the model was before the first of them."""

    def __init__(self) -> None:
        self.threads: list[int] = []
        self.training: list[torch.nn.Module] = []
        self.state: KeptState | None = None


_modes: weakref.WeakKeyDictionary[torch.nn.Module, _Modes] = weakref.WeakKeyDictionary()
_modes_lock = threading.Lock()


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Dropout off and no gradients while inside; every module's mode is put back when the last
    thread that evaluates the model has left.

    So is what the model has bound to itself, as long as no other thread is evaluating it.

    Not in inference mode: what a model keeps of a forward pass (tables of positions, a static
    cache) could be used in no other, and the model not be trained any more.
    """
    if not isinstance(model, torch.nn.Module):
        with torch.no_grad():
            yield
        return
    thread = threading.get_ident()
    with _modes_lock:
        modes = _modes.setdefault(model, _Modes())
        modes.threads.append(thread)
        training = [module for module in model.modules() if module.training]
        modes.training += training
        for module in training:
            module.training = False
        # Of the first alone: others may come while it has the model changed.
        modes.state = modes.state or KeptState(model)
    try:
        with torch.no_grad():
            yield
    finally:
        with _modes_lock:
            if set(modes.threads) == {thread} and modes.state is not None:
                modes.state.restore()
            modes.threads.remove(thread)
            if not modes.threads:
                modes.state = None
                for module in modes.training:
                    module.training = True
                modes.training.clear()


def model_device(model: Any) -> torch.device:
    """Where inputs go: the first parameter's device (right for models spread by a device map)."""
    parameters = getattr(model, "parameters", None)
    first = None if parameters is None else next(iter(parameters()), None)
    return torch.device("cpu") if first is None else first.device
