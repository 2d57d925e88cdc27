"""As much of a text is explained as the pipeline reads; what it leaves out is told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf
from tiny_models import LABELS, byte_level_tokenizer, roberta_pipeline
from tiny_pipelines import SIZES, embedder, generator

from proxyspex_hf import InputError, InteractionExplainer

SENTENCE = "It could have been great, but the plot is dull and never funny. "
TEXT = SENTENCE + "I was not bored, not once. The sequel truly elevated the original! Never dull."


def bind(pipe: Any, inputs: Any, /, **options: Any) -> Any:
    return InteractionExplainer(pipe).value_function(inputs, **options)


def relative(positions: int = 32) -> Any:
    """A DeBERTa without a table of positions: its config's number is no limit."""
    tokenizer = byte_level_tokenizer(mask=True)
    torch.manual_seed(0)
    config = tf.DebertaV2Config(
        **SIZES, vocab_size=len(tokenizer), max_position_embeddings=positions,
        relative_attention=True, position_biased_input=False, pos_att_type=["p2c", "c2p"],
        position_buckets=16, norm_rel_ebd="layer_norm", share_att_key=True, type_vocab_size=0,
        pad_token_id=1, initializer_range=0.5, id2label=LABELS,
        label2id={label: number for number, label in LABELS.items()},
    )  # fmt: skip
    model = tf.DebertaV2ForSequenceClassification(config).eval()
    return tf.TextClassificationPipeline(model=model, tokenizer=tokenizer, device="cpu")


class Impatient(tf.TextClassificationPipeline):
    """Fails on more than 30 tokens, for a reason of its own, and counts what it is asked."""

    asked = 0

    def _forward(self, model_inputs: Any) -> Any:
        self.asked += 1
        if model_inputs["input_ids"].shape[1] > 30:
            raise ValueError("too long")
        return super()._forward(model_inputs)


class Cutting(tf.TextClassificationPipeline):
    def preprocess(self, inputs: Any, **parameters: Any) -> Any:
        return super().preprocess(inputs[:60], **parameters)


def roberta(kind: type = tf.TextClassificationPipeline, **settings: Any) -> Any:
    made = roberta_pipeline()
    return kind(model=made.model, tokenizer=made.tokenizer, device="cpu", **settings)


def small_tokenizer() -> Any:
    pipe = roberta()
    pipe.tokenizer.model_max_length = 16
    return pipe


def logits(pipe: Any, value: Any) -> dict[str, float]:
    said = pipe(value, top_k=None, function_to_apply="none")
    return {entry["label"]: entry["score"] for entry in said}


@pytest.mark.parametrize("made", [relative, small_tokenizer])
def test_a_text_that_the_pipeline_reads_is_not_cut(made: Any) -> None:
    pipe = made()
    function = bind(pipe, TEXT)
    assert (function.text, function.notes) == (TEXT, ())
    said = logits(pipe, TEXT)
    assert function.target.label == max(said, key=lambda label: said[label])
    masks = np.random.default_rng(0).random((6, function.n_features)) < 0.5
    masks[0] = True
    expected = [logits(pipe, function.masked_input(mask))[function.target.label] for mask in masks]
    np.testing.assert_allclose(function(masks), expected, atol=1e-4)


@pytest.mark.parametrize("made", [relative, small_tokenizer])
def test_a_pair_that_the_pipeline_reads_is_not_refused(made: Any) -> None:
    pipe = made()
    pair = {"text": SENTENCE, "text_pair": TEXT}
    function = bind(pipe, pair)
    whole = float(function(np.ones((1, function.n_features), bool))[0])
    assert whole == pytest.approx(logits(pipe, pair)[function.target.label], abs=1e-4)


def test_an_embedding_beyond_its_tokenizers_length_is_that_of_the_whole_text() -> None:
    pipe = embedder()
    pipe.tokenizer.model_max_length = 16
    function = bind(pipe, {"text": TEXT, "reference": "a dull film"})
    assert (function.text, function.notes) == (TEXT, ())


def test_where_the_pipeline_fails_a_text_is_cut_at_what_is_stated() -> None:
    base = relative(24)
    pipe = Impatient(model=base.model, tokenizer=base.tokenizer, device="cpu")
    pipe.tokenizer.model_max_length = 28
    function = bind(pipe, TEXT)
    (note,) = function.notes
    assert "cut: the model takes 24 tokens (its config's max_position_embeddings)" in note
    assert TEXT.startswith(function.text)
    assert len(pipe.tokenizer(function.text)["input_ids"]) <= 24
    pair = {"text": SENTENCE, "text_pair": TEXT}
    with pytest.raises(InputError, match=r"tokens, the model takes 24 tokens \(its config's"):
        bind(pipe, pair)


