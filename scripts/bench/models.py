"""Models to measure with: shapes of real ones, weights from a generator."""

import json
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

SHAPES = {
    "1 GB": {"hidden": 896, "layers": 24, "heads": 14, "kv": 2, "ffn": 4864},
    "4 GB": {"hidden": 2048, "layers": 24, "heads": 16, "kv": 2, "ffn": 11008},
}
WHOLE_BLOCKS = {"hidden": 1024, "layers": 24, "heads": 16, "kv": 4, "ffn": 4096}
"""About 1 GB whose rows are whole super-blocks of 256, so that no type falls back."""
LARGE = {"hidden": 4096, "layers": 36, "heads": 32, "kv": 8, "ffn": 12288}
"""8 billion parameters, of which the embedding is a small part."""

VOCABULARY = 151936


def make_model(
    folder: Path,
    shape: dict[str, int],
    tokenizer: Path,
    tuning: int = 0,
    *,
    sparse: bool = False,
) -> Path:
    """Write a Qwen2-shaped bf16 folder with arbitrary finite weights, one file.

    With a number for its tuning, its weights differ a little from those without; a
    sparse one has zeros that take no room.
    """
    folder.mkdir(parents=True)
    for file in tokenizer.glob("*.json"):
        shutil.copy(file, folder)
    (folder / "config.json").write_text(json.dumps(config(shape)))
    table, position = {}, 0
    for name, dims in weights(shape):
        stop = position + 2 * int(np.prod(dims))
        table[name] = {"dtype": "BF16", "shape": dims, "data_offsets": [position, stop]}
        position = stop
    head = json.dumps(table).encode()
    head += b" " * (-len(head) % 64)
    with (folder / "model.safetensors").open("wb") as weights_file:
        weights_file.write(struct.pack("<Q", len(head)) + head)
        if sparse:
            weights_file.truncate(weights_file.tell() + position)
        else:
            fill(weights_file.write, position, tuning)
    return folder


def fill(write: Callable[[bytes], object], count: int, tuning: int) -> None:
    """Write bf16 values of a normal distribution, repeated every 64 MiB."""
    values = np.random.default_rng(0).standard_normal(1 << 25, np.float32) * 0.02
    if tuning:
        noise = np.random.default_rng(tuning).standard_normal(1 << 25, np.float32)
        values += noise * 0.001
    block = (values.view("<u4") >> 16).astype("<u2").tobytes()
    while count:
        write(block[: min(count, len(block))])
        count -= min(count, len(block))


def config(shape: dict[str, int]) -> dict[str, object]:
    """Return the `config.json` of a shape."""
    return {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "hidden_size": shape["hidden"],
        "num_hidden_layers": shape["layers"],
        "num_attention_heads": shape["heads"],
        "num_key_value_heads": shape["kv"],
        "intermediate_size": shape["ffn"],
        "vocab_size": VOCABULARY,
        "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1000000.0,
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "bos_token_id": 151643,
        "eos_token_id": 151645,
    }


def weights(shape: dict[str, int]) -> Iterator[tuple[str, list[int]]]:
    """Yield names and shapes in the order of the file."""
    hidden, ffn = shape["hidden"], shape["ffn"]
    shared = hidden // shape["heads"] * shape["kv"]
    yield "model.embed_tokens.weight", [VOCABULARY, hidden]
    for layer in range(shape["layers"]):
        at = f"model.layers.{layer}."
        for name, rows in (("q", hidden), ("k", shared), ("v", shared)):
            yield f"{at}self_attn.{name}_proj.weight", [rows, hidden]
            yield f"{at}self_attn.{name}_proj.bias", [rows]
        yield at + "self_attn.o_proj.weight", [hidden, hidden]
        yield at + "mlp.gate_proj.weight", [ffn, hidden]
        yield at + "mlp.up_proj.weight", [ffn, hidden]
        yield at + "mlp.down_proj.weight", [hidden, ffn]
        yield at + "input_layernorm.weight", [hidden]
        yield at + "post_attention_layernorm.weight", [hidden]
    yield "model.norm.weight", [hidden]
