"""zero-shot-classification: does the text entail "this example is about LABEL"?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from proxyspex_hf.core.masks import BoolArray, as_masks
from proxyspex_hf.core.spectrum import FloatArray
from proxyspex_hf.errors import InputError
from proxyspex_hf.hf.options import FeatureOptions
from proxyspex_hf.hf.stages import Stages
from proxyspex_hf.hf.targets import CLASS_VALUES, class_score, label_index, value_name
from proxyspex_hf.hf.text.prepared import read_words
from proxyspex_hf.hf.text.token_input import TokenInput
from proxyspex_hf.hf.value_function import BoundInput, answer, packed, unpacked
from proxyspex_hf.record import Target

__all__ = ["ZeroShotClassification"]


class _Hypothesis(TokenInput):
    """The text beside one fixed hypothesis; outputs are the logits of the inference model."""

    def __init__(self, pipe: Any, text: str, hypothesis: str, options: FeatureOptions) -> None:
        super().__init__(
            Stages(pipe), read_words(pipe, text, options, fixed_pair=hypothesis), options
        )

    def forward(self, inputs):
        logits: torch.Tensor = self.model(**inputs).logits
        return logits

    def score(self, outputs: FloatArray) -> FloatArray:
        first: FloatArray = outputs[:, 0]
        return first

    @property
    def own_text(self) -> str:
        """The text without the hypothesis."""
        return self.text[slice(*self._masked.halves[0])]


class ZeroShotClassification(BoundInput):
    """The set function of one text among candidate labels.

    The input is ``{"text": …, "candidate_labels": […]}``, and optionally ``hypothesis_template``.
    The value is the entailment logit of the target label (one forward pass a mask); the other
    values compare the labels' entailment logits as the pipeline does and take one pass a label.

    Raises:
        InputError: another input, or an option that does not fit it.
    """

    def __init__(self, pipe: Any, value: Any, options: FeatureOptions) -> None:
        text, labels, template = _read(value)
        self.model, self.batch_size = pipe.model, options.batch_size
        self._value = options.value
        self._entailment = _entailment_index(pipe.model.config)
        # The longest hypothesis leaves the least room: it decides where the text is cut.
        by_length = sorted(labels, key=len, reverse=True)
        first = _Hypothesis(pipe, text, template.format(by_length[0]), options)
        self.text, self.features = first.own_text, first.features
        self.mask_token, self.notes = first.mask_token, first.notes
        if not isinstance(options.features, str):
            text = self.text
        self._hypotheses = [
            _Hypothesis(pipe, self.text, template.format(label), options) for label in labels
        ]
        kind = value_name(options.value, CLASS_VALUES)
        self.arguments = {"candidate_labels": list(labels), "hypothesis_template": template}
        self._needed = list(range(len(labels)))
        whole = self.items(np.ones((1, self.n_features), dtype=np.bool_))
        best = int(answer(self, whole)[0].argmax())
        named = dict(enumerate(labels))
        index = best if options.target is None else label_index(named, options.target)
        self.target = Target(named[index], index, kind, named[best])
        if kind == "logit":
            self._needed = [index]

    def items(self, masks: BoolArray) -> list[bytes]:
        return packed(as_masks(masks, self.n_features))

    def size(self, _item: bytes) -> int:
        return self._hypotheses[0]._masked.longest() * len(self._needed)

    def outputs(self, items: Sequence[bytes]) -> torch.Tensor:
        masks = unpacked(items, self.n_features)
        columns = []
        for label in self._needed:
            hypothesis = self._hypotheses[label]
            rows = hypothesis.items(masks)
            even = len({len(row) for row in rows}) == 1
            if even or False:
                logits = hypothesis.outputs(rows)
            else:
                logits = torch.cat([hypothesis.outputs([row]) for row in rows])
            columns.append(logits[:, self._entailment])
        return torch.stack(columns, dim=1)

    def score(self, outputs: FloatArray) -> FloatArray:
        own = 0 if len(self._needed) == 1 else self.target.index or 0
        return class_score(outputs, own, self._value)

    def masked_input(self, mask: NDArray[np.bool_]) -> str:
        row = as_masks(mask, self.n_features, "mask")[0]
        return self._hypotheses[0]._masked.masked_texts(row)[0]


def _entailment_index(config: Any) -> int:
    for label, index in config.label2id.items():
        if str(label).lower().startswith("entail"):
            return int(index)
    return -1


def _read(value: Any) -> tuple[str, Sequence[str], str]:
    known = {"text", "candidate_labels", "hypothesis_template"}
    fits = isinstance(value, Mapping) and {"text", "candidate_labels"} <= set(value) <= known
    labels = value["candidate_labels"] if fits else ()
    if not fits or isinstance(labels, str) or not labels or not isinstance(value["text"], str):
        raise InputError(
            "zero-shot-classification explains {'text': …, 'candidate_labels': [...]}, with "
            f"'hypothesis_template' if wanted; got {value!r:.80}."
        )
    template = value.get("hypothesis_template", "This example is {}.")
    if template.format("a") == template.format("b"):
        raise InputError(f"hypothesis_template={template!r} has no {{}} for the label.")
    return value["text"], [str(label) for label in labels], template
