"""Tiny pipelines of every supported structure, with examples for them."""

from __future__ import annotations

import copy
from typing import Any

import torch
import transformers as tf
from tiny_models import LABELS, byte_level_tokenizer

from proxyspex_hf.studies import Choice, Labelled

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "initializer_range": 0.3,
}
GPT2: dict[str, Any] = {
    "n_positions": 128,
    "n_embd": 32,
    "n_layer": 3,
    "n_head": 4,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "initializer_range": 0.3,
}
NAMES: dict[str, Any] = {"id2label": LABELS, "label2id": {v: k for k, v in LABELS.items()}}

#: Structure: name of the output projection in a layer, and of the list of layers.
PLACES = {
    "llama": ("model.layers", "self_attn.o_proj"),
    "gpt2": ("transformer.h", "attn.c_proj"),
    "gpt_neox": ("gpt_neox.layers", "attention.dense"),
    "opt": ("model.decoder.layers", "self_attn.out_proj"),
    "bert": ("bert.encoder.layer", "attention.output.dense"),
    "distilbert": ("distilbert.transformer.layer", "attention.out_lin"),
    "gpt2_classifier": ("transformer.h", "attn.c_proj"),
    "gemma2": ("model.layers", "self_attn.o_proj"),
    "phi": ("model.layers", "self_attn.dense"),
    "falcon": ("transformer.h", "self_attention.dense"),
    "bloom": ("transformer.h", "self_attention.dense"),
    "modernbert": ("model.layers", "attn.Wo"),
}
#: Compared in one group of layers only; the others in all.
FURTHER: dict[str, dict[str, Any]] = {
    "gemma2": {"head_dim": 8, "num_key_value_heads": 2, "sliding_window": 8},
    "phi": {},
    "falcon": {},
    "bloom": {},
    "modernbert": {
        "pad_token_id": 1,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "cls_token_id": 0,
        "sep_token_id": 2,
    },
}
MAIN = tuple(kind for kind in PLACES if kind not in FURTHER)
LANGUAGE = ("llama", "gpt2", "gpt_neox", "opt", "gemma2", "phi", "falcon", "bloom")


def build(kind: str) -> Any:
    torch.manual_seed(0)
    causal = kind in LANGUAGE
    tokenizer = byte_level_tokenizer(mask=not (causal or kind == "gpt2_classifier"))
    vocabulary = {"vocab_size": len(tokenizer)}
    more = {"max_position_embeddings": 128, **vocabulary}
    model: Any
    match kind:
        case "llama":  # four query heads share two keys and values; heads of 16, not of 32 / 4
            config: Any = tf.LlamaConfig(**SIZES, **more, num_key_value_heads=2, head_dim=16)
            model = tf.LlamaForCausalLM(config)
        case "gpt2":
            model = tf.GPT2LMHeadModel(tf.GPT2Config(**GPT2, **vocabulary))
        case "gpt_neox":
            model = tf.GPTNeoXForCausalLM(tf.GPTNeoXConfig(**SIZES, **more))
        case "opt":
            sizes = {k: v for k, v in SIZES.items() if k not in ("intermediate_size",)}
            config = tf.OPTConfig(
                **{**sizes, "init_std": 0.3}, ffn_dim=48, word_embed_proj_dim=32, **more
            )
            model = tf.OPTForCausalLM(config)
        case "bert":
            model = tf.BertForSequenceClassification(tf.BertConfig(**SIZES, **more, **NAMES))
        case "distilbert":
            config = tf.DistilBertConfig(
                dim=32, n_layers=3, n_heads=4, hidden_dim=48, initializer_range=0.3, **more, **NAMES
            )
            model = tf.DistilBertForSequenceClassification(config)
        case "gpt2_classifier":
            model = tf.GPT2ForSequenceClassification(tf.GPT2Config(**GPT2, **vocabulary, **NAMES))
        case _:
            auto: Any = tf.AutoModelForCausalLM if causal else tf.AutoModelForSequenceClassification
            names = {} if causal else NAMES
            config = tf.AutoConfig.for_model(kind, **SIZES, **more, **names, **FURTHER[kind])
            model = auto.from_config(config).float()
    pipe: Any = tf.TextGenerationPipeline if causal else tf.TextClassificationPipeline
    return pipe(model=model.eval(), tokenizer=tokenizer, device="cpu")


def examples(kind: str) -> list[Any]:
    if kind in LANGUAGE:
        return [
            Choice("The plot is", (" dull", " great", " never funny"), " great"),
            Choice("The sequel was not", (" bored", " dull and bored"), 1),
            Choice("It could have been", (" great", " funny", " dull", " naïve"), 0),
            Choice("Not once:", (" the", " a"), 0),
        ]
    return [
        Labelled("It could have been great, but the plot is dull.", "NEGATIVE"),
        Labelled("The sequel truly elevated the original!", "POSITIVE"),
        Labelled("I was not bored, not once.", 1),
        Labelled("Never funny.", "NEGATIVE"),
    ]


def edited(kind: str, pipe: Any, layers: tuple[int, ...], mask: Any) -> Any:
    """A copy of the model with the heads removed in its weights: written without the package."""
    model = copy.deepcopy(pipe.model)
    path, name = PLACES[kind]
    heads = 4
    for position, layer in enumerate(layers):
        keep = mask[position * heads : (position + 1) * heads]
        projection = model.get_submodule(f"{path}.{layer}.{name}")
        weight = projection.weight.data
        columns = weight if type(projection).__name__ == "Conv1D" else weight.T  # (inputs, outputs)
        size = columns.shape[0] // heads
        for head in range(heads):
            rows = slice(head * size, (head + 1) * size)
            columns[rows] *= heads / sum(keep) if keep[head] else 0.0
    return model


@torch.no_grad()
def judged(pipe: Any, model: Any, example: Any) -> tuple[float, float]:
    """Right or not, and the log-probability, one option at a time: without the package."""
    tokenizer = pipe.tokenizer
    if isinstance(example, Labelled):
        ids = torch.tensor([tokenizer(example.text)["input_ids"]])
        scores = model(input_ids=ids).logits[0].double().log_softmax(0)
        names = {v: k for k, v in LABELS.items()}
        answer = names.get(str(example.label), example.label)
    else:
        found = []
        start = len(tokenizer(example.prompt)["input_ids"])
        for option in example.options:
            ids = torch.tensor([tokenizer(example.prompt + option)["input_ids"]])
            table = model(input_ids=ids).logits[0].double().log_softmax(-1)
            found.append(sum(table[i - 1, ids[0, i]] for i in range(start, ids.shape[1])))
        scores, answer = torch.stack(found), example.answer
    scores = scores - scores.logsumexp(0)
    return float(scores.argmax() == answer), float(scores[answer])
