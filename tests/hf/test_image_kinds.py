"""Images of every kind, under processors and models of every kind, against the pipeline itself."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf
from PIL import Image, ImageOps
from tiny_pipelines import SIZES, image_classifier, image_processor, picture

from proxyspex_hf import InputError, InteractionExplainer, ProxySpexWarning

LABELS = {"id2label": {0: "cat", 1: "dog", 2: "owl"}}
SEEN = {**SIZES, "image_size": 32, "patch_size": 8}
SQUARE = {"height": 32, "width": 32}
CONVOLUTIONS = {"hidden_sizes": [8, 16, 16, 16], "depths": [1, 1, 1, 1]}


def vit(**more: Any) -> Any:
    return tf.ViTForImageClassification(tf.ViTConfig(**{**SEEN, **LABELS, **more}))


def mobile_vit() -> Any:
    sizes = {"hidden_sizes": [16] * 3, "neck_hidden_sizes": [8] * 6 + [16]}
    config = tf.MobileViTConfig(image_size=64, num_attention_heads=2, **sizes, **LABELS)
    model = tf.MobileViTForImageClassification(config)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # else nothing of the picture comes through
            torch.nn.init.constant_(module.weight, 3.0)
    return model


def siglip() -> Any:
    text = {**SIZES, "vocab_size": 20, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
    config = tf.SiglipConfig(vision_config=SEEN, text_config=text, **LABELS)
    return tf.SiglipForImageClassification(config)


def image_gpt() -> tuple[Any, Any]:
    config = tf.ImageGPTConfig(
        vocab_size=17, n_positions=64, n_embd=32, n_layer=2, n_head=4, **LABELS
    )
    clusters = np.random.default_rng(0).uniform(-1, 1, (16, 3)).tolist()
    processor = tf.ImageGPTImageProcessorPil(clusters=clusters, size={"height": 8, "width": 8})
    return tf.ImageGPTForImageClassification(config), processor


def perceiver() -> tuple[Any, Any]:
    heads = {"num_self_attention_heads": 2, "num_cross_attention_heads": 1}
    sizes = {"num_latents": 8, "d_latents": 32, "num_blocks": 1, "num_self_attends_per_block": 1}
    model = tf.PerceiverForImageClassificationConvProcessing(
        tf.PerceiverConfig(**sizes, **heads, **LABELS)
    )
    return model, tf.PerceiverImageProcessorPil()


#: Each: model and processor, whether masks are put together from few processed pictures, the size
#: of the picture in which is masked, and what the note says is read of a picture of 96 x 64.
KINDS: dict[str, tuple[Callable[[], tuple[Any, Any]], bool, tuple[int, int], str | None]] = {
    "squashed": (
        lambda: (vit(), tf.ViTImageProcessorPil(size=SQUARE)),
        True,
        (32, 32),
        None,
    ),
    "cropped": (lambda: (vit(), image_processor()), True, (48, 32), "32 x 32 of 48 x 32"),
    "cropped again": (
        lambda: (
            vit(),
            tf.CLIPImageProcessorPil(size={"shortest_edge": 36}, crop_size=SQUARE),
        ),
        True,
        (54, 36),
        "32 x 32 of 54 x 36",
    ),
    "padded": (
        lambda: (
            vit(),
            tf.CLIPImageProcessorPil(size={"max_height": 32, "max_width": 32}, crop_size=SQUARE),
        ),
        True,
        (32, 32),
        None,
    ),
    "convnext": (
        lambda: (
            tf.ConvNextForImageClassification(tf.ConvNextConfig(**CONVOLUTIONS, **LABELS)),
            tf.ConvNextImageProcessorPil(size={"shortest_edge": 64}),
        ),
        True,
        (109, 73),
        "64 x 64 of 109 x 73",
    ),
    "resnet": (
        lambda: (
            tf.ResNetForImageClassification(
                tf.ResNetConfig(embedding_size=8, **CONVOLUTIONS, **LABELS)
            ),
            tf.ConvNextImageProcessorPil(size={"shortest_edge": 32}),
        ),
        True,
        (54, 36),
        "32 x 32 of 54 x 36",
    ),
    "swin": (
        lambda: (
            tf.SwinForImageClassification(
                tf.SwinConfig(
                    image_size=32,
                    patch_size=4,
                    embed_dim=16,
                    depths=[1, 1],
                    num_heads=[2, 2],
                    window_size=4,
                    **LABELS,
                )
            ),
            tf.ViTImageProcessorPil(size=SQUARE),
        ),
        True,
        (32, 32),
        None,
    ),
    "channels turned": (
        lambda: (
            mobile_vit(),
            tf.MobileViTImageProcessorPil(
                size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64}
            ),
        ),
        True,
        (64, 64),
        "64 x 64 of 96 x 64",
    ),
    "siglip": (
        lambda: (siglip(), tf.SiglipImageProcessorPil(size=SQUARE)),
        True,
        (32, 32),
        None,
    ),
    "tokens of colour": (image_gpt, False, (96, 64), None),
    "cropped first": (perceiver, False, (96, 64), "56 x 56 of 96 x 64"),
}


def piped(model: Any, processor: Any, **more: Any) -> Any:
    torch.manual_seed(0)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=2 / parameter[0].numel() ** 0.5)
    return tf.ImageClassificationPipeline(
        model=model.eval(), image_processor=processor, device="cpu", **more
    )


def bind(pipe: Any, given: Any, /, **options: Any) -> Any:
    return InteractionExplainer(pipe, **{"patches": (3, 4), **options}).value_function(given)


def logit(pipe: Any, value: Any, label: str) -> float:
    scores = pipe(value, function_to_apply="none", top_k=10)
    (own,) = (s["score"] for s in scores if s["label"] == label)
    return float(own)


def masks_of(n: int) -> np.ndarray:
    ends = np.stack([np.ones(n, bool), np.zeros(n, bool)])
    return np.concatenate([ends, np.random.default_rng(n).random((4, n)) < 0.5])


@pytest.mark.parametrize("kind", KINDS)
def test_processors_and_models_of_every_kind(kind: str) -> None:
    make, composes, size, read = KINDS[kind]
    pipe = piped(*make())
    function = bind(pipe, picture(96, 64))
    masks = masks_of(12)
    values = function(masks)
    expected = [logit(pipe, function.masked_input(m), function.target.label) for m in masks]
    scale = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(values, expected, atol=1e-4 * scale)
    own = logit(pipe, picture(96, 64), function.target.label)
    assert values[0] == pytest.approx(own, abs=1e-4 * scale)
    assert np.ptp(expected) > 1e-4  # else nothing was compared
    assert function.way == "together"
    assert function._fast == composes
    assert function.masked_input(masks[0]).size == size
    if read is None:
        assert function.notes == ()
    else:
        (note,) = function.notes
        assert note.startswith(f"The processor reads the middle {read} pixels: ")


def test_a_picture_that_fits_is_read_whole() -> None:
    assert bind(image_classifier(), picture(50, 50)).notes == ()
    assert "32 x 32 of 32 x 64" in bind(image_classifier(), picture(50, 100)).notes[0]


def test_of_a_panorama_only_what_is_read_is_the_picture() -> None:
    function = bind(image_classifier(), picture(50, 300))
    assert function.masked_input(np.ones(12, bool)).size == (32, 32)
    assert "32 x 32 of 32 x 192" in function.notes[0]


def test_half_precision_is_read_as_the_pipeline_reads_it() -> None:
    pipe = image_classifier()
    pipe.model.to(torch.bfloat16)
    function = bind(pipe, picture(96, 64))
    masks = masks_of(12)
    expected = [logit(pipe, function.masked_input(m), function.target.label) for m in masks]
    np.testing.assert_allclose(function(masks), expected, atol=0.05 * np.ptp(expected))
    assert function._fast


def outside(function: Any) -> np.ndarray:
    """The pixels of a picture that no region holds."""
    empty = np.asarray(function.masked_input(np.zeros(function.n_features, bool)))
    whole = np.asarray(function.masked_input(np.ones(function.n_features, bool)))
    return (empty == whole).all(-1)


@pytest.mark.parametrize("patches", [(2, 2), "superpixels"])
@pytest.mark.parametrize("masking", ["zero", "mean", "blur"])
def test_what_is_cropped_away_is_no_feature(patches: Any, masking: str) -> None:
    pipe = image_classifier()
    pipe.image_processor.size = {"shortest_edge": 36}
    image = Image.effect_noise((96, 64), 80).convert("RGB")
    function = bind(pipe, image, patches=patches, image_masking=masking)
    kept = np.ones((36, 54), bool)
    kept[2:34, 11:43] = False
    assert outside(function)[kept].all()
    assert outside(function)[~kept].mean() < 0.1  # a pixel may be as what masks it
    corners = [xy for region in function.features.regions for ring in region for xy in ring]
    assert np.min(corners, 0).tolist() == [11, 2]
    assert np.max(corners, 0).tolist() == [43, 34]
    own = logit(pipe, image, function.target.label)
    assert function(np.ones((1, function.n_features), bool))[0] == pytest.approx(own, abs=1e-4)
    if masking == "mean" and patches == (2, 2):
        empty = np.asarray(function.masked_input(np.zeros(4, bool)))
        read = np.asarray(function._masked.image.crop((11, 2, 43, 34))).reshape(-1, 3)
        np.testing.assert_allclose(empty[2:34, 11:43].reshape(-1, 3), [read.mean(0)] * 1024, atol=1)


def test_a_large_photo_is_processed_once_not_for_each_mask() -> None:
    pipe = image_classifier()
    pipe.image_processor.size = {"shortest_edge": 36}
    function = bind(pipe, picture(1500, 900), patches=(2, 3))
    assert function.masked_input(np.ones(6, bool)).size == (60, 36)
    assert (function.picture.width, function.picture.height) == (60, 36)
    assert function.way == "together"
    seen = []
    own = type(pipe.image_processor).preprocess

    def preprocess(self: Any, images: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(len(images) if isinstance(images, list) else 1)
        return own(self, images, *args, **kwargs)

    masks = np.unpackbits(np.arange(64, dtype=np.uint8)[:, None], axis=1)[:, 2:].astype(bool)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(type(pipe.image_processor), "preprocess", preprocess)
        values = function(masks)
    assert sum(seen) <= 2
    assert values[-1] == pytest.approx(
        logit(pipe, picture(1500, 900), function.target.label), abs=1e-4
    )


def test_a_large_photo_that_is_read_in_a_way_of_its_own_is_masked_at_its_own_size() -> None:
    pipe = piped(*image_gpt())
    function = bind(pipe, picture(1500, 900), patches=(2, 3))
    masked = function.masked_input(np.array([True, True, False, True, True, True]))
    assert masked.size == (1500, 900)
    assert (function.picture.width, function.picture.height) == (512, 307)
    assert function.arguments == {"image_size": [1500, 900]}
    assert (np.asarray(masked)[:440, 1010:] == 0).all()
    whole = np.asarray(picture(1500, 900))
    np.testing.assert_array_equal(np.asarray(masked)[:, :990], whole[:, :990])
    value = function(np.ones((1, 6), bool))[0]
    assert value == pytest.approx(logit(pipe, picture(1500, 900), function.target.label), abs=1e-4)


def large_reader() -> Any:
    processor = image_processor(640)
    return piped(vit(image_size=640, patch_size=160), processor)


def cropping() -> Any:
    return piped(*KINDS["cropped again"][0]())


@pytest.mark.parametrize(
    ("make", "size"), [(large_reader, (853, 640)), (cropping, (48, 36)), (image_classifier, None)]
)
def test_the_same_is_asked_of_what_an_explanation_holds(make: Any, size: Any) -> None:
    explainer = InteractionExplainer(make(), patches=(2, 2), budget=64, proxy="lasso")
    image = picture(1200, 900)
    with pytest.warns(ProxySpexWarning, match="The processor reads the middle"):
        explanation = explainer(image, progress=False)
    held = explanation.record.picture
    assert size is None or (held.width, held.height) == size
    masks = masks_of(4)
    expected = explainer.value_function(image)(masks)
    assert np.ptp(expected) > 1e-3
    np.testing.assert_allclose(explainer.ask(explanation, masks), expected, atol=1e-4)


def test_of_a_smaller_drawing_nothing_is_asked() -> None:
    """It would be another picture: other numbers, and nobody told."""
    explainer = InteractionExplainer(
        piped(*image_gpt()), patches=(2, 2), budget=64, proxy="lasso", progress=False
    )
    explanation = explainer(picture(1200, 900))
    with pytest.raises(InputError, match="does not hold its whole input: pass inputs"):
        explainer.ask(explanation, masks_of(4))
    expected = explainer.value_function(picture(1200, 900))(masks_of(4))
    asked = explainer.ask(explanation, masks_of(4), inputs=picture(1200, 900))
    np.testing.assert_allclose(asked, expected, atol=1e-6)


def test_a_subclass_with_a_preprocess_of_its_own() -> None:
    """What it does to the picture is explained, on the picture that the user gave."""

    class Mirrored(tf.ImageClassificationPipeline):
        def preprocess(self, image: Any, timeout: float | None = None) -> Any:
            return super().preprocess(ImageOps.mirror(image), timeout)

    base = image_classifier()
    pipe = Mirrored(model=base.model, image_processor=base.image_processor, device="cpu")
    function = bind(pipe, picture(96, 64))
    masks = masks_of(12)
    expected = [logit(pipe, function.masked_input(m), function.target.label) for m in masks]
    np.testing.assert_allclose(function(masks), expected, atol=1e-4)
    own = logit(pipe, picture(96, 64), function.target.label)
    assert expected[0] == pytest.approx(own, abs=1e-4)


def turned(path: Path) -> Path:
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees, as phones write
    picture(64, 40).save(path, exif=exif.tobytes(), quality=95)
    return path


def test_opened_as_the_pipeline_opens_it(tmp_path: Path) -> None:
    path = turned(tmp_path / "phone.jpg")
    plain = base64.b64encode(path.read_bytes()).decode()
    pipe = image_classifier()
    label = bind(pipe, str(path)).target.label
    own = logit(pipe, str(path), label)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    given = [str(path), path, Image.open(path), plain, f"data:image/jpeg;base64,{plain}"]
    for value in given:
        function = bind(pipe, value, target=label)
        assert function(np.ones((1, 12), bool))[0] == pytest.approx(own, abs=1e-4)
    pipe.image_processor.size = {"shortest_edge": 40}  # as it is, before the crop
    whole = bind(pipe, path).masked_input(np.ones(12, bool))
    np.testing.assert_array_equal(np.asarray(whole), upright)


def test_a_url_is_opened_with_the_pipelines_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.BytesIO()
    picture(96, 64).save(stream, "PNG")
    asked: list[Any] = []

    class Answer:
        content = stream.getvalue()

    def get(url: str, timeout: float | None = None, **_: Any) -> Answer:
        asked.append((url, timeout))
        return Answer()

    monkeypatch.setattr("transformers.image_utils.httpx.get", get)
    base = image_classifier()
    pipe = tf.ImageClassificationPipeline(
        model=base.model, image_processor=base.image_processor, device="cpu", timeout=7.0
    )
    function = bind(pipe, "https://example.com/a.png")
    assert asked == [("https://example.com/a.png", 7.0)]
    np.testing.assert_array_equal(
        np.asarray(function.masked_input(np.ones(12, bool))),
        np.asarray(bind(pipe, picture(96, 64)).masked_input(np.ones(12, bool))),
    )


ARRAY = np.asarray(picture(96, 64))


@pytest.mark.parametrize(
    "array",
    [
        ARRAY,
        ARRAY.transpose(2, 0, 1),
        torch.from_numpy(ARRAY.transpose(2, 0, 1).copy()),
        ARRAY.astype(np.float32),
        ARRAY.astype(np.int64),
    ],
    ids=["uint8", "channels first", "tensor", "floats to 255", "integers"],
)
def test_arrays_are_read_as_the_processor_reads_them(array: Any) -> None:
    pipe = image_classifier()
    own = logit(pipe, array, "dog")
    function = bind(pipe, array, target="dog")
    assert function(np.ones((1, 12), bool))[0] == pytest.approx(own, abs=1e-4)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (ARRAY[..., 0], "the pipeline cannot read an input"),
        (ARRAY / 255.0, "does not read the array as the image that it shows"),
        (ARRAY / 127.5 - 1, "of 0 to 255"),
        (ARRAY[..., :2], r"got uint8 of shape \(64, 96, 2\)"),
        (np.array(["a"]), "expected an image's array"),
        (np.full((4, 5, 3), np.nan), "of 0 to 255"),
    ],
    ids=["grey", "floats to 1", "normalised", "two channels", "texts", "not a number"],
)
def test_arrays_that_are_read_otherwise_are_refused(array: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        bind(image_classifier(), array)


def bomb(path: Path) -> Path:
    """A small file that says it is a picture of 30,000 x 30,000 pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    return path


