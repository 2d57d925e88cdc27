"""Studies of a model's parts and of its training data (paper, section 5).

    from proxyspex_hf.studies import Choice, HeadAttribution

Names load on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from proxyspex_hf.studies.data import DataAttribution, PackedMasks
    from proxyspex_hf.studies.heads import (
        Choice,
        HeadAttribution,
        HeadEnergy,
        Labelled,
        PrunedHeads,
    )

_PLACES = {
    "Choice": "heads",
    "DataAttribution": "data",
    "HeadAttribution": "heads",
    "HeadEnergy": "heads",
    "Labelled": "heads",
    "PackedMasks": "data",
    "PrunedHeads": "heads",
}

__all__ = [
    "Choice",
    "DataAttribution",
    "HeadAttribution",
    "HeadEnergy",
    "Labelled",
    "PackedMasks",
    "PrunedHeads",
]


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
