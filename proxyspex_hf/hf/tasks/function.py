"""Any function from masks to numbers: a model of another kind, a simulation, a game."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proxyspex_hf.checks import BoolArray, FloatArray, as_masks
from proxyspex_hf.errors import InputError
from proxyspex_hf.hf.options import FeatureOptions
from proxyspex_hf.hf.targets import function_name, own_score
from proxyspex_hf.hf.value_function import BoundInput, packed, unpacked
from proxyspex_hf.record.inputs import Features
from proxyspex_hf.record.record import Target


class FunctionOfFeatures(BoundInput):
    """A function from masks (b, n), 1 = kept, to numbers (b,), with names for its features.

    Args:
        function: pure: a mask's value depends neither on its place nor on its batch.
        value: the features' names, or how many there are.
        options: only ``batch_size`` and ``retry`` have a meaning.

    Raises:
        InputError: no names and no number.
    """

    def __init__(self, function: Any, value: Any, options: FeatureOptions) -> None:
        self._function = function
        self.batch_size, self.retry = options.batch_size, options.retry
        self.called = f"the function {function_name(function)!r}"
        if options.target is not None or options.targets or options.value is not None:
            raise InputError(
                "target and value have no meaning for a function of masks: it gives one number."
            )
        self.features = Features(_names(value), (), "features")
        self.target = Target(function_name(function), None, "value", None)

    def items(self, masks: BoolArray) -> list[bytes]:
        return packed(as_masks(masks, self.n_features))

    def outputs(self, items: Sequence[bytes]) -> FloatArray:
        masks = unpacked(items, self.n_features)
        return own_score(self._function, masks, self.called, "masks")[:, None]

    def score(self, outputs: FloatArray) -> FloatArray:
        return outputs[:, 0]

    def masked_input(self, mask: NDArray[np.bool_]) -> list[str]:
        """The names of the features that are kept."""
        row = as_masks(mask, self.n_features, "mask")[0]
        return [name for name, keep in zip(self.features.labels, row, strict=True) if keep]


def _names(value: Any) -> tuple[str, ...]:
    if isinstance(value, (list, tuple)) and value and all(isinstance(name, str) for name in value):
        return tuple(str(name) for name in value)
    try:
        count = operator.index(value)
    except TypeError:
        count = 0
    if isinstance(value, bool) or count < 1:
        raise InputError(
            "a function's input is a text, or the names of its features (a list of texts), or "
            f"their number; got {value!r:.60}."
        )
    return tuple(f"x{i}" for i in range(count))
