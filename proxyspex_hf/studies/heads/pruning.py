"""Which heads to keep, and where their interactions are (paper, section 5.2, figure 9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from proxyspex_hf.checks import BoolArray
from proxyspex_hf.core.spectrum import FourierSpectrum


@dataclass(frozen=True)
class PrunedHeads:
    """One set of heads to keep, and how the model does with it.

    Attributes:
        method: ``"ProxySPEX"``, ``"LASSO"``, ``"best of N"`` random sets, or ``"all heads"``.
        kept: how many heads are kept.
        heads: their labels.
        mask: (n,) 1 = kept, as a tuple of bool.
        predicted: what the fitted spectrum predicts of the set; None where nothing is fitted.
        value: f of the set by the model, on the examples that the study was made with.
        accuracy, log_probability: means over the held-out examples.
        status: of the optimisation, see :class:`proxyspex_hf.core.removal.best.RemovalSolution`.

    Example:
        >>> study = HeadAttribution(pipe, [Labelled("Never dull.", "POSITIVE")], layers=(1,))
        >>> rows = study.prune(study.explain(), kept=(2,), held_out=[Labelled("Dull.", "NEGATIVE")])
        >>> {row.method for row in rows} >= {"ProxySPEX", "LASSO", "all heads"}
        True
    """

    method: str
    kept: int
    heads: tuple[str, ...]
    mask: tuple[bool, ...]
    predicted: float | None
    value: float
    accuracy: float
    log_probability: float
    status: str = ""


@dataclass(frozen=True)
class HeadEnergy:
    """The spectral energy of a function of heads, by where its interactions are (figure 9, bottom).

    Attributes:
        linear: Σ F(T)² over single heads.
        within_layer: over interactions of heads of one layer.
        across_layers: over all others but ∅.

    Example:
        >>> HeadEnergy(linear=3.0, within_layer=1.0, across_layers=0.0).total
        4.0
    """

    linear: float
    within_layer: float
    across_layers: float

    @property
    def total(self) -> float:
        """The energy of all sets but ∅."""
        return self.linear + self.within_layer + self.across_layers

    @property
    def shares(self) -> dict[str, float]:
        """Each part's share of the whole; all 0 for a constant."""
        parts = {
            "linear": self.linear,
            "within_layer": self.within_layer,
            "across_layers": self.across_layers,
        }
        return {name: part / self.total if self.total else 0.0 for name, part in parts.items()}


def energy_of(spectrum: FourierSpectrum, layer_of: Sequence[int]) -> HeadEnergy:
    """Divide the energy of ``spectrum``; ``layer_of`` gives each feature's layer, (n,)."""
    sums = [0.0, 0.0, 0.0]
    for members, coefficient in spectrum.to_dict().items():
        if members:
            layers = {layer_of[i] for i in members}
            place = 0 if len(members) == 1 else 1 if len(layers) == 1 else 2
            sums[place] += coefficient * coefficient
    return HeadEnergy(*sums)


def random_masks(n_features: int, kept: int, count: int, rng: np.random.Generator) -> BoolArray:
    """``count`` masks that keep exactly ``kept`` features, (count, n); they may repeat."""
    order = np.argsort(rng.random((count, n_features)), axis=1)
    masks = np.zeros((count, n_features), dtype=np.bool_)
    np.put_along_axis(masks, order[:, :kept], values=True, axis=1)
    return masks
