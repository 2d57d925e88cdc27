"""The model and the pipeline are the user's: what they could do before, they can do after; and what
they are set to do is what is explained."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import tiny_vision_language
import torch
import transformers as tf
from tiny_models import CORPUS, roberta_pipeline
from tiny_pipelines import (
    SIZES,
    clip,
    embedder,
    generator,
    image_classifier,
    picture,
    token_classifier,
)
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from proxyspex_hf import InteractionExplainer
from proxyspex_hf.core import all_masks
from proxyspex_hf.hf.evaluating import evaluating

TEXT = "The plot is dull, but never funny"


class Keeping(torch.nn.Module):
    """A layer that keeps what it made in its first forward pass, as static caches are kept."""

    def __init__(self, layer: torch.nn.Module) -> None:
        super().__init__()
        self.layer, self.kept = layer, {}

    def forward(self, *args: Any, **given: Any) -> Any:
        out = self.layer(*args, **given)
        if not self.kept:
            self.kept["scale"] = torch.ones(out.shape[-1]) * 0.5
        return out * self.kept["scale"]


def test_what_a_model_keeps_of_a_forward_pass_does_not_stop_its_training() -> None:
    pipe = roberta_pipeline()
    pipe.model.classifier.dense = Keeping(pipe.model.classifier.dense)
    InteractionExplainer(pipe, progress=False).value_function(TEXT)
    assert not pipe.model.classifier.dense.kept["scale"].is_inference()
    pipe.model.train()
    inputs = pipe.tokenizer(TEXT, return_tensors="pt")
    pipe.model(**inputs).logits.sum().backward()
    assert pipe.model.classifier.dense.layer.weight.grad.abs().sum() > 0.0


def byte_pairs(size: int) -> Any:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(CORPUS, trainer)
    end = "<|endoftext|>"
    return tf.PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token=end, unk_token=end, pad_token=end
    )


def language_model(tokenizer: Any, seed: int) -> Any:
    torch.manual_seed(seed)
    config = tf.LlamaConfig(
        **SIZES,
        vocab_size=len(tokenizer),
        bos_token_id=0,
        eos_token_id=0,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.3,
    )
    return tf.LlamaForCausalLM(config).eval()


@pytest.mark.parametrize("sizes", [(300, 500), (500, 300)])
def test_an_assistant_with_its_own_tokenizer_has_no_part_in_what_is_said(
    sizes: tuple[int, int],
) -> None:
    own, other = map(byte_pairs, sizes)
    model, assistant = language_model(own, 0), language_model(other, 1)
    alone, assisted = (
        tf.TextGenerationPipeline(
            model=model, tokenizer=own, device="cpu", max_new_tokens=6, **more
        )
        for more in ({}, {"assistant_model": assistant, "assistant_tokenizer": other})
    )
    says = assisted(TEXT, do_sample=False, return_full_text=False)[0]["generated_text"]
    found = [
        InteractionExplainer(pipe, masking="delete", progress=False).value_function(TEXT)
        for pipe in (alone, assisted)
    ]
    assert found[0].target.label == found[1].target.label == says
    whole = np.ones((1, found[0].n_features), bool)
    np.testing.assert_array_equal(found[0](whole), found[1](whole))


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")
@pytest.mark.parametrize("nested", [False, True])
def test_a_pipeline_that_gives_several_answers_is_asked_the_text_as_it_is(nested: bool) -> None:
    base = tiny_vision_language.paligemma()
    several = {"do_sample": True, "num_return_sequences": 2, "max_new_tokens": 5}
    settings: dict[str, Any] = {"generate_kwargs": several} if nested else several
    pipe = tf.ImageTextToTextPipeline(
        model=base.model, processor=base.processor, device="cpu", **settings
    )
    asked = {"image": picture(), "text": "what is it"}
    one, two = (
        InteractionExplainer(each, patches=(2, 2), max_new_tokens=5, progress=False)
        for each in (base, pipe)
    )
    first, second = one.value_function(asked), two.value_function(asked)
    assert (first.text, first.target.label) == (second.text, second.target.label)
    assert not any("cannot answer" in note for note in second.notes)
    masks = np.array([[True] * 4, [True, False, True, False]])
    np.testing.assert_array_equal(first(masks), second(masks))


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")
def test_where_room_for_the_image_is_not_what_is_missing_none_is_made() -> None:
    base = tiny_vision_language.paligemma()

    class Broken(tf.ImageTextToTextPipeline):
        def _forward(self, *_: Any, **__: Any) -> Any:
            raise ValueError("no such thing")

    pipe = Broken(model=base.model, processor=base.processor, device="cpu")
    with pytest.raises(Exception, match="no such thing"):
        InteractionExplainer(pipe, progress=False).value_function(
            {"image": picture(), "text": "what is it"}
        )


def test_a_subclass_has_its_own_template_for_labels() -> None:
    class Drawings(tf.ZeroShotImageClassificationPipeline):
        def preprocess(
            self, image: Any, hypothesis_template: str = "a drawing of {}.", **more: Any
        ) -> Any:
            return super().preprocess(image, hypothesis_template=hypothesis_template, **more)

    base = clip()
    pipe = Drawings(
        model=base.model,
        tokenizer=base.tokenizer,
        image_processor=base.image_processor,
        device="cpu",
    )
    asked = {"image": picture(32, 32), "candidate_labels": ["dull", "great"]}
    explainer = InteractionExplainer(pipe, patches=(2, 2), progress=False)
    function = explainer.value_function(asked)
    assert function.arguments["hypothesis_template"] == "a drawing of {}."
    explanation = explainer(asked)
    masks = np.array([[True] * 4, [True, False, True, False], [False] * 4])
    again = InteractionExplainer(pipe, progress=False).ask(explanation, masks, inputs=asked)
    np.testing.assert_allclose(again, function(masks), atol=1e-6)
    said = {each["label"]: each["score"] for each in pipe(**asked)}
    value = InteractionExplainer(pipe, patches=(2, 2), value="probability", progress=False)
    found = value.value_function(asked)
    assert found(masks[:1])[0] == pytest.approx(said[found.target.label], abs=1e-6)


def narrow(kind: type) -> type:
    """A subclass whose call and whose parameters are fewer than its class's."""

    class Narrow(kind):  # type: ignore[misc]
        def __call__(self, given: Any) -> Any:
            return super().__call__(given)

    if kind is not tf.TokenClassificationPipeline:  # whose own stages count on its parameters
        Narrow._sanitize_parameters = lambda self: ({}, {}, {})
    return Narrow


