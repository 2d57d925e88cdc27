"""What image-classification and audio-classification share: class logits of one masked signal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from proxyspex_hf.checks import BoolArray, FloatArray
from proxyspex_hf.hf.evaluating import evaluating
from proxyspex_hf.hf.model_inputs import stacked
from proxyspex_hf.hf.options import FeatureOptions
from proxyspex_hf.hf.stages import Stages
from proxyspex_hf.hf.targets import class_score
from proxyspex_hf.hf.tasks.classification import (
    chosen_otherwise,
    class_claims,
    class_target,
    function_applied,
    logits_of,
)
from proxyspex_hf.hf.value_function import BoundInput, Claims, unpacked

#: How far, relative to the largest output, what is explained may lie from what the pipeline makes
#: of the input as it was given.
_ROUNDING = 1e-3


class SignalClassification(BoundInput):
    """The set function of one image or recording under a pipeline that gives class logits.

    A task sets ``features`` and what ``masked_input`` needs, then calls :meth:`aim`.

    Args:
        pipe: the pipeline.
        options: the user's choices.
    """

    stages: Stages

    def __init__(self, pipe: Any, options: FeatureOptions) -> None:
        self.stages = Stages(pipe, function_to_apply=options.function_to_apply)
        self.model, self.batch_size = pipe.model, options.batch_size
        self._value = options.value

    def aim(self, options: FeatureOptions) -> None:
        """Find the explained class."""
        self._applied = function_applied(self.stages)
        self.chosen = chosen_otherwise(self.stages.pipe, self._applied)
        self.target = class_target(self, options, self._applied)

    def answers_as(self, inputs: Any) -> bool:
        """Whether the whole input gets the outputs of these model inputs, but for rounding."""
        with evaluating(self.model):
            expected = self.read(self.stages.run(inputs), inputs).double().cpu().numpy()
        if self.whole.shape != expected.shape:
            return False
        if not np.isfinite(expected).all():
            return True  # refused in its own words when it is asked
        far = np.abs(self.whole - expected).max(initial=0.0)
        return bool(far <= _ROUNDING * np.abs(expected).max(initial=0.0))

    def outputs(self, items: Sequence[bytes]) -> torch.Tensor:
        masks = unpacked(items, self.n_features)
        batch = stacked([self.stages.inputs(self.masked_input(mask)) for mask in masks])
        return self.read(self.stages.run(batch), batch)

    def read(self, outputs: Any, inputs: Any) -> torch.Tensor:  # noqa: ARG002
        return logits_of(outputs)

    def score(self, outputs: FloatArray) -> FloatArray:
        return class_score(outputs, self.target.index or 0, self._value, applied=self._applied)

    def claims(self, mask: NDArray[np.bool_]) -> Claims | None:
        return class_claims(self, mask, self._applied, top_k=self.whole.shape[1])

    def read_as(self, masks: BoolArray) -> list[str]:
        """Of what the model reads: a drawing is not all of a signal."""
        return self._read_by_pipeline(masks)
