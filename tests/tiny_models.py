"""Small random models with tokenizers of every kind: real transformers code, seeded weights."""

from __future__ import annotations

from typing import Any

import torch
from tiny_pieces import unigrams
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    GPT2Config,
    GPT2ForSequenceClassification,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForSequenceClassification,
    TextClassificationPipeline,
)

CORPUS = [
    "It could have been great, but the plot is dull and never funny.",
    "The sequel truly elevated the original! I was not bored, not once.",
    "这部电影不好看，但是演员很棒。",
    "هذا الفيلم ليس سيئًا، بل رائع!",
    "Emoji 👍🏽 and 👨‍👩‍👧 too… café naïve — “quotes”.",
    "  double  spaces\tand\nnew lines ",
] * 20

LABELS = {0: "NEGATIVE", 1: "NEUTRAL", 2: "POSITIVE"}


def byte_level_tokenizer(*, mask: bool) -> PreTrainedTokenizerFast:
    """Byte-pair encoding as RoBERTa's (with mask and special tokens) or GPT-2's (without any)."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"] if mask else ["<|endoftext|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    if not mask:
        return PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, eos_token="<|endoftext|>", unk_token="<|endoftext|>"
        )
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
    )


def metaspace_tokenizer() -> PreTrainedTokenizerFast:
    """Unigram pieces with a visible space, as SentencePiece's, with an unknown token only."""
    tokenizer = Tokenizer(unigrams("reviews, unigrams"))
    tokenizer.add_special_tokens(["<pad>", "<unk>", "</s>"])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        "$A </s>", special_tokens=[("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", eos_token="</s>"
    )


def roberta_pipeline(tokenizer: Any | None = None, positions: int = 130) -> Any:
    tokenizer = tokenizer or byte_level_tokenizer(mask=True)
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=positions,
        pad_token_id=1,
        id2label=LABELS,
        label2id={v: k for k, v in LABELS.items()},
        initializer_range=0.5,
    )
    return TextClassificationPipeline(
        model=RobertaForSequenceClassification(config).eval(), tokenizer=tokenizer, device="cpu"
    )


def gpt2_pipeline() -> Any:
    """A decoder that reads the last token and has no padding token at all."""
    tokenizer = byte_level_tokenizer(mask=False)
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=128,
        n_embd=32,
        n_layer=2,
        n_head=4,
        bos_token_id=0,
        eos_token_id=0,
        id2label=LABELS,
        label2id={v: k for k, v in LABELS.items()},
        initializer_range=0.5,
    )
    return TextClassificationPipeline(
        model=GPT2ForSequenceClassification(config).eval(), tokenizer=tokenizer, device="cpu"
    )
