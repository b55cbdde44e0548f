"""Bases and adapters for tests, made without the code under test, and an oracle."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from attrs import evolve
from numpy.typing import NDArray
from safetensors.numpy import save_file

from aprhub import ModelIR, Registry, Tensor, open_model, save_model
from aprhub.lift import decodable
from aprhub.testing.models import Pico

REGISTRY = Registry.load()

Array = NDArray[np.float32]
Pairs = Mapping[str, tuple[Array, Array]]
"""A and B by the Hugging Face path of a module, such as `layers.0.self_attn.q_proj`."""

CANONICAL = {
    "q_proj": "attn.q",
    "k_proj": "attn.k",
    "v_proj": "attn.v",
    "o_proj": "attn.o",
    "gate_proj": "ffn.gate",
    "up_proj": "ffn.up",
    "down_proj": "ffn.down",
}

SHAPES = {"q_proj": (64, 64), "k_proj": (32, 64), "v_proj": (32, 64)}


def model(family: str = "llama", *encodings: str, **chosen: Any) -> ModelIR:
    """Return a pico model whose matrices are in these encodings, f32 without any."""
    found = Pico(family, matrices=encodings or ("f32",)).model(REGISTRY, **chosen)
    return evolve(found, tensors=decodable(found.tensors, REGISTRY))


def saved(found: ModelIR, path: Path) -> Path:
    save_model(found, path, registry=REGISTRY)
    return path


def pairs(
    rank: int = 4, layers: int = 2, targets: tuple[str, ...] = ("q_proj", "v_proj")
) -> Pairs:
    """Return random pairs for a pico model."""
    random = np.random.default_rng(7)
    return {
        f"layers.{layer}.self_attn.{target}": (
            random.normal(0, 0.1, (rank, SHAPES[target][1])).astype(np.float32),
            random.normal(0, 0.1, (SHAPES[target][0], rank)).astype(np.float32),
        )
        for layer in range(layers)
        for target in targets
    }


def entrenar(
    found: Pairs,
    folder: Path,
    *,
    header: Mapping[str, str] | None = None,
    sidecar: Mapping[str, object] | None = None,
) -> Path:
    """Write a trainer's checkpoint, by default with alpha 8 in its sidecar."""
    folder.mkdir()
    tensors = {}
    for name, (a, b) in found.items():
        _, layer, _, projection = name.split(".")
        tensors[f"lora.{layer}.{projection}.lora_a"] = a
        tensors[f"lora.{layer}.{projection}.lora_b"] = b
    metadata = {"epoch": "1", "val_loss": "0.5", **(header or {})}
    save_file(tensors, folder / "model.safetensors", metadata)
    said = {"task": "instruct", "lora_rank": 4, "lora_alpha": 8.0}
    text = json.dumps(said if sidecar is None else sidecar)
    (folder / "metadata.json").write_text(text)
    return folder


def peft(found: Pairs, folder: Path, **config: object) -> Path:
    """Write a PEFT folder with alpha 8, unless the configuration says otherwise."""
    folder.mkdir()
    tensors = {}
    for name, (a, b) in found.items():
        tensors[f"base_model.model.model.{name}.lora_A.weight"] = a
        tensors[f"base_model.model.model.{name}.lora_B.weight"] = b
    save_file(tensors, folder / "adapter_model.safetensors", {"format": "pt"})
    said = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, **config}
    (folder / "adapter_config.json").write_text(json.dumps(said))
    return folder


def canonical(name: str) -> str:
    _, layer, _, projection = name.split(".")
    return f"layers.{layer}.{CANONICAL[projection]}.weight"


def oracle(before: ModelIR, found: Pairs, alpha: float = 8.0) -> dict[str, Any]:
    """Return the merged weights in float64, by canonical name."""
    merged = {}
    for name, (a, b) in found.items():
        weight = before.tensors[canonical(name)].numpy().astype(np.float64)
        delta = b.astype(np.float64) @ a.astype(np.float64)
        merged[canonical(name)] = weight + alpha / a.shape[0] * delta
    return merged


def assert_merged(
    path: Path, before: ModelIR, expected: Mapping[str, Any], rtol: float = 1e-6
) -> None:
    """Compare a written model with the oracle; what it does not name is untouched."""
    after = open_model(path, registry=REGISTRY)
    assert after.tensors.keys() == before.tensors.keys()
    for name, tensor in after.tensors.items():
        if name in expected:
            values = tensor.numpy().astype(np.float64)
            scale = np.abs(expected[name]).max()
            np.testing.assert_allclose(
                values, expected[name], rtol=rtol, atol=rtol * scale, err_msg=name
            )
        else:
            assert same(tensor, before.tensors[name]), name


def same(one: Tensor, other: Tensor) -> bool:
    return one.encoding == other.encoding and one.tobytes() == other.tobytes()
