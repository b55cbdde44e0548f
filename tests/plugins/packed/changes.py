"""Recorded weights with other settings or parts than the programs made."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from aprhub.api import StoredModel
from aprhub.unpacking import unpacked
from aprhub_safetensors import SAFETENSORS
from tests.unit import toys

RECORDED = Path(__file__).parent / "recorded"
CASES = sorted(path.stem for path in RECORDED.iterdir())

Parts = dict[str, torch.Tensor]


def recorded(case: str) -> tuple[dict[str, Any], Parts]:
    """Return the settings and the parts of a weight, without the name of its module."""
    with safe_open(RECORDED / f"{case}.safetensors", "pt") as file:
        config = json.loads(file.metadata()["aprhub.config.json"])
        names = [name for name in file.keys() if name != "expected"]  # noqa: SIM118 - no mapping
        parts = {name.removeprefix("layer."): file.get_tensor(name) for name in names}
    return config["quantization_config"], parts


def opened(path: Path) -> StoredModel:
    """Open a file and unpack its weights; nothing is computed."""
    return unpacked(SAFETENSORS.opened(path), toys.INSTALLED)


def written(folder: Path, settings: Mapping[str, Any], parts: Parts) -> Path:
    """Write a file as the recorded ones are."""
    path = folder / "changed.safetensors"
    config = {"torch_dtype": "bfloat16", "quantization_config": settings}
    tensors = {f"layer.{name}": part for name, part in parts.items()}
    save_file(tensors, path, {"aprhub.config.json": json.dumps(config)})
    return path
