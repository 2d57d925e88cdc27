"""Tasks that read images or sound: a mask's value is what the pipeline gives for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_pipelines import audio_classifier, clip, image_classifier, picture, vision_language

from proxyspex_hf import InputError, InteractionExplainer, ProxySpexWarning
from proxyspex_hf.hf.masked_image import _grid, regions_of


def masks_of(n: int, count: int = 6) -> np.ndarray:
    rng = np.random.default_rng(n)
    ends = np.stack([np.ones(n, bool), np.zeros(n, bool)])
    return np.concatenate([ends, rng.random((count, n)) < rng.random((count, 1))])


def bind(pipe: Any, inputs: Any, /, **options: Any) -> Any:
    return InteractionExplainer(pipe).value_function(inputs, **options)


@pytest.mark.parametrize("masking", ["zero", "mean", "blur"])
@pytest.mark.parametrize("patches", [None, 9, (2, 3), "superpixels"])
def test_images(masking: str, patches: Any) -> None:
    pipe = image_classifier()
    function = bind(pipe, picture(), image_masking=masking, patches=patches)
    assert function.image_masking == masking
    assert function.n_features == {None: 49, 9: 9, (2, 3): 6}.get(patches, function.n_features)
    masks = masks_of(function.n_features)
    expected = []
    for mask in masks:
        scores = pipe(function.masked_input(mask), function_to_apply="none")
        expected += [s["score"] for s in scores if s["label"] == function.target.label]
    np.testing.assert_allclose(function(masks), expected, atol=1e-4)
    assert function._masked.composes
    shown = function.picture
    assert min(shown.width, shown.height) == 32


def test_a_processor_that_crops_again_is_given_the_image_before_the_crop() -> None:
    """A crop smaller than the resized image cannot be undone."""
    pipe = image_classifier()
    pipe.image_processor.size = {"shortest_edge": 40}
    function = bind(pipe, picture(96, 64), patches=(4, 6))
    assert function._masked.composes
    assert (function.picture.width, function.picture.height) == (60, 40)
    for mask, value in zip(masks_of(24), function(masks_of(24)), strict=True):
        scores = pipe(function.masked_input(mask), function_to_apply="none")
        (own,) = (s["score"] for s in scores if s["label"] == function.target.label)
        assert value == pytest.approx(own, abs=1e-4)


@pytest.mark.parametrize("family", ["clip", "siglip"])
@pytest.mark.parametrize("edge", [32, 40])
def test_a_photo_with_a_caption_is_asked_again_as_it_was(family: str, edge: int) -> None:
    pipe = clip(family)
    pipe.image_processor.size = {"shortest_edge": edge}
    value = {"image": picture(1200, 900), "text": "not bad"}
    explainer = InteractionExplainer(pipe, patches=(2, 2), budget=64, proxy="lasso")
    with pytest.warns(ProxySpexWarning, match="The processor reads the middle"):
        explanation = explainer(value, progress=False)
    masks = masks_of(6)
    expected = []
    for mask in masks:
        given = explainer.value_function(value).masked_input(mask)
        inputs = pipe.preprocess(given["image"], [given["text"]], "{}")
        expected.append(pipe.forward(inputs)["logits"].item())
    whole = pipe.forward(pipe.preprocess(value["image"], ["not bad"], "{}"))["logits"].item()
    assert np.ptp(expected) > 1e-3
    assert expected[0] == pytest.approx(whole, abs=1e-4)
    np.testing.assert_allclose(explainer.ask(explanation, masks), expected, atol=1e-4)


def test_what_masked_regions_look_like() -> None:
    function = bind(image_classifier(), picture(32, 32), patches=(2, 2), image_masking="zero")
    image = np.asarray(function.masked_input(np.array([True, False, False, True])))
    whole = np.asarray(function.masked_input(np.ones(4, bool)))
    assert (image[:16, 16:] == 0).all()
    assert (image[16:, :16] == 0).all()
    np.testing.assert_array_equal(image[:16, :16], whole[:16, :16])
    assert function.features.labels[1] == "row 1, column 2"
    assert function.features.regions[1] == (((16, 0), (32, 0), (32, 16), (16, 16)),)
    mean = bind(image_classifier(), picture(32, 32), patches=(2, 2), image_masking="mean")
    empty = np.asarray(mean.masked_input(np.zeros(4, bool)))
    np.testing.assert_allclose(empty[0, 0], whole.reshape(-1, 3).mean(0), atol=0.51)


def filled(region: Any, height: int, width: int) -> np.ndarray:
    """The pixels inside an odd number of a region's rings."""
    inside = np.zeros((height, width + 1), bool)
    for ring in region:
        for (x, y), (u, v) in zip(ring, (*ring[1:], ring[0]), strict=True):
            if x == u:
                inside[min(y, v) : max(y, v), x] ^= True
    return np.logical_xor.accumulate(inside, axis=1)[:, :-1]