def test_a_text_that_fits_is_not_tried() -> None:
    base = relative(200)
    short = Impatient(model=base.model, tokenizer=base.tokenizer, device="cpu")
    bind(short, "dull")
    base.model.config.max_position_embeddings = 2
    tried = Impatient(model=base.model, tokenizer=base.tokenizer, device="cpu")
    bind(tried, "dull")
    assert tried.asked == short.asked + 1


def test_a_table_of_positions_is_a_limit_that_is_not_tried() -> None:
    pipe = roberta()
    (note,) = bind(pipe, TEXT * 4).notes
    assert "the model takes 128 tokens (its config's max_position_embeddings)" in note


def test_a_prompt_that_the_pipeline_answers_is_not_refused() -> None:
    for family, length in (("gpt2", 16), ("llama", 10**30)):
        pipe = generator(family)
        pipe.tokenizer.model_max_length = length
        prompt = TEXT if family == "gpt2" else "word " * 300
        function = bind(pipe, prompt, max_new_tokens=4, mask_token="_")
        said = pipe(prompt, max_new_tokens=4, do_sample=False, return_full_text=False)
        assert function.target.label == said[0]["generated_text"]
        assert not [note for note in function.notes if "read" in note]


def unread_of(pipe: Any, function: Any) -> list[int]:
    """The features whose masking leaves the pipeline's own answer as it is."""
    whole = np.ones(function.n_features, bool)
    said = logits(pipe, function.masked_input(whole))
    found = []
    for feature in range(len(whole)):
        mask = whole.copy()
        mask[feature] = False
        if logits(pipe, function.masked_input(mask)) == pytest.approx(said, abs=1e-7):
            found.append(feature)
    return found


LONG = SENTENCE * 3
#: A pipeline, its side of truncation, what it is given, and how the features are made.
READINGS = {
    "left": ({"truncation": True, "max_length": 24}, "left", LONG, "words"),
    "pair": ({"truncation": True, "max_length": 32}, "right", (LONG, LONG), "words"),
    "second": ({"truncation": "only_second", "max_length": 40}, "right", ("Dull.", LONG), "words"),
    "ranges": (
        {"truncation": True, "max_length": 24}, "right", LONG,
        ((0, 8), (9, 20), (100, 120), (130, 150)),
    ),
    "subclass": ({}, "right", LONG, "words"),
}  # fmt: skip


@pytest.mark.parametrize("name", READINGS)
def test_features_that_the_pipeline_does_not_read_are_told(name: str) -> None:
    settings, side, given, features = READINGS[name]
    pipe = roberta(Cutting if name == "subclass" else tf.TextClassificationPipeline, **settings)
    pipe.tokenizer.truncation_side = side
    value = given if isinstance(given, str) else {"text": given[0], "text_pair": given[1]}
    function = bind(pipe, value, features=features)
    unread, n = unread_of(pipe, function), function.n_features
    assert 0 < len(unread) < n
    (note,) = function.notes
    assert note.startswith(f"Of {n} features, the model does not read {len(unread)} feature")
    labels = function.features.labels
    assert f"{labels[unread[0]]!r}" in note
    assert f"{labels[unread[-1]]!r}" in note


def test_a_prompt_that_is_truncated_is_told() -> None:
    made = generator()
    pipe = tf.TextGenerationPipeline(
        model=made.model, tokenizer=made.tokenizer, device="cpu", max_new_tokens=5,
        tokenizer_encode_kwargs={"truncation": True, "max_length": 10},
    )  # fmt: skip
    text = "It was a dull film and never funny, but the sequel truly elevated it."
    ends = np.array([stop for _, stop in bind(made, text, target=" a").features.spans])
    read = pipe.tokenizer.decode(pipe.tokenizer(text)["input_ids"][:10])
    unread = int((ends - [len(word) for word in text.split()] >= len(read)).sum())
    notes = bind(pipe, text, mask_token="_", target=" a").notes
    assert notes[0].startswith(
        f"Of {len(ends)} features, the model does not read {unread} features"
    )
    question = {"context": "Jim is a baker.", "question": "Who is it, and where does he live?"}
    (note,) = bind(pipe, question, mask_token="_", target=" a").notes
    assert "the model does not read" in note or "reads only 10 of the text's" in note


def test_nothing_is_told_of_what_is_read_in_other_words() -> None:
    class Shouting(tf.TextClassificationPipeline):
        def preprocess(self, inputs: Any, **parameters: Any) -> Any:
            return super().preprocess(inputs.upper(), **parameters)

    assert bind(roberta(Shouting), SENTENCE).notes == ()
    assert bind(roberta(), {"text": SENTENCE, "text_pair": TEXT}).notes == ()
