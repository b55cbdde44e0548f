"""Models with many thin layers: what a mixture of encodings gives each layer shows."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from safetensors.numpy import save_file

from tests.judges import cache, spm

_SMALL: Final = {"hidden": 256, "heads": 4, "kv": 2, "ffn": 256}

SHAPES: Final[dict[str, dict[str, int]]] = {
    "grouped": {"hidden": 256, "layers": 17, "heads": 8, "kv": 2, "ffn": 512},
    "odd": {"hidden": 288, "layers": 5, "heads": 9, "kv": 9, "ffn": 256},
    "eight": {**_SMALL, "layers": 8, "ffn": 32, "experts": 8},
    "two": {**_SMALL, "layers": 8, "experts": 2},
    "fused": {**_SMALL, "layers": 9, "kv": 4},
}
"""Rows of whole super-blocks, and rows that are not; experts, of which eight are
special; fused projections. Each has a mixture of its own."""
TIED: Final = ("odd",)

IDENTITIES: Final = {
    "eight": ("MixtralForCausalLM", "mixtral"),
    "two": ("Qwen2MoeForCausalLM", "qwen2_moe"),
    "fused": ("Phi3ForCausalLM", "phi3"),
}
"""The class and the `model_type` of the models that are no Llamas."""


def deep(name: str) -> Path:
    """Return the HF folder of a model in f32; all tests share it."""
    origin = f"1 {SHAPES[name]} {spm.trained()}"
    key = hashlib.sha256(origin.encode()).hexdigest()[:12]
    return cache.made(f"deep-{name}-{key}", lambda folder: _build(name, folder))


def _build(name: str, folder: Path) -> None:
    shape = SHAPES[name]
    hf_class, model_type = IDENTITIES.get(name, ("LlamaForCausalLM", "llama"))
    config: dict[str, Any] = {
        "architectures": [hf_class],
        "model_type": model_type,
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
        **_expert_keys(shape, model_type),
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
        if name == "fused":
            yield f"{at}self_attn.qkv_proj.weight", (hidden + 2 * shared, hidden)
            yield f"{at}self_attn.o_proj.weight", (hidden, hidden)
        else:
            widths = {"q": hidden, "k": shared, "v": shared, "o": hidden}
            for role, rows in widths.items():
                yield f"{at}self_attn.{role}_proj.weight", (rows, hidden)
        yield from _feed_forward(name, at, hidden, ffn)
        yield f"{at}input_layernorm.weight", (hidden,)
        yield f"{at}post_attention_layernorm.weight", (hidden,)
    yield "model.norm.weight", (hidden,)
    if name not in TIED:
        yield "lm_head.weight", (spm.SIZE, hidden)


def _expert_keys(shape: dict[str, int], model_type: str) -> dict[str, Any]:
    if "experts" not in shape:
        return {}
    name = "num_local_experts" if model_type == "mixtral" else "num_experts"
    return {
        name: shape["experts"],
        "num_experts_per_tok": 2,
        "moe_intermediate_size": shape["ffn"],
        "shared_expert_intermediate_size": shape["ffn"],
    }


def _feed_forward(
    name: str, at: str, hidden: int, ffn: int
) -> Iterator[tuple[str, tuple[int, ...]]]:
    _, model_type = IDENTITIES.get(name, ("", "llama"))
    if model_type == "phi3":
        yield f"{at}mlp.gate_up_proj.weight", (2 * ffn, hidden)
        yield f"{at}mlp.down_proj.weight", (hidden, ffn)
        return
    if model_type == "llama":
        yield from _gated(f"{at}mlp", GATED, hidden, ffn)
        return
    block = f"{at}{'block_sparse_moe' if model_type == 'mixtral' else 'mlp'}"
    parts = ("w1", "w3", "w2") if model_type == "mixtral" else GATED
    experts = SHAPES[name]["experts"]
    yield f"{block}.gate.weight", (experts, hidden)
    for expert in range(experts):
        yield from _gated(f"{block}.experts.{expert}", parts, hidden, ffn)
    if model_type == "qwen2_moe":
        yield from _gated(f"{block}.shared_expert", GATED, hidden, ffn)
        yield f"{block}.shared_expert_gate.weight", (1, hidden)
        for part, rows in (("q", hidden), ("k", hidden // 2), ("v", hidden // 2)):
            yield f"{at}self_attn.{part}_proj.bias", (rows,)


GATED: Final = ("gate_proj", "up_proj", "down_proj")


def _gated(
    at: str, parts: tuple[str, ...], hidden: int, ffn: int
) -> Iterator[tuple[str, tuple[int, ...]]]:
    gate, up, down = parts
    yield f"{at}.{gate}.weight", (ffn, hidden)
    yield f"{at}.{up}.weight", (ffn, hidden)
    yield f"{at}.{down}.weight", (hidden, ffn)
