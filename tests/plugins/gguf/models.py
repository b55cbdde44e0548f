"""Stored models in memory, for laying out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from aprhub.api import (
    ENCODINGS,
    FlatVocabulary,
    Identity,
    Memory,
    ModelConfig,
    StoredModel,
    Tensor,
    Tokenizer,
)

TOKENS = ("<unk>", "<s>", "</s>", "a", "b", "ab")

VOCABULARY = FlatVocabulary(
    "llama",
    TOKENS,
    "default",
    np.array([0, 0, 0, -1, -2, -3], np.float32),
    np.array([2, 3, 3, 1, 1, 1], np.int32),
)

CONFIG = ModelConfig(
    identity=Identity("llama"),
    hidden_size=64,
    num_layers=1,
    num_heads=4,
    num_kv_heads=2,
    head_dim=16,
    vocab_size=6,
    intermediate_size=96,
    max_position_embeddings=128,
    norm_eps=1e-5,
    rope_theta=10000.0,
)


def packed(name: str, *shape: int) -> Tensor:
    """Return a tensor of an encoding, of bytes that count up."""
    encoding = ENCODINGS[name]
    data = np.arange(encoding.nbytes(shape)) % 251
    return Tensor(shape, encoding, Memory(data.astype(np.uint8)))


def tensors() -> dict[str, Tensor]:
    """Return the tensors of a llama of one layer."""
    shapes = {
        "token_embd.weight": (6, 64),
        "blk.0.attn_norm.weight": (64,),
        "blk.0.attn_q.weight": (64, 64),
        "blk.0.attn_k.weight": (32, 64),
        "blk.0.attn_v.weight": (32, 64),
        "blk.0.attn_output.weight": (64, 64),
        "blk.0.ffn_norm.weight": (64,),
        "blk.0.ffn_gate.weight": (96, 64),
        "blk.0.ffn_up.weight": (96, 64),
        "blk.0.ffn_down.weight": (64, 96),
        "output_norm.weight": (64,),
    }
    return {name: packed("f32", *shape) for name, shape in shapes.items()}


def model(values: Mapping[str, Tensor] | None = None, **parts: Any) -> StoredModel:
    """Return a model that came from nowhere."""
    known = {"config": CONFIG, "tokenizer": Tokenizer(flat=VOCABULARY), **parts}
    chosen = tensors() if values is None else values
    return StoredModel("gguf", Path("nowhere"), chosen, naming="ggml", **known)
