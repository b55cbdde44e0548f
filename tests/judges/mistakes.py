"""What goes wrong when a converter leaves out one transform, done on purpose.

A test of logits proves something only if it turns red for each of these.
"""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import numpy as np
from attrs import frozen
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from tests.judges import gguf_c

Array = NDArray[np.float32]
Tensors = Mapping[str, Array]

_F32: Final = 0


@frozen
class Mistake:
    """One tensor of one family's model with a wrong content of the right shape."""

    family: str
    tensor: str
    change: Callable[[Array, Tensors], Array]

    def __str__(self) -> str:
        return f"{self.family}-{self.tensor}"


def _split_halves(heads: int) -> Callable[[Array, Tensors], Array]:
    """Put rows in pairs (2i, 2i + 1) where HF has them, (i, i + half)."""

    def change(rows: Array, _: Tensors) -> Array:
        pairs = rows.reshape(heads, -1, 2, *rows.shape[1:])
        return pairs.swapaxes(1, 2).reshape(rows.shape)

    return change


def _paired_rows(heads: int) -> Callable[[Array, Tensors], Array]:
    """Put rows in pairs (i, i + half) where llama.cpp has them, (2i, 2i + 1)."""

    def change(rows: Array, _: Tensors) -> Array:
        halves = rows.reshape(heads, 2, -1, *rows.shape[1:])
        return halves.swapaxes(1, 2).reshape(rows.shape)

    return change


def _turned(values: Array, _: Tensors) -> Array:
    """Put the first last: experts, or what stands for them, in another order."""
    return values[::-1]


def _halves_swapped(values: Array, _: Tensors) -> Array:
    """Take the first half of the rows for the second."""
    return np.concatenate(np.split(values, 2)[::-1])


