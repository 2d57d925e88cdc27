"""audio-classification: a number made of one recording's class logits, by stretches of time."""

from __future__ import annotations

import copy
import io
from collections.abc import Mapping
from itertools import pairwise
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from proxyspex_hf.checks import as_integer, as_masks
from proxyspex_hf.errors import InputError
from proxyspex_hf.hf.failures import first_line
from proxyspex_hf.hf.model_inputs import differ
from proxyspex_hf.hf.options import FeatureOptions
from proxyspex_hf.hf.stages import Stages
from proxyspex_hf.hf.tasks.signal_classification import SignalClassification
from proxyspex_hf.record.inputs import Features, Picture, Region

_SEGMENTS = 20
_WIDTH, _HEIGHT = 640, 96
#: Seconds at the end that may go unread without a note: frames do not fill every length.
_REST = 0.1


class AudioClassification(SignalClassification):
    """The set function of one recording under an audio-classification pipeline.

    The input is what the pipeline takes: a mono array or tensor at the model's own rate,
    ``{"raw": array, "sampling_rate": …}``, or a file. ``patches`` equal stretches of time (default
    20) are features; a masked one is silence. A mask's value is made of what
    ``pipe(f.masked_input(mask), function_to_apply="none")`` gives.

    Raises:
        InputError: no recording that the pipeline reads, or an option that does not fit.
    """

    def __init__(self, pipe: Any, value: Any, options: FeatureOptions) -> None:
        super().__init__(pipe, options)
        rate = float(pipe.feature_extractor.sampling_rate)
        if isinstance(value, PurePath):
            value = str(value)
        wave = _heard(self.stages, value)
        self._wave = wave[: _samples_read(self.stages, len(wave), rate)]
        if len(self._wave) < len(wave):
            self.notes = (
                f"The model reads the first {len(self._wave) / rate:.2f} of {len(wave) / rate:.2f} "
                "seconds: the rest is not read and not explained.",
            )
        count = _stretches(options.patches, len(self._wave))
        self._owner = np.arange(len(self._wave)) * count // len(self._wave)
        self.features = _features(count, len(self._wave) / rate)
        self.picture = _drawn(self._wave.astype(np.float32))
        self.image_masking = "zero"
        if not self.answers_as(self.stages.inputs(value)):
            raise InputError(
                "the pipeline answers this recording otherwise than the wave that it gives its "
                "feature extractor, or answers it differently each time it is asked: its masked "
                "forms cannot be compared."
            )
        self.aim(options)

    def size(self, _item: bytes) -> int:
        return max(1, len(self._wave) // 320)

    def masked_input(self, mask: NDArray[np.bool_]) -> NDArray[Any]:
        """The recording with silence in the stretches that are not kept."""
        row = as_masks(mask, self.n_features, "mask")[0]
        return np.where(row[self._owner], self._wave, self._wave.dtype.type(0))


class _Heard(Exception):  # noqa: N818
    """Carries the wave from the pipeline's ``preprocess``."""


class _Ear:
    """Stands where the pipeline has its feature extractor, and takes the wave."""

    def __init__(self, extractor: Any) -> None:
        self._extractor = extractor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._extractor, name)

    def __call__(self, wave: Any, **_: Any) -> Any:
        raise _Heard(wave)


def _heard(stages: Stages, value: Any) -> NDArray[Any]:
    """The wave that the pipeline's own ``preprocess`` gives its feature extractor.

    Raises:
        InputError: the pipeline cannot read the recording, or it is not a mono wave.
    """
    listening = copy.copy(stages.pipe)  # the user's own stays as it is
    listening.feature_extractor = _Ear(stages.pipe.feature_extractor)
    wave = None
    try:
        listening.preprocess(value, **stages.preprocess)
    except _Heard as heard:
        wave = heard.args[0]
    except Exception as error:
        raise InputError(
            "audio-classification explains a mono recording: an array (samples,), {'raw': array, "
            f"'sampling_rate': …}}, or a file; the pipeline cannot read {_named(value)}: "
            f"{type(error).__name__}: {first_line(error)}"
        ) from error
    if not isinstance(wave, np.ndarray) or wave.ndim != 1 or wave.dtype.kind not in "fiu":
        raise InputError(
            "audio-classification explains a mono recording, but the pipeline makes "
            f"{type(wave).__name__} of {_named(value)}."
        )
    if not len(wave) or not np.isfinite(wave).all():
        raise InputError("the recording is empty or holds values that are not finite.")
    return wave.copy()


def _named(value: Any) -> str:
    if isinstance(value, str):
        return f"the recording {value[:60]!r}"
    if isinstance(value, Mapping):
        return f"a recording with {', '.join(map(repr, value))}"
    shape = getattr(value, "shape", None)
    return f"a recording of type {type(value).__name__}" + (
        "" if shape is None else f" and shape {tuple(shape)}"
    )


def _samples_read(stages: Stages, count: int, rate: float) -> int:
    """How many samples of a recording of this length the feature extractor reads, by noise: what
    can be cut without any change is not read."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, count).astype(np.float32)
    low, high = 0, count - int(_REST * rate)
    if high < 1:
        return count
    whole = stages.inputs(noise)

    def enough(samples: int) -> bool:
        return not differ(whole, stages.inputs(noise[:samples]))

    if not enough(high):
        return count
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _stretches(patches: Any, samples: int) -> int:
    """Into how many stretches of time the samples are divided."""
    if patches is None:
        return min(_SEGMENTS, samples)
    if isinstance(patches, (tuple, list, str)):
        raise InputError(f"patches must be a number of stretches of time, got {patches!r:.60}.")
    return as_integer("patches (a number of stretches of time)", patches, 1, samples)


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
