"""Any function from texts to numbers: a classifier of another library, an API, a rule."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proxyspex_hf.checks import BoolArray, FloatArray, as_masks
from proxyspex_hf.errors import InputError, ModelError
from proxyspex_hf.hf.options import FeatureOptions
from proxyspex_hf.hf.targets import (
    called_on,
    function_name,
    own_score,
    value_name,
    wanted_targets,
)
from proxyspex_hf.hf.text.features import text_features
from proxyspex_hf.hf.text.mask_token import Masking, resolve_mask_token
from proxyspex_hf.hf.text.masked_spans import MaskedSpans
from proxyspex_hf.hf.value_function import BoundInput, answer
from proxyspex_hf.record.record import Target


class FunctionOfTexts(BoundInput):
    """The set function of one text under a function from a list of texts to numbers.

    The function gives one number per text, (b,), or one per class, (b, classes), as
    ``predict_proba`` does; then ``target`` is the index of the class, default that of the largest
    number for the whole text. A masked feature is deleted with the space before it, or replaced by
    ``mask_token`` where that is given.

    Args:
        function: pure: a text's numbers depend neither on its place nor on the others.
        text: the text.
        options: the user's choices; ``value`` may be a function of what ``function`` gives.

    Attributes:
        masking: what was done to masked features.

    Raises:
        InputError: an empty text, or an option that does not fit.
        ModelError: the function failed, or gave no numbers.
    """

    masking: Masking

    def __init__(self, function: Any, text: str, options: FeatureOptions) -> None:
        self._function, self._value = function, options.value
        self._name = function_name(function)
        self.batch_size, self.retry = options.batch_size, options.retry
        self.called = f"the function {self._name!r}"
        self.masking = "delete" if options.mask_token is None else options.masking
        self.mask_token = resolve_mask_token(None, self.masking, options.mask_token)
        if options.features in ("tokens", "documents"):
            raise InputError(
                f"features={options.features!r} has no meaning for a function of texts: use "
                "'words', 'sentences', or (start, stop) character ranges."
            )
        self.text, self.features = text, text_features(text, options.features)
        self._masked = MaskedSpans(text, self.features.spans, [self.mask_token] * self.n_features)
        kind = value_name(options.value, ("value",))
        self._columns: tuple[int, ...] | None = None
        outputs = answer(self, [text.encode()])
        self._columns = outputs.shape[1:]
        if outputs.ndim == 1:
            if options.target is not None or options.targets:
                raise InputError(
                    f"the function {self._name!r} gives one number per text, so there is no target "
                    "to choose: leave target out."
                )
            self.target = Target(self._name, None, kind, None)
        else:
            labels = {i: f"{self._name}[{i}]" for i in range(outputs.shape[1])}
            best = int(np.nan_to_num(outputs[0], nan=-np.inf).argmax())
            self.target, several = wanted_targets(labels, options, kind, best)
            self.targets = {target.index or 0: target for target in several.values()}

    def items(self, masks: BoolArray) -> list[bytes]:
        rows = as_masks(masks, self.n_features)
        return [self._masked.masked(row).encode() for row in rows]

    def outputs(self, items: Sequence[bytes]) -> FloatArray:
        called = self.called
        found = called_on(self._function, [item.decode() for item in items], called)
        b, columns = len(items), self._columns
        fits = found.ndim in (1, 2) and len(found) == b and 0 not in found.shape
        if not fits or columns not in (None, found.shape[1:]):
            wanted = f"({b},), or ({b}, classes)" if columns is None else str((b, *columns))
            raise ModelError(
                f"{called} gave shape {found.shape} for {b} texts; expected {wanted}. It is given "
                "a list of texts, and answers each."
            )
        return found

    def score(self, outputs: FloatArray) -> FloatArray:
        if callable(self._value):
            return own_score(self._value, outputs)
        return outputs if outputs.ndim == 1 else outputs[:, self.target.index or 0]

    def masked_input(self, mask: NDArray[np.bool_]) -> str:
        return self._masked.masked(as_masks(mask, self.n_features, "mask")[0])

    @property
    def sharing(self) -> Hashable:
        return (type(self), id(self._function), self.batch_size)
