"""feature-extraction: how near the text's embedding is to a reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from proxyspex_hf.core.spectrum import FloatArray
from proxyspex_hf.errors import InputError
from proxyspex_hf.hf.options import FeatureOptions
from proxyspex_hf.hf.targets import own_score, value_name
from proxyspex_hf.hf.text.prepared import read_words
from proxyspex_hf.hf.text.token_input import TokenInput
from proxyspex_hf.hf.value_function import answer
from proxyspex_hf.record import Target

__all__ = ["EmbeddingSimilarity"]


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
        super().__init__(pipe, read_words(pipe, text, options), options)
        self._value = options.value
        kind = value_name(options.value, ("similarity",))
        if options.target is not None:
            raise InputError("target has no meaning for feature-extraction: give a 'reference'.")
        if reference is None:
            item = self.items(np.ones((1, self.n_features), dtype=np.bool_))[0]
        else:
            ids = self.tokenizer(reference, truncation=True)["input_ids"]
            item = np.array(ids, dtype=np.int64).tobytes()
            self.arguments = {"reference": reference}
        self._reference = answer(self, [item])[0]
        self.target = Target(reference or "the whole text", None, kind, None)

    def read(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        states = self.model(**inputs).last_hidden_state
        weights = inputs["attention_mask"][..., None].to(states)
        mean: torch.Tensor = (states * weights).sum(1) / weights.sum(1)
        return mean

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