@pytest.mark.parametrize(
    ("pipe", "kind", "given"),
    [
        (roberta_pipeline, tf.TextClassificationPipeline, TEXT),
        (image_classifier, tf.ImageClassificationPipeline, picture()),
        (embedder, tf.FeatureExtractionPipeline, "The plot"),
        (token_classifier, tf.TokenClassificationPipeline, "The plot"),
    ],
)
def test_a_subclass_need_not_take_what_its_class_takes(pipe: Any, kind: type, given: Any) -> None:
    base = pipe()
    parts = {
        name: getattr(base, name)
        for name in ("tokenizer", "image_processor")
        if getattr(base, name, None) is not None
    }
    own = narrow(kind)(model=base.model, device="cpu", **parts)
    own(given)
    first, second = (
        InteractionExplainer(each, progress=False).value_function(given) for each in (base, own)
    )
    assert first.target == second.target
    masks = np.ones((2, first.n_features), bool)
    masks[1, 0] = False
    np.testing.assert_array_equal(first(masks), second(masks))


def test_a_long_prompt_is_cut_for_the_output_that_is_asked_for() -> None:
    base = generator()
    text = "It could have been great, but the plot is dull and never funny."
    base.tokenizer.model_max_length = 20
    pipe = tf.TextGenerationPipeline(
        model=base.model,
        tokenizer=base.tokenizer,
        device="cpu",
        handle_long_generation="hole",
        max_new_tokens=8,
        do_sample=False,
    )
    for count in (4, 8):
        says = pipe(text, max_new_tokens=count, return_full_text=False)[0]["generated_text"]
        explainer = InteractionExplainer(
            pipe, masking="delete", max_new_tokens=count, progress=False
        )
        assert explainer.value_function(text).target.label == says


