"""What stands for a masked word where the user names nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tiny_models import byte_level_tokenizer, gpt2_pipeline, metaspace_tokenizer
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from proxyspex_hf import InteractionExplainer
from proxyspex_hf.hf.text.mask_token import resolve_mask_token

LETTERS = pre_tokenizers.ByteLevel.alphabet()
#: Bytes that stand in no text, and the first of characters that are assigned to nothing.
UNUSED = [chr(byte) for byte in (0xC0, 0xC1, 0xF1, 0xF2, *range(0xF5, 0x100))]


def byte_level(unk: str | None = None) -> Any:
    """As SmolLM2's: no token for bytes that it never met, and an unknown token in name alone."""
    kept = [letter for letter in LETTERS if letter not in UNUSED]
    names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *sorted(kept)]
    vocabulary = {name: number for number, name in enumerate(names)}
    backend = Tokenizer(models.BPE(vocabulary, [], unk_token=unk))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token="<|endoftext|>",
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
    )


def pieces(*, fallback: bool) -> Any:
    """SentencePiece's, whose unknown pieces are read as bytes, as Llama's are, or not, as T5's."""
    known = [("<unk>", 0.0), ("▁", -1.0), *((f"<0x{byte:02X}>", -9.0) for byte in range(256))]
    known += [(letter, -2.0) for letter in "abcdefghijklmnopqrstuvwxyz"]
    backend = Tokenizer(models.Unigram(known, 0, byte_fallback=fallback))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")


def word_pieces() -> Any:
    backend = Tokenizer(models.WordPiece({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]")


@pytest.mark.parametrize(
    ("tokenizer", "expected"),
    [
        (byte_level(), "..."),
        (byte_level(unk="<|endoftext|>"), "..."),
        (byte_level_tokenizer(mask=False), "..."),
        (byte_level_tokenizer(mask=True), "<mask>"),
        (pieces(fallback=True), "..."),
        (pieces(fallback=False), "<unk>"),
        (metaspace_tokenizer(), "<unk>"),
        (word_pieces(), "[UNK]"),
    ],
    ids=["bytes", "bytes named", "gpt2", "mask", "fallback", "unigram", "trained", "words"],
)
def test_an_unknown_token_stands_for_a_word_only_where_the_model_meets_it(
    tokenizer: Any, expected: str
) -> None:
    assert resolve_mask_token(tokenizer, "mask", None) == expected


def test_a_masked_word_does_not_end_the_document_before_it() -> None:
    pipe = gpt2_pipeline()
    pipe.tokenizer = byte_level()
    function = InteractionExplainer(pipe).value_function("a dull film")
    kept = np.array([[True, False, True]])
    assert function.masked_input(kept[0]) == "a ... film"
    read = np.frombuffer(function.items(kept)[0], dtype=np.int64)
    assert read.tolist() == pipe.tokenizer("a ... film")["input_ids"]
    assert not set(read.tolist()) & set(pipe.tokenizer.all_special_ids)
