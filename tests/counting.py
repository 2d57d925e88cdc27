"""How many inputs a model is asked."""

from __future__ import annotations

from typing import Any

import torch

#: Masks that are asked again before stored ones are trusted.
AGAIN = 3


def rows_asked(pipe: Any, run: Any) -> int:
    """Model inputs that a call runs; counted beside the model, whose hooks belong to its key."""
    seen = 0

    def count(module: Any, _args: Any, output: Any) -> None:
        nonlocal seen
        seen += len(output.logits) if module is pipe.model else 0

    handle = torch.nn.modules.module.register_module_forward_hook(count)
    try:
        run()
    finally:
        handle.remove()
    return seen
