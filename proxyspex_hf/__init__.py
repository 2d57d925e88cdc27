"""Which combinations of my inputs made this model say that?

    from transformers import pipeline
    from proxyspex_hf import InteractionExplainer

    explainer = InteractionExplainer(pipeline("text-classification", model=...))
    explanation = explainer("The sequel truly elevated the original")

Names load on first use, so that ``proxyspex_hf.core`` needs neither torch nor transformers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from proxyspex_hf.moved import keep_old_names
from proxyspex_hf.versions import __version__

if TYPE_CHECKING:
    from proxyspex_hf.comparison import Comparison, Difference, compare
    from proxyspex_hf.core.algorithm import ProxySPEX
    from proxyspex_hf.core.progress import Progress
    from proxyspex_hf.core.queries import Goal
    from proxyspex_hf.core.spectrum import FourierSpectrum
    from proxyspex_hf.dataset.explain import DatasetRun, explain_dataset
    from proxyspex_hf.demo import DEMO_CLIP, DEMO_MODEL
    from proxyspex_hf.errors import (
        HubError,
        InputError,
        ModelError,
        ProxySpexError,
        ProxySpexWarning,
        SchemaError,
        SolveError,
    )
    from proxyspex_hf.explainer import InteractionExplainer
    from proxyspex_hf.explanation import InteractionExplanation
    from proxyspex_hf.hf.failures import Retry
    from proxyspex_hf.hf.served.model import ServedModel
    from proxyspex_hf.hub.entries import HubEntry
    from proxyspex_hf.hub.push import PushResult
    from proxyspex_hf.interaction import Interaction
    from proxyspex_hf.overview import Overview, Recurring, explanations_summary, hub_summary
    from proxyspex_hf.prompts import Prompt, PromptPart, context_prompt
    from proxyspex_hf.sharing import pull_explanations, push_explanations

_PLACES = {
    "DatasetRun": "dataset.explain",
    "Comparison": "comparison",
    "DEMO_CLIP": "demo",
    "DEMO_MODEL": "demo",
    "Difference": "comparison",
    "FourierSpectrum": "core.spectrum",
    "Goal": "core.queries",
    "HubEntry": "hub.entries",
    "HubError": "errors",
    "InputError": "errors",
    "Interaction": "interaction",
    "InteractionExplainer": "explainer",
    "InteractionExplanation": "explanation",
    "ModelError": "errors",
    "Overview": "overview",
    "Progress": "core.progress",
    "Prompt": "prompts",
    "PromptPart": "prompts",
    "PushResult": "hub.push",
    "ProxySPEX": "core.algorithm",
    "ProxySpexError": "errors",
    "ProxySpexWarning": "errors",
    "Recurring": "overview",
    "Retry": "hf.failures",
    "SchemaError": "errors",
    "ServedModel": "hf.served.model",
    "SolveError": "errors",
    "compare": "comparison",
    "context_prompt": "prompts",
    "explain_dataset": "dataset.explain",
    "explanations_summary": "overview",
    "hub_summary": "overview",
    "pull_explanations": "sharing",
    "push_explanations": "sharing",
}

__all__ = [
    "DEMO_CLIP",
    "DEMO_MODEL",
    "Comparison",
    "DatasetRun",
    "Difference",
    "FourierSpectrum",
    "Goal",
    "HubEntry",
    "HubError",
    "InputError",
    "Interaction",
    "InteractionExplainer",
    "InteractionExplanation",
    "ModelError",
    "Overview",
    "Progress",
    "Prompt",
    "PromptPart",
    "ProxySPEX",
    "ProxySpexError",
    "ProxySpexWarning",
    "PushResult",
    "Recurring",
    "Retry",
    "SchemaError",
    "ServedModel",
    "SolveError",
    "__version__",
    "compare",
    "context_prompt",
    "explain_dataset",
    "explanations_summary",
    "hub_summary",
    "pull_explanations",
    "push_explanations",
]

keep_old_names()


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
