"""Tokenizers of every kind that the architectures are met with, trained on a few sentences."""

from __future__ import annotations

from functools import cache

from tiny_models import CORPUS, byte_level_tokenizer, metaspace_tokenizer
from tiny_pieces import unigrams, word_pieces
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)
from tokenizers import processors as post
from transformers import PreTrainedTokenizerFast


def wordpiece() -> PreTrainedTokenizerFast:
    """BERT's: words in pieces, and types that tell the texts of a pair apart."""
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(word_pieces("reviews, word pieces"))
    tokenizer.add_special_tokens(names)
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = post.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]", mask_token="[MASK]", model_max_length=128,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )  # fmt: skip


def roberta() -> PreTrainedTokenizerFast:
    """RoBERTa's: bytes, and a mask token that takes the space before it."""
    tokenizer = byte_level_tokenizer(mask=True)
    tokenizer.add_special_tokens({"mask_token": AddedToken("<mask>", lstrip=True, special=True)})
    tokenizer.model_max_length = 128
    return tokenizer


def unigram_mask() -> PreTrainedTokenizerFast:
    """XLM-RoBERTa's: Unigram with a mask token."""
    names = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = Tokenizer(unigrams("reviews, unigrams with a mask"))
    tokenizer.add_special_tokens(names)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.post_processor = post.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", cls_token="<s>",
        sep_token="</s>", pad_token="<pad>", unk_token="<unk>", model_max_length=128,
        mask_token=AddedToken("<mask>", lstrip=True, special=True),
    )  # fmt: skip


def t5() -> PreTrainedTokenizerFast:
    """T5's: Unigram, an end token, no mask."""
    tokenizer = metaspace_tokenizer()
    tokenizer.model_max_length = 128
    return tokenizer


def gpt2() -> PreTrainedTokenizerFast:
    """GPT-2's: bytes, no tokens of its own, no padding."""
    return byte_level_tokenizer(mask=False)


def llama3() -> PreTrainedTokenizerFast:
    """Llama 3's: bytes, with a token for the beginning."""
    tokenizer = byte_level_tokenizer(mask=False)
    tokenizer.add_special_tokens({"bos_token": "<|begin|>"})
    begin = tokenizer.bos_token_id
    tokenizer.backend_tokenizer.post_processor = post.Sequence(
        [
            post.ByteLevel(trim_offsets=False),
            post.TemplateProcessing(
                single="<|begin|> $A",
                pair="<|begin|> $A <|begin|> $B",
                special_tokens=[("<|begin|>", begin)],
            ),
        ]
    )
    return tokenizer


def llama2() -> PreTrainedTokenizerFast:
    """Llama 2's: pieces with bytes to fall back on, and a token for the beginning."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    names = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=names, show_progress=False, max_token_length=12
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = post.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


#: By name; those that encoders come with, and those of decoders.
ENCODERS = {"wordpiece": wordpiece, "roberta": roberta, "unigram": unigram_mask, "t5": t5}
DECODERS = {"gpt2": gpt2, "llama3": llama3, "llama2": llama2}


@cache
def tokenizer(name: str) -> PreTrainedTokenizerFast:
    """A tokenizer by its name."""
    return {**ENCODERS, **DECODERS}[name]()
