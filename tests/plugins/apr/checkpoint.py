"""A checkpoint as trainers left them: another family's name, and nothing of its origin.

The tensors are those of a Qwen2 of one layer: its attention has biases.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from aprhub.api import Tensor
from aprhub_apr import layout
from tests.plugins.apr.disk import rendered

KEYS: Final = {
    "model_type": "transformer_lm",
    "license": None,
    "data_source": None,
    "data_license": None,
    "architecture": "LlamaForCausalLM",
    "hidden_size": 8,
    "num_layers": 1,
    "num_heads": 2,
    "num_kv_heads": 1,
    "vocab_size": 16,
    "intermediate_size": 12,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1e6,
}

_LAYER: Final = {
    "self_attn.q_proj.weight": (8, 8),
    "self_attn.k_proj.weight": (4, 8),
    "self_attn.v_proj.weight": (4, 8),
    "self_attn.o_proj.weight": (8, 8),
    "self_attn.q_proj.bias": (8,),
    "self_attn.k_proj.bias": (4,),
    "self_attn.v_proj.bias": (4,),
    "mlp.gate_proj.weight": (12, 8),
    "mlp.up_proj.weight": (12, 8),
    "mlp.down_proj.weight": (8, 12),
    "input_layernorm.weight": (8,),
    "post_attention_layernorm.weight": (8,),
}


def written(path: Path, **others: Any) -> Path:
    """Write the checkpoint, with further keys."""
    file = layout.container({**KEYS, **others}, dict(_tensors()), path.name)
    path.write_bytes(rendered(file))
    return path


def _tensors() -> Iterator[tuple[str, Tensor]]:
    shapes = {
        "model.embed_tokens.weight": (16, 8),
        "model.norm.weight": (8,),
        "lm_head.weight": (16, 8),
        **{f"model.layers.0.{name}": shape for name, shape in _LAYER.items()},
    }
    for number, (name, shape) in enumerate(shapes.items()):
        yield name, Tensor.of(np.full(shape, number + 1, np.float32))
