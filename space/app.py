"""The Space: explanations to look at and play with, and to make with models on its list."""

from __future__ import annotations

import os
from typing import Any

try:
    import spaces  # only there on Spaces; must be imported before torch
except ImportError:
    gpu: dict[str, Any] = {}
else:
    # Seconds that a ZeroGPU Space may hold a GPU at a time; elsewhere this does nothing.
    gpu = {"gpu": spaces.GPU(duration=120)}

from proxyspex_hf.app import Limits, Models, Settings, launch

settings = Settings(
    Models(),
    limits=Limits(seconds=110.0 if "SPACES_ZERO_GPU" in os.environ else 600.0),
    sign_in=True,
    **gpu,
)

if __name__ == "__main__":
    if "SPACES_ZERO_GPU" in os.environ:
        settings.models.preload()  # each run gets a process of its own, forked from this one
    launch(settings)
