"""token-classification: a word is the right one, read where it stands, and scored as it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tiny_pieces
import torch
import transformers as tf
from tiny_models import byte_level_tokenizer
from tiny_pipelines import SIZES, token_classifier
from tokenizers import AddedToken, Tokenizer, normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing

from proxyspex_hf import InputError, InteractionExplainer
from proxyspex_hf.hf.value_function import answer

TEXT = "Mr Paris Hilton flew to Paris, the party was about art."
LABELS = {0: "O", 1: "B-PER", 2: "I-PER", 3: "B-LOC", 4: "I-LOC"}
STRATEGIES = ("none", "simple", "first", "average", "max")
heuristics = pytest.mark.filterwarnings("ignore:Tokenizer does not support real words")


def masks_of(n: int, count: int = 8) -> np.ndarray:
    rng = np.random.default_rng(n)
    ends = np.stack([np.ones(n, bool), np.zeros(n, bool)])
    return np.concatenate([ends, rng.random((count, n)) < rng.random((count, 1))])


def bind(pipe: Any, inputs: Any, /, **options: Any) -> Any:
    return InteractionExplainer(pipe).value_function(inputs, **options)


def word_pieces() -> Any:
    made = Tokenizer(tiny_pieces.word_pieces("tags, word pieces"))
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    made.add_special_tokens(specials)
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = TemplateProcessing(
        "[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = ("pad", "unk", "cls", "sep", "mask")
    tokens = {f"{name}_token": token for name, token in zip(names, specials, strict=True)}
    return tf.PreTrainedTokenizerFast(tokenizer_object=made, **tokens)


def unigrams() -> Any:
    """As XLM-RoBERTa's: a masked word leaves the space before it as a token of its own."""
    made = Tokenizer(tiny_pieces.unigrams("tags, unigrams"))
    made.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.post_processor = TemplateProcessing(
        "<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return tf.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", unk_token="<unk>", cls_token="<s>",
        sep_token="</s>", mask_token=AddedToken("<mask>", lstrip=True, special=True),
    )  # fmt: skip


TOKENIZERS = {
    "word pieces": word_pieces,
    "unigrams": unigrams,
    "byte level": lambda: byte_level_tokenizer(mask=True),
}


def tagger(which: str, **more: Any) -> Any:
    tokenizer = TOKENIZERS[which]()
    torch.manual_seed(1)
    config = tf.BertConfig(
        **SIZES, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, id2label=LABELS,
        label2id={v: k for k, v in LABELS.items()}, initializer_range=0.5,
    )  # fmt: skip
    model = tf.BertForTokenClassification(config).eval()
    return tf.TokenClassificationPipeline(model=model, tokenizer=tokenizer, device="cpu", **more)


def shares(pipe: Any, text: str) -> tuple[list[tuple[int, int]], np.ndarray]:
    """The characters and the class probabilities of each token."""
    encoded = pipe.tokenizer(text, return_tensors="pt", return_offsets_mapping=True)
    offsets = encoded.pop("offset_mapping")[0].tolist()
    with torch.inference_mode():
        return offsets, pipe.model(**encoded).logits[0].softmax(-1).numpy()


@pytest.mark.parametrize("masking", ["mask", "delete"])
@pytest.mark.parametrize("which", TOKENIZERS)
def test_the_word_is_read_where_it_stands_and_else_at_its_mask_token(
    which: str, masking: str
) -> None:
    pipe = tagger(which)
    options = {"value": "probability", "target": "B-LOC", "masking": masking}
    function = bind(pipe, {"text": TEXT, "word": "party"}, **options)
    masks = masks_of(function.n_features)
    masked = 0
    for mask, value in zip(masks, function(masks), strict=True):
        text = function.masked_input(mask)
        # "the party was": what stands for it lies between its neighbours' characters.
        place = text.find("party")
        if place < 0:
            masked += 1
            words = [
                label if keep else function._masked.replacements[i]
                for i, (label, keep) in enumerate(zip(function.features.labels, mask, strict=True))
            ]
            own = function.features.labels.index("party")
            place = len(" ".join(words[: own + 1])) - len(words[own])
            assert text.startswith(function.mask_token, place)
        offsets, expected = shares(pipe, text)
        token = next(i for i, (start, stop) in enumerate(offsets) if start <= place < stop)
        assert value == pytest.approx(expected[token, 3], abs=1e-5)
    assert masked == 0 if masking == "delete" else masked > 2
    assert ("party" in function.features.labels) == (masking == "mask")
    assert ("never deleted" in function.notes[-1]) == (masking == "delete")


@heuristics
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("which", TOKENIZERS)
def test_a_probability_is_the_pipelines_own_score(which: str, strategy: str) -> None:
    """Of every word that the pipeline reports, its label and its score."""
    pipe = tagger(which, aggregation_strategy=strategy)
    seen = 0
    for entity in pipe(TEXT, ignore_labels=[]):
        span = (entity["start"], entity["end"])
        label = entity.get("entity") or entity["entity_group"]
        if not TEXT[slice(*span)].strip() or entity["word"] == "\u2581":
            continue
        function = bind(pipe, {"text": TEXT, "word": span}, value="probability")
        value = function(np.ones((1, function.n_features), bool))[0]
        claimed = function.claims(np.ones(function.n_features, bool))
        if strategy != "none" and claimed is None:
            continue  # it holds a token that is only a space
        seen += 1
        assert function.target.label.split("-")[-1] == label.split("-")[-1]
        assert value == pytest.approx(entity["score"], abs=1e-5)
    assert seen > 0


