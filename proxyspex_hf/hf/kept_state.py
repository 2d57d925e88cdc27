"""What a model binds to itself while it is asked is put back: some models change how they compute
once they have read a long text, or a short one, and would answer the next mask in another way."""

from __future__ import annotations

from typing import Any

import torch


class KeptState:
    """The attributes, parts and buffers of a model's modules, as they are now.

    Kept by reference, which costs no memory: what is changed in place, or new, stays. Modules of
    torch itself have no such state, or one that is their own affair (sharded models).

    Args:
        model: any module.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        self._kept = [
            (module, dict(vars(module)), dict(module._modules), dict(module._buffers))
            for module in model.modules()
            if not type(module).__module__.startswith("torch.")
        ]

    def restore(self) -> None:
        """Bind again what was bound."""
        for module, attributes, parts, buffers in self._kept:
            # Whether a module is training is not the model's to change.
            training = vars(module)["training"]
            _rebind(vars(module), attributes)
            vars(module)["training"] = training
            _rebind(module._modules, parts)
            if not hasattr(module, "_hf_hook"):  # accelerate moves those of an offloaded model
                _rebind(module._buffers, buffers)


def _rebind(now: dict[str, Any], before: dict[str, Any]) -> None:
    # What is new stays: it may say that something was done in place, such as hooks installed.
    if any(now.get(name, before) is not value for name, value in before.items()):
        now.update(before)
