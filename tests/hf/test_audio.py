"""Recordings of every kind, under models of every kind, against the pipeline itself."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf
from tiny_pipelines import SIZES, audio_classifier

from proxyspex_hf import InputError, InteractionExplainer

LABELS = {"id2label": {0: "yes", 1: "no", 2: "hum"}}
CONVOLUTIONS = {
    "conv_dim": [16] * 7,
    "num_feat_extract_layers": 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "classifier_proj_size": 16,
}


def wav2vec2(**more: Any) -> Any:
    config = tf.Wav2Vec2Config(**SIZES, **CONVOLUTIONS, **{**LABELS, **more})
    return tf.Wav2Vec2ForSequenceClassification(config)


def hubert() -> tuple[Any, Any]:
    model = tf.HubertForSequenceClassification(tf.HubertConfig(**SIZES, **CONVOLUTIONS, **LABELS))
    return model, tf.Wav2Vec2FeatureExtractor(do_normalize=False)


def ast() -> tuple[Any, Any]:
    config = tf.ASTConfig(**SIZES, max_length=64, num_mel_bins=16, patch_size=8, **LABELS)
    extractor = tf.ASTFeatureExtractor(max_length=64, num_mel_bins=16)
    return tf.ASTForAudioClassification(config), extractor


def whisper() -> tuple[Any, Any]:
    config = tf.WhisperConfig(
        d_model=32,
        encoder_layers=2,
        encoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_layers=1,
        decoder_attention_heads=4,
        decoder_ffn_dim=64,
        num_mel_bins=16,
        max_source_positions=50,
        classifier_proj_size=16,
        vocab_size=20,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
        suppress_tokens=[],
        begin_suppress_tokens=[],
        **LABELS,
    )
    extractor = tf.WhisperFeatureExtractor(feature_size=16, chunk_length=1)
    return tf.WhisperForAudioClassification(config), extractor


#: Each: model and extractor, and how many samples of two seconds are read.
KINDS: dict[str, tuple[Callable[[], tuple[Any, Any]], int]] = {
    "wav2vec2": (lambda: (wav2vec2(), tf.Wav2Vec2FeatureExtractor()), 32_000),
    "hubert": (hubert, 32_000),
    "ast": (ast, 63 * 160 + 400),
    "whisper": (whisper, 16_000),
}


def piped(model: Any, extractor: Any, **more: Any) -> Any:
    torch.manual_seed(0)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=2 / parameter[0].numel() ** 0.5)
    return tf.AudioClassificationPipeline(
        model=model.eval(), feature_extractor=extractor, device="cpu", **more
    )


def wave(samples: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    times = np.arange(samples) / 16_000
    tone = np.sin(2 * np.pi * (200 + 300 * times) * times)
    return (0.5 * tone + 0.05 * rng.normal(size=samples)).astype(np.float32)


def bind(pipe: Any, given: Any, /, **options: Any) -> Any:
    return InteractionExplainer(pipe, **{"patches": 5, **options}).value_function(given)


def logit(pipe: Any, value: Any, label: str) -> float:
    scores = pipe(value, function_to_apply="none", top_k=None)
    (own,) = (s["score"] for s in scores if s["label"] == label)
    return float(own)


def masks_of(n: int) -> np.ndarray:
    ends = np.stack([np.ones(n, bool), np.zeros(n, bool)])
    return np.concatenate([ends, np.random.default_rng(n).random((4, n)) < 0.5])


@pytest.mark.parametrize("seconds", [0.4, 2.0])
@pytest.mark.parametrize("kind", KINDS)
def test_models_of_every_kind(kind: str, seconds: float) -> None:
    make, window = KINDS[kind]
    pipe = piped(*make())
    whole = wave(int(16_000 * seconds))
    read = min(window, len(whole))
    function = bind(pipe, whole)
    masks = masks_of(5)
    values = function(masks)
    expected = [logit(pipe, function.masked_input(m), function.target.label) for m in masks]
    np.testing.assert_allclose(values, expected, atol=1e-4)
    assert values[0] == pytest.approx(logit(pipe, whole, function.target.label), abs=1e-4)
    assert np.ptp(expected) > 1e-3  # else nothing was compared
    assert function.way == "together"
    np.testing.assert_array_equal(function.masked_input(masks[0]), whole[:read])
    if read < len(whole):
        assert function.notes == (
            f"The model reads the first {read / 16_000:.2f} of {seconds:.2f} seconds: the rest is "
            "not read and not explained.",
        )
        assert function.features.labels[-1].endswith(f"–{read / 16_000:.2f} s")
    else:
        assert function.notes == ()


def test_silence_at_the_end_is_read() -> None:
    """What changes nothing because it is silent is not cut: the model has read it."""
    pipe = piped(*whisper())
    quiet = np.concatenate([wave(6_000), np.zeros(8_000, np.float32)])
    function = bind(pipe, quiet)
    assert function.notes == ()
    assert len(function.masked_input(np.ones(5, bool))) == 14_000


@pytest.mark.parametrize(
    "given",
    [
        wave(8_000).astype(np.float64),
        (wave(8_000) * 10_000).astype(np.int16),
        torch.from_numpy(wave(8_000)),
        {"raw": wave(8_000), "sampling_rate": 16_000},
        {"array": wave(8_000), "sampling_rate": 16_000, "path": "a.wav"},
        {"array": torch.from_numpy(wave(8_000)).numpy(), "sampling_rate": 16_000.0},
    ],
    ids=["float64", "int16", "tensor", "raw", "array", "a rate as a float"],
)
def test_recordings_as_the_pipeline_takes_them(given: Any) -> None:
    pipe = audio_classifier()
    function = bind(pipe, given)
    before = given.copy() if isinstance(given, dict) else None
    masks = masks_of(5)
    expected = [logit(pipe, function.masked_input(m), function.target.label) for m in masks]
    np.testing.assert_allclose(function(masks), expected, atol=1e-4)
    own = logit(pipe, given, function.target.label)
    assert expected[0] == pytest.approx(own, abs=1e-4)
    assert before is None or list(given) == list(before)


def test_files_are_decoded_by_the_pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[Any] = []

    def ffmpeg_read(content: bytes, rate: int) -> np.ndarray:
        decoded.append((content, rate))
        return wave(8_000)

    name = "transformers.pipelines.audio_classification.ffmpeg_read"
    monkeypatch.setattr(name, ffmpeg_read)
    path = tmp_path / "a.flac"
    path.write_bytes(b"sound")
    pipe = audio_classifier()
    for given in (path, str(path), b"sound"):
        decoded.clear()
        function = bind(pipe, given)
        assert set(decoded) == {(b"sound", 16_000)}
        np.testing.assert_array_equal(function.masked_input(np.ones(5, bool)), wave(8_000))


def test_another_rate_is_resampled_by_the_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    functional = types.ModuleType("torchaudio.functional")
    functional.resample = lambda found, old, new: found.repeat_interleave(new // old)  # type: ignore[attr-defined]
    torchaudio = types.ModuleType("torchaudio")
    torchaudio.functional = functional  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchaudio", torchaudio)
    monkeypatch.setitem(sys.modules, "torchaudio.functional", functional)
    name = "transformers.pipelines.audio_classification.is_torchaudio_available"
    monkeypatch.setattr(name, lambda: True)
    pipe = audio_classifier()
    given = {"raw": wave(4_000), "sampling_rate": 8_000}
    function = bind(pipe, given)
    whole = function.masked_input(np.ones(5, bool))
    np.testing.assert_array_equal(whole, wave(4_000).repeat(2))
    assert function.features.labels[-1] == "0.40–0.50 s"
    value = function(np.ones((1, 5), bool))[0]
    assert value == pytest.approx(logit(pipe, given, function.target.label), abs=1e-4)


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        ({"raw": wave(4_000), "sampling_rate": 8_000}, {}, "torchaudio is required to resample"),
        ({"raw": wave(4_000)}, {}, "a recording with 'raw'"),
        (np.zeros((2, 4_000), np.float32), {}, r"of type ndarray and shape \(2, 4000\)"),
        ([0.1, 0.2], {}, "of type list"),
        (Path("no such file.wav"), {}, "the recording 'no such file.wav'.*No such file"),
        (b"sound", {}, "ffmpeg"),
        (np.zeros(0, np.float32), {}, "empty"),
        (np.full(4_000, np.nan), {}, "not finite"),
        (np.zeros(4_000, complex), {}, "explains a mono recording"),
        (wave(4_000), {"patches": 0}, "a number of stretches"),
        (wave(4_000), {"patches": (2, 2)}, "a number of stretches"),
    ],
)
def test_what_is_no_recording_is_told_in_words(given: Any, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        bind(audio_classifier(), given, **options)


@pytest.mark.parametrize(
    ("config", "given"),
    [
        ({}, {}),
        ({"problem_type": "multi_label_classification"}, {}),
        ({}, {"function_to_apply": "sigmoid"}),
    ],
    ids=["softmax", "several labels", "set on the pipeline"],
)
def test_the_score_is_the_pipelines_own(config: dict, given: dict) -> None:
    pipe = piped(wav2vec2(**config), tf.Wav2Vec2FeatureExtractor(), **given)
    function = bind(pipe, wave(8_000), target="no", value="probability")
    masks = masks_of(5)
    for mask, found in zip(masks, function(masks), strict=True):
        scores = pipe(function.masked_input(mask), top_k=None)
        (own,) = (s["score"] for s in scores if s["label"] == "no")
        assert found == pytest.approx(own, abs=1e-5)


def test_a_single_label_has_no_probability() -> None:
    """The pipeline's softmax over it is always 1."""
    pipe = piped(wav2vec2(id2label={0: "loud"}), tf.Wav2Vec2FeatureExtractor())
    with pytest.raises(InputError, match="a softmax over one label is always 1"):
        bind(pipe, wave(8_000), value="probability")
    function = bind(pipe, wave(8_000))
    masks = masks_of(5)
    expected = [logit(pipe, function.masked_input(m), "loud") for m in masks]
    np.testing.assert_allclose(function(masks), expected, atol=1e-4)
    sigmoid = bind(pipe, wave(8_000), value="probability", function_to_apply="sigmoid")
    np.testing.assert_allclose(sigmoid(masks), 1 / (1 + np.exp(-np.array(expected))), atol=1e-4)


def test_waves_drawn_alike_are_not_taken_for_one_another() -> None:
    pipe, first = audio_classifier(), wave(8_000)
    other = first.copy()
    other[1:-1:50] *= 0.999
    assert bind(pipe, first).fingerprint() == bind(pipe, first).fingerprint()
    assert bind(pipe, first).fingerprint() != bind(pipe, other).fingerprint()


def test_the_pipeline_stays_as_it_is() -> None:
    pipe = audio_classifier()
    extractor = pipe.feature_extractor
    bind(pipe, wave(8_000))
    assert pipe.feature_extractor is extractor