def test_outlines_hold_exactly_the_pixels_of_their_region() -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        labels = rng.integers(0, 4, (7, 9))
        labels.flat[:4] = range(4)  # each is there; holes and corners that touch come by chance
        for label, region in enumerate(regions_of(labels)):
            np.testing.assert_array_equal(filled(region, 7, 9), labels == label)


OTHERS = [(picture(seed=i), f"the plot number {i} is dull") for i in range(1, 5)]


def pair_inputs(pipe: Any, pairs: list[tuple[Any, str]]) -> dict[str, torch.Tensor]:
    pixels = pipe.image_processor(images=[image for image, _ in pairs], return_tensors="pt")
    siglip = "siglip" in pipe.model.config.model_type
    padding = {"padding": "max_length", "max_length": 64} if siglip else {"padding": True}
    texts = pipe.tokenizer([text for _, text in pairs], return_tensors="pt", **padding)
    return {**texts, **pixels}


@pytest.mark.parametrize("family", ["clip", "siglip"])
@pytest.mark.parametrize("masking", ["mask", "delete"])
def test_patches_and_words_together(family: str, masking: str) -> None:
    pipe = clip(family)
    value = {"image": picture(), "text": "not bad, not dull, great fun"}
    logit = bind(pipe, value, patches=(3, 3), masking=masking)
    assert logit.features.labels[8:10] == ("row 3, column 3", "not")
    assert logit.features.region_kind == "patches"
    assert logit.features.kind == "words"
    cosine = bind(pipe, value, patches=(3, 3), masking=masking, value="similarity")
    loss = bind(
        pipe,
        {**value, "others": OTHERS},
        patches=(3, 3),
        masking=masking,
        value="contrastive loss",
    )
    masks = masks_of(15)
    for mask, z, c, e in zip(masks, logit(masks), cosine(masks), loss(masks), strict=True):
        pair = logit.masked_input(mask)
        own = (pair["image"], pair["text"])
        with torch.inference_mode():
            out = pipe.model(**pair_inputs(pipe, [own]))
            batch = pipe.model(**pair_inputs(pipe, [own, *OTHERS]), return_loss=True)
        assert z == pytest.approx(out.logits_per_image.item(), abs=1e-4)
        assert c == pytest.approx((out.image_embeds @ out.text_embeds.T).item(), abs=1e-5)
        assert e == pytest.approx(batch.loss.item(), abs=1e-4)


