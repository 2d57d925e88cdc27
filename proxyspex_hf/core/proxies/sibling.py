"""A sibling: what a cheaper model says of the same features, where a costly one's answers begin.

The costly model's values are explained as ρ · sibling + the difference, with a Gaussian process for
the difference. Giving ρ a normal prior of variance r² makes the sibling one more term of the
covariance, r² s(x) s(x'), and r² is learnt by marginal likelihood as all else is (:mod:`.kernel`):
where the two models disagree it goes to 0, and nothing is left of the sibling.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from proxyspex_hf.checks import FloatArray
from proxyspex_hf.core.frozen import Frozen
from proxyspex_hf.core.spectrum import FourierSpectrum
from proxyspex_hf.core.values import level_and_scale


@dataclass(frozen=True, eq=False)
class Sibling(Frozen):
    """What is known of the cheaper model.

    Attributes:
        spectrum: its values less their mean, over their standard deviation, as a spectrum.
        relevance: (n,) the relevances that its own Gaussian process has learnt; None where its
            spectrum is exact. Features that matter to one model tend to matter to the other.
        scale: that standard deviation, in its values' unit.
    """

    spectrum: FourierSpectrum
    relevance: FloatArray | None = None
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.relevance is not None:
            relevance = np.array(self.relevance, dtype=np.float64)
            relevance.flags.writeable = False
            object.__setattr__(self, "relevance", relevance)

    @classmethod
    def of(
        cls, spectrum: FourierSpectrum, values: FloatArray, relevance: FloatArray | None = None
    ) -> Sibling | None:
        """From the spectrum of a model's values, and the values (m,) that it was found in.

        None where they do not vary: such a model says nothing of another.
        """
        level, scale = level_and_scale(values)
        if scale == 0.0:
            return None
        return cls(spectrum.rescaled(-level / scale, 1.0 / scale), relevance, scale)

    @property
    def log_relevance(self) -> FloatArray | None:
        """(n,) about their mean: which features matter more than others, and how much more."""
        if self.relevance is None:
            return None
        logs = np.log(np.maximum(self.relevance, 1e-12))
        return np.asarray(logs - logs.mean())
