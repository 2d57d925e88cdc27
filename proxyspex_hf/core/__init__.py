"""The algorithm and its mathematics: numpy, scipy, scikit-learn, LightGBM, HiGHS, nothing else.

Knows nothing of Hugging Face: importing it loads no torch and no transformers. What fits loads on
first use: who reads an explanation waits for no LightGBM and no scikit-learn.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from proxyspex_hf.core.indices import interactions
from proxyspex_hf.core.masks import all_masks, budget_for, sample_masks
from proxyspex_hf.core.progress import Progress
from proxyspex_hf.core.spectrum import FourierSpectrum
from proxyspex_hf.core.values import Cached, FunctionOfMasks, ValueFunction
from proxyspex_hf.core.walsh import exact_spectrum

if TYPE_CHECKING:
    from proxyspex_hf.core.algorithm import ProxySPEX, SpectrumFit

__all__ = [
    "Cached",
    "FourierSpectrum",
    "FunctionOfMasks",
    "Progress",
    "ProxySPEX",
    "SpectrumFit",
    "ValueFunction",
    "all_masks",
    "budget_for",
    "exact_spectrum",
    "interactions",
    "sample_masks",
]


def __getattr__(name: str) -> Any:
    if name in ("ProxySPEX", "SpectrumFit"):
        return getattr(import_module("proxyspex_hf.core.algorithm"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
