"""The algorithm and its mathematics: numpy, scipy, scikit-learn, LightGBM, HiGHS, nothing else.

Knows nothing of Hugging Face: importing it loads no torch and no transformers.
"""

from proxyspex_hf.core.algorithm import ProxySPEX, SpectrumFit
from proxyspex_hf.core.indices import interactions
from proxyspex_hf.core.masks import all_masks, budget_for, sample_masks
from proxyspex_hf.core.progress import Progress
from proxyspex_hf.core.spectrum import FourierSpectrum
from proxyspex_hf.core.values import Cached, FunctionOfMasks, ValueFunction
from proxyspex_hf.core.walsh import exact_spectrum

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
