"""The table of tasks. Adding one: derive from :class:`BoundInput`, enter the class here."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch
from transformers import Pipeline
from transformers.pipelines import PIPELINE_REGISTRY

from proxyspex_hf.errors import InputError
from proxyspex_hf.hf.confirm import confirm
from proxyspex_hf.hf.options import FeatureOptions
from proxyspex_hf.hf.served.classification import ServedClassification
from proxyspex_hf.hf.served.generation import ServedGeneration
from proxyspex_hf.hf.served.model import ServedModel
from proxyspex_hf.hf.tasks.audio import AudioClassification
from proxyspex_hf.hf.tasks.classification import TextClassification
from proxyspex_hf.hf.tasks.embedding import EmbeddingSimilarity
from proxyspex_hf.hf.tasks.fill_mask import FillMask
from proxyspex_hf.hf.tasks.function import FunctionOfFeatures
from proxyspex_hf.hf.tasks.generation import TextGeneration
from proxyspex_hf.hf.tasks.image_classification import ImageClassification
from proxyspex_hf.hf.tasks.image_prompt import ImagePrompt
from proxyspex_hf.hf.tasks.image_text import ImageText
from proxyspex_hf.hf.tasks.text_function import FunctionOfTexts
from proxyspex_hf.hf.tasks.token_classification import TokenClassification
from proxyspex_hf.hf.tasks.zero_shot import ZeroShotClassification
from proxyspex_hf.hf.value_function import BoundInput

TASKS: dict[str, Callable[[Any, Any, FeatureOptions], BoundInput]] = {
    "text-classification": TextClassification,
    "zero-shot-classification": ZeroShotClassification,
    "token-classification": TokenClassification,
    "fill-mask": FillMask,
    "text-generation": TextGeneration,
    "feature-extraction": EmbeddingSimilarity,
    "image-classification": ImageClassification,
    "zero-shot-image-classification": ImageText,
    "image-text-to-text": ImagePrompt,
    "audio-classification": AudioClassification,
}

#: The same of models that a server holds.
SERVED_TASKS: dict[str, Callable[[ServedModel, Any, FeatureOptions], BoundInput]] = {
    "text-classification": ServedClassification,
    "text-generation": ServedGeneration,
}

#: Options that only some tasks have.
_TAKEN_BY = {
    "function_to_apply": ("text-classification", "image-classification", "audio-classification"),
    "multi_label": ("zero-shot-classification",),
    "hypothesis_template": ("zero-shot-classification", "zero-shot-image-classification"),
    "aggregation_strategy": ("token-classification",),
    "max_new_tokens": ("text-generation", "image-text-to-text"),
    "image_masking": (
        "image-classification",
        "zero-shot-image-classification",
        "image-text-to-text",
    ),
    "patches": (
        "image-classification",
        "zero-shot-image-classification",
        "image-text-to-text",
        "audio-classification",
    ),
}

#: Options that only have a meaning where words are features.
_OF_WORDS = ("features", "masking", "mask_token")

#: What a plain function from masks or texts to numbers is called in explanations.
FUNCTION = "function"


def task_of(pipe: Any) -> str:
    """The task of a pipeline or a served model, as the table names it: the pipeline's own name may
    be another ("sentiment-analysis", "ner", a subclass's), and one made from its class has none.

    Raises:
        InputError: not a pipeline.
    """
    if isinstance(pipe, ServedModel):
        return pipe.task
    if not isinstance(pipe, Pipeline):
        if callable(pipe) and not isinstance(pipe, torch.nn.Module):
            return FUNCTION
        methods = ("predict_proba", "decision_function", "predict")
        method = next((name for name in methods if hasattr(pipe, name)), None)
        way = (
            "make a pipeline with transformers.pipeline('text-classification', model=...)."
            if method is None
            else f"pass its method, InteractionExplainer(….{method})."
        )
        raise InputError(
            "expected a transformers pipeline, or a function from masks (b, n) or texts to "
            f"numbers, got {type(pipe).__name__}: {way}"
        )
    named = str(pipe.task or "")
    if named in TASKS:
        return named
    # TextClassificationPipeline -> text-classification, also of a subclass of it
    names = [each.__name__.removesuffix("Pipeline") for each in type(pipe).__mro__]
    tasks = [re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower() for name in names]
    return next((task for task in tasks if task in TASKS), named or tasks[0])


def check_task_name(named: str) -> None:
    """Find out before a model is loaded for it whether a task of transformers is in the table.

    Raises:
        InputError: it is not.
    """
    known = PIPELINE_REGISTRY.get_supported_tasks()
    if named in known:  # of others, transformers says which there are
        _check_in_table(PIPELINE_REGISTRY.task_aliases.get(named, named))


def supported_task(pipe: Any) -> str:
    """The same, of what can be explained.

    Raises:
        InputError: not a pipeline, or a task that is not in the table.
    """
    task = task_of(pipe)
    _check_in_table(task)
    return task


def _check_in_table(task: str) -> None:
    if task not in (*TASKS, FUNCTION):
        raise InputError(
            f"task {task!r} is not supported; supported: {', '.join(TASKS)}. CONTRIBUTING.md tells "
            "how to add one; a function from masks or texts to numbers can be given instead of a "
            "pipeline."
        )


def _check_without_words(task: str, options: FeatureOptions) -> None:
    """Raises: InputError: an option about words."""
    for name in _OF_WORDS:
        given = getattr(options, name)
        if given != getattr(FeatureOptions, name):
            raise InputError(
                f"{name}={given!r:.60} has no meaning here: this input of {task} has no words that "
                "are masked."
            )


def bind(pipe: Any, value: Any, options: FeatureOptions) -> BoundInput:
    """The value function of one input under a pipeline.

    Raises:
        InputError: not a pipeline, a task that is not in the table, or an unusable input.
    """
    task = supported_task(pipe)
    if task == FUNCTION:
        of = FunctionOfTexts if isinstance(value, str) else FunctionOfFeatures
        return of(pipe, value, options)
    for name, tasks in _TAKEN_BY.items():
        if getattr(options, name) != getattr(FeatureOptions, name) and task not in tasks:
            raise InputError(f"{name} has no meaning for {task}; it has for {', '.join(tasks)}.")
    if isinstance(pipe, ServedModel):
        return SERVED_TASKS[task](pipe, value, options)
    bound = TASKS[task](pipe, value, options)
    if not bound.features.spans:
        _check_without_words(task, options)
    bound.retry = options.retry
    confirm(bound)
    return bound
