"""What a user may choose about an input: its features, how they are masked, which output."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from proxyspex_hf.checks import FloatArray
from proxyspex_hf.hf.failures import Retry
from proxyspex_hf.hf.text.mask_token import Masking
from proxyspex_hf.record.inputs import ImageMasking, TextKind

#: A name, or a function from the model's outputs (b, …), float64, to one number per row, (b,).
ValueOf = str | Callable[[FloatArray], Any]


@dataclass(frozen=True)
class FeatureOptions:
    """See :class:`proxyspex_hf.options.ExplainerOptions` for each.

    Attributes:
        targets: several labels that are asked together; ``target`` is then None.
    """

    features: TextKind | Sequence[tuple[int, int]] = "words"
    masking: Masking = "mask"
    mask_token: str | None = None
    target: str | int | None = None
    targets: tuple[str | int, ...] = ()
    value: ValueOf | None = None
    patches: int | tuple[int, int] | str | None = None
    image_masking: ImageMasking = "zero"
    max_new_tokens: int | None = None
    batch_size: int | None = None
    retry: Retry | None = None
    function_to_apply: str | None = None
    multi_label: bool | None = None
    hypothesis_template: str | None = None
    aggregation_strategy: str | None = None
