"""Tasks that read text: a mask's value is what the pipeline or the model itself gives for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tiny_models import roberta_pipeline
from tiny_pipelines import embedder, generator

from proxyspex_hf import InputError, InteractionExplainer, ModelError
from proxyspex_hf.prompts import Prompt, PromptPart, context_prompt, drop_prompt, hotpotqa_prompt

TEXT = "It could have been great, but the plot is dull."


def masks_of(n: int, count: int = 8) -> np.ndarray:
    rng = np.random.default_rng(n)
    ends = np.stack([np.ones(n, bool), np.zeros(n, bool)])
    return np.concatenate([ends, rng.random((count, n)) < rng.random((count, 1))])


def bind(pipe: Any, inputs: Any, /, **options: Any) -> Any:
    return InteractionExplainer(pipe).value_function(inputs, **options)


@pytest.mark.parametrize("masking", ["mask", "delete"])
@pytest.mark.parametrize("which", ["shipped", "byte level"])
def test_pairs(pipe: Any, which: str, masking: str) -> None:
    pipe = pipe if which == "shipped" else roberta_pipeline()
    pair = {"text": "The plot is dull.", "text_pair": "Was it, really, so bad?"}
    function = bind(pipe, pair, masking=masking)
    words = ["The", "plot", "is", "dull.", "Was", "it,", "really,", "so", "bad?"]
    assert function.features.labels == tuple(words)
    assert [part.name for part in function.parts] == ["text", "text_pair"]
    masks = masks_of(function.n_features)
    # Of a pair with an empty half, the pipeline makes a single text.
    masks = masks[masks[:, :4].any(axis=1) & masks[:, 4:].any(axis=1)]
    expected = []
    for mask in masks:
        scores = pipe(function.masked_input(mask), top_k=None, function_to_apply="none")
        expected += [s["score"] for s in scores if s["label"] == function.target.label]
    np.testing.assert_allclose(function(masks), expected, atol=1e-4)


def test_pairs_of_a_tokenizer_with_types() -> None:
    """BERT marks the second text's tokens; a masked word of it keeps its mark."""
    from tokenizers import BertWordPieceTokenizer

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "plot", "is", "dull", ".", "no"]
    backend = BertWordPieceTokenizer(vocab={word: i for i, word in enumerate(words)})
    tokenizer = transformers.BertTokenizerFast(tokenizer_object=backend._tokenizer)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=64, initializer_range=0.5,
    )  # fmt: skip
    model = transformers.BertForSequenceClassification(config).eval()
    pipe = transformers.TextClassificationPipeline(model=model, tokenizer=tokenizer, device="cpu")
    function = bind(pipe, {"text": "the plot", "text_pair": "is dull ."})
    masks = masks_of(5)
    for mask, value in zip(masks, function(masks), strict=True):
        pair = function.masked_input(mask)
        encoded = tokenizer(pair["text"], pair["text_pair"], return_tensors="pt")
        assert encoded["token_type_ids"].sum() == 4
        logits = model(**encoded).logits[0]
        assert value == pytest.approx(logits[function.target.index].item(), abs=1e-4)


VALUES = {
    "logit": lambda z, i: z[i],
    "probability": lambda z, i: np.exp(z[i]) / np.exp(z).sum(),
    "log-probability": lambda z, i: z[i] - np.log(np.exp(z).sum()),
    "log-odds": lambda z, i: z[i] - np.log(np.exp(np.delete(z, i)).sum()),
    "margin": lambda z, i: z[i] - np.delete(z, i).max(),
}


@pytest.mark.parametrize("name", VALUES)
def test_targets_by_name(name: str) -> None:
    pipe = roberta_pipeline()
    function = bind(pipe, TEXT, value=name, target="NEUTRAL")
    logits = bind(pipe, TEXT, value=lambda z: z[:, 2])
    assert function.target.kind == name
    every = np.stack(
        [bind(pipe, TEXT, target=i)(masks_of(function.n_features)) for i in range(3)], axis=1
    )
    expected = [VALUES[name](row, 1) for row in every]
    np.testing.assert_allclose(function(masks_of(function.n_features)), expected, atol=1e-6)
    np.testing.assert_allclose(logits(masks_of(function.n_features)), every[:, 2], atol=1e-6)


def test_a_function_of_the_outputs_must_give_one_number_a_row() -> None:
    function = bind(roberta_pipeline(), TEXT, value=lambda z: z)
    with pytest.raises(ModelError, match=r"gave shape \((\d+), 3\) for outputs of shape \(\1, 3\)"):
        function(masks_of(function.n_features))


def test_similarity_to_a_reference() -> None:
    pipe = embedder()

    def embedding(text: str) -> np.ndarray:
        return np.array(pipe(text)[0]).mean(axis=0)

    for reference in (None, "the plot was not good"):
        value = TEXT if reference is None else {"text": TEXT, "reference": reference}
        function = bind(pipe, value, masking="delete")
        other = embedding(reference or TEXT)
        masks = masks_of(function.n_features)
        for mask, value in zip(masks, function(masks), strict=True):
            own = embedding(function.masked_input(mask))
            cosine = own @ other / np.linalg.norm(own) / np.linalg.norm(other)
            assert value == pytest.approx(cosine, abs=1e-5)


