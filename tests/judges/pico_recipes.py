"""The recipes of the pico models: one table entry for each family and variant.

Configurations are spelled as their publishers spell them, older and newer ways
mixed; sizes are such that no two dimensions can be mistaken for each other where
the family allows it.
"""

from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen

from tests.judges import spm


@frozen
class Recipe:
    """How to build one model: its `config.json`, its tokenizer and its scales.

    `norms` has the interval of the norm weights as stored, by a part of the name;
    `embedding` and `head` are the standard deviations of those two matrices. With
    `pieces`, there is a `tokenizer.model` as well.
    """

    config: Mapping[str, Any]
    tokenizer: str
    generation: Mapping[str, Any]
    norms: Mapping[str, tuple[float, float]] = {"": (0.4, 2.0)}
    embedding: float = 0.5
    head: float = 1.0
    jinja_file: bool = False
    pieces: bool = False


_DECODER: Final = {
    "hidden_act": "silu",
    "hidden_size": 64,
    "initializer_range": 0.02,
    "intermediate_size": 112,
    "max_position_embeddings": 512,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "tie_word_embeddings": False,
    "use_cache": True,
}

_LLAMA: Final = {
    **_DECODER,
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "bos_token_id": 128000,
    "eos_token_id": [128001, 128008, 128009],
    "head_dim": 24,
    "mlp_bias": False,
    "model_type": "llama",
    "rms_norm_eps": 1e-05,
    "rope_scaling": None,
    "rope_theta": 10000.0,
    "vocab_size": 128256,
}

LLAMA3_ROPE: Final = {
    "factor": 8.0,
    "high_freq_factor": 4.0,
    "low_freq_factor": 1.0,
    "original_max_position_embeddings": 64,
    "rope_theta": 10000.0,
    "rope_type": "llama3",
}

_LLAMA3_GENERATION: Final = {
    "bos_token_id": 128000,
    "do_sample": True,
    "eos_token_id": [128001, 128008, 128009],
    "temperature": 0.6,
    "top_p": 0.9,
}

_SPM_GENERATION: Final = {"bos_token_id": 1, "eos_token_id": 2}

_QWEN: Final = {
    **_DECODER,
    "attention_dropout": 0.0,
    "bos_token_id": 151643,
    "eos_token_id": 151645,
    "max_window_layers": 2,
    "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0,
    "sliding_window": None,
    "use_sliding_window": False,
    "vocab_size": 151936,
}

_QWEN_GENERATION: Final = {
    "bos_token_id": 151643,
    "do_sample": True,
    "eos_token_id": [151645, 151643],
    "pad_token_id": 151643,
    "top_k": 20,
    "top_p": 0.8,
}


