"""Attention heads as features (paper, section 5.2)."""
