"""text-classification: a number made of class logits (paper, section 3.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from proxyspex_hf.checks import FloatArray
from proxyspex_hf.errors import InputError, ModelError
from proxyspex_hf.hf.options import FeatureOptions
from proxyspex_hf.hf.stages import Stages
from proxyspex_hf.hf.targets import CLASS_VALUES, Applied, class_score, value_name, wanted_targets
from proxyspex_hf.hf.text.prepared import read_words
from proxyspex_hf.hf.text.token_input import TokenInput, as_given
from proxyspex_hf.hf.value_function import BoundInput, Claims, Unread
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
        self.chosen = chosen_otherwise(pipe, self._applied)
        self.target = class_target(self, options, self._applied)

    def read(self, outputs: Any, inputs: Any) -> torch.Tensor:  # noqa: ARG002
        return logits_of(outputs)

    def score(self, outputs: FloatArray) -> FloatArray:
        return class_score(outputs, self.target.index or 0, self._value, applied=self._applied)

    def claims(self, mask: NDArray[np.bool_]) -> Claims | None:
        return class_claims(self, mask, self._applied, top_k=None)


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
    single = config.num_labels == 1 and stages.pipe.feature_extractor is None
    return applied_by_default(getattr(config, "problem_type", None), single=single)


def applied_by_default(problem: str | None, *, single: bool) -> Applied:
    """What transformers makes of the logits where nobody says."""
    if problem == "regression":
        return "none"
    return "sigmoid" if problem == "multi_label_classification" or single else "softmax"


def chosen_otherwise(pipe: Any, applied: Applied) -> dict[str, Any]:
    """The function applied to the logits, where it is not the one that the pipeline applies."""
    return {} if applied == function_applied(Stages(pipe)) else {"function_to_apply": applied}


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
    bound: BoundInput, mask: NDArray[np.bool_], applied: Applied, **call: Any
) -> Claims | None:
    """The pipeline's scores by label for one mask's input, and those made of the model's logits.

    Raises:
        Unread: the pipeline answers in a form of its own.
    """
    labels = bound.model.config.id2label
    # Without a name for each output, the pipeline cannot answer itself.
    if bound.stages is None or not set(range(bound.whole.shape[1])) <= set(labels):
        return None
    outputs = bound.outputs_of(mask)
    value = "logit" if applied == "none" else "probability"
    made = [
        (str(labels[i]), float(class_score(outputs, i, value, applied=applied)[0]))
        for i in range(outputs.shape[1])
    ]
    return scores_beside(bound.stages.answer(bound.masked_input(mask), **call), made)


def scores_beside(said: Any, made: Sequence[tuple[str, float]]) -> Claims:
    """What a pipeline answers, a list of ``{"label": …, "score": …}``, one of them, or scores by
    label, and of those that were made the ones it is to be compared with.

    Raises:
        Unread: it is none of these.
    """
    while isinstance(said, (list, tuple)) and len(said) == 1:
        said = said[0]  # a batch of one, or the best label alone
    if isinstance(said, Mapping):
        one = {"label", "score"} <= set(said)
        said = [said] if one else [{"label": k, "score": v} for k, v in said.items()]
    try:
        pairs = sorted((str(entry["label"]), float(entry["score"])) for entry in said)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise Unread(said) from error
    if not pairs:
        raise Unread(said)
    if len(pairs) == len(made):
        return pairs, sorted(made)
    # Of some labels only: each beside its own, which is the nearest where labels share a name.
    own = [[pair for pair in made if pair[0] == name] for name, _ in pairs]
    nearest = [
        min(each, key=lambda pair: abs(pair[1] - score), default=None)
        for each, (_, score) in zip(own, pairs, strict=True)
    ]
    return pairs, sorted(made) if None in nearest else [pair for pair in nearest if pair]
