"""Attention heads as features (paper, section 5.2)."""

from proxyspex_hf.studies.heads.attribution import HeadAttribution
from proxyspex_hf.studies.heads.examples import Choice, Labelled
from proxyspex_hf.studies.heads.pruning import HeadEnergy, PrunedHeads

__all__ = ["Choice", "HeadAttribution", "HeadEnergy", "Labelled", "PrunedHeads"]