def with_positions(kind: type) -> type:
    """A subclass that gives its model more than tokens."""

    class Positioned(kind):  # type: ignore[misc]
        def preprocess(self, *args: Any, **given: Any) -> Any:
            made = super().preprocess(*args, **given)
            made["position_ids"] = torch.arange(made["input_ids"].shape[1])[None] % 3 + 2
            return made

    return Positioned


@pytest.mark.parametrize("masking", ["mask", "delete"])
def test_a_pipeline_that_gives_its_model_more_than_tokens_is_asked_itself(masking: Any) -> None:
    base = roberta_pipeline()
    pipe = with_positions(tf.TextClassificationPipeline)(
        model=base.model, tokenizer=base.tokenizer, device="cpu"
    )
    explainer = InteractionExplainer(pipe, masking=masking, progress=False)
    function = explainer.value_function("The plot is dull")
    assert function.way == "pipeline"
    masks = np.random.default_rng(0).random((6, 4)) < 0.5
    label = function.target.label
    said = [
        {each["label"]: each["score"] for each in pipe(text, top_k=None, function_to_apply="none")}
        for text in map(function.masked_input, masks)
    ]
    np.testing.assert_allclose(function(masks), [each[label] for each in said], atol=1e-5)
    found = explainer("The plot is dull")
    assert found.record.queries.values[0] == pytest.approx(function(np.ones((1, 4), bool))[0])
    # Another answer than the plain pipeline's, and another key.
    plain = InteractionExplainer(base, masking=masking, progress=False)
    other = plain.value_function("The plot is dull")
    assert np.abs(function(masks) - other(masks)).max() > 1e-3
    assert function.fingerprint()["read_as"] != other.fingerprint()["read_as"]


def test_an_embedding_of_more_than_tokens() -> None:
    base = embedder()
    pipe = with_positions(tf.FeatureExtractionPipeline)(
        model=base.model, tokenizer=base.tokenizer, device="cpu"
    )
    function = InteractionExplainer(pipe, progress=False).value_function("The plot is dull")
    assert function.way == "pipeline"
    assert np.isfinite(function(np.eye(4, dtype=bool))).all()


def test_a_model_that_changes_how_it_computes_is_as_it_was() -> None:
    """BigBird reads its first short text in full, and every text after it."""
    base = roberta_pipeline()
    config = tf.BigBirdConfig(
        **SIZES,
        vocab_size=len(base.tokenizer),
        max_position_embeddings=130,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        sep_token_id=2,
        block_size=2,
        num_random_blocks=1,
        attention_type="block_sparse",
        num_labels=3,
        initializer_range=0.5,
    )
    torch.manual_seed(0)
    model = tf.BigBirdForSequenceClassification(config).eval()
    pipe = tf.TextClassificationPipeline(model=model, tokenizer=base.tokenizer, device="cpu")
    text = "It could have been great, but the plot is dull and never funny."
    before = pipe(text, top_k=None, function_to_apply="none")
    assert model.bert.attention_type == "block_sparse"
    found = InteractionExplainer(pipe, masking="delete", progress=False, budget=40)(text)
    assert model.bert.attention_type == "block_sparse"
    assert pipe(text, top_k=None, function_to_apply="none") == before
    assert found.value == pytest.approx(before[0]["score"], abs=1e-5)
    # Each mask as a pipeline answers it that has read nothing before.
    queries = found.record.queries
    for mask, value in zip(queries.masks[:8], queries.values[:8], strict=True):
        fresh = tf.BigBirdForSequenceClassification(config).eval()
        fresh.load_state_dict(model.state_dict())
        alone = tf.TextClassificationPipeline(model=fresh, tokenizer=base.tokenizer, device="cpu")
        words = InteractionExplainer(alone, masking="delete", progress=False).value_function(text)
        said = {
            each["label"]: each["score"]
            for each in alone(words.masked_input(mask), top_k=None, function_to_apply="none")
        }
        assert value == pytest.approx(said[found.label], abs=1e-4)


