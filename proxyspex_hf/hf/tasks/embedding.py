"""feature-extraction: how near the text's embedding is to a reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from proxyspex_hf.checks import FloatArray
from proxyspex_hf.errors import InputError, ModelError
from proxyspex_hf.hf.evaluating import evaluating
from proxyspex_hf.hf.options import FeatureOptions
from proxyspex_hf.hf.stages import Stages
from proxyspex_hf.hf.targets import own_score, value_name
from proxyspex_hf.hf.tasks.classification import truncates
from proxyspex_hf.hf.text.prepared import read_words
from proxyspex_hf.hf.text.token_input import TokenInput
from proxyspex_hf.hf.value_function import Claims, Unread
from proxyspex_hf.record.record import Target


class EmbeddingSimilarity(TokenInput):
    """The set function of one text's similarity to a reference text.

    The input is a text, or ``{"text": …, "reference": …}``; without a reference, the unmasked text
    is it. The value is the cosine of the two embeddings: the mean of the model's last hidden
    states over all tokens, as ``pipe(text)`` gives them.

    Raises:
        InputError: another input, or an option that does not fit it.
    """

    def __init__(self, pipe: Any, value: Any, options: FeatureOptions) -> None:
        text, reference = _read(value)
        stages = Stages(pipe)
        words = read_words(
            pipe,
            text,
            options,
            read=lambda texts: stages.inputs(texts[0]),
            truncates=truncates(stages.preprocess),
            takes="{'text': str, 'reference': str}",
        )
        super().__init__(stages, words, options)
        self._value = options.value
        kind = value_name(options.value, ("similarity",))
        if options.target is not None:
            raise InputError("target has no meaning for feature-extraction: give a 'reference'.")
        self._reference = self.whole[0]
        if reference is not None:
            self._reference = self._embedded(stages, reference)
            self.arguments = {"reference": reference}
        self.target = Target(reference or "the whole text", None, kind, None)

    def _embedded(self, stages: Stages, text: str) -> FloatArray:
        with evaluating(self.model):
            inputs = stages.inputs(text)
            found = self.read(stages.run(inputs), inputs)[0]
        embedding: FloatArray = found.double().cpu().numpy()
        return embedding

    def read(self, outputs: Any, inputs: Any) -> torch.Tensor:
        states = next(iter(outputs.values())) if isinstance(outputs, Mapping) else outputs[0]
        if not isinstance(states, torch.Tensor) or states.ndim != 3:
            raise ModelError(
                f"{type(self.model).__name__} gives no hidden state for each token, of which an "
                "embedding could be made."
            )
        weights = inputs.get("attention_mask")
        if weights is None or weights.shape[1] != states.shape[1]:  # pooled, or of other steps
            mean: torch.Tensor = states.mean(1)
            return mean
        weights = weights[..., None].to(states)
        weighted: torch.Tensor = (states * weights).sum(1) / weights.sum(1)
        return weighted

    def claims(self, mask: NDArray[np.bool_]) -> Claims | None:
        if self.stages is None:
            return None
        given = self.masked_input(mask)
        said = self.stages.answer(given, return_tensors=True)
        if not isinstance(said, torch.Tensor) or said.ndim != 3:
            raise Unread(said)
        numbers = self.read((said,), self.stages.inputs(given))[0].double().cpu().numpy()
        made = self.outputs_of(mask)[0]
        return list(enumerate(numbers.tolist())), list(enumerate(made.tolist()))

    def score(self, outputs: FloatArray) -> FloatArray:
        if callable(self._value):
            return own_score(self._value, outputs)
        lengths = np.linalg.norm(outputs, axis=1) * np.linalg.norm(self._reference)
        cosines: FloatArray = outputs @ self._reference / np.maximum(lengths, 1e-12)
        return cosines


def _read(value: Any) -> tuple[Any, str | None]:
    if isinstance(value, Mapping) and set(value) == {"text", "reference"}:
        reference = value["reference"]
        if not isinstance(reference, str) or not reference.strip():
            raise InputError(f"'reference' must be a text, got {reference!r:.60}.")
        return value["text"], reference
    return value, None