def test_each_tower_embeds_a_masked_input_once_and_the_others_once() -> None:
    pipe, images, texts = clip(), 0, 0

    def see_image(_module: Any, _args: Any, kwargs: Any) -> None:
        nonlocal images
        images += len(kwargs["pixel_values"])

    def see_text(_module: Any, _args: Any, kwargs: Any) -> None:
        nonlocal texts
        texts += len(kwargs["input_ids"])

    function = bind(
        pipe,
        {"image": picture(), "text": "not bad", "others": OTHERS},
        patches=(2, 2),
        value="contrastive loss",
    )
    function(masks_of(6))
    a = pipe.model.vision_model.register_forward_pre_hook(see_image, with_kwargs=True)
    b = pipe.model.text_model.register_forward_pre_hook(see_text, with_kwargs=True)
    masks = np.unique(masks_of(6, 30), axis=0)
    function(masks)
    a.remove(), b.remove()
    assert images <= len(masks)
    assert texts <= 4 * -(-len(masks) // 60)  # four captions in all, once a batch


@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_an_image_among_candidate_labels(family: str) -> None:
    pipe = clip(family)
    value = {"image": picture(), "candidate_labels": ["dull plot", "great fun"]}
    function = bind(pipe, value, patches=(3, 3), value="probability", target="dull plot")
    if family == "siglip":  # the pipeline pads to the full length without a mask, as we do
        assert function._sigmoid
    masks = masks_of(9)
    for mask, share in zip(masks, function(masks), strict=True):
        given = function.masked_input(mask)
        scores = pipe(given["image"], candidate_labels=given["candidate_labels"])
        (own,) = (s["score"] for s in scores if s["label"] == "dull plot")
        if family == "clip":
            assert share == pytest.approx(own, abs=1e-5)
        else:
            assert 0 < share < 1


@pytest.mark.parametrize("mask_text", [False, True])
def test_an_image_and_a_question(mask_text: bool) -> None:
    pipe = vision_language()
    value = {"image": picture(), "text": "Was it great, or dull?", "mask_text": mask_text}
    function = bind(pipe, value, patches=(3, 3), max_new_tokens=4)
    assert function.n_features == (14 if mask_text else 9)
    masks = masks_of(function.n_features)
    for mask, value in zip(masks, function(masks), strict=True):
        given = function.masked_input(mask)
        made = pipe.processor(images=given["images"], text=given["text"])
        ids = made["input_ids"][0]
        pixels = pipe.processor.image_processor(images=given["images"], return_tensors="pt")
        whole = torch.tensor([[*ids, *function.target_ids]])
        with torch.inference_mode():
            logits = pipe.model(input_ids=whole, **pixels).logits[0]
        after = logits[len(ids) - 1 : -1].log_softmax(-1)
        own = -after.gather(1, torch.from_numpy(function.target_ids)[:, None]).mean().item()
        assert value == pytest.approx(own, rel=1e-3, abs=1e-4)
    assert function.way == "together"


@pytest.mark.parametrize(
    ("text", "features", "labels"),
    [
        ("<image>\nWas it great?", "words", ("Was", "it", "great?")),
        ("<image>Was it great?", "sentences", ("Was it great?",)),
        ("Was <image> great?", "words", ("Was", "great?")),
    ],
)
def test_the_place_of_the_image_is_never_masked(text: str, features: Any, labels: Any) -> None:
    pipe = vision_language()
    value = {"image": picture(32, 32), "text": text, "mask_text": True}
    function = bind(pipe, value, patches=(1, 2), max_new_tokens=3, features=features)
    assert function.features.labels[2:] == labels
    masks = masks_of(function.n_features)
    for mask in masks:
        assert function.masked_input(mask)["text"].count("<image>") == 1
    expected = [function.score(function.by_pipeline(mask))[0] for mask in masks]
    np.testing.assert_allclose(function(masks), expected, atol=1e-4)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (3, 900), (900, 3), (40, 30)])
def test_about_48_patches_of_an_image_of_any_shape(width: int, height: int) -> None:
    rows, columns = _grid(width, height, None)
    assert 1 <= rows <= height
    assert 1 <= columns <= width
    assert rows * columns <= 49


def test_sound() -> None:
    pipe = audio_classifier()
    rng = np.random.default_rng(0)
    wave = (np.sin(np.arange(8000) / 20) + 0.1 * rng.normal(size=8000)).astype(np.float32)
    function = bind(pipe, {"raw": wave, "sampling_rate": 16_000}, patches=5, value="probability")
    assert function.features.labels[0] == "0.00–0.10 s"
    assert function.features.region_kind == "segments"
    for mask, share in zip(masks_of(5), function(masks_of(5)), strict=True):
        masked = function.masked_input(mask)
        assert (masked[:1600] == (wave[:1600] if mask[0] else 0)).all()
        scores = pipe(masked, top_k=2)
        (own,) = (s["score"] for s in scores if s["label"] == function.target.label)
        assert share == pytest.approx(own, abs=1e-5)
    with pytest.raises(InputError, match="torchaudio is required to resample"):
        bind(pipe, {"raw": wave, "sampling_rate": 8_000})


