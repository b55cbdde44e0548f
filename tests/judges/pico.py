"""Models of each family, too small to be clever and too lively to be uniform.

A model with random weights of the usual scale gives almost the same logits for
every token and agrees with anything. These are scaled so that one token usually
takes most of the probability, attention is sharp, biases are large and norm
weights far from one, so that leaving out any one transform shows.
"""

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from tests.judges import assets, cache, spm

DType = Literal["float32", "bfloat16"]

PROMPTS: Final = (
    "The hub reads a model from one file and writes it to another. Nothing is lost "
    "on the way: every tensor keeps its bytes, and every key is kept, renamed or "
    "carried. What the judges compare is the numbers that come out, token by token.",
    "def mean(values):\n    total = 0.0\n    for i, value in enumerate(values):\n"
    "        total += value * 1.5\n    return total / max(1, len(values))\n\n"
    'print(mean([1, 2, 3]), "done")  # 3.0\n',
    "Съешь же ещё этих мягких французских булок! 我能吞下玻璃而不伤身体。"
    " Árvíztűrő tükörfúrógép, 12345 × 67 = 827115 👍🏽",
)


@frozen
class Family:
    """How to build one model: its `config.json`, its tokenizer and its scales.

    `norms` has the interval of the norm weights as stored, by a part of the name;
    `embedding` and `head` are the standard deviations of those two matrices.
    """

    config: Mapping[str, Any]
    tokenizer: str
    generation: Mapping[str, Any]
    norms: Mapping[str, tuple[float, float]] = {"": (0.4, 2.0)}
    embedding: float = 0.5
    head: float = 1.0
    jinja_file: bool = False


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

_LLAMA3_ROPE: Final = {
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


def _without(config: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in keys}


_FAMILIES: Final[Mapping[str, Family]] = {
    "llama": Family(_LLAMA, "llama3_1", _LLAMA3_GENERATION),
    "llama-rope": Family(
        {
            **_without(_LLAMA, "rope_scaling", "rope_theta"),
            "rope_parameters": _LLAMA3_ROPE,
        },
        "llama3_1",
        _LLAMA3_GENERATION,
    ),
    "llama-tied": Family(
        {**_without(_LLAMA, "head_dim"), "tie_word_embeddings": True},
        "llama3_1",
        _LLAMA3_GENERATION,
        embedding=1.0,
    ),
    "llama-spm": Family(
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
    "mistral": Family(
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
    "qwen2": Family(
        {
            **_QWEN,
            "architectures": ["Qwen2ForCausalLM"],
            "hidden_size": 48,
            "model_type": "qwen2",
        },
        "qwen3",
        _QWEN_GENERATION,
    ),
    "qwen3": Family(
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
    "gemma3": Family(
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
        # llama.cpp takes GELU from a table of f16: half of the bits are gone. The
        # less of a layer comes from there, the closer the two programs are.
        norms={
            "post_attention_layernorm": (1.0, 4.0),
            "post_feedforward_layernorm": (-0.8, -0.4),
            "": (-0.5, 1.2),
        },
        embedding=1.0,
    ),
}

FAMILIES: Final = tuple(_FAMILIES)


def pico(family: str, dtype: DType = "float32") -> Path:
    """Return the HF folder of a model: weights, configuration, tokenizer, template.

    The folder is shared by all tests: copy it before changing anything.
    """
    recipe = _FAMILIES[family]
    key = hashlib.sha256(f"{_REVISION} {recipe} {dtype}".encode()).hexdigest()[:12]
    return cache.made(f"pico-{family}-{key}", partial(_build, recipe, dtype))


# The number of the weights' recipe below: a change is a new model.
_REVISION: Final = 1


def _build(recipe: Family, dtype: DType, folder: Path) -> None:
    config = {**recipe.config, "torch_dtype": dtype}
    _write_json(folder / "config.json", config)
    _write_json(folder / "generation_config.json", recipe.generation)
    _write_tokenizer(recipe, folder)
    _write_weights(recipe, dtype, folder)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _write_tokenizer(recipe: Family, folder: Path) -> None:
    if recipe.tokenizer == "trained":
        (folder / "tokenizer.json").write_text(spm.trained())
        _write_json(folder / "tokenizer_config.json", spm.CONFIG)
    else:
        for path in assets.tokenizer(recipe.tokenizer).iterdir():
            shutil.copy(path, folder)
    if recipe.jinja_file:
        _move_template(folder)


def _move_template(folder: Path) -> None:
    """Keep the chat template where newer folders have it, in a file of its own."""
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text())
    (folder / "chat_template.jinja").write_text(config.pop("chat_template"))
    _write_json(path, config)


def _write_weights(recipe: Family, dtype: DType, folder: Path) -> None:
    import torch
    from safetensors.torch import save_file

    tensors = {
        name: torch.from_numpy(_values(recipe, name, shape)).to(getattr(torch, dtype))
        for name, shape in _parameters(folder)
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _parameters(folder: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Return names and shapes as transformers itself has them; ties appear once."""
    import torch

    os.environ.update({"HF_HUB_OFFLINE": "1"})
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        config = AutoConfig.from_pretrained(folder)
        model = AutoModelForCausalLM.from_config(config)
    for name, parameter in model.named_parameters():
        yield name, tuple(parameter.shape)


def _values(
    recipe: Family, name: str, shape: tuple[int, ...]
) -> NDArray[np.float32]:
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])
    random = np.random.default_rng(seed)
    if name.endswith("norm.weight"):
        low, high = next(recipe.norms[part] for part in recipe.norms if part in name)
        return random.uniform(low, high, shape).astype(np.float32)
    return random.standard_normal(shape, np.float32) * _scale(recipe, name, shape)


def _scale(recipe: Family, name: str, shape: tuple[int, ...]) -> np.float32:
    fixed = {
        "model.embed_tokens.weight": recipe.embedding,
        "lm_head.weight": recipe.head,
    }
    if name.endswith(".bias"):
        return np.float32(1.0)
    return np.float32(fixed.get(name, 1.5 / shape[-1] ** 0.5))
