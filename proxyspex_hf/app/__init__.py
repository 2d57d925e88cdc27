"""The Gradio app: see an explanation, play with it, make your own. Needs the extra ``space``."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from proxyspex_hf.app.access import Access
    from proxyspex_hf.app.launch import launch, running
    from proxyspex_hf.app.models import Models
    from proxyspex_hf.app.settings import Limits, Settings

__all__ = ["Access", "Limits", "Models", "Settings", "launch", "running"]

_PLACES = {
    "Access": "access",
    "Limits": "settings",
    "Models": "models",
    "Settings": "settings",
    "launch": "launch",
    "running": "launch",
}


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        found = getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
        globals()[name] = (
            found  # else the module of that name, which import put there, is found next
        )
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
