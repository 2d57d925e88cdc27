"""Small random pipelines of every task but text-classification: real code, seeded weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import transformers as tf
from PIL import Image
from tiny_models import byte_level_tokenizer

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
}


def _pipe(kind: str, model: Any, **parts: Any) -> Any:
    return getattr(tf, kind)(model=model.eval(), device="cpu", **parts)


def _roberta(tokenizer: Any, **more: Any) -> Any:
    torch.manual_seed(0)
    return tf.RobertaConfig(
        **SIZES,
        vocab_size=len(tokenizer),
        max_position_embeddings=130,
        pad_token_id=1,
        initializer_range=0.5,
        **more,
    )


def token_classifier() -> Any:
    tokenizer = byte_level_tokenizer(mask=True)
    config = _roberta(tokenizer, id2label={0: "O", 1: "PER", 2: "LOC"})
    return _pipe(
        "TokenClassificationPipeline", tf.RobertaForTokenClassification(config), tokenizer=tokenizer
    )


def filler() -> Any:
    tokenizer = byte_level_tokenizer(mask=True)
    model = tf.RobertaForMaskedLM(_roberta(tokenizer))
    return _pipe("FillMaskPipeline", model, tokenizer=tokenizer)


def embedder() -> Any:
    tokenizer = byte_level_tokenizer(mask=True)
    model = tf.RobertaModel(_roberta(tokenizer))
    return _pipe("FeatureExtractionPipeline", model, tokenizer=tokenizer)


def zero_shot() -> Any:
    tokenizer = byte_level_tokenizer(mask=True)
    labels = {0: "contradiction", 1: "neutral", 2: "entailment"}
    config = _roberta(tokenizer, id2label=labels, label2id={v: k for k, v in labels.items()})
    model = tf.RobertaForSequenceClassification(config)
    return _pipe("ZeroShotClassificationPipeline", model, tokenizer=tokenizer)


def generator(family: str = "llama", width: int = 32) -> Any:
    tokenizer = byte_level_tokenizer(mask=False)
    torch.manual_seed(0)
    common = {"vocab_size": len(tokenizer), "bos_token_id": 0, "eos_token_id": 0}
    if family == "gpt2":
        config = tf.GPT2Config(
            **common, n_positions=256, n_embd=32, n_layer=2, n_head=4, initializer_range=0.3
        )
        model = tf.GPT2LMHeadModel(config)
    else:
        config = tf.LlamaConfig(
            **{**SIZES, "hidden_size": width},
            **common,
            num_key_value_heads=2,
            max_position_embeddings=256,
            initializer_range=0.3,
        )
        model = tf.LlamaForCausalLM(config)
    return _pipe("TextGenerationPipeline", model, tokenizer=tokenizer)


def image_processor(edge: int = 32, **more: Any) -> Any:
    # Without torchvision, this is the class behind the usual name.
    return tf.CLIPImageProcessorPil(
        size={"shortest_edge": edge}, crop_size={"height": edge, "width": edge}, **more
    )


def image_classifier(**more: Any) -> Any:
    torch.manual_seed(0)
    config = tf.ViTConfig(
        **SIZES, image_size=32, patch_size=8, initializer_range=0.3, id2label={0: "cat", 1: "dog"}
    )
    model = tf.ViTForImageClassification(config)
    return _pipe("ImageClassificationPipeline", model, image_processor=image_processor(**more))


def clip(family: str = "clip", width: int = 32) -> Any:
    tokenizer = byte_level_tokenizer(mask=True)
    torch.manual_seed(0)
    sizes = {**SIZES, "hidden_size": width}
    text = {**sizes, "vocab_size": len(tokenizer), "max_position_embeddings": 64}
    vision = {**sizes, "image_size": 32, "patch_size": 8}
    if family == "siglip":
        text |= {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "projection_size": 32}
        model = tf.SiglipModel(tf.SiglipConfig(text_config=text, vision_config=vision))
    else:
        text |= {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "initializer_range": 0.3}
        config = tf.CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)
        model = tf.CLIPModel(config)
    return _pipe(
        "ZeroShotImageClassificationPipeline",
        model,
        tokenizer=tokenizer,
        image_processor=image_processor(),
    )


def vision_language() -> Any:
    tokenizer = byte_level_tokenizer(mask=True)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    torch.manual_seed(0)
    config = tf.LlavaConfig(
        vision_config=tf.CLIPVisionConfig(**SIZES, image_size=32, patch_size=8),
        text_config=tf.LlamaConfig(
            **SIZES,
            vocab_size=len(tokenizer),
            num_key_value_heads=2,
            max_position_embeddings=256,
            initializer_range=0.3,
            bos_token_id=0,
            eos_token_id=2,
            pad_token_id=1,
        ),
        image_token_index=len(tokenizer) - 1,
        image_token_id=len(tokenizer) - 1,
    )
    processor = tf.LlavaProcessor(
        image_processor=image_processor(),
        tokenizer=tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )
    model = tf.LlavaForConditionalGeneration(config)
    return _pipe("ImageTextToTextPipeline", model, processor=processor)


def audio_classifier() -> Any:
    torch.manual_seed(0)
    config = tf.Wav2Vec2Config(
        **SIZES,
        conv_dim=[16] * 7,
        num_feat_extract_layers=7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
        initializer_range=0.3,
        classifier_proj_size=16,
        id2label={0: "yes", 1: "no"},
    )
    model = tf.Wav2Vec2ForSequenceClassification(config)
    return _pipe(
        "AudioClassificationPipeline", model, feature_extractor=tf.Wav2Vec2FeatureExtractor()
    )


def picture(width: int = 48, height: int = 32, seed: int = 0) -> Image.Image:
    """Smooth random colours: no two regions alike."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 6, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)
