"""text-classification: a number made of class logits (paper, section 3.1)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from proxyspex_hf.core.spectrum import FloatArray
from proxyspex_hf.hf.options import FeatureOptions
from proxyspex_hf.hf.targets import CLASS_VALUES, class_score, value_name, wanted_targets
from proxyspex_hf.hf.text.prepared import read_words
from proxyspex_hf.hf.text.token_input import TokenInput
from proxyspex_hf.hf.value_function import BoundInput, answer
from proxyspex_hf.record import Target

__all__ = ["TextClassification", "class_target", "independent_labels"]


class TextClassification(TokenInput):
    """The set function of one text (or pair) under a classification pipeline.

    A mask's value is made of what
    ``pipe(f.masked_input(mask), top_k=None, function_to_apply="none")`` gives: by default the
    logit of the label that the unmasked text gets.

    Raises:
        InputError: the input is no text or pair, is empty, or an option does not fit it.
    """

    def __init__(self, pipe: Any, value: Any, options: FeatureOptions) -> None:
        super().__init__(pipe, read_words(pipe, value, options), options)
        self._value = options.value
        self.target = class_target(self, options)

    def read(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        logits: torch.Tensor = self.model(**inputs).logits
        return logits

    def score(self, outputs: FloatArray) -> FloatArray:
        independent = independent_labels(self.model.config)
        index = self.target.index or 0
        return class_score(outputs, index, self._value, independent=independent)


def class_target(bound: BoundInput, options: FeatureOptions) -> Target:
    """The wanted class of a model whose outputs are class logits; default the predicted one.
    Where several are asked for, they become ``bound.targets``.

    Raises:
        InputError: the model has no such class, or the value is unknown.
    """
    kind = value_name(options.value, CLASS_VALUES)
    names = {int(i): str(label) for i, label in bound.model.config.id2label.items()}
    whole = bound.items(np.ones((1, bound.n_features), dtype=np.bool_))
    logits = answer(bound, whole)[0]
    # A head that was replaced by hand has other outputs than the config has names.
    labels = {i: names.get(i, f"LABEL_{i}") for i in range(len(logits))}
    target, bound.targets = wanted_targets(labels, options, kind, int(logits.argmax()))
    return target


def independent_labels(config: Any) -> bool:
    """Whether each class is a yes or no of its own (sigmoid), as the pipeline decides it."""
    problem = getattr(config, "problem_type", None)
    return problem == "multi_label_classification" or config.num_labels == 1
