"""fill-mask: the value is the score of one token at the text's own mask token."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf
from tiny_models import byte_level_tokenizer
from tiny_pipelines import SIZES, filler

from proxyspex_hf import InputError, InteractionExplainer, ModelError

#: The pipeline's own float32 scores are up to 1e-5 of themselves from those of float64 here; which
#: way differs from processor to processor.
CLOSE = {"rtol": 3e-5, "atol": 1e-6}
TEXT = "It could have been <mask>, but the plot is dull."


def masks_of(n: int, count: int = 8) -> np.ndarray:
    rng = np.random.default_rng(n)
    ends = np.stack([np.ones(n, bool), np.zeros(n, bool)])
    return np.concatenate([ends, rng.random((count, n)) < rng.random((count, 1))])


def bind(pipe: Any, inputs: Any, /, **options: Any) -> Any:
    return InteractionExplainer(pipe).value_function(inputs, **options)


def set_up(**more: Any) -> Any:
    tokenizer = byte_level_tokenizer(mask=True)
    torch.manual_seed(0)
    config = tf.RobertaConfig(
        **SIZES, vocab_size=len(tokenizer), max_position_embeddings=130, pad_token_id=1,
        initializer_range=0.5,
    )  # fmt: skip
    model = tf.RobertaForMaskedLM(config).eval()
    return tf.FillMaskPipeline(model=model, tokenizer=tokenizer, device="cpu", **more)


def own_score(pipe: Any, function: Any, mask: np.ndarray) -> float:
    """The pipeline's own score of the token, at the mask token that comma or end follows."""
    text = function.masked_input(mask)
    rows = pipe(text, top_k=len(pipe.tokenizer), targets=None)
    rows = rows if isinstance(rows[0], list) else [rows]
    before = text.split("<mask>,")[0]
    own = rows[before.count("<mask>")]
    return float(next(row["score"] for row in own if row["token"] == function.target.index))


@pytest.mark.parametrize("masking", ["mask", "delete"])
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"tokenizer_kwargs": {"add_special_tokens": False}},
        {"tokenizer_kwargs": {"padding": "max_length", "max_length": 80}},
    ],
)
def test_the_value_is_the_pipelines_score_at_the_texts_own_mask(masking: str, more: Any) -> None:
    pipe = set_up(**more)
    function = bind(pipe, TEXT, value="probability", masking=masking)
    assert not any("<mask>" in label for label in function.features.labels)
    top = pipe(TEXT, top_k=1)[0]
    assert (function.target.index, function.target.predicted) == (
        top["token"],
        function.target.label,
    )
    masks = masks_of(function.n_features)
    values = function(masks)
    assert values[0] == pytest.approx(top["score"], rel=1e-4)
    expected = [own_score(pipe, function, mask) for mask in masks]
    np.testing.assert_allclose(values, expected, **CLOSE)
    assert np.ptp(expected) > 1e-3


def test_the_targets_of_the_pipeline_are_those_it_chooses_among() -> None:
    pipe = set_up(targets=["Ġgreat", "Ġdull", "Ġplot"])
    top = pipe(TEXT)[0]
    function = bind(pipe, TEXT, value="probability")
    assert (function.target.index, function.target.label) == (
        top["token"],
        f"Ġ{top['token_str'].strip()}",
    )
    value = function(np.ones((1, function.n_features), bool))[0]
    assert value == pytest.approx(top["score"], rel=1e-4)  # not renormalised among them
    assert value < 0.5


@pytest.mark.parametrize(
    ("text", "target", "label"),
    [
        (TEXT, "great", "Ġgreat"),
        (TEXT, "Ġdull", "Ġdull"),
        (TEXT, "plot", "plot"),
        (TEXT, 300, None),
    ],
)
def test_a_target_is_a_token_or_a_word_that_is_one(text: str, target: Any, label: Any) -> None:
    pipe = filler()
    function = bind(pipe, text, target=target)
    expected = pipe.tokenizer.convert_tokens_to_ids(label) if label else target
    assert function.target.index == expected


def test_a_name_that_is_another_token_than_the_word_is_told() -> None:
    pipe = filler()
    assert bind(pipe, TEXT, target="Ġgreat").notes == ()
    known = pipe.tokenizer.get_vocab()
    name = next(token[1:] for token in sorted(known) if token[0] == "Ġ" and token[1:] in known)
    function = bind(pipe, TEXT, target=name)
    assert function.target.label == name
    assert f"it would be the token 'Ġ{name}'" in function.notes[-1]


