"""A mask's value is what the pipeline itself gives for the masked text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import gpt2_pipeline, metaspace_tokenizer, roberta_pipeline

from proxyspex_hf import InteractionExplainer, ModelError, ProxySpexWarning

TEXTS = [
    "It could have been great, but the plot is dull and never funny.",
    "Don't say it's \"bad\"... state-of-the-art, 3.5/10! (not) good -- ok?",
    "Emoji 👍🏽👨‍👩‍👧 and café, naïve 👎 — “quotes”…",
    "这部电影不好看，但是演员很棒。 OK?",
    "هذا الفيلم ليس سيئًا، بل رائع! I mean it.",
    "First sentence here. Second one, isn't it? Third!\n\nLast  line.",
]


def masks_of(n: int, count: int = 12) -> np.ndarray:
    rng = np.random.default_rng(n)
    ends = np.stack([np.ones(n, bool), np.zeros(n, bool)])
    return np.concatenate([ends, rng.random((count, n)) < rng.random((count, 1))])


def by_pipeline(pipe: Any, text: str, label: str) -> float:
    scores = pipe(text, top_k=None, function_to_apply="none")
    return float(next(score["score"] for score in scores if score["label"] == label))


def assert_agrees(pipe: Any, text: str, **options: Any) -> Any:
    function = InteractionExplainer(pipe).value_function(text, **options)
    masks = masks_of(function.n_features)
    expected = [by_pipeline(pipe, function.masked_text(m), function.target.label) for m in masks]
    np.testing.assert_allclose(function(masks), expected, atol=1e-4)
    assert function.masked_text(masks[0]) == function.text == text
    return function


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("features", ["words", "sentences", "tokens"])
@pytest.mark.parametrize("masking", ["mask", "delete"])
def test_the_shipped_model(pipe: Any, text: str, features: str, masking: str) -> None:
    function = assert_agrees(pipe, text, features=features, masking=masking)
    # "##s" on its own is not read as "##s" again; and where no space stands between features, what
    # is left when some are deleted could be read as one word.
    unspaced = masking == "delete" and features == "words" and "这部" in text
    expected = "tokenized" if features == "tokens" or unspaced else "composed"
    if features != "tokens" or masking == "delete":
        assert function._masked.reading == expected


@pytest.mark.parametrize("text", TEXTS)
def test_own_spans_even_inside_words(pipe: Any, text: str) -> None:
    stops = list(range(2, len(text), 5))
    spans = [(stop - 2, stop) for stop in stops]
    spans = [span for span in spans if text[slice(*span)].strip()]
    assert_agrees(pipe, text, features=spans)
    assert_agrees(pipe, text, features=spans, masking="delete")


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize(
    "options", [{}, {"features": "sentences"}, {"features": "tokens"}, {"masking": "delete"}]
)
def test_byte_level_tokenizer(text: str, options: dict[str, Any]) -> None:
    assert_agrees(roberta_pipeline(), text, **options)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("options", [{}, {"masking": "delete"}, {"mask_token": "something"}])
def test_metaspace_tokenizer(text: str, options: dict[str, Any]) -> None:
    assert_agrees(roberta_pipeline(metaspace_tokenizer()), text, **options)


@pytest.mark.parametrize("text", TEXTS[:3])
def test_a_custom_mask_is_an_ordinary_text(pipe: Any, text: str) -> None:
    function = assert_agrees(pipe, text, mask_token="something")
    empty = np.zeros(function.n_features, bool)
    assert function.masked_text(empty).count("something") == function.n_features


def test_a_decoder_without_padding_token() -> None:
    pipe = gpt2_pipeline()
    assert_agrees(pipe, TEXTS[0], mask_token="_")
    assert InteractionExplainer(pipe).value_function(TEXTS[0]).mask_token == "..."
    deleting = InteractionExplainer(pipe).value_function(TEXTS[0], masking="delete")
    with pytest.raises(ModelError, match="no tokens at all"):
        deleting(np.zeros((1, deleting.n_features), bool))


def test_a_word_of_many_tokens_is_masked_in_place(pipe: Any) -> None:
    function = InteractionExplainer(pipe).value_function("Incomprehensibleness is bad.")
    n_tokens = len(pipe.tokenizer.tokenize("Incomprehensibleness"))
    assert n_tokens > 1
    masked = function.masked_text(np.array([False, True, True]))
    assert masked == "[MASK]" * n_tokens + " is bad."
    deleted = InteractionExplainer(pipe).value_function("not so bad.", masking="delete")
    assert deleted.masked_text(np.array([True, False, True])) == "not bad."
    assert deleted.masked_text(np.array([False, True, True])) == "so bad."


def test_values_do_not_depend_on_order_or_batch(pipe: Any) -> None:
    explainer = InteractionExplainer(pipe)
    masks = masks_of(13, 60)
    one = explainer.value_function(TEXTS[0], batch_size=1, masking="delete")(masks)
    many = explainer.value_function(TEXTS[0], batch_size=50, masking="delete")(masks)
    shuffled = np.random.default_rng(0).permutation(len(masks))
    again = explainer.value_function(TEXTS[0], batch_size=7, masking="delete")(masks[shuffled])
    np.testing.assert_allclose(many, one, atol=1e-5)
    np.testing.assert_allclose(again, one[shuffled], atol=1e-5)


def test_identical_masked_inputs_are_computed_once(pipe: Any) -> None:
    seen = 0

    def count(_module: Any, _args: Any, kwargs: Any) -> None:
        nonlocal seen
        seen += len(kwargs["input_ids"])

    function = InteractionExplainer(pipe).value_function("good bad good", masking="delete")
    assert function.way == "together"  # found by trying, once
    handle = pipe.model.register_forward_pre_hook(count, with_kwargs=True)
    try:
        masks = np.array([[1, 0, 0], [0, 0, 1], [1, 0, 0], [1, 1, 0]], bool)
        values = function(masks)
    finally:
        handle.remove()
    assert seen == 2  # "good" three times, "good bad" once
    assert values[0] == values[1] == values[2] != values[3]


def test_the_model_is_left_as_it_was() -> None:
    pipe = roberta_pipeline()
    pipe.model.train()
    pipe.model.roberta.encoder.layer[0].eval()
    before = {name: value.clone() for name, value in pipe.model.state_dict().items()}
    modes = [module.training for module in pipe.model.modules()]
    torch.manual_seed(7)
    state = torch.get_rng_state()
    function = InteractionExplainer(pipe).value_function(TEXTS[0])
    first = function(masks_of(13))
    np.testing.assert_array_equal(function(masks_of(13)), first)  # dropout was off
    assert [module.training for module in pipe.model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[k], v) for k, v in pipe.model.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in pipe.model.parameters())
    assert torch.is_grad_enabled()


def test_out_of_memory_halves_the_batch(pipe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    forward = pipe.model.forward

    def small_memory(*args: Any, **kwargs: Any) -> Any:
        rows = len(kwargs["input_ids"])
        if rows > 5:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        sizes.append(rows)
        return forward(*args, **kwargs)

    plain = InteractionExplainer(pipe).value_function(TEXTS[0])(masks_of(13, 30))
    monkeypatch.setattr(pipe.model, "forward", small_memory)
    function = InteractionExplainer(pipe).value_function(TEXTS[0], batch_size=32)
    np.testing.assert_allclose(function(masks_of(13, 30)), plain, atol=1e-5)
    assert max(sizes) == 3  # tried 30, 15, 7, then 3
    monkeypatch.setattr(
        pipe.model, "forward", lambda **k: (_ for _ in ()).throw(torch.cuda.OutOfMemoryError("no"))
    )
    with pytest.raises(ModelError, match=r"one masked input does not fit into memory \(no\)"):
        InteractionExplainer(pipe).value_function("one")
    with pytest.raises(ModelError, match="does not fit into memory"):
        function(masks_of(13, 2))


def gpt2_with_padding(side: str) -> Any:
    pipe = gpt2_pipeline()
    pipe.tokenizer.pad_token = pipe.tokenizer.eos_token
    pipe.tokenizer.padding_side = side
    return pipe


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("configured", [True, False])
def test_padding_never_changes_a_value(side: str, configured: bool) -> None:
    """Decoders count positions from a padded left end, and may know no padding token at all."""
    pipe = gpt2_with_padding(side)
    pipe.model.config.pad_token_id = 0 if configured else None
    function = assert_agrees(pipe, TEXTS[0], mask_token="_")
    masks = masks_of(function.n_features, 40)
    alone = InteractionExplainer(pipe).value_function(TEXTS[0], mask_token="_", batch_size=1)
    np.testing.assert_allclose(function(masks), alone(masks), atol=1e-4)
    if configured:
        # With the text's end as padding, GPT-2 reads a right-padded text as it should, so that its
        # batches are padded there, whatever the tokenizer's side.
        assert (function.way, function._side) == ("together", "right")


def test_an_encoder_is_padded_freely(pipe: Any) -> None:
    function = InteractionExplainer(pipe).value_function(TEXTS[0], mask_token="...")
    assert len(set(map(len, function.items(masks_of(function.n_features))))) > 3
    assert function.way == "together"


def test_the_pipelines_own_limit_counts() -> None:
    pipe = roberta_pipeline()
    pipe._preprocess_params = {"truncation": True, "max_length": 12}
    with pytest.warns(ProxySpexWarning, match="the pipeline truncates it at 12 tokens"):
        explanation = InteractionExplainer(pipe, budget=20, n_test=0)(TEXTS[0] * 3)
    assert len(pipe.tokenizer(explanation.text)["input_ids"]) <= 12


def test_own_spans_at_the_start_of_a_long_text_stay() -> None:
    text = "good bad film " + "word " * 300
    explainer = InteractionExplainer(roberta_pipeline(positions=66))
    function = explainer.value_function(text, features=[(0, 4), (5, 8), (9, 13)])
    assert function.features.labels == ("good", "bad", "film")
    assert function.text == "good bad film"
    assert "characters were not read" in function.notes[0]
