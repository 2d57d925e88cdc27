"""text-classification by a server: a number made of the served classifier's raw scores."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proxyspex_hf.checks import BoolArray, FloatArray, as_masks
from proxyspex_hf.errors import InputError, ModelError
from proxyspex_hf.hf.options import FeatureOptions
from proxyspex_hf.hf.served.dialects.base import ClassDialect
from proxyspex_hf.hf.served.input import ServedInput
from proxyspex_hf.hf.served.line import Line
from proxyspex_hf.hf.served.model import ServedModel
from proxyspex_hf.hf.served.question import tokens_of_item
from proxyspex_hf.hf.targets import Applied, class_score
from proxyspex_hf.hf.tasks.classification import applied_by_default, labelled_target
from proxyspex_hf.hf.text.prepared import read_words

#: More tokens than any model takes, where no limit is known.
_NO_LIMIT = 10**7


class ServedClassification(ServedInput):
    """The set function of one text under a served classifier; as :class:`TextClassification`.

    Raises:
        InputError: the input is not a text, is empty, or an option does not fit it.
        ModelError: the server cannot be used.
    """

    def __init__(self, served: ServedModel, value: Any, options: FeatureOptions) -> None:
        self.begin(served, options)
        if not isinstance(value, str):
            raise InputError(
                f"a served classifier explains a text (str), got {type(value).__name__}: pairs are "
                "told apart by token types, which no server takes."
            )
        dialect = served.dialect
        if not isinstance(dialect, ClassDialect) or dialect.labels is None:
            raise ModelError(f"the dialect {dialect.name!r} knows no classes.")
        self._dialect, self._value = dialect, options.value
        longest = served.longest
        words = read_words(served, value, options, most=_NO_LIMIT if longest is None else longest)
        self.text, self.features, self.parts = words.text, words.features, words.parts
        self.mask_token, self._masked = words.mask_token, words.masked
        self.notes = (*self.notes, *words.notes)
        single = len(dialect.labels) == 1
        self._applied = _applied(options.function_to_apply, served.problem, single=single)
        labels = dict(enumerate(dialect.labels))
        predicted = int(self.whole[0].argmax())
        self.target, self.targets = labelled_target(labels, options, self._applied, predicted)

    def items(self, masks: BoolArray) -> list[bytes]:
        rows = as_masks(masks, self.n_features)
        if self._dialect.takes == "text":
            return [json.dumps(self._masked.masked_text(mask)).encode() for mask in rows]
        return [json.dumps(tokens_of_item(item)).encode() for item in self._masked.items(rows)]

    def request(self, item: bytes) -> Callable[[Line], FloatArray]:
        asked, dialect = json.loads(item), self._dialect
        given = asked if isinstance(asked, str) else tuple(asked)
        return lambda line: dialect.logits(line, given)

    def score(self, outputs: FloatArray) -> FloatArray:
        return class_score(outputs, self.target.index or 0, self._value, applied=self._applied)

    def masked_input(self, mask: NDArray[np.bool_]) -> str:
        return self._masked.masked_text(as_masks(mask, self.n_features, "mask")[0])


def _applied(given: str | None, problem: str | None, *, single: bool) -> Applied:
    """What makes probabilities of raw scores: as the pipeline would, unless it is said."""
    if given in ("softmax", "sigmoid", "none"):
        return given  # type: ignore[return-value]
    if given is not None:
        raise InputError(
            f"function_to_apply must be 'softmax', 'sigmoid' or 'none', got {given!r}."
        )
    return applied_by_default(problem, single=single)
