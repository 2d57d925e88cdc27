"""The plain, immutable data of one explanation: what files, Hub rows and pictures carry.

Everything above it (the class users hold, the report, the Hub) reads this and nothing else.
"""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any, Literal, Protocol

from proxyspex_hf.core.effects import Effect, effects_at_input, effects_of
from proxyspex_hf.core.faithfulness import DensityScore
from proxyspex_hf.core.frozen import FrozenMap
from proxyspex_hf.core.known import Known
from proxyspex_hf.core.posterior import Doubt, Posterior
from proxyspex_hf.core.proxies.sibling import Sibling
from proxyspex_hf.core.queries import Queries
from proxyspex_hf.core.spectrum import FourierSpectrum
from proxyspex_hf.core.walsh import is_rounding
from proxyspex_hf.errors import InputError
from proxyspex_hf.record.inputs import (
    Features,
    ImageMasking,
    Part,
    Picture,
    check_text,
)

SCHEMA_VERSION = 3


@dataclass(frozen=True)
class Target:
    """Which number of the model is explained.

    Attributes:
        label: what the number is of: a class label as the model's config names it, the text whose
            generation is scored, the caption an image is compared with.
        index: its position among the model's outputs; None where it has none.
        kind: what the number is, in the model's own units: ``"logit"`` (the raw score before
            softmax or sigmoid), ``"log-odds"``, ``"margin"`` (to the best other class),
            ``"probability"``, ``"log-probability"``, ``"log-perplexity"``, ``"contrastive loss"``,
            ``"similarity"``, or the name of the user's own function.
        predicted: the label the model predicts for the unmasked input; None where it predicts
            none.
        other: the other label, of a model that chooses between two; else None.
    """

    label: str
    index: int | None
    kind: str
    predicted: str | None
    other: str | None = None

    def is_opposite_of(self, target: Target) -> bool:
        """Whether the two are the labels of a choice between two, and not of one among more."""
        return self.other == target.label and target.other == self.label


class _Effects(Protocol):
    """Effects of a spectrum, with intervals from what is known beside it."""

    def __call__(
        self, spectrum: FourierSpectrum, posterior: Posterior | Known | None, /, *, exact: bool
    ) -> tuple[Effect, ...]: ...


_LARGEST = sys.float_info.max
#: Coefficients beyond this are shrunk by a power of two, which is exact, before they are summed.
_HUGE, _SHRUNK = 1e280, 2.0**-200


def _finite(value: Any) -> Any:
    """What files can hold of a number that overflowed: the largest there is, or None of no number.

    Values near the largest leave no room for their squares; what was asked is kept all the same.
    """
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return None if math.isnan(value) else math.copysign(_LARGEST, value)


def _finite_score(score: DensityScore) -> DensityScore:
    ends = score.interval
    if ends is not None and not all(map(math.isfinite, ends)):
        ends = None
    return replace(score, r2=_finite(score.r2), linear_r2=_finite(score.linear_r2), interval=ends)


def _enlarged(effect: Effect) -> Effect:
    """An effect of shrunk coefficients as it is, at most the largest number there is."""

    def sized(value: float) -> float:
        return max(-_LARGEST, min(_LARGEST, value / _SHRUNK))

    ends = effect.interval
    ends = None if ends is None else (sized(ends[0]), sized(ends[1]))
    return replace(effect, value=sized(effect.value), interval=ends)


@dataclass(frozen=True)
class FitReport:
    """How the spectrum was found.

    Attributes:
        method: the proxy's name, or ``"exact"`` where every subset was enumerated.
        chosen: the configuration that cross-validation chose, as shown to a reader.
        refinement: what was done to the extracted coefficients, or ``"none"``.
        cv_r2: cross-validated R² on the fitting masks; None for ``"exact"``.
        cv: one row per configuration tried, plain values only.
        dropped_energy: bound on what the extraction guard left out, 0.0 if nothing.
    """

    method: str
    chosen: str
    refinement: str
    cv_r2: float | None
    cv: tuple[Mapping[str, Any], ...] = ()
    dropped_energy: float = 0.0

    def __post_init__(self) -> None:
        rows = [{name: _finite(value) for name, value in row.items()} for row in self.cv]
        object.__setattr__(self, "cv", tuple(map(FrozenMap, rows)))
        object.__setattr__(self, "cv_r2", _finite(self.cv_r2))
        lost = _finite(self.dropped_energy)
        object.__setattr__(self, "dropped_energy", _LARGEST if lost is None else lost)