_PHI: Final = {
    **_DECODER,
    "architectures": ["Phi3ForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 1,
    "embd_pdrop": 0.0,
    "eos_token_id": 2,
    "model_type": "phi3",
    "original_max_position_embeddings": 512,
    "pad_token_id": 2,
    "resid_pdrop": 0.0,
    "rms_norm_eps": 1e-05,
    "rope_scaling": None,
    "rope_theta": 10000.0,
    "sliding_window": 2047,
    "vocab_size": spm.SIZE,
}


@frozen
class ExpertNames:
    """How checkpoints spell what `transformers` has stacked under `mlp.`."""

    block: str
    gate: str
    up: str
    down: str


EXPERT_NAMES: Final[Mapping[str, ExpertNames]] = {
    "mixtral": ExpertNames("block_sparse_moe", "w1", "w3", "w2"),
    "qwen2_moe": ExpertNames("mlp", "gate_proj", "up_proj", "down_proj"),
    "qwen3_moe": ExpertNames("mlp", "gate_proj", "up_proj", "down_proj"),
}
"""By `model_type`: one tensor for each matrix of each expert."""


def _without(config: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in keys}


_GEMMA: Final = {
    **_without(_DECODER, "hidden_act"),
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "head_dim": 16,
    "hidden_size": 40,
    "num_hidden_layers": 4,
    "pad_token_id": 0,
    "rms_norm_eps": 1e-06,
    "rope_theta": 10000.0,
    "tie_word_embeddings": True,
    "vocab_size": spm.SIZE,
}

# llama.cpp takes GELU from a table of f16: half of the bits are gone. The less of a
# layer comes from there, the closer the two programs are.
_SANDWICH: Final = {
    "post_attention_layernorm": (1.0, 4.0),
    "post_feedforward_layernorm": (-0.5, -0.1),
    "": (-0.5, 1.2),
}


RECIPES: Final[Mapping[str, Recipe]] = {
    "llama": Recipe(_LLAMA, "llama3_1", _LLAMA3_GENERATION),
    "llama-rope": Recipe(
        {
            **_without(_LLAMA, "rope_scaling", "rope_theta"),
            "rope_parameters": LLAMA3_ROPE,
        },
        "llama3_1",
        _LLAMA3_GENERATION,
    ),
    "llama-tied": Recipe(
        {**_without(_LLAMA, "head_dim"), "tie_word_embeddings": True},
        "llama3_1",
        _LLAMA3_GENERATION,
        embedding=1.0,
    ),
    "llama-spm": Recipe(
        {
            **_LLAMA,
            "attention_bias": True,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "vocab_size": spm.SIZE,
        },
        "trained",
        _SPM_GENERATION,
        head=1.5,
    ),
    "mistral": Recipe(
        {
            **_DECODER,
            "architectures": ["MistralForCausalLM"],
            "attention_dropout": 0.0,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "head_dim": 24,
            "model_type": "mistral",
            "rms_norm_eps": 1e-05,
            "rope_theta": 10000.0,
            "sliding_window": 4096,
            "vocab_size": 32000,
        },
        "mistral",
        _SPM_GENERATION,
    ),
    "qwen2": Recipe(
        {
            **_QWEN,
            "architectures": ["Qwen2ForCausalLM"],
            "hidden_size": 48,
            "model_type": "qwen2",
        },
        "qwen3",
        _QWEN_GENERATION,
    ),
    "qwen3": Recipe(
        {
            **_without(_QWEN, "rope_theta"),
            "architectures": ["Qwen3ForCausalLM"],
            "attention_bias": False,
            "head_dim": 24,
            "model_type": "qwen3",
            "rope_parameters": {"rope_theta": 1000000.0, "rope_type": "default"},
            "tie_word_embeddings": True,
        },
        "qwen3",
        _QWEN_GENERATION,
        embedding=1.0,
        jinja_file=True,
    ),
    "mixtral": Recipe(
        {
            **_DECODER,
            "architectures": ["MixtralForCausalLM"],
            "attention_dropout": 0.0,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "head_dim": 24,
            "model_type": "mixtral",
            "num_experts_per_tok": 2,
            "num_local_experts": 5,
            "output_router_logits": False,
            "rms_norm_eps": 1e-05,
            "rope_theta": 1000000.0,
            "router_aux_loss_coef": 0.02,
            "sliding_window": None,
            "vocab_size": 32000,
        },
        "mistral",
        _SPM_GENERATION,
    ),
    "qwen2_moe": Recipe(
        {
            **_QWEN,
            "architectures": ["Qwen2MoeForCausalLM"],
            "decoder_sparse_step": 1,
            "mlp_only_layers": [],
            "model_type": "qwen2_moe",
            "moe_intermediate_size": 40,
            "norm_topk_prob": False,
            "num_experts": 6,
            "num_experts_per_tok": 2,
            "output_router_logits": False,
            "router_aux_loss_coef": 0.001,
            "shared_expert_intermediate_size": 72,
        },
        "qwen3",
        _QWEN_GENERATION,
    ),
    "qwen3_moe": Recipe(
        {
            **_QWEN,
            "architectures": ["Qwen3MoeForCausalLM"],
            "attention_bias": False,
            "decoder_sparse_step": 1,
            "head_dim": 24,
            "mlp_only_layers": [],
            "model_type": "qwen3_moe",
            "moe_intermediate_size": 40,
            "norm_topk_prob": True,
            "num_experts": 6,
            "num_experts_per_tok": 3,
            "output_router_logits": False,
            "router_aux_loss_coef": 0.001,
            "tie_word_embeddings": True,
        },
        "qwen3",
        _QWEN_GENERATION,
        embedding=1.0,
        jinja_file=True,
    ),
    "phi3": Recipe(_PHI, "trained", _SPM_GENERATION, head=1.5, pieces=True),
    "phi3-long": Recipe(
        {
            **_PHI,
            "max_position_embeddings": 512,
            "original_max_position_embeddings": 16,
            "partial_rotary_factor": 0.75,
            "rope_scaling": {
                "long_factor": [1.0, 1.5, 2.25, 3.5, 5.0, 8.0],
                "short_factor": [1.0, 1.0625, 1.125, 1.25, 1.5, 2.0],
                "type": "longrope",
            },
        },
        "trained",
        _SPM_GENERATION,
        head=1.5,
        pieces=True,
    ),
    "gemma": Recipe(
        {
            **_GEMMA,
            "architectures": ["GemmaForCausalLM"],
            "hidden_act": "gelu",
            "hidden_activation": None,
            "model_type": "gemma",
            "num_hidden_layers": 2,
        },
        "trained",
        _SPM_GENERATION,
        norms={"layernorm": (1.0, 4.0), "": (-0.5, 1.2)},
        embedding=1.0,
        pieces=True,
    ),
    "gemma2": Recipe(
        {
            **_GEMMA,
            "architectures": ["Gemma2ForCausalLM"],
            "attn_logit_softcapping": 4.0,
            "cache_implementation": "hybrid",
            "final_logit_softcapping": 60.0,
            "hidden_act": "gelu_pytorch_tanh",
            "hidden_activation": "gelu_pytorch_tanh",
            "model_type": "gemma2",
            "query_pre_attn_scalar": 16,
            "sliding_window": 16,
        },
        "trained",
        _SPM_GENERATION,
        norms={
            "post_attention_layernorm": (4.0, 8.0),
            "post_feedforward_layernorm": (-0.4, 0.1),
            "": (-0.5, 1.2),
        },
        embedding=1.0,
        pieces=True,
    ),
    "gemma3": Recipe(
        {
            **_without(_DECODER, "hidden_act"),
            "architectures": ["Gemma3ForCausalLM"],
            "attention_bias": False,
            "attention_dropout": 0.0,
            "attn_logit_softcapping": None,
            "bos_token_id": 2,
            "eos_token_id": 1,
            "final_logit_softcapping": None,
            "head_dim": 16,
            "hidden_activation": "gelu_pytorch_tanh",
            "hidden_size": 40,
            "model_type": "gemma3_text",
            "num_hidden_layers": 7,
            "pad_token_id": 0,
            "query_pre_attn_scalar": 16,
            "rms_norm_eps": 1e-06,
            "rope_local_base_freq": 10000.0,
            "rope_scaling": None,
            "rope_theta": 1000000.0,
            "sliding_window": 16,
            "sliding_window_pattern": 6,
            "tie_word_embeddings": True,
            "vocab_size": 262208,
        },
        "gemma3",
        {"bos_token_id": 2, "eos_token_id": [1, 106], "top_k": 64, "top_p": 0.95},
        norms=_SANDWICH,
        embedding=1.0,
    ),
}