def _keys_as_values(values: Array, _: Tensors) -> Array:
    """Take the last quarter of fused rows for the one before it."""
    query, key, value = np.split(
        values, (values.shape[0] // 2, values.shape[0] // 4 * 3)
    )
    return np.concatenate((query, value, key))


def _of(name: str) -> Callable[[Array, Tensors], Array]:
    return lambda _, tensors: tensors[name]


def _zero(values: Array, _: Tensors) -> Array:
    return np.zeros_like(values)


def _one(values: Array, _: Tensors) -> Array:
    return np.ones_like(values)


def _less_one(values: Array, _: Tensors) -> Array:
    return values - 1


def _plus_one(values: Array, _: Tensors) -> Array:
    return values + 1


_Changes = tuple[tuple[str, Callable[[Array, Tensors], Array]], ...]

_GGUF_ROWS: Final[_Changes] = (
    ("blk.1.attn_q.weight", _split_halves(4)),
    ("blk.1.attn_k.weight", _split_halves(2)),
)
_GGUF_HEAD: Final[_Changes] = (("output.weight", _of("token_embd.weight")),)
_GGUF_NORMS: Final = (
    "output_norm",
    "blk.3.attn_norm",
    "blk.3.attn_q_norm",
    "blk.3.attn_k_norm",
    "blk.3.post_attention_norm",
    "blk.3.ffn_norm",
    "blk.3.post_ffw_norm",
)

_LAYER: Final = "model.layers.1."
_HF_ROWS: Final[_Changes] = (
    (f"{_LAYER}self_attn.q_proj.weight", _paired_rows(4)),
    (f"{_LAYER}self_attn.k_proj.weight", _paired_rows(2)),
)
_HF_HEAD: Final[_Changes] = (("lm_head.weight", _of("model.embed_tokens.weight")),)
_HF_NORMS: Final = (
    "norm",
    "layers.3.input_layernorm",
    "layers.3.self_attn.q_norm",
    "layers.3.self_attn.k_norm",
    "layers.3.post_attention_layernorm",
    "layers.3.pre_feedforward_layernorm",
    "layers.3.post_feedforward_layernorm",
)


def _mistakes(changes: Mapping[str, _Changes]) -> tuple[Mistake, ...]:
    return tuple(
        Mistake(family, tensor, change)
        for family, listed in changes.items()
        for tensor, change in listed
    )


IN_GGUF: Final = _mistakes(
    {
        "llama": (*_GGUF_ROWS, *_GGUF_HEAD),
        "llama-rope": (("rope_freqs.weight", _one),),
        "llama-tied": _GGUF_ROWS,
        "llama-spm": (
            *_GGUF_ROWS,
            ("blk.1.attn_q.bias", _split_halves(4)),
            ("blk.1.attn_k.bias", _split_halves(2)),
            ("blk.1.attn_v.bias", _zero),
            ("blk.1.attn_output.bias", _zero),
        ),
        "mistral": (*_GGUF_ROWS, *_GGUF_HEAD),
        "qwen2": (
            *_GGUF_HEAD,
            ("blk.1.attn_q.bias", _zero),
            ("blk.1.attn_k.bias", _zero),
            ("blk.1.attn_v.bias", _zero),
        ),
        "qwen3": (
            ("blk.1.attn_q_norm.weight", _one),
            ("blk.1.attn_k_norm.weight", _one),
        ),
        "mixtral": (
            *_GGUF_ROWS,
            ("blk.1.ffn_gate_inp.weight", _turned),
            ("blk.1.ffn_down_exps.weight", _turned),
            ("blk.1.ffn_gate_exps.weight", _of("blk.1.ffn_up_exps.weight")),
        ),
        "qwen2_moe": (
            ("blk.1.attn_q.bias", _zero),
            ("blk.1.ffn_gate_inp.weight", _turned),
            ("blk.1.ffn_up_exps.weight", _turned),
            ("blk.1.ffn_gate_inp_shexp.weight", _one),
            ("blk.1.ffn_gate_shexp.weight", _of("blk.1.ffn_up_shexp.weight")),
        ),
        "qwen3_moe": (
            ("blk.1.attn_q_norm.weight", _one),
            ("blk.1.ffn_gate_inp.weight", _turned),
            ("blk.1.ffn_gate_exps.weight", _turned),
        ),
        "phi3": (
            ("blk.1.attn_qkv.weight", _keys_as_values),
            ("blk.1.ffn_up.weight", _halves_swapped),
        ),
        "phi3-long": (("rope_factors_long.weight", _one),),
        "gemma": tuple(
            (f"{name}.weight", _less_one)
            for name in ("output_norm", "blk.1.attn_norm", "blk.1.ffn_norm")
        ),
        "gemma2": tuple(
            (f"{name}.weight", _less_one)
            for name in _GGUF_NORMS
            if "_q_" not in name and "_k_" not in name
        ),
        "gemma3": tuple((f"{name}.weight", _less_one) for name in _GGUF_NORMS),
    }
)

IN_HF: Final = _mistakes(
    {
        "llama": (*_HF_ROWS, *_HF_HEAD),
        "llama-tied": _HF_ROWS,
        "llama-spm": (
            *_HF_ROWS,
            (f"{_LAYER}self_attn.q_proj.bias", _paired_rows(4)),
            (f"{_LAYER}self_attn.k_proj.bias", _paired_rows(2)),
            (f"{_LAYER}self_attn.v_proj.bias", _zero),
            (f"{_LAYER}self_attn.o_proj.bias", _zero),
        ),
        "mistral": (*_HF_ROWS, *_HF_HEAD),
        "qwen2": (
            *_HF_HEAD,
            (f"{_LAYER}self_attn.q_proj.bias", _zero),
            (f"{_LAYER}self_attn.k_proj.bias", _zero),
            (f"{_LAYER}self_attn.v_proj.bias", _zero),
        ),
        "qwen3": (
            (f"{_LAYER}self_attn.q_norm.weight", _one),
            (f"{_LAYER}self_attn.k_norm.weight", _one),
        ),
        "mixtral": (
            *_HF_ROWS,
            (f"{_LAYER}block_sparse_moe.gate.weight", _turned),
            (
                f"{_LAYER}block_sparse_moe.experts.1.w1.weight",
                _of(f"{_LAYER}block_sparse_moe.experts.1.w3.weight"),
            ),
        ),
        "qwen2_moe": (
            (f"{_LAYER}self_attn.q_proj.bias", _zero),
            (f"{_LAYER}mlp.gate.weight", _turned),
            (f"{_LAYER}mlp.shared_expert_gate.weight", _zero),
        ),
        "qwen3_moe": (
            (f"{_LAYER}self_attn.q_norm.weight", _one),
            (
                f"{_LAYER}mlp.experts.0.up_proj.weight",
                _of(f"{_LAYER}mlp.experts.1.up_proj.weight"),
            ),
        ),
        "phi3": (
            (f"{_LAYER}self_attn.qkv_proj.weight", _keys_as_values),
            (f"{_LAYER}mlp.gate_up_proj.weight", _halves_swapped),
        ),
        "gemma": tuple(
            (f"model.{name}.weight", _plus_one)
            for name in ("norm", "layers.1.input_layernorm")
        ),
        "gemma2": tuple(
            (f"model.{name}.weight", _plus_one)
            for name in _HF_NORMS
            # Of one added before the MLP, the norm behind it leaves too little.
            if "self_attn" not in name and "pre_feedforward" not in name
        ),
        "gemma3": tuple((f"model.{name}.weight", _plus_one) for name in _HF_NORMS),
    }
)


def made_in_gguf(mistake: Mistake, source: Path, target: Path) -> Path:
    """Copy a GGUF file whose tensor is f32, with the mistake in it."""
    shutil.copy(source, target)
    tensors = {
        placed.name: np.memmap(target, np.float32, "r+", placed.offset, placed.shape)
        for placed in gguf_c.tensors(target)
        if placed.type_id == _F32
    }
    tensors[mistake.tensor][:] = mistake.change(tensors[mistake.tensor], tensors)
    return target


def made_in_hf(mistake: Mistake, source: Path, target: Path) -> Path:
    """Copy an HF folder of one f32 `model.safetensors`, with the mistake in it."""
    shutil.copytree(source, target)
    path = target / "model.safetensors"
    tensors = load_file(path)
    tensors[mistake.tensor] = np.ascontiguousarray(
        mistake.change(tensors[mistake.tensor], tensors)
    )
    save_file(tensors, path, metadata={"format": "pt"})
    return target
