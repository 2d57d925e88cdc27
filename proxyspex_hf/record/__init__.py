"""One explanation as plain data: its parts, its JSON, and how untrusted JSON is read."""

from proxyspex_hf.record.inputs import Features, Part, Picture
from proxyspex_hf.record.record import (
    ExplanationRecord,
    FitReport,
    Provenance,
    Settings,
    Target,
)

__all__ = [
    "ExplanationRecord",
    "Features",
    "FitReport",
    "Part",
    "Picture",
    "Provenance",
    "Settings",
    "Target",
]
