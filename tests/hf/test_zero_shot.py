"""zero-shot-classification: every number is the pipeline's own, with whatever was set on it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf
from tiny_models import byte_level_tokenizer
from tiny_pipelines import SIZES, zero_shot

from proxyspex_hf import InputError, InteractionExplainer
from proxyspex_hf.hf.value_function import answer

TEXT = "It could have been great, but the plot is dull."
LABELS = ["film", "politics", "a good meal, at home"]
NLI = {0: "contradiction", 1: "neutral", 2: "entailment"}


def masks_of(n: int, count: int = 6) -> np.ndarray:
    rng = np.random.default_rng(n)
    ends = np.stack([np.ones(n, bool), np.zeros(n, bool)])
    return np.concatenate([ends, rng.random((count, n)) < rng.random((count, 1))])


def bind(pipe: Any, inputs: Any, /, **options: Any) -> Any:
    return InteractionExplainer(pipe).value_function(inputs, **options)


def scores(pipe: Any, text: str, labels: Any = LABELS, **call: Any) -> dict[str, float]:
    answer = pipe(text, candidate_labels=labels, **call)
    return dict(zip(answer["labels"], answer["scores"], strict=True))


def made_with(family: str, names: dict[int, str] = NLI, **more: Any) -> Any:
    tokenizer = byte_level_tokenizer(mask=True)
    labels: dict[str, Any] = {"id2label": names, "label2id": {v: k for k, v in names.items()}}
    torch.manual_seed(0)
    if family == "bart":
        config = tf.BartConfig(
            **labels, vocab_size=len(tokenizer), d_model=32, encoder_layers=1, decoder_layers=1,
            encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=32,
            decoder_ffn_dim=32, max_position_embeddings=130, pad_token_id=1, bos_token_id=0,
            eos_token_id=2, decoder_start_token_id=2, init_std=0.5,
        )  # fmt: skip
        model: Any = tf.BartForSequenceClassification(config)
    elif family == "gpt2":
        tokenizer = byte_level_tokenizer(mask=False)
        config = tf.GPT2Config(
            **labels, vocab_size=len(tokenizer), n_positions=128, n_embd=32, n_layer=2, n_head=4,
            bos_token_id=0, eos_token_id=0, initializer_range=0.5,
        )  # fmt: skip
        model = tf.GPT2ForSequenceClassification(config)
    else:
        config = tf.RobertaConfig(
            **labels, **SIZES, vocab_size=len(tokenizer), max_position_embeddings=130,
            pad_token_id=1, initializer_range=0.5,
        )  # fmt: skip
        model = tf.RobertaForSequenceClassification(config)
    return tf.ZeroShotClassificationPipeline(
        model=model.eval(), tokenizer=tokenizer, device="cpu", **more
    )


def test_a_logit_is_of_one_hypothesis_and_a_probability_of_all() -> None:
    pipe = zero_shot()
    value = {"text": TEXT, "candidate_labels": LABELS}
    function = bind(pipe, value)
    masks = masks_of(function.n_features)
    for mask, logit in zip(masks, function(masks), strict=True):
        hypothesis = f"This example is {function.target.label}."
        encoded = pipe.tokenizer(function.masked_input(mask), hypothesis, return_tensors="pt")
        assert logit == pytest.approx(pipe.model(**encoded).logits[0, 2].item(), abs=1e-4)
    assert function.target.label == pipe(TEXT, LABELS)["labels"][0]
    assert function.arguments["candidate_labels"] == LABELS
    probability = bind(pipe, value, value="probability", target="politics")
    expected = [scores(pipe, probability.masked_input(mask))["politics"] for mask in masks]
    np.testing.assert_allclose(probability(masks), expected, atol=1e-5)
    assert np.ptp(expected) > 0.05
    entailments = bind(pipe, value, value=lambda logits: logits[:, 1])
    np.testing.assert_allclose(
        entailments(masks), bind(pipe, value, target="politics")(masks), atol=1e-5
    )


@pytest.mark.parametrize("masking", ["mask", "delete"])
@pytest.mark.parametrize("family", ["roberta", "bart", "gpt2"])
@pytest.mark.parametrize(
    ("set_on", "option", "given", "labels"),
    [
        ({}, {}, {}, LABELS),
        ({}, {}, {}, ["film"]),
        ({}, {}, {}, "film, politics"),
        ({"multi_label": True}, {}, {}, LABELS),
        ({}, {"multi_label": True}, {}, LABELS),
        ({"multi_label": True}, {}, {"multi_label": False}, LABELS),
        ({"hypothesis_template": "About {}, really."}, {}, {}, LABELS),
        ({}, {"hypothesis_template": "{}?"}, {}, LABELS),
    ],
)
def test_what_is_set_counts(
    family: str, masking: str, set_on: Any, option: Any, given: Any, labels: Any
) -> None:
    pipe = made_with(family, **set_on)
    pad = pipe.tokenizer.pad_token
    inputs = {"text": TEXT, "candidate_labels": labels, **given}
    function = bind(pipe, inputs, value="probability", masking=masking, target=0, **option)
    masks = masks_of(function.n_features)
    values = function(masks)
    assert pipe.tokenizer.pad_token == pad  # the pipeline would have set one
    texts = [function.masked_input(mask) for mask in masks]
    call = {**option, **given}
    expected = [scores(pipe, text, labels, **call)[function.target.label] for text in texts]
    np.testing.assert_allclose(values, expected, atol=1e-5)
    assert np.ptp(expected) > 1e-3
    assert function.way == "together"


def test_the_other_values_are_of_the_same_probability() -> None:
    pipe = zero_shot()
    for multi in (False, True):
        value = {"text": TEXT, "candidate_labels": LABELS[:2], "multi_label": multi}
        functions = {
            kind: bind(pipe, value, value=kind, target="film")
            for kind in ("probability", "log-probability", "log-odds", "margin")
        }
        masks = masks_of(functions["margin"].n_features)
        values = {kind: function(masks) for kind, function in functions.items()}
        share = values["probability"]
        np.testing.assert_allclose(values["log-probability"], np.log(share), atol=1e-5)
        np.testing.assert_allclose(values["log-odds"], np.log(share / (1 - share)), atol=1e-4)
        np.testing.assert_allclose(values["margin"], values["log-odds"], atol=1e-5)


@pytest.mark.parametrize(
    "names",
    [
        {0: "entailment", 1: "neutral", 2: "contradiction"},
        {0: "not_entailment", 1: "entailment"},
        {0: "ENTAILS", 1: "no"},
        {0: "a", 1: "b", 2: "c"},
    ],
)
def test_where_the_pipeline_looks_for_entailment(names: dict[int, str]) -> None:
    pipe = made_with("roberta", names)
    for multi in (False, True):
        inputs = {"sequences": TEXT, "candidate_labels": LABELS, "multi_label": multi}
        function = bind(pipe, inputs, value="probability", target="politics")
        masks = masks_of(function.n_features)
        texts = [function.masked_input(mask) for mask in masks]
        expected = [scores(pipe, text, multi_label=multi)["politics"] for text in texts]
        np.testing.assert_allclose(function(masks), expected, atol=1e-5)


def test_it_asks_only_the_hypothesis_it_explains() -> None:
    pipe, rows = zero_shot(), 0

    def count(_module: Any, _args: Any, kwargs: Any) -> None:
        nonlocal rows
        rows += len(kwargs["input_ids"])

    for value in ("logit", "probability"):
        inputs = {"text": TEXT, "candidate_labels": list("abcdef"), "multi_label": True}
        function, rows = bind(pipe, inputs, value=value), 0
        masks = masks_of(function.n_features)
        function(masks)  # here it finds out what padding does
        handle = pipe.model.register_forward_pre_hook(count, with_kwargs=True)
        function(masks)
        handle.remove()
        assert rows == len(np.unique(masks, axis=0))


def test_targets_of_one_text_share_their_batches() -> None:
    pipe = zero_shot()
    value = {"text": TEXT, "candidate_labels": LABELS}
    one, other = (bind(pipe, value, value="probability", target=i) for i in (0, 1))
    masks = masks_of(one.n_features)
    assert one.sharing == other.sharing
    assert one.items(masks) == other.items(masks)
    rows = answer(one, one.items(masks))
    np.testing.assert_allclose(other.score(rows), other(masks), atol=1e-6)
    assert bind(pipe, value).sharing != one.sharing


def test_a_long_text_is_cut_as_beside_the_longest_hypothesis() -> None:
    pipe = zero_shot()
    pipe.tokenizer.model_max_length = 70
    labels = ["film", "a rather long label for a hypothesis"]
    text = " ".join(f"great {i} film" for i in range(30))
    function = bind(pipe, {"text": text, "candidate_labels": labels}, value="probability")
    assert "the pipeline truncates it at" in function.notes[0]
    whole = pipe.tokenizer(
        text, f"This example is {labels[1]}.", truncation="only_first", return_offsets_mapping=True
    )
    halves = zip(whole["offset_mapping"], whole.sequence_ids(0), strict=True)
    ends = [stop for (_, stop), half in halves if half == 0]
    assert function.text == text[: max(ends)]
    masks = masks_of(function.n_features, 4)
    expected = [
        scores(pipe, function.masked_input(m), labels)[function.target.label] for m in masks
    ]
    np.testing.assert_allclose(function(masks), expected, atol=1e-5)


def test_labels_of_all_kinds() -> None:
    pipe = zero_shot()
    braces = bind(pipe, {"text": TEXT, "candidate_labels": ["{x}", "b"]}, target="{x}")
    assert np.isfinite(braces(masks_of(braces.n_features))).all()
    twice = {"text": TEXT, "candidate_labels": ["film", "film", "b"]}
    assert bind(pipe, twice, target=1).target.index == 1
    with pytest.raises(InputError, match=r"is the name of 2 labels .* one of them, 0"):
        bind(pipe, twice, target="film")
    own = made_with("roberta", candidate_labels=["film", "politics"])
    assert bind(own, TEXT).arguments["candidate_labels"] == ["film", "politics"]


@pytest.mark.parametrize(
    ("value", "options", "message"),
    [
        (TEXT, {}, "explains {'text': one text, 'candidate_labels'"),
        ({"text": [TEXT, TEXT], "candidate_labels": ["a"]}, {}, "explains {'text': one text"),
        ({"text": TEXT, "candidate_labels": []}, {}, "give at least one"),
        ({"text": TEXT, "candidate_labels": " , "}, {}, "give at least one"),
        ({"text": TEXT, "candidate_labels": ["a"], "topic": 1}, {}, "explains {'text': one text"),
        ({"text": "", "candidate_labels": ["a"]}, {}, "the text is empty"),
        ({"text": TEXT, "candidate_labels": ["a"]}, {"target": "z"}, "is not a label"),
        ({"text": TEXT, "candidate_labels": ["a"], "multi_label": "yes"}, {}, "True or False"),
        *(
            ({"text": TEXT, "candidate_labels": ["a"]}, {"hypothesis_template": template}, message)
            for template, message in [
                ("About {label}.", "cannot be filled with a label: .*KeyError"),
                ("{} or {}", "cannot be filled with a label"),
                ("{", "cannot be filled"),
                ("No place.", "it needs one {} in the label's place"),
                (3, "cannot be filled"),
            ]
        ),
    ],
)
def test_bad_inputs_are_refused(value: Any, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        bind(zero_shot(), value, **options)


def test_another_answer_of_the_pipeline_is_an_error() -> None:
    class Sharper(tf.ZeroShotClassificationPipeline):
        def postprocess(self, model_outputs: Any, **more: Any) -> Any:
            said = super().postprocess(model_outputs, **more)
            return {**said, "scores": [score**2 for score in said["scores"]]}

    plain = zero_shot()
    pipe = Sharper(
        model=plain.model, tokenizer=plain.tokenizer, device="cpu", task="zero-shot-classification"
    )
    with pytest.raises(InputError, match="Sharper itself answers"):
        bind(pipe, {"text": TEXT, "candidate_labels": LABELS})
