"""The Space: explanations to look at and play with, and to make with models on its list."""

from __future__ import annotations

import os
from typing import Any

if "SPACES_ZERO_GPU" in os.environ:
    import spaces  # must come before torch

from proxyspex_hf.app import Access, Limits, Models, Settings
from proxyspex_hf.app.launch import launch

zero = "SPACES_ZERO_GPU" in os.environ
# Seconds that one run may hold the GPU of a ZeroGPU Space; before that, it ends by itself.
more: dict[str, Any] = {"gpu": spaces.GPU(duration=120)} if zero else {}
limits = Limits(seconds=110.0) if zero else Limits()
settings = Settings(Models(), limits=limits, account="person", access=Access.of_space(), **more)

if __name__ == "__main__":
    if zero:
        settings.models.preload()  # each run has a process of its own, forked from this one
    launch(settings)
