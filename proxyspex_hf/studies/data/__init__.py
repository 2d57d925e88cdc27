"""Training data as features (paper, section 5.1)."""
