"""Models with many thin layers: what a mixture of encodings gives each layer shows."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from safetensors.numpy import save_file

from tests.judges import cache, spm

SHAPES: Final[dict[str, dict[str, int]]] = {
    "grouped": {"hidden": 256, "layers": 17, "heads": 8, "kv": 2, "ffn": 512},
    "odd": {"hidden": 288, "layers": 5, "heads": 9, "kv": 9, "ffn": 256},
}
"""Rows of whole super-blocks, and rows that are not; each has a mixture of its own."""
TIED: Final = ("odd",)


def deep(name: str) -> Path:
    """Return the HF folder of a Llama in f32; all tests share it."""
    origin = f"1 {SHAPES[name]} {spm.trained()}"
    key = hashlib.sha256(origin.encode()).hexdigest()[:12]
    return cache.made(f"deep-{name}-{key}", lambda folder: _build(name, folder))


def _build(name: str, folder: Path) -> None:
    shape = SHAPES[name]
    config: dict[str, Any] = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": shape["hidden"],
        "num_hidden_layers": shape["layers"],
        "num_attention_heads": shape["heads"],
        "num_key_value_heads": shape["kv"],
        "intermediate_size": shape["ffn"],
        "vocab_size": spm.SIZE,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": name in TIED,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text(spm.trained(), "utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(dict(spm.CONFIG)))
    random = np.random.default_rng(7)
    tensors = {
        each: (random.standard_normal(size, np.float32) / np.float32(size[-1] ** 0.5))
        for each, size in _shapes(name)
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _shapes(name: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    shape = SHAPES[name]
    hidden, ffn = shape["hidden"], shape["ffn"]
    shared = hidden // shape["heads"] * shape["kv"]
    yield "model.embed_tokens.weight", (spm.SIZE, hidden)
    for layer in range(shape["layers"]):
        at = f"model.layers.{layer}."
        for role, rows in (("q", hidden), ("k", shared), ("v", shared), ("o", hidden)):
            yield f"{at}self_attn.{role}_proj.weight", (rows, hidden)
        yield f"{at}mlp.gate_proj.weight", (ffn, hidden)
        yield f"{at}mlp.up_proj.weight", (ffn, hidden)
        yield f"{at}mlp.down_proj.weight", (hidden, ffn)
        yield f"{at}input_layernorm.weight", (hidden,)
        yield f"{at}post_attention_layernorm.weight", (hidden,)
    yield "model.norm.weight", (hidden,)
    if name not in TIED:
        yield "lm_head.weight", (spm.SIZE, hidden)