def test_positions_that_grow_with_the_text_shrink_again() -> None:
    base = generator()
    config = tf.LlamaConfig(
        **SIZES,
        vocab_size=len(base.tokenizer),
        num_key_value_heads=2,
        max_position_embeddings=16,
        rope_parameters={"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10_000.0},
        initializer_range=0.3,
    )
    torch.manual_seed(0)
    model = tf.LlamaForCausalLM(config).eval()
    pipe = tf.TextGenerationPipeline(
        model=model, tokenizer=base.tokenizer, device="cpu", max_new_tokens=2
    )
    inputs = base.tokenizer("The plot is dull", return_tensors="pt")
    with torch.no_grad():
        before = model(**inputs).logits
    InteractionExplainer(pipe, progress=False, masking="delete").value_function(
        "The plot is dull, but never funny, and it could have been great. " * 3
    )(np.ones((2, 39), bool))
    with torch.no_grad():
        np.testing.assert_array_equal(model(**inputs).logits, before)


@pytest.mark.parametrize("kind", ["Llama", "Phi3"])
@pytest.mark.parametrize("length", [16, 24, 200])
def test_prompts_around_the_length_from_which_positions_differ_are_generated(
    kind: str, length: int
) -> None:
    tokenizer = generator().tokenizer
    rope = {
        "rope_type": "longrope",
        "rope_theta": 10_000.0,
        "short_factor": [1.0] * 4,
        "long_factor": [4.0] * 4,
        "original_max_position_embeddings": length,
        "factor": 8.0,
    }
    more = {"pad_token_id": 0, "original_max_position_embeddings": length}
    torch.manual_seed(0)
    config = getattr(tf, f"{kind}Config")(
        **SIZES,
        vocab_size=len(tokenizer),
        bos_token_id=0,
        eos_token_id=0,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.3,
        rope_parameters=rope,
        **(more if kind == "Phi3" else {}),
    )
    model = getattr(tf, f"{kind}ForCausalLM")(config).eval()
    pipe = tf.TextGenerationPipeline(model=model, tokenizer=tokenizer, device="cpu")
    explainer = InteractionExplainer(pipe, masking="delete", progress=False, max_new_tokens=4)
    function = explainer.value_function(
        "one two three four five six seven eight nine ten eleven twelve"
    )
    masks = np.random.default_rng(1).random((24, 12)) < 0.5
    generated = [function._by_generating(function._inputs(mask)) for mask in masks]
    expected = function.score(np.concatenate(generated))
    np.testing.assert_allclose(function(masks), expected, atol=1e-4)
    # Where it makes no difference, in batches.
    assert (function.way == "pipeline") == (length < 200)


@pytest.mark.parametrize("masking", ["mask", "delete"])
def test_the_shortest_and_the_longest_masked_text(masking: Any) -> None:
    for text in ("The plot is dull but great", "not , never"):
        for make in (roberta_pipeline, embedder):
            function = InteractionExplainer(make(), masking=masking).value_function(text)
            masks = all_masks(function.n_features)
            lengths = [len(item) // 8 for item in function.items(masks)]
            assert function._masked.shortest() == min(lengths)
            assert function._masked.longest() >= max(lengths)


def test_a_model_is_as_it_was_when_the_last_of_two_threads_has_left_it() -> None:
    model = Keeping(torch.nn.Linear(2, 2))
    model.way = "first"
    entered, left = threading.Event(), threading.Event()

    def changing() -> None:
        with evaluating(model):
            model.way = "second"
            entered.set()
            assert left.wait(20)

    one = threading.Thread(target=changing)
    one.start()
    assert entered.wait(20)
    with evaluating(model):  # comes while the other has it changed, and stays longer
        left.set()
        one.join(20)
        assert model.way == "second"
    assert model.way == "first"
