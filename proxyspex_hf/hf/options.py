"""What a user may choose about an input: its features, how they are masked, which output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from proxyspex_hf.hf.masking import Masking
from proxyspex_hf.record import FeatureKind

__all__ = ["FeatureOptions"]


@dataclass(frozen=True)
class FeatureOptions:
    """See :class:`proxyspex_hf.InteractionExplainer` for each."""

    features: FeatureKind | Sequence[tuple[int, int]] = "words"
    masking: Masking = "mask"
    mask_token: str | None = None
    target: str | int | None = None
    batch_size: int | None = None
