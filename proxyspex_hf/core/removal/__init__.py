"""Removal sets (paper, section 4.2): exact by enumeration or an integer program, else by search."""

from proxyspex_hf.core.removal.best import (
    RemovalSolution,
    best_removal,
    maximize,
    minimize,
    removal_curve,
)

__all__ = ["RemovalSolution", "best_removal", "maximize", "minimize", "removal_curve"]
