"""Studies of a model's parts and of its training data (paper, section 5).

    from proxyspex_hf.studies import Choice, HeadAttribution

Names load on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from proxyspex_hf.studies.data import DataAttribution
    from proxyspex_hf.studies.heads import HeadAttribution
    from proxyspex_hf.studies.heads_examples import Choice, Labelled
    from proxyspex_hf.studies.heads_pruning import HeadEnergy, PrunedHeads
    from proxyspex_hf.studies.packed import PackedMasks

_PLACES = {
    "Choice": "heads_examples",
    "DataAttribution": "data",
    "HeadAttribution": "heads",
    "HeadEnergy": "heads_pruning",
    "Labelled": "heads_examples",
    "PackedMasks": "packed",
    "PrunedHeads": "heads_pruning",
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
