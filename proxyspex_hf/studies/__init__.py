"""Studies of a model's parts and of its training data (paper, section 5).

    from proxyspex_hf.studies import Choice, HeadAttribution

Names load on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from proxyspex_hf.studies.data.attribution import DataAttribution
    from proxyspex_hf.studies.data.packed import PackedMasks
    from proxyspex_hf.studies.heads.attribution import HeadAttribution
    from proxyspex_hf.studies.heads.examples import Choice, Labelled
    from proxyspex_hf.studies.heads.pruning import HeadEnergy, PrunedHeads

_PLACES = {
    "Choice": "heads.examples",
    "DataAttribution": "data.attribution",
    "HeadAttribution": "heads.attribution",
    "HeadEnergy": "heads.pruning",
    "Labelled": "heads.examples",
    "PackedMasks": "data.packed",
    "PrunedHeads": "heads.pruning",
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
