"""Texts as features: dividing, masking, rendering and reading them as the model does."""
