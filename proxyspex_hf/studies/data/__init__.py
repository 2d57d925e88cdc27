"""Training data as features (paper, section 5.1)."""

from proxyspex_hf.studies.data.attribution import DataAttribution
from proxyspex_hf.studies.data.packed import PackedMasks

__all__ = ["DataAttribution", "PackedMasks"]
