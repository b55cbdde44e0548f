"""A complete, tiny llama in plain data: sizes, weights and a byte-level BPE tokenizer.

Two layers, hidden size 32, 4 heads on 2 key-value heads of 8, 64 tokens. All weights
are f32, and none is zero throughout.
"""

import struct
from collections.abc import Mapping
from math import prod
from typing import Any, Final

LAYERS: Final = 2
HIDDEN: Final = 32
HEADS: Final = 4
KV_HEADS: Final = 2
HEAD_DIM: Final = 8
INTERMEDIATE: Final = 48
VOCAB: Final = 64
CONTEXT: Final = 128
EPSILON: Final = 1e-5
THETA: Final = 10000.0

_LAYER: Final = {
    "input_layernorm": (HIDDEN,),
    "self_attn.q_proj": (HEADS * HEAD_DIM, HIDDEN),
    "self_attn.k_proj": (KV_HEADS * HEAD_DIM, HIDDEN),
    "self_attn.v_proj": (KV_HEADS * HEAD_DIM, HIDDEN),
    "self_attn.o_proj": (HIDDEN, HEADS * HEAD_DIM),
    "post_attention_layernorm": (HIDDEN,),
    "mlp.gate_proj": (INTERMEDIATE, HIDDEN),
    "mlp.up_proj": (INTERMEDIATE, HIDDEN),
    "mlp.down_proj": (HIDDEN, INTERMEDIATE),
}

_GGUF_NAMES: Final = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}

SHAPES: Final[Mapping[str, tuple[int, ...]]] = {
    "model.embed_tokens.weight": (VOCAB, HIDDEN),
    **{
        f"model.layers.{layer}.{leaf}.weight": shape
        for layer in range(LAYERS)
        for leaf, shape in _LAYER.items()
    },
    "model.norm.weight": (HIDDEN,),
    "lm_head.weight": (VOCAB, HIDDEN),
}

SPECIAL: Final = ("<|begin|>", "<|end|>")
_LETTERS: Final = (*"abcdefghijklmnopqrstuvwxyz", "Ġ", "Ċ", *"0123456789", *".,!?'-")
MERGES: Final = (
    *(("Ġ", "t"), ("Ġ", "a"), ("h", "e"), ("i", "n"), ("r", "e"), ("o", "n")),
    *(("Ġt", "he"), ("e", "r"), ("Ġ", "s"), ("a", "t"), ("Ġ", "w"), ("Ġ", "o")),
    *(("e", "n"), ("i", "t"), ("i", "s"), ("o", "r"), ("e", "s"), ("Ġ", "b")),
)
TOKENS: Final = (*SPECIAL, *_LETTERS, *(left + right for left, right in MERGES))

CONFIG: Final[Mapping[str, Any]] = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "head_dim": HEAD_DIM,
    "hidden_act": "silu",
    "hidden_size": HIDDEN,
    "intermediate_size": INTERMEDIATE,
    "max_position_embeddings": CONTEXT,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": HEADS,
    "num_hidden_layers": LAYERS,
    "num_key_value_heads": KV_HEADS,
    "rms_norm_eps": EPSILON,
    "rope_theta": THETA,
    "tie_word_embeddings": False,
    "torch_dtype": "float32",
    "vocab_size": VOCAB,
}


def _added(index: int, text: str) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": index, "content": text, **flags, "special": True}


_BYTE_LEVEL: Final = {
    "type": "ByteLevel",
    "add_prefix_space": False,
    "trim_offsets": True,
    "use_regex": True,
}

TOKENIZER: Final[Mapping[str, Any]] = {
    "version": "1.0",
    "truncation": None,
    "padding": None,
    "added_tokens": [_added(index, text) for index, text in enumerate(SPECIAL)],
    "normalizer": None,
    "pre_tokenizer": _BYTE_LEVEL,
    "post_processor": _BYTE_LEVEL,
    "decoder": _BYTE_LEVEL,
    "model": {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        "vocab": {text: index for index, text in enumerate(TOKENS)},
        "merges": [list(pair) for pair in MERGES],
    },
}

TOKENIZER_CONFIG: Final[Mapping[str, Any]] = {
    "add_bos_token": False,
    "bos_token": SPECIAL[0],
    "eos_token": SPECIAL[1],
    "clean_up_tokenization_spaces": True,
    "tokenizer_class": "PreTrainedTokenizerFast",
}


def gguf_name(name: str) -> str:
    """Return what a tensor is called in a GGUF file."""
    stem = name.removesuffix(".weight")
    if not stem.startswith("model.layers."):
        return f"{_GGUF_NAMES[stem]}.weight"
    _model, _layers, layer, leaf = stem.split(".", 3)
    return f"blk.{layer}.{_GGUF_NAMES[leaf]}.weight"


def weights(name: str) -> bytes:
    """Return the f32 values of a tensor, little-endian, row after row."""
    seed = sum(name.encode()) * 104729
    centre = 1.0 if "norm" in name else 0.0
    count = prod(SHAPES[name])
    values = (centre + ((i * 7919 + seed) % 2001 - 1000) / 4096 for i in range(count))
    return struct.pack(f"<{count}f", *values)