def test_the_mask_token_is_found_in_a_text_that_is_cut() -> None:
    pipe = set_up(tokenizer_kwargs={"truncation": True, "max_length": 40})
    long = "so great " * 20
    function = bind(pipe, f"The <mask>, the {long}", value="probability")
    assert function.notes[0].startswith("The text was cut: the model takes 40 tokens")
    masks = masks_of(function.n_features, 4)
    expected = [own_score(pipe, function, mask) for mask in masks]
    np.testing.assert_allclose(function(masks), expected, **CLOSE)
    with pytest.raises(InputError, match="lies beyond what the model reads"):
        bind(pipe, f"{long} the <mask>, too")
    pipe.tokenizer.truncation_side = "left"
    function = bind(pipe, f"{long} the <mask>, too", value="probability")
    masks = masks_of(function.n_features, 4)
    expected = [own_score(pipe, function, mask) for mask in masks]
    np.testing.assert_allclose(function(masks), expected, **CLOSE)


@pytest.mark.parametrize(
    ("features", "notes"),
    [
        ("words", ()),
        ("sentences", ("'The plot is <mask>.' holds the <mask>, and so it is never masked.",)),
        ([(4, 15), (20, 25)], ("'plot is <ma' holds the <mask>, and so it is never masked.",)),
    ],
)
def test_a_feature_that_holds_the_mask_token_is_named(features: Any, notes: Any) -> None:
    function = bind(filler(), "The plot is <mask>. Never funny.", features=features)
    assert function.notes == notes


def test_a_tokenizer_without_character_offsets(tmp_path: Any) -> None:
    """Its mask tokens are counted all the same."""
    words = ["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWC", "<mask>"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    tokenizer = tf.EsmTokenizer(vocab_file=str(tmp_path / "vocab.txt"))
    assert not tokenizer.is_fast
    torch.manual_seed(0)
    config = tf.EsmConfig(
        **SIZES, vocab_size=len(words), pad_token_id=1, mask_token_id=len(words) - 1,
        position_embedding_type="rotary", initializer_range=0.5,
    )  # fmt: skip
    pipe = tf.FillMaskPipeline(
        model=tf.EsmForMaskedLM(config).eval(), tokenizer=tokenizer, device="cpu"
    )
    function = bind(pipe, "M K T <mask> L A Q", value="probability", target="V")
    masks = masks_of(function.n_features)
    expected = []
    for mask in masks:
        rows = pipe(function.masked_input(mask), top_k=len(words))
        rows = rows if isinstance(rows[0], list) else [rows]
        own = rows[int((~mask[:3]).sum())]
        expected += [row["score"] for row in own if row["token_str"] == "V"]
    np.testing.assert_allclose(function(masks), expected, **CLOSE)
    assert np.ptp(expected) > 1e-3


def test_a_model_with_other_logits_is_refused() -> None:
    pipe = filler()

    def pooled(_module: Any, _args: Any, output: Any) -> Any:
        return tf.modeling_outputs.MaskedLMOutput(logits=output.logits[:, :3])

    handle = pipe.model.register_forward_hook(pooled)
    with pytest.raises(ModelError, match=r"gives logits of shape \(1, 3, \d+\) for \d+ tokens"):
        bind(pipe, TEXT)
    handle.remove()


@pytest.mark.parametrize(
    ("value", "options", "message"),
    [
        ("It could have been great", {}, "a text with one <mask> in it"),
        ("A <mask> is a <mask>", {}, "a text with one <mask> in it"),
        ({"text": TEXT}, {}, "a text with one <mask> in it"),
        (TEXT, {"target": "no such token"}, "it would be '.*', '.*'. Give one of its tokens"),
        (TEXT, {"target": 10**6}, r"is not a token of this model: it has \d+"),
        (TEXT, {"target": True}, "must be a token of the vocabulary"),
        (TEXT, {"target": " "}, "must be a token of the vocabulary"),
        (TEXT, {"value": "similarity"}, "is unknown for this task"),
    ],
)
def test_what_cannot_be_explained(value: Any, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        bind(filler(), value, **options)