@heuristics
@pytest.mark.parametrize("strategy", STRATEGIES[1:])
@pytest.mark.parametrize("masking", ["mask", "delete"])
def test_a_word_of_several_tokens_under_masks(strategy: str, masking: str) -> None:
    pipe = tagger("word pieces")
    options = {"aggregation_strategy": strategy, "masking": masking, "target": "B-PER"}
    inputs = {"text": TEXT, "word": "Paris Hilton"}
    function = bind(pipe, inputs, value="probability", **options)
    assert function.arguments["aggregation_strategy"] == strategy
    masks = masks_of(function.n_features)
    for mask, value in zip(masks, function(masks), strict=True):
        text = function.masked_input(mask)
        if "Paris Hilton" not in text:
            continue
        start = text.index("Paris Hilton")
        offsets, every = shares(pipe, text)
        words = [
            [i for i, (a, b) in enumerate(offsets) if max(a, start + s) < min(b, start + e)]
            for s, e in ((0, 5), (6, 12))
        ]
        assert [len(word) for word in words] != [1, 1]
        if strategy == "simple":
            tokens = [*words[0], *words[1]]
            expected = [every[tokens[0], 1], *every[tokens[1:], 2]]
        else:
            reduced = [
                {
                    "first": lambda rows: rows[0],
                    "average": lambda rows: rows.mean(axis=0),
                    "max": lambda rows: rows[rows.max(axis=1).argmax()],
                }[strategy](every[word])
                for word in words
            ]
            expected = [reduced[0][1], reduced[1][2]]  # B-PER, then I-PER
        assert value == pytest.approx(np.mean(expected), abs=1e-5)
    kinds = ("log-probability", "log-odds")
    logarithm, odds = (bind(pipe, inputs, value=kind, **options)(masks) for kind in kinds)
    share = function(masks)
    np.testing.assert_allclose(logarithm, np.log(share), atol=1e-5)
    np.testing.assert_allclose(odds, np.log(share / (1 - share)), atol=1e-5)
    logits = bind(pipe, inputs, **options)
    own = bind(pipe, inputs, **{**options, "value": lambda rows: rows[:, 1]})
    np.testing.assert_allclose(own(masks), logits(masks))
    assert np.ptp(logits(masks)) > 0.1


def test_targets_of_one_word_share_their_batches() -> None:
    pipe = tagger("word pieces", aggregation_strategy="average")
    inputs = {"text": TEXT, "word": "party"}
    one, other = (bind(pipe, inputs, target=label) for label in ("B-PER", "O"))
    masks = masks_of(one.n_features)
    assert one.sharing == other.sharing
    assert one.items(masks) == other.items(masks)
    rows = answer(one, one.items(masks))
    np.testing.assert_allclose(other.score(rows), other(masks), atol=1e-6)
    elsewhere = bind(pipe, {"text": TEXT, "word": "art"})
    assert not set(elsewhere.items(masks)) & set(one.items(masks))
    assert one.sharing != bind(pipe, inputs, aggregation_strategy="first").sharing


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("art", (51, 54)),
        ("Hilton flew", (9, 20)),
        ((24, 29), (24, 29)),
        ([3, 8], (3, 8)),
        ((np.int64(23), np.int64(30)), (24, 30)),  # the space before it is not meant
        ((35, 38), (35, 38)),  # a part of a word, by its characters
    ],
)
def test_which_word_is_meant(word: Any, found: tuple[int, int]) -> None:
    pipe = token_classifier()
    function = bind(pipe, {"text": TEXT, "word": word}, target="PER")
    assert function._site.words == (found,)
    assert function.arguments["character"] == found[0]
    offsets, _ = shares(pipe, TEXT)
    encoded = pipe.tokenizer(TEXT, return_tensors="pt")
    token = next(i for i, (start, stop) in enumerate(offsets) if start <= found[0] < stop)
    expected = pipe.model(**encoded).logits[0, token, 1].item()
    assert function(np.ones((1, function.n_features), bool))[0] == pytest.approx(expected, abs=1e-4)


def test_words_of_a_script_without_spaces() -> None:
    text = "这部电影不好看,但是演员很棒。"
    function = bind(token_classifier(), {"text": text, "word": "演员"})
    assert function.arguments["character"] == text.index("演员")