#: Options of a call that decide a value; where they were given, they are among the arguments.
CALL_OPTIONS: Mapping[str, type] = MappingProxyType(
    {
        "function_to_apply": str,
        "multi_label": bool,
        "hypothesis_template": str,
        "aggregation_strategy": str,
    }
)


@dataclass(frozen=True)
class Settings:
    """What the user asked for; together with the model, enough to make the explanation again.

    Attributes:
        masking: what happens to a piece of text that is not kept.
        image_masking: what happens to a region that is not kept: ``"zero"``, ``"mean"`` or
            ``"blur"``; None without an image.
        arguments: the task's own, as plain JSON data: candidate labels, the question, a reference.
    """

    features: str
    masking: Literal["mask", "delete"]
    mask_token: str | None
    alpha: float | None
    budget: int
    n_coefficients: int
    max_order: int | None
    sampling: str
    seed: int
    image_masking: ImageMasking | None = None
    arguments: Mapping[str, Any] = field(default_factory=lambda: FrozenMap({}))

    def __post_init__(self) -> None:
        object.__setattr__(self, "arguments", FrozenMap(self.arguments))


@dataclass(frozen=True)
class Provenance:
    """Where it came from. Times and date describe the run, so they take no part in equality.

    Attributes:
        quantization: how the weights are stored, such as ``"int8"`` or ``"nf4"``; None if as they
            were trained.
        device_map: device of each part of a model that is spread over several, else empty.
        model_bytes: memory of the weights and buffers; None if unknown.
        noise_floor: largest difference seen between values of one mask asked in different
            batches, in the target's unit; None if it was not measured.
    """

    model: str
    revision: str | None
    dtype: str
    device: str
    versions: Mapping[str, str]
    notes: tuple[str, ...] = ()
    quantization: str | None = None
    device_map: Mapping[str, str] = field(default_factory=lambda: FrozenMap({}))
    model_bytes: int | None = None
    noise_floor: float | None = None
    created: str = field(default="", compare=False)
    seconds: Mapping[str, float] = field(default_factory=lambda: FrozenMap({}), compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "noise_floor", _finite(self.noise_floor))
        for name in ("versions", "device_map", "seconds"):
            object.__setattr__(self, name, FrozenMap(getattr(self, name)))