def test_what_cannot_be_opened_is_told_in_words(tmp_path: Path) -> None:
    pipe = image_classifier()
    text = tmp_path / "notes.png"
    text.write_text("no picture")
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(turned(tmp_path / "phone.jpg").read_bytes()[:600])
    for value, message in (
        (tmp_path / "missing.png", "there is no such file"),
        ("data:image/png;base64,AAAA", "nor the base64 text of an image"),
        (text, "UnidentifiedImageError"),
        (cut, "cannot read the image .*Truncated"),
        (bomb(tmp_path / "bomb.png"), "DecompressionBombError"),
        (b"bytes", "got bytes"),
        (None, "got NoneType"),
    ):
        with pytest.raises(InputError, match=message):
            bind(pipe, value)


@pytest.mark.parametrize(
    ("config", "given", "value", "made_of"),
    [
        ({"id2label": {0: "good"}}, {}, "probability", lambda z: 1 / (1 + np.exp(-z[0]))),
        ({"problem_type": "multi_label_classification"}, {}, "probability", None),
        ({}, {"function_to_apply": "sigmoid"}, "probability", None),
        ({}, {}, "probability", lambda z: np.exp(z[1]) / np.exp(z).sum()),
        ({"problem_type": "regression"}, {}, None, lambda z: z[1]),
    ],
    ids=["one label", "several labels", "set on the pipeline", "softmax", "regression"],
)
def test_the_score_is_the_pipelines_own(
    config: dict, given: dict, value: str | None, made_of: Any
) -> None:
    pipe = piped(vit(**config), image_processor(), **given)
    target = pipe.model.config.id2label[min(1, pipe.model.config.num_labels - 1)]
    function = bind(pipe, picture(96, 64), target=target, value=value)
    sigmoid = made_of or (lambda z: 1 / (1 + np.exp(-z[1])))
    masks = masks_of(12)
    for mask, found in zip(masks, function(masks), strict=True):
        masked = function.masked_input(mask)
        (own,) = (s["score"] for s in pipe(masked, top_k=9) if s["label"] == target)
        logits = pipe.model(**pipe.preprocess(masked)).logits[0].detach().double().numpy()
        assert found == pytest.approx(own, abs=1e-4)
        assert found == pytest.approx(sigmoid(logits), abs=1e-4)


def test_pictures_drawn_alike_are_not_taken_for_one_another() -> None:
    """Large ones differ where the record's smaller picture does not show it."""
    pipe = image_classifier()
    pipe.image_processor.size = {"shortest_edge": 36}
    pixels = np.asarray(picture(1200, 1200)).copy()
    first = bind(pipe, Image.fromarray(pixels)).fingerprint()
    assert bind(pipe, Image.fromarray(pixels)).fingerprint() == first
    pipe.image_processor.image_mean = [0.1, 0.2, 0.3]
    assert bind(pipe, Image.fromarray(pixels)).fingerprint() != first
