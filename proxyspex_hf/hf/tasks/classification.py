"""text-classification: a number made of class logits (paper, section 3.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from proxyspex_hf.checks import FloatArray
from proxyspex_hf.errors import InputError, ModelError
from proxyspex_hf.hf.options import FeatureOptions
from proxyspex_hf.hf.stages import Stages
from proxyspex_hf.hf.targets import CLASS_VALUES, Applied, class_score, value_name, wanted_targets
from proxyspex_hf.hf.text.prepared import read_words
from proxyspex_hf.hf.text.token_input import TokenInput, as_given
from proxyspex_hf.hf.value_function import BoundInput
from proxyspex_hf.record.record import Target


class TextClassification(TokenInput):
    """The set function of one text (or pair) under a classification pipeline.

    A mask's value is made of what
    ``pipe(f.masked_input(mask), top_k=None, function_to_apply="none")`` gives: by default the
    logit of the label that the unmasked text gets. ``"probability"`` is the pipeline's own score:
    softmax or sigmoid, as its model's config, the pipeline or ``function_to_apply`` says.

    Raises:
        InputError: the input is not a text or pair, is empty, or an option does not fit it.
    """

    def __init__(self, pipe: Any, value: Any, options: FeatureOptions) -> None:
        stages = Stages(pipe, function_to_apply=options.function_to_apply)
        words = read_words(
            pipe,
            value,
            options,
            read=lambda texts: stages.inputs(as_given(texts)),
            truncates=truncates(stages.preprocess),
        )
        super().__init__(stages, words, options)
        self._value = options.value
        self._applied = function_applied(stages)
        self.target = class_target(self, options, self._applied)

    def read(self, outputs: Any, inputs: Any) -> torch.Tensor:  # noqa: ARG002
        return logits_of(outputs)

    def score(self, outputs: FloatArray) -> FloatArray:
        return class_score(outputs, self.target.index or 0, self._value, applied=self._applied)

    def claims(self) -> tuple[Sequence[Any], Sequence[Any]] | None:
        return class_claims(self, self._applied, top_k=None)


def truncates(preprocess: Mapping[str, Any]) -> bool:
    """Whether a pipeline's parameters make its tokenizer cut what is too long."""
    wanted = preprocess.get("truncation", preprocess.get("tokenizer_kwargs", {}).get("truncation"))
    return wanted not in (None, False, "do_not_truncate")


def logits_of(outputs: Any) -> torch.Tensor:
    """The class logits, (b, labels), of what a model gave.

    Raises:
        ModelError: it gave none of that shape.
    """
    logits = outputs.get("logits") if isinstance(outputs, Mapping) else outputs[0]
    if not isinstance(logits, torch.Tensor) or logits.ndim != 2:
        raise ModelError(
            f"the model gave logits of shape {tuple(getattr(logits, 'shape', ()))}; class logits "
            "have the shape (inputs, labels)."
        )
    return logits.detach()


def function_applied(stages: Stages) -> Applied:
    """What the pipeline makes of its logits, as its ``postprocess`` decides it."""
    given = stages.postprocess.get("function_to_apply")
    if given is not None:
        name = str(getattr(given, "value", given)).lower()
        return "softmax" if name == "softmax" else "sigmoid" if name == "sigmoid" else "none"
    config = stages.pipe.model.config
    problem = getattr(config, "problem_type", None)
    if problem == "regression":
        return "none"
    single = config.num_labels == 1 and stages.pipe.feature_extractor is None
    return "sigmoid" if problem == "multi_label_classification" or single else "softmax"


def class_target(bound: BoundInput, options: FeatureOptions, applied: Applied) -> Target:
    """The wanted class of a model whose outputs are class logits; default the predicted one.
    Where several are asked for, they become ``bound.targets``.

    Raises:
        InputError: the model has no such class, or the value is unknown or has no meaning for it.
    """
    names = {int(i): str(label) for i, label in bound.model.config.id2label.items()}
    # A head that was replaced by hand has other outputs than the config has names.
    labels = {i: names.get(i, f"LABEL_{i}") for i in range(bound.whole.shape[1])}
    predicted = int(bound.whole[0].argmax())
    target, bound.targets = labelled_target(labels, options, applied, predicted)
    return target


def labelled_target(
    labels: Mapping[int, str], options: FeatureOptions, applied: Applied, predicted: int
) -> tuple[Target, dict[str | int, Target]]:
    """The wanted class among ``labels``, and all of them by key where several are asked for.

    Raises:
        InputError: there is no such class, or the value is unknown or has no meaning for it.
    """
    kind = value_name(options.value, CLASS_VALUES, independent=applied == "sigmoid")
    check_value(options.value, applied, len(labels))
    return wanted_targets(labels, options, kind, predicted)


def check_value(value: Any, applied: Applied, count: int) -> None:
    """Whether a number has a meaning where a pipeline makes this of ``count`` labels.

    Raises:
        InputError: it has none.
    """
    if value is None or callable(value) or value == "logit":
        return
    if applied == "none":
        raise InputError(
            f"value={value!r} has no meaning here: the pipeline applies no function to the logits "
            "(regression, or function_to_apply='none'), so its score is not a probability. Leave "
            "value out, or pass function_to_apply='sigmoid' or 'softmax'."
        )
    if applied == "softmax" and count == 1:
        raise InputError(
            f"value={value!r} has no meaning here: a softmax over one label is always 1. Leave "
            "value out."
        )


def class_claims(
    bound: BoundInput, applied: Applied, **call: Any
) -> tuple[Sequence[Any], Sequence[Any]] | None:
    """The pipeline's scores by label, and those made of the model's logits; None where the
    pipeline answers in a form of its own."""
    labels = bound.model.config.id2label
    # Without a name for each output, the pipeline cannot answer itself.
    if bound.stages is None or not set(range(bound.whole.shape[1])) <= set(labels):
        return None
    whole = np.ones(bound.n_features, dtype=np.bool_)
    said = bound.stages.answer(bound.masked_input(whole), **call)
    try:
        pairs = [(str(entry["label"]), float(entry["score"])) for entry in said]
    except (KeyError, TypeError, ValueError, IndexError):
        return None
    value = "logit" if applied == "none" else "probability"
    made = [
        (str(labels[i]), float(class_score(bound.whole, i, value, applied=applied)[0]))
        for i in range(bound.whole.shape[1])
    ]
    return sorted(pairs), sorted(made)
