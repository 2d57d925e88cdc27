"""The plain, immutable data of one explanation: what files, Hub rows and pictures carry.

Everything above it (the class users hold, the report, the Hub) reads this and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from proxyspex_hf.core.faithfulness import DensityScore
from proxyspex_hf.core.masks import BoolArray
from proxyspex_hf.core.spectrum import FloatArray, FourierSpectrum
from proxyspex_hf.errors import InputError

__all__ = [
    "SCHEMA_VERSION",
    "DensityScore",
    "ExplanationRecord",
    "Features",
    "FitReport",
    "Provenance",
    "Queries",
    "Settings",
    "Target",
]

SCHEMA_VERSION = 1

FeatureKind = Literal["words", "sentences", "tokens", "spans"]


@dataclass(frozen=True)
class Features:
    """What a mask switches: disjoint pieces of the input, in reading order.

    Attributes:
        labels: (n,) the text of each feature, as a reader sees it.
        spans: (n,) half-open character ranges into the text; pieces and gaps rebuild it exactly.
        kind: how the text was divided.
    """

    labels: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]
    kind: FeatureKind

    def __post_init__(self) -> None:
        if not self.labels or len(self.labels) != len(self.spans):
            raise InputError(
                "features need one label a span and at least one of them, got "
                f"{len(self.labels)} labels and {len(self.spans)} spans."
            )
        position = 0
        for start, stop in self.spans:
            if not position <= start < stop:
                raise InputError(
                    "spans must be ordered, disjoint and not empty; "
                    f"({start}, {stop}) follows position {position}."
                )
            position = stop

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Target:
    """Which number of the model is explained.

    Attributes:
        label: the class label, as the model's config names it.
        index: its position among the model's outputs.
        kind: ``"logit"``: the raw score before softmax or sigmoid.
        predicted: the label the model predicts for the unmasked input.
    """

    label: str
    index: int
    kind: str
    predicted: str


@dataclass(frozen=True, eq=False)
class Queries:
    """Every mask the model was asked, and its answer; ``n_fit`` were fitted, the rest held out.

    Attributes:
        masks: (m, n) bool, 1 = kept. Row 0 keeps everything, row 1 nothing.
        values: (m,) float64.
        n_fit: rows used for fitting; all of them where every subset was enumerated.
        densities: (m,) the keep probability each mask was drawn with.
    """

    masks: BoolArray
    values: FloatArray
    n_fit: int
    densities: FloatArray

    def __post_init__(self) -> None:
        m = len(self.masks)
        if self.masks.ndim != 2 or self.values.shape != (m,) or self.densities.shape != (m,):
            raise InputError(
                "queries need masks (m, n), values (m,) and densities (m,), got "
                f"{self.masks.shape}, {self.values.shape}, {self.densities.shape}."
            )
        if not 0 <= self.n_fit <= m:
            raise InputError(f"n_fit must lie between 0 and {m}, got {self.n_fit}.")
        for array in (self.masks, self.values, self.densities):
            array.flags.writeable = False

    def __len__(self) -> int:
        return len(self.values)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Queries):
            return NotImplemented
        return (
            self.n_fit == other.n_fit
            and np.array_equal(self.masks, other.masks)
            and np.array_equal(self.values, other.values)
            and np.array_equal(self.densities, other.densities)
        )

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True)
class FitReport:
    """How the spectrum was found.

    Attributes:
        method: ``"boosting"``, or ``"exact"`` where every subset was enumerated.
        chosen: the configuration that cross-validation chose, as shown to a reader.
        refinement: what was done to the extracted coefficients, or ``"none"``.
        cv_r2: cross-validated R² on the fitting masks; None for ``"exact"``.
        cv: one row a configuration tried, plain values only.
        dropped_energy: bound on what the extraction guard left out, 0.0 if nothing.
    """

    method: str
    chosen: str
    refinement: str
    cv_r2: float | None
    cv: tuple[Mapping[str, Any], ...] = ()
    dropped_energy: float = 0.0


@dataclass(frozen=True)
class Settings:
    """What the user asked for; together with the model, enough to make the explanation again."""

    features: str
    masking: Literal["mask", "delete"]
    mask_token: str | None
    alpha: float | None
    budget: int
    n_coefficients: int
    max_order: int | None
    sampling: str
    seed: int


@dataclass(frozen=True)
class Provenance:
    """Where it came from. Times and date describe the run, so they take no part in equality."""

    model: str
    revision: str | None
    dtype: str
    device: str
    versions: Mapping[str, str]
    notes: tuple[str, ...] = ()
    created: str = field(default="", compare=False)
    seconds: Mapping[str, float] = field(
        default_factory=lambda: MappingProxyType({}), compare=False
    )


@dataclass(frozen=True)
class ExplanationRecord:
    """One explanation, whole: the input, the question, the answer and the evidence.

    Attributes:
        task: the pipeline's task.
        text: the input as explained (already cut where the model takes less, see the notes).
        features, target, spectrum, queries, faithfulness, fit, settings, provenance: see there.
        schema_version: version of the stored form.
    """

    task: str
    text: str
    features: Features
    target: Target
    spectrum: FourierSpectrum
    queries: Queries
    faithfulness: tuple[DensityScore, ...]
    fit: FitReport
    settings: Settings
    provenance: Provenance
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        n = len(self.features)
        if self.spectrum.n_features != n or self.queries.masks.shape[1] != n:
            raise InputError(
                f"{n} features, but the spectrum has {self.spectrum.n_features} and the masks "
                f"{self.queries.masks.shape[1]}."
            )
        if self.features.spans[-1][1] > len(self.text):
            raise InputError("the features' spans reach beyond the end of the text.")

    @property
    def is_exact(self) -> bool:
        """Every subset was asked, and no more than rounding was cut away."""
        lost = self.fit.dropped_energy
        return self.fit.method == "exact" and lost <= 1e-9 * (self.spectrum.energy + lost)

    @property
    def full_value(self) -> float:
        """What the model gave for the unmasked input."""
        return float(self.queries.values[0])

    @property
    def empty_value(self) -> float:
        """What the model gave with every feature masked."""
        return float(self.queries.values[1])
