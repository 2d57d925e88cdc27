"""Any model class of transformers, so small that it is built and asked in a moment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import transformers
from transformers import PretrainedConfig
from transformers.models.auto import modeling_auto

#: A task of the package and the table of transformers that lists its model classes.
CLASSES = {
    "text-classification": "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",
    "token-classification": "MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES",
    "fill-mask": "MODEL_FOR_MASKED_LM_MAPPING_NAMES",
    "text-generation": "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
    "feature-extraction": "MODEL_MAPPING_NAMES",
    "zero-shot-classification": "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",
    "image-classification": "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES",
}

#: Sizes by the names that configs give them.
_SIZES = {
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "dim", "emb_dim", "model_dim"), 32),
    **dict.fromkeys(("embedding_size", "d_embed", "word_embed_proj_dim"), 32),
    **dict.fromkeys(("intermediate_size", "d_inner", "n_inner", "ffn_dim", "hidden_dim"), 64),
    **dict.fromkeys(("d_ff", "encoder_ffn_dim", "decoder_ffn_dim", "ffn_hidden_size"), 64),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size"), 32),
    **dict.fromkeys(("expert_ffn_hidden_size", "dense_intermediate_size"), 32),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers", "depth"), 2),
    **dict.fromkeys(("encoder_layers", "decoder_layers", "num_decoder_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads"), 4),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 4),
    **dict.fromkeys(("num_key_value_heads", "num_kv_heads", "n_head_kv"), 2),
    **dict.fromkeys(("head_dim", "d_kv", "attention_head_size", "d_head"), 8),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "max_seq_len", "n_ctx"), 260),
    **dict.fromkeys(("num_local_experts", "num_experts", "n_routed_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "moe_topk", "top_k_experts"), 2),
    **dict.fromkeys(("n_group", "topk_group", "first_k_dense_replace", "n_shared_experts"), 1),
    **dict.fromkeys(("q_lora_rank", "kv_lora_rank", "qk_nope_head_dim", "v_head_dim"), 8),
    "qk_rope_head_dim": 8,
    "qk_head_dim": 16,
    "pooler_hidden_size": 32,
    **dict.fromkeys(("sliding_window", "attention_window_size"), 16),
    **dict.fromkeys(("mamba_d_state", "state_size", "ssm_state_size", "mamba_d_ssm"), 8),
    **dict.fromkeys(("linear_key_head_dim", "linear_value_head_dim"), 8),
    **dict.fromkeys(("linear_num_key_heads", "linear_num_value_heads"), 2),
    **dict.fromkeys(("image_size", "input_size"), 32),
    "patch_size": 8,
    **dict.fromkeys(("projection_dim", "embed_dim", "decoder_hidden_size"), 32),
    **dict.fromkeys(("type_vocab_size",), 2),
    **dict.fromkeys(("num_mel_bins",), 16),
    **dict.fromkeys(("rotary_dim", "relative_attention_num_buckets"), 8),
}

#: What some model types need beside it.
_OWN: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [1], "mamba_n_heads": 8, "mamba_d_head": 8},
    "falcon_h1": {"mamba_d_ssm": 64, "mamba_n_heads": 8, "mamba_d_head": 8, "mamba_n_groups": 1},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"]},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "deepseek_v2": {"num_experts_per_tok": 2, "topk_method": "greedy"},
    "deberta": {"pooler_hidden_size": 32},
    "hunyuan_v1_dense": {"head_dim": 8},
    "hunyuan_v1_moe": {"head_dim": 8},
    "ministral": {"head_dim": 8},
    "nemotron": {"num_key_value_heads": 2, "head_dim": 8},
    "reformer": {"axial_pos_embds_dim": (16, 16), "axial_pos_shape": (16, 16), "is_decoder": True},
    "lilt": {"channel_shrink_ratio": 1},
    "luke": {"entity_vocab_size": 10, "entity_emb_size": 32},
    "perceiver": {"d_latents": 32, "num_latents": 8, "num_self_attends_per_block": 1},
    "roc_bert": {"pronunciation_vocab_size": 20, "shape_vocab_size": 20},
    "xmod": {"languages": ["en_XX"], "default_language": "en_XX"},
}
#: Attention in which queries and keys have parts with and without positions.
_LATENT = {
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "qk_head_dim": 16,
    "num_key_value_heads": 4,
}


def classes(task: str) -> Iterator[tuple[str, str]]:
    """Model types and class names that a task can hold."""
    for kind, names in getattr(modeling_auto, CLASSES[task]).items():
        for name in (names,) if isinstance(names, str) else names[:1]:
            yield kind, name


def config_of(model_type: str, **settings: Any) -> PretrainedConfig:
    """A model type's config, shrunk, with ``settings`` where it has them."""
    config = transformers.AutoConfig.for_model(model_type)
    own = _OWN.get(model_type, {})
    latent = _LATENT if hasattr(config, "qk_rope_head_dim") else {}
    _shrink(config, {**settings, **latent, **own})
    for name, value in own.items():
        setattr(config, name, value)
    if latent:
        config.head_dim = 8
    return config


def _shrink(config: PretrainedConfig, settings: dict[str, Any]) -> None:
    layers = 2
    for name, value in list(vars(config).items()):
        if isinstance(value, PretrainedConfig):
            _shrink(value, settings)
        elif name in settings:
            setattr(config, name, settings[name])
        elif name in _SIZES and isinstance(value, int) and not isinstance(value, bool):
            setattr(config, name, _SIZES[name])
        elif name.endswith("dropout") and isinstance(value, float):
            setattr(config, name, 0.0)
    for name, value in list(vars(config).items()):
        if name in ("layer_types", "layers_block_type", "mlp_layer_types") and value:
            setattr(config, name, [value[0], value[-1]])
        elif name in ("depths", "num_blocks") and isinstance(value, (list, tuple)):
            setattr(config, name, [1] * len(value))
        elif name == "hidden_sizes" and isinstance(value, (list, tuple)):
            setattr(config, name, [16 * (i + 1) for i in range(len(value))])
        elif name == "attention_window" and isinstance(value, (list, int)):
            setattr(config, name, [16] * layers if isinstance(value, list) else 16)
    for name, value in settings.items():
        if hasattr(config, name):
            setattr(config, name, value)


def sharpened(model: Any, std: float = 0.2, seed: int = 0) -> Any:
    """Random weights so large that every token counts."""
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if not weight.is_floating_point():
                continue
            if weight.ndim >= 2:
                weight.copy_(torch.randn(weight.shape, generator=rng) * std)
            elif name.endswith("bias"):
                weight.copy_(torch.randn(weight.shape, generator=rng) * 0.1)
    model.tie_weights()
    return model.eval()


def built(class_name: str, config: PretrainedConfig) -> Any:
    """A model of one class with sharp random weights."""
    torch.manual_seed(0)
    return sharpened(getattr(transformers, class_name)(config))