@pytest.mark.parametrize(
    ("value", "options", "message"),
    [
        ({"text": TEXT, "word": "Paris"}, {}, r"stands in the text 2 times.*\(3, 8\), \(24, 29\)"),
        ({"text": TEXT, "word": "arty"}, {}, r"only inside of other words.*such as \(36, 40\)"),
        ({"text": TEXT, "word": "London"}, {}, "does not stand in the text"),
        ({"text": TEXT, "word": ""}, {}, "must be a word of the text"),
        ({"text": TEXT, "word": " "}, {}, "must be a word of the text"),
        ({"text": TEXT, "word": 3}, {}, r"a word \(str\) or its \(start, stop\)"),
        ({"text": TEXT, "word": (True, 3)}, {}, r"a word \(str\) or its \(start, stop\)"),
        ({"text": TEXT, "word": (3, 300)}, {}, "lies outside the text"),
        ({"text": TEXT, "word": (2, 3)}, {}, "holds no word"),
        ({"text": 3}, {}, "token-classification explains a text"),
        ([TEXT, TEXT], {}, "token-classification explains a text"),
        ({"text": TEXT, "words": "art"}, {}, "token-classification explains a text"),
        (TEXT, {"aggregation_strategy": "mean"}, "must be one of 'none', 'simple'"),
        (TEXT, {"target": "ORG"}, "is not a label of this model"),
        ({"text": "art", "word": "art"}, {"masking": "delete"}, "every feature holds a part"),
        ({"text": "word " * 200 + "art", "word": "art"}, {}, "lies beyond what the model reads"),
    ],
)
def test_what_cannot_be_explained(value: Any, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        InteractionExplainer(token_classifier()).value_function(value, **options)


def test_the_surest_word_is_found_in_one_pass() -> None:
    pipe, passes = token_classifier(), 0
    # A token that holds no character (a space of its own) is not a word.
    entities = [entity for entity in pipe(TEXT) if entity["start"] < entity["end"]]
    best = max(entities, key=lambda entity: entity["score"])

    def count(*_: Any) -> None:
        nonlocal passes
        passes += 1

    handle = pipe.model.register_forward_pre_hook(count)
    function = bind(pipe, TEXT)
    # The choice; the value and the pipeline's own answer, of the whole text and of a masked one.
    assert passes <= 5
    handle.remove()
    assert function.target.label == best["entity"]
    assert function.arguments["character"] == best["start"]
    with torch.no_grad():
        pipe.model.classifier.bias[0] += 1000
    nothing = bind(pipe, TEXT)
    assert nothing.target.label == nothing.target.predicted == "O"


@heuristics
@pytest.mark.parametrize("strategy", STRATEGIES[1:])
def test_by_default_the_surest_entity_that_the_pipeline_reports(strategy: str) -> None:
    pipe = tagger("word pieces", aggregation_strategy=strategy, ignore_labels=["PER", "O"])
    best = max(pipe(TEXT), key=lambda entity: entity["score"])
    function = bind(pipe, TEXT, value="probability")
    assert function.arguments["character"] == best["start"]
    assert function.target.label.endswith(best["entity_group"])
    value = function(np.ones((1, function.n_features), bool))[0]
    assert value == pytest.approx(best["score"], abs=1e-5)


def test_a_text_in_chunks_and_texts_in_words_are_refused() -> None:
    pipe = tagger("word pieces", aggregation_strategy="first", stride=2)
    pipe.tokenizer.model_max_length = 12
    with pytest.raises(InputError, match=r"in \d+ overlapping chunks"):
        bind(pipe, TEXT)
    split = tagger("word pieces", is_split_into_words=True)
    with pytest.raises(InputError, match="is set to is_split_into_words"):
        bind(split, TEXT)


def test_a_long_text_is_cut_so_that_the_word_is_always_read() -> None:
    for which in TOKENIZERS:
        pipe = tagger(which)
        pipe.tokenizer.model_max_length = len(pipe.tokenizer(TEXT)["input_ids"]) * 3 // 4
        function = bind(pipe, {"text": TEXT, "word": "Hilton"}, value="probability")
        assert function.notes[0].startswith("The text was cut")
        masks = masks_of(function.n_features)
        slow = [function.score(function.by_pipeline(mask))[0] for mask in masks]
        np.testing.assert_allclose(function(masks), slow, atol=1e-5)
        pipe.tokenizer.truncation_side = "left"
        function = bind(pipe, {"text": TEXT, "word": "about"})
        assert TEXT.endswith(function.text)
        start = function.arguments["character"]
        assert function.text[start : start + 5] == "about"


def test_an_own_preprocess_is_followed() -> None:
    class Prefixed(tf.TokenClassificationPipeline):
        def preprocess(self, sentence: Any, **more: Any) -> Any:
            yield from super().preprocess(f"the film: {sentence}", **more)

    plain = tagger("word pieces")
    pipe = Prefixed(
        model=plain.model, tokenizer=plain.tokenizer, device="cpu", task="token-classification"
    )
    function = bind(pipe, {"text": TEXT, "word": "art"}, target="O", value="probability")
    masks = masks_of(function.n_features)
    kept = [mask for mask in masks if function.masked_input(mask).endswith("art.")]
    for mask, value in zip(kept, function(np.stack(kept)), strict=True):
        text = f"the film: {function.masked_input(mask)}"
        offsets, every = shares(plain, text)
        token = next(i for i, (start, _) in enumerate(offsets) if start == len(text) - 4)
        assert value == pytest.approx(every[token, 0], abs=1e-5)
    assert len(kept) > 2