@dataclass(frozen=True)
class ExplanationRecord:
    """One explanation, whole: the input, the question, the answer and the evidence.

    Attributes:
        task: the pipeline's task.
        text: the input as explained (already cut where the model takes less, see the notes); a
            prompt as a whole, with its fixed parts; empty for an image or a function alone.
        picture: the input's image as the model reads it, None without one.
        parts: named ranges of the text, in order and disjoint.
        features, target, spectrum, queries, faithfulness, fit, settings, provenance: see there.
        doubt: the Gaussian process that intervals come from; None where the spectrum is exact, and
            in explanations of before version 3.
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
    picture: Picture | None = None
    parts: tuple[Part, ...] = ()
    doubt: Doubt | None = None
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        n = len(self.features)
        check_text(self.text, "the text")
        check_text(self.target.label, "the label")
        check_text(self.target.other or "", "the other label")
        object.__setattr__(self, "faithfulness", tuple(map(_finite_score, self.faithfulness)))
        if self.doubt is not None and not math.isfinite(self.doubt.level + self.doubt.scale):
            object.__setattr__(self, "doubt", None)  # it told of nothing
        if self.spectrum.n_features != n or self.queries.masks.shape[1] != n:
            raise InputError(
                f"{n} features, but the spectrum has {self.spectrum.n_features} and the masks "
                f"{self.queries.masks.shape[1]}."
            )
        spans = self.features.spans
        if spans and spans[-1][1] > len(self.text):
            raise InputError("the features' spans reach beyond the end of the text.")
        if self.doubt is not None and len(self.doubt.kernel.relevance) != n:
            raise InputError(
                f"{n} features, but the intervals' kernel has {len(self.doubt.kernel.relevance)}."
            )
        position = 0
        for part in self.parts:
            if not position <= part.start <= part.stop <= len(self.text):
                raise InputError(f"the part {part.name!r} overlaps another or leaves the text.")
            position = part.stop
        self._check_regions()

    def __getstate__(self) -> dict[str, Any]:
        """The fields; what was derived from them is derived again."""
        return {part.name: getattr(self, part.name) for part in fields(self)}

    def __copy__(self) -> ExplanationRecord:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> ExplanationRecord:
        return self

    def __hash__(self) -> int:
        """Of a part: equal records have equal parts."""
        values = tuple(self.queries.values[:8].tolist())
        return hash((self.task, self.text, self.features.labels, self.target, values))

    def _check_regions(self) -> None:
        regions = self.features.regions
        if not regions:
            return
        if self.picture is None:
            raise InputError("the features have regions, but there is no picture.")
        corners = [corner for region in regions for ring in region for corner in ring]
        if not all(
            0 <= x <= self.picture.width and 0 <= y <= self.picture.height for x, y in corners
        ):
            raise InputError("a region reaches beyond the edge of the picture.")

    @cached_property
    def posterior(self) -> Posterior | Known | None:
        """What intervals come from: where every subset was asked, the answers themselves; None
        where there is nothing, or a stored posterior makes no sense."""
        fitted = slice(self.queries.n_fit)
        masks, values = self.queries.masks[fitted], self.queries.values[fitted]
        if self.fit.method == "exact":
            return Known.of(masks, values)
        if self.doubt is None:
            return None
        found = Posterior(self.doubt, masks, values)
        return found if found.is_sound else None

    @property
    def sibling(self) -> Sibling | None:
        """What a cheaper model said, where the explanation began with it and had a use for it."""
        return None if self.doubt is None else self.doubt.kernel.sibling

    @cached_property
    def effects(self) -> tuple[Effect, ...]:
        """Effects at the input, largest first: every single feature, and the sets that matter."""
        return self._sized(effects_at_input)

    def effects_of(self, sets: Sequence[tuple[int, ...]]) -> tuple[Effect, ...]:
        """The effect at the input of each set of features, whether or not it is one of those."""
        return self._sized(partial(effects_of, sets))

    def _sized(self, effects: _Effects) -> tuple[Effect, ...]:
        if abs(self.spectrum.coefficients).max() < _HUGE:
            return effects(self.spectrum, self.posterior, exact=self.is_exact)
        # Their sums would overflow, and so would the ends of their intervals.
        small = self.spectrum.with_coefficients(self.spectrum.coefficients * _SHRUNK)
        known = None if self.posterior is None else self.posterior.rescaled(_SHRUNK)
        return tuple(map(_enlarged, effects(small, known, exact=self.is_exact)))

    @property
    def is_exact(self) -> bool:
        """Every subset was asked, and no more than rounding was cut away."""
        return self.fit.method == "exact" and is_rounding(
            self.fit.dropped_energy, self.queries.values
        )

    @property
    def is_chat(self) -> bool:
        """Whether the text holds its special tokens, as a chat template writes them."""
        stated = self.settings.arguments.get("special_tokens")
        if isinstance(stated, bool):
            return not stated
        # Older records do not state it; in a chat, text follows the last part.
        return bool(self.parts) and self.parts[-1].stop < len(self.text)

    @property
    def blocks(self) -> tuple[tuple[int, int], ...]:
        """Ranges of the text that were masked each on its own, such as messages of a chat.

        Raises:
            InputError: what the text was masked as is not in the record, or makes no sense.
        """
        stated = self.settings.arguments.get("blocks", ())
        if stated is None:
            raise InputError(
                "the chat template writes other text around masked messages, so the explanation "
                "does not hold its whole input: pass inputs=... as it was given to the explainer."
            )
        try:
            return tuple((operator.index(start), operator.index(stop)) for start, stop in stated)
        except (TypeError, ValueError):
            raise InputError(f"the explanation's blocks are not ranges: {stated!r:.60}.") from None

    @property
    def full_value(self) -> float:
        """What the model gave for the unmasked input."""
        return float(self.queries.values[0])

    @property
    def empty_value(self) -> float:
        """What the model gave with every feature masked."""
        return float(self.queries.values[1])
