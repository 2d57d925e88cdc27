"""A removal set beside what the model itself says of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from proxyspex_hf.core.removal.best import RemovalSolution


@dataclass(frozen=True)
class RemovalCheck:
    """A removal set, what the explanation predicts of it, and what the model says.

    Attributes:
        solution: the set, with the predicted value and the proof of optimality.
        labels: the removed features' texts.
        full: the model's value of the whole input.
        actual: the model's value without the removed features.
    """

    solution: RemovalSolution
    labels: tuple[str, ...]
    full: float
    actual: float

    @property
    def delta(self) -> float:
        """The paper's ΔLLM output, |f([n]) - f(S)| / |f([n])| (equation 4)."""
        return abs(self.full - self.actual) / abs(self.full) if self.full else math.inf

    @property
    def predicted_delta(self) -> float:
        """The same by the explanation, relative to the model's own full value."""
        return abs(self.solution.change) / abs(self.full) if self.full else math.inf