def naive(pipe: Any, function: Any, mask: np.ndarray, special: bool = True) -> float:
    """Mean negative log-probability of the target after the masked prompt, in one plain pass."""
    prompt = pipe.tokenizer(
        function.masked_text(mask), add_special_tokens=special, return_tensors="pt"
    )["input_ids"]
    target = torch.from_numpy(function.target_ids)[None]
    with torch.inference_mode():
        logits = pipe.model(input_ids=torch.cat([prompt, target], dim=1)).logits[0]
    after = logits[prompt.shape[1] - 1 : -1].log_softmax(-1)
    return -after.gather(1, target[0][:, None]).mean().item()


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("masking", ["mask", "delete"])
@pytest.mark.parametrize("features", ["words", "sentences", "documents"])
def test_generation(family: str, masking: str, features: str) -> None:
    pipe = generator(family)
    prompt = context_prompt(
        {"Doc A": "The plot is dull. Not once was I bored.", "Doc B": "It is great fun."},
        "Was it great?",
        instruction="Answer with the documents, and with nothing else but the documents.",
    )
    options = {"mask_token": "_"} if masking == "mask" else {"masking": masking}
    function = bind(pipe, prompt, features=features, max_new_tokens=5, **options)
    masks = masks_of(function.n_features)
    expected = [naive(pipe, function, mask) for mask in masks]
    np.testing.assert_allclose(function(masks), expected, rtol=1e-3, atol=1e-4)
    assert function._prefix > 8  # the instruction was run once
    alone = bind(pipe, prompt, features=features, max_new_tokens=5, batch_size=1, **options)
    np.testing.assert_allclose(alone(masks), expected, rtol=1e-3, atol=1e-4)
    emptied = function.masked_input(np.zeros(function.n_features, bool))
    assert "Answer with the documents" in emptied
    assert "Was it great?" in emptied
    assert "bored" not in emptied
    if features == "documents":
        assert function.features.labels == ("Doc A", "Doc B")


def test_only_the_targets_logits_are_formed_and_the_prefix_is_run_once() -> None:
    pipe, seen = generator(), []

    def watch(_module: Any, _args: Any, kwargs: Any, output: Any) -> None:
        seen.append((tuple(kwargs["input_ids"].shape), tuple(output.logits.shape)))

    prompt = Prompt((PromptPart("The sequel was not once dull. " * 6, "start"),
                     PromptPart("The plot is great", "context", masked=True)))  # fmt: skip
    function = bind(pipe, prompt, mask_token="_", target=" but never funny", batch_size=4)
    assert function.way == "together"
    handle = pipe.model.register_forward_hook(watch, with_kwargs=True)
    function(masks_of(4, 6))
    handle.remove()
    target = len(function.target_ids)
    for ids, logits in seen:
        assert target <= logits[1] < target + 4  # rows of a batch end at different places
        assert ids[1] < function._prefix
    rows = set(function.items(masks_of(4, 6)))
    assert sum(ids[0] for ids, _ in seen) == len(rows)


def test_a_given_target_and_the_other_values() -> None:
    pipe = generator()
    options = {"mask_token": "_", "target": " great fun"}
    perplexity = bind(pipe, TEXT, **options)
    masks = masks_of(perplexity.n_features)
    total = -perplexity(masks) * len(perplexity.target_ids)
    for name, expected in (
        ("log-probability", total),
        ("probability", np.exp(total)),
        ("log-odds", total - np.log1p(-np.exp(total))),
    ):
        np.testing.assert_allclose(bind(pipe, TEXT, value=name, **options)(masks), expected)
    assert perplexity.target.label == " great fun"
    assert perplexity.target.predicted is None
    own = bind(pipe, TEXT, mask_token="_", max_new_tokens=4)
    made = pipe(TEXT, do_sample=False, max_new_tokens=4, return_full_text=False)
    assert own.target.label == own.target.predicted == made[0]["generated_text"]


def test_a_chat_is_put_into_its_template() -> None:
    pipe = generator()
    pipe.tokenizer.chat_template = (
        "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] | trim }}</>{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    chat = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Was it dull?"},
    ]
    function = bind(pipe, chat, mask_token="_", max_new_tokens=3)
    assert function.text == "<system>Be kind.</><user>Was it dull?</><assistant>"
    assert function.features.labels == ("Was", "it", "dull?")
    expected = [naive(pipe, function, mask, special=False) for mask in masks_of(3)]
    np.testing.assert_allclose(function(masks_of(3)), expected, rtol=1e-3)
    spaced = bind(pipe, context_prompt("  It was.", "Dull?"), mask_token="_", max_new_tokens=3)
    assert spaced.features.labels == ("It", "was.")
    with pytest.raises(InputError, match="has no chat template"):
        bind(generator(), chat, mask_token="_")


def test_the_papers_prompts() -> None:
    hotpot = hotpotqa_prompt([("Oslo", "A city."), ("Rex", "A dog.")], "Who is Rex?")
    assert hotpot.text == (
        "Title: Oslo\nContent: A city.\nTitle: Rex\nContent: A dog.\n"
        "Query: Who is Rex?. Keep your answers as short as possible."
    )
    assert [part.text for part in hotpot.parts if part.masked] == ["A city.", "A dog."]
    drop = drop_prompt("They won 3 games.", "How many?")
    assert drop.text == (
        "Context: They won 3 games.\nQuery: How many?. Keep your answers as short as possible."
    )


@pytest.mark.parametrize(
    ("value", "options", "message"),
    [
        (7, {}, "text-generation explains a text, a chat"),
        ("", {}, "the text is empty"),
        ({"context": "a"}, {}, "text-generation explains"),
        ("good", {"target": 3}, "target must be the text whose generation"),
        ("good", {"value": "logit"}, "value='logit' is unknown for this task"),
    ],
)
def test_bad_prompts_are_refused(value: Any, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        bind(generator(), value, mask_token="_", **options)


@pytest.mark.parametrize("options", [{}, {"target": " fun"}], ids=["own", "target"])
def test_a_prompt_beyond_the_table_of_positions_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="the model takes 256: give a shorter prompt"):
        bind(generator("gpt2"), "word " * 300, mask_token="_", **options)
