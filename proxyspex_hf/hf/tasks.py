"""The table of tasks. Adding one: write a value function like ``classification``, enter it here.

A value function has ``n_features``, ``features``, ``text``, ``target``, ``mask_token``, ``notes``,
``batch_size``, ``masked_text(mask)`` and answers masks (b, n) with (b,) float64.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from transformers import Pipeline

from proxyspex_hf.errors import InputError
from proxyspex_hf.hf.classification import TextClassification
from proxyspex_hf.hf.options import FeatureOptions

__all__ = ["TASKS", "bind", "task_of"]

TASKS: dict[str, Callable[[Any, Any, FeatureOptions], TextClassification]] = {
    "text-classification": TextClassification.of,
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


def bind(pipe: Any, value: Any, options: FeatureOptions) -> TextClassification:
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
    if getattr(pipe, "tokenizer", None) is None:
        raise InputError(f"the {task} pipeline has no tokenizer; make it with tokenizer=...")
    return TASKS[task](pipe, value, options)
