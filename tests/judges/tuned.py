"""Models that look like tuned ones: a pico model and noise, from a seed."""

from pathlib import Path
from typing import Any

import numpy as np
from attrs import evolve

from aprhub import ModelIR, Registry, Tensor, save_model
from aprhub.testing.models import Pico


def tuned(family: str, seed: int, matrices: str = "f32", **chosen: Any) -> ModelIR:
    """Return a pico model whose values are moved a little; seed 0 moves nothing."""
    recipe = Pico(family, matrices=(matrices,))
    model = recipe.model(Registry.load(), **chosen)
    if not seed:
        return model
    random = np.random.default_rng(seed)
    tensors = {name: _moved(t, random) for name, t in model.tensors.items()}
    return evolve(model, tensors=tensors)


def _moved(tensor: Tensor, random: np.random.Generator) -> Tensor:
    values = tensor.numpy().astype(np.float32)
    values += np.float32(0.05) * random.standard_normal(values.shape, np.float32)
    return Tensor.of(values.astype(tensor.encoding.dtype))


def saved(folder: Path, family: str = "llama", **chosen: Any) -> list[Path]:
    """Write a base and two models tuned from it as Hugging Face folders."""
    paths = [folder / name for name in ("base", "one", "two")]
    for seed, path in enumerate(paths):
        if not path.exists():
            save_model(tuned(family, seed, **chosen), path)
    return paths
