"""audio-classification: a number made of one recording's class logits, by stretches of time."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from proxyspex_hf.core.masks import BoolArray, as_masks
from proxyspex_hf.core.spectrum import FloatArray
from proxyspex_hf.errors import InputError
from proxyspex_hf.hf.evaluating import model_device
from proxyspex_hf.hf.options import FeatureOptions
from proxyspex_hf.hf.stages import Stages
from proxyspex_hf.hf.targets import class_score
from proxyspex_hf.hf.tasks.classification import class_target, function_applied
from proxyspex_hf.hf.value_function import BoundInput, packed, unpacked
from proxyspex_hf.inputs import Features, Picture, Region

__all__ = ["AudioClassification"]

_SEGMENTS = 20
_WIDTH, _HEIGHT = 640, 96


class AudioClassification(BoundInput):
    """The set function of one recording under an audio-classification pipeline.

    The input is a mono array at the model's own rate, or ``{"raw": array, "sampling_rate": …}``.
    ``patches`` equal stretches of time (default 20) are features; a masked one is silence. The
    value is made of what the pipeline's model gives for the masked recording.

    Raises:
        InputError: no recording, another rate, or an option that does not fit.
    """

    def __init__(self, pipe: Any, value: Any, options: FeatureOptions) -> None:
        self.model, self.batch_size = pipe.model, options.batch_size
        self._value = options.value
        self._extractor = pipe.feature_extractor
        self._rate = int(self._extractor.sampling_rate)
        self._wave = _read(value, self._rate)
        count = _SEGMENTS if options.patches is None else options.patches
        if not isinstance(count, int) or not 1 <= count <= len(self._wave):
            raise InputError(f"patches must be a number of stretches of time, got {count!r}.")
        self._owner = np.arange(len(self._wave)) * count // len(self._wave)
        self.features = _features(count, len(self._wave) / self._rate)
        self.picture = _drawn(self._wave)
        self.image_masking = "zero"
        self._applied = function_applied(Stages(pipe))
        self.target = class_target(self, options, self._applied)

    def items(self, masks: BoolArray) -> list[bytes]:
        return packed(as_masks(masks, self.n_features))

    def size(self, _item: bytes) -> int:
        return max(1, len(self._wave) // 320)

    def outputs(self, items: Sequence[bytes]) -> torch.Tensor:
        waves = [self.masked_input(mask) for mask in unpacked(items, self.n_features)]
        inputs = self._extractor(waves, sampling_rate=self._rate, return_tensors="pt", padding=True)
        device = model_device(self.model)
        logits: torch.Tensor = self.model(
            **{
                name: tensor.to(device, self.model.dtype if tensor.is_floating_point() else None)
                for name, tensor in inputs.items()
            }
        ).logits
        return logits

    def score(self, outputs: FloatArray) -> FloatArray:
        return class_score(outputs, self.target.index or 0, self._value, applied=self._applied)

    def masked_input(self, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        """The recording with silence in the stretches that are not kept."""
        row = as_masks(mask, self.n_features, "mask")[0]
        return np.where(row[self._owner], self._wave, np.float32(0.0))


def _read(value: Any, rate: int) -> NDArray[np.float32]:
    if isinstance(value, Mapping):
        given = value.get("sampling_rate", rate)
        if given != rate:
            raise InputError(
                f"the recording has {given} samples a second, the model takes {rate}: resample it."
            )
        value = value.get("raw", value.get("array"))
    if not isinstance(value, np.ndarray) or value.ndim != 1 or value.dtype.kind != "f":
        raise InputError(
            "audio-classification explains a mono recording: a float array (samples,), or "
            f"{{'raw': array, 'sampling_rate': …}}; got {type(value).__name__}."
        )
    if not len(value) or not np.isfinite(value).all():
        raise InputError("the recording is empty or holds values that are not finite.")
    return value.astype(np.float32)


def _features(count: int, seconds: float) -> Features:
    edges = [round(i * _WIDTH / count) for i in range(count + 1)]
    times = np.linspace(0.0, seconds, count + 1)
    labels = tuple(f"{a:.2f}–{b:.2f} s" for a, b in pairwise(times))
    regions: tuple[Region, ...] = tuple(
        (((a, 0), (b, 0), (b, _HEIGHT), (a, _HEIGHT)),) for a, b in pairwise(edges)
    )
    return Features(labels, (), "segments", regions, "segments")


def _drawn(wave: NDArray[np.float32]) -> Picture:
    """The waveform as a picture, loudest stretch to full height."""
    image = Image.new("RGB", (_WIDTH, _HEIGHT), "white")
    draw = ImageDraw.Draw(image)
    top = float(np.abs(wave).max()) or 1.0
    for x, part in enumerate(np.array_split(wave, _WIDTH)):
        if len(part):
            high, low = part.max() / top, part.min() / top
            y = [round((1 - v) * (_HEIGHT - 1) / 2) for v in (float(high), float(low))]
            draw.line([(x, y[0]), (x, y[1])], fill=(70, 70, 70))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return Picture(stream.getvalue(), _WIDTH, _HEIGHT)
