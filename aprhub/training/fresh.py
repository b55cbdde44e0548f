"""Weights to start from where there are none."""

import hashlib
from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from aprhub.decoder.plan import Plan
from aprhub.ir.config import ModelConfig
from aprhub.ir.tensor import Tensor
from aprhub.spec.family import Family

SPREAD: Final = 0.02
"""The standard deviation of matrices, as GPT-2 has it."""

_ENDS: Final = ("attn.o.weight", "ffn.down.weight")
"""The matrices whose results are added to what came in, twice in each layer."""


def fresh_weights(
    config: ModelConfig, family: Family, seed: int
) -> Mapping[str, Tensor]:
    """Return random weights of a configuration, f32.

    Matrices are normal with SPREAD; those that end a branch with less, by the root of
    how many branches there are. Norms change nothing, biases are zero. Each depends on
    the seed and its name alone.
    """
    plan = Plan.of(config, family)
    return {
        name: Tensor.of(_values(plan, name, shape, seed))
        for name, shape in plan.shapes.items()
    }


def _values(
    plan: Plan, name: str, shape: tuple[int, ...], seed: int
) -> NDArray[np.float32]:
    if name.endswith("norm.weight"):
        return np.full(shape, 1 - plan.norm_offset, np.float32)
    if len(shape) < 2:
        return np.zeros(shape, np.float32)
    branches = 2 * plan.size("num_layers") if name.endswith(_ENDS) else 1
    values = generator(seed, name).standard_normal(shape, np.float32)
    values *= np.float32(SPREAD / branches**0.5)
    return values


def generator(seed: int, name: str) -> np.random.Generator:
    """Return where the random values of a name come from: of it and the seed alone."""
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8]))
