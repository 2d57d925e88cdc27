"""What made an explanation: the model and the versions, without a path of the user's machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from proxyspex_hf.hf.engine import model_device
from proxyspex_hf.record import Provenance

__all__ = ["provenance_of"]

_PACKAGES = ("proxyspex-hf", "torch", "transformers", "tokenizers", "lightgbm", "numpy")


def provenance_of(pipe: Any, notes: tuple[str, ...], seconds: Mapping[str, float]) -> Provenance:
    """Provenance of an explanation made just now with ``pipe``."""
    config = pipe.model.config
    name = str(getattr(config, "_name_or_path", "") or type(pipe.model).__name__)
    if os.path.isdir(name):
        name = os.path.basename(os.path.normpath(os.path.abspath(name)))
    revision = getattr(config, "_commit_hash", None)
    return Provenance(
        model=name,
        revision=None if revision is None else str(revision),
        dtype=str(pipe.model.dtype).removeprefix("torch."),
        device=str(model_device(pipe.model)),
        versions={"python": platform.python_version(), **{p: version(p) for p in _PACKAGES}},
        notes=notes,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds={name: round(value, 3) for name, value in seconds.items()},
    )