AMONG = {"image": picture(), "candidate_labels": ["a", "b"]}
SHOWN = {"image": picture(), "text": "<image> What?", "mask_text": True}
WAVE = np.sin(np.arange(800, dtype=np.float32) / 20)


@pytest.mark.parametrize(
    ("make", "value", "options", "message"),
    [
        (image_classifier, 7, {}, "expected an image"),
        (image_classifier, "no such file.png", {}, "cannot read the image"),
        (image_classifier, picture(), {"patches": 0}, "patches must be at least 1"),
        (image_classifier, picture(), {"patches": (0, 2)}, "cannot divide an image of 32 x 32"),
        (image_classifier, picture(), {"patches": (1.5, 2)}, "each of patches must be an integer"),
        (image_classifier, picture(), {"patches": (2,)}, "a number or .rows, columns., got"),
        (image_classifier, picture(), {"patches": "squares"}, "or 'superpixels', got 'squares'"),
        (image_classifier, picture(), {"image_masking": "paint"}, "one of 'zero', 'mean', 'blur'"),
        (clip, {"image": picture()}, {}, "explains {'image': …, 'text': caption}"),
        (clip, {"image": picture(), "text": "a"}, {"value": "contrastive loss"}, "others="),
        (clip, {"image": picture(), "candidate_labels": "ab"}, {}, "must be a list of texts"),
        (clip, {"image": picture(), "text": "a"}, {"hypothesis_template": "{}!"}, "a caption: it"),
        (clip, {**AMONG, "others": [(picture(), "a")]}, {}, "'others' has no meaning beside"),
        (clip, AMONG, {"hypothesis_template": "none"}, "one {} in the label's place"),
        (clip, AMONG, {"masking": "delete"}, "has no meaning here: .* no words that are masked"),
        (image_classifier, picture(), {"features": "tokens"}, "features='tokens' has no meaning"),
        (vision_language, {"image": picture()}, {}, "explains .* an input with 'image'"),
        (vision_language, {**SHOWN, "text": "<image>"}, {}, "'<image>' has no words to mask"),
        (vision_language, {**SHOWN, "mask_text": False}, {"mask_token": "x"}, "no meaning here"),
        (audio_classifier, [1, 2], {}, "explains a mono recording"),
        (audio_classifier, WAVE, {"masking": "delete"}, "masking='delete' has no meaning here"),
        (audio_classifier, WAVE, {"patches": True}, "stretches of time. must be an integer"),
        (audio_classifier, WAVE, {"patches": 801}, "must lie between 1 and 800, got 801"),
        (audio_classifier, WAVE, {"patches": (2, 3)}, "a number of stretches of time, got .2, 3"),
    ],
)
def test_bad_input_is_refused(make: Any, value: Any, options: dict, message: str) -> None:
    explainer = InteractionExplainer(make())
    with pytest.raises(InputError, match=message):
        explainer.value_function(value, **options)


def test_a_clip_is_explained_and_kept(tmp_path: Any) -> None:
    explainer = InteractionExplainer(clip(), patches=(2, 3), budget=60, n_test=10, proxy="lasso")
    explanation = explainer({"image": picture(48, 48), "text": "not bad"})
    explanation.save(tmp_path / "e.json")
    assert type(explanation).load(tmp_path / "e.json") == explanation
    record = explanation.record
    assert record.task == "zero-shot-image-classification"
    assert len(record.features) == 8
    assert record.settings.image_masking == "zero"
    image = Image.open(__import__("io").BytesIO(record.picture.png))
    assert image.size == (32, 32)
