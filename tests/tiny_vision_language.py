"""Small random image-text-to-text pipelines that each read and begin in their own way."""

from __future__ import annotations

from typing import Any

import torch
import transformers as tf
from tiny_models import byte_level_tokenizer
from tiny_pipelines import SIZES, image_processor

_SPECIAL = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}


def _tokenizer() -> Any:
    tokenizer = byte_level_tokenizer(mask=True)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    return tokenizer


def _pipe(model: Any, processor: Any) -> Any:
    return tf.ImageTextToTextPipeline(model=model.eval(), processor=processor, device="cpu")


def paligemma() -> Any:
    """Its processor puts the image's tokens before the text itself."""
    tokenizer = _tokenizer()
    torch.manual_seed(0)
    vision = tf.SiglipVisionConfig(
        **SIZES, image_size=32, patch_size=8, projection_dim=32, vision_use_head=False
    )
    text = tf.GemmaConfig(
        **SIZES, **_SPECIAL, vocab_size=len(tokenizer) + 8, num_key_value_heads=2, head_dim=8,
        initializer_range=0.3,
    )  # fmt: skip
    config = tf.PaliGemmaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=len(tokenizer) - 1,
        projection_dim=32,
        hidden_size=32,
    )
    config.image_token_id = len(tokenizer) - 1
    pictures = image_processor()
    pictures.image_seq_length = 16
    processor = tf.PaliGemmaProcessor(image_processor=pictures, tokenizer=tokenizer)
    return _pipe(tf.PaliGemmaForConditionalGeneration(config), processor)


def blip2() -> Any:
    """Its processor puts the image's tokens before the text, and an inner model generates."""
    tokenizer = _tokenizer()
    torch.manual_seed(0)
    config = tf.Blip2Config(
        vision_config={**SIZES, "image_size": 32, "patch_size": 8},
        qformer_config={**SIZES, "encoder_hidden_size": 32, "vocab_size": len(tokenizer)},
        text_config={
            **_SPECIAL, "model_type": "opt", "hidden_size": 32, "num_hidden_layers": 2,
            "num_attention_heads": 4, "ffn_dim": 48, "word_embed_proj_dim": 32,
            "vocab_size": len(tokenizer) + 8, "max_position_embeddings": 200, "init_std": 0.3,
        },
        num_query_tokens=4,
        image_token_index=len(tokenizer) - 1,
    )  # fmt: skip
    config.image_token_id = len(tokenizer) - 1
    model = tf.Blip2ForConditionalGeneration(config)
    _stir(model, 0.05)
    processor = tf.Blip2Processor(
        image_processor=image_processor(), tokenizer=tokenizer, num_query_tokens=4
    )
    return _pipe(model, processor)


def florence2() -> Any:
    """An encoder reads image and text; the decoder starts with a token of its own."""
    tokenizer = _tokenizer()
    torch.manual_seed(0)
    vision = tf.Florence2VisionConfig(
        depths=(1, 1), patch_size=(7, 3), patch_stride=(4, 2), patch_padding=(3, 1),
        patch_prenorm=(False, True), embed_dim=(16, 32), num_heads=(2, 2), num_groups=(2, 2),
        window_size=2, projection_dim=32, initializer_range=0.3,
    )  # fmt: skip
    text = tf.BartConfig(
        **_SPECIAL, vocab_size=len(tokenizer), d_model=32, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=32,
        decoder_ffn_dim=32, max_position_embeddings=200, decoder_start_token_id=2, init_std=0.5,
        forced_eos_token_id=None,
    )  # fmt: skip
    config = tf.Florence2Config(
        vision_config=vision, text_config=text, image_token_id=len(tokenizer) - 1
    )
    model = tf.Florence2ForConditionalGeneration(config)
    _starts_with(model, 2)
    model.generation_config.forced_eos_token_id = None
    tokenizer.image_token, tokenizer.image_token_id = "<image>", len(tokenizer) - 1
    pictures = image_processor()
    pictures.image_seq_length = 17
    return _pipe(model, tf.Florence2Processor(image_processor=pictures, tokenizer=tokenizer))


def pix2struct() -> Any:
    """The decoder reads the text, after a start token of its own, and continues it."""
    tokenizer = byte_level_tokenizer(mask=True)
    torch.manual_seed(0)
    common = {"hidden_size": 32, "d_kv": 16, "d_ff": 32}
    config = tf.Pix2StructConfig(
        text_config={
            **common, "vocab_size": len(tokenizer), "num_layers": 1, "num_heads": 2,
            "initializer_factor": 1.0, "decoder_start_token_id": 1, "pad_token_id": 1,
            "eos_token_id": 2,
        },
        vision_config={
            **common, "patch_embed_hidden_size": 48, "num_hidden_layers": 1,
            "num_attention_heads": 2,
        },
        is_vqa=False,
    )  # fmt: skip
    model = tf.Pix2StructForConditionalGeneration(config)
    _stir(model, 0.1)
    _starts_with(model, 1)
    # Without torchvision, this is the class behind the usual name.
    kind = getattr(tf, "Pix2StructImageProcessorPil", tf.Pix2StructImageProcessor)
    pictures = kind(max_patches=16, patch_size={"height": 4, "width": 4}, is_vqa=False)
    return _pipe(model, tf.Pix2StructProcessor(image_processor=pictures, tokenizer=tokenizer))


def _stir(model: Any, scale: float) -> None:
    """What begins as zeros says nothing of the image."""
    for weights in model.parameters():
        weights.data.add_(scale * torch.randn_like(weights))


def _starts_with(model: Any, token: int) -> None:
    model.generation_config.update(**_SPECIAL, decoder_start_token_id=token)
