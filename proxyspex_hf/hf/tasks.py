"""The table of tasks. Adding one: derive from :class:`BoundInput`, enter the class here."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from transformers import Pipeline

from proxyspex_hf.errors import InputError
from proxyspex_hf.hf.bound import BoundInput
from proxyspex_hf.hf.classification import TextClassification
from proxyspex_hf.hf.generation import TextGeneration
from proxyspex_hf.hf.options import FeatureOptions

__all__ = ["TASKS", "bind", "is_one_input", "task_of"]

TASKS: dict[str, Callable[[Any, Any, FeatureOptions], BoundInput]] = {
    "text-classification": TextClassification,
    "text-generation": TextGeneration,
}


def task_of(pipe: Any) -> str:
    """The pipeline's task; one made from its class directly does not know its own.

    Raises:
        InputError: not a pipeline.
    """
    if not isinstance(pipe, Pipeline):
        raise InputError(
            f"expected a transformers pipeline, got {type(pipe).__name__}: make one with "
            "transformers.pipeline('text-classification', model=...)."
        )
    if pipe.task:
        return str(pipe.task)
    # TextClassificationPipeline -> text-classification
    name = type(pipe).__name__.removesuffix("Pipeline")
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()


def is_one_input(pipe: Any, inputs: Any) -> bool:
    """Whether ``inputs`` is one input of the task, not a list of them."""
    if not isinstance(inputs, (list, tuple)):
        return True
    first = inputs[0] if inputs else None
    if not isinstance(pipe, Pipeline):  # a function: its input is the names of its features
        return bool(inputs) and not isinstance(first, (list, tuple))
    # A chat is a list of messages.
    return isinstance(first, Mapping) and {"role", "content"} <= set(first)


def bind(pipe: Any, value: Any, options: FeatureOptions) -> BoundInput:
    """The value function of one input under a pipeline.

    Raises:
        InputError: not a pipeline, a task that is not in the table, or an unusable input.
    """
    task = task_of(pipe)
    if task not in TASKS:
        raise InputError(
            f"task {task!r} is not supported; supported: {', '.join(TASKS)}. CONTRIBUTING.md tells "
            "how to add one; any callable on masks can be explained with proxyspex_hf.core."
        )
    return TASKS[task](pipe, value, options)
