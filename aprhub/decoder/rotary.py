"""Rotary positions: frequencies under every kind of scaling, and how they turn heads.

The formulas are those of the papers (position interpolation, NTK-aware scaling, YaRN,
LongRoPE) and of Llama 3.1, with the rounding of the f32 programs that use them.
"""

import math

import numpy as np
import torch
from attrs import evolve, frozen
from numpy.typing import NDArray

from aprhub.decoder.plan import Plan
from aprhub.errors import ModelCheckError
from aprhub.ir.config import ModelConfig, RopeScaling
from aprhub.rope import factors, frequencies

Turn = tuple[torch.Tensor, torch.Tensor]
"""Cosines and sines, each `(positions, head_dim)`."""

BETA_FAST = 32.0
BETA_SLOW = 1.0
"""Rotations within the trained context beyond which YaRN keeps a frequency as it is,
and below which it interpolates, unless the configuration says."""


@frozen
class Rotary:
    """The rotary positions of one kind of layer."""

    config: ModelConfig

    @classmethod
    def of(cls, plan: Plan, *, sliding: bool) -> "Rotary":
        """Return the positions of full or of sliding-window layers.

        Where sliding layers have a base of their own, nothing scales it.
        """
        config = plan.config
        if sliding and config.rope_local_theta is not None:
            theta = config.rope_local_theta
            return cls(evolve(config, rope_theta=theta, rope_scaling=None))
        return cls(config)

    def turn(self, length: int, device: torch.device) -> Turn:
        """Return the cosines and sines of positions 0 to `length`, f32.

        Raises ModelCheckError for a scaling that is not known or lacks a parameter.
        """
        speeds, attention = scaled(self.config, length)
        positions = torch.arange(length, dtype=torch.float32, device=device)
        angles = torch.outer(positions, torch.from_numpy(speeds).to(device))
        angles = torch.cat((angles, angles), dim=-1)
        return angles.cos() * attention, angles.sin() * attention


def turned(heads: torch.Tensor, turn: Turn) -> torch.Tensor:
    """Return heads, `(…, positions, head_dim)`, turned by their positions.

    Element i makes a pair with element i + head_dim / 2.
    """
    cosines, sines = (each.to(heads.dtype) for each in turn)
    first, second = heads.chunk(2, dim=-1)
    return heads * cosines + torch.cat((-second, first), dim=-1) * sines


def scaled(config: ModelConfig, length: int) -> tuple[NDArray[np.float32], float]:
    """Return radians per position of each pair, and what multiplies cosine and sine.

    `length` counts the positions at hand: some kinds depend on it.
    """
    theta, dim, scaling = config.rope_theta, config.head_dim, config.rope_scaling
    if theta is None or dim is None:
        raise ModelCheckError("configuration", "rope_theta or head_dim is not known")
    plain = frequencies(theta, dim)
    if scaling is None:
        return plain, 1.0
    match scaling.kind:
        case "linear":
            return plain / np.float32(_given(scaling, "factor")), 1.0
        case "llama3" | "factors":
            return plain / _factors(config), 1.0
        case "dynamic":
            return frequencies(_stretched(config, scaling, length), dim), 1.0
        case "yarn":
            return _yarn(config, scaling, plain), _yarn_attention(scaling)
        case "longrope":
            divisors = _long_or_short(scaling, length)
            return plain / divisors, _longrope_attention(config, scaling)
    raise ModelCheckError("rope scaling", f"{scaling.kind!r} is no known kind")


def _factors(config: ModelConfig) -> NDArray[np.float32] | np.float32:
    found = factors(config)
    return np.float32(1) if found is None else found


def _given(scaling: RopeScaling, name: str) -> float:
    value = getattr(scaling, name)
    if value is None:
        raise ModelCheckError("rope scaling", f"{scaling.kind} needs {name}")
    return float(value)


def _stretched(config: ModelConfig, scaling: RopeScaling, length: int) -> float:
    """Return the base of the frequencies under NTK-aware scaling."""
    theta, dim = config.rope_theta, config.head_dim
    trained = config.max_position_embeddings
    if not (theta and dim and trained):
        what = "dynamic needs the configuration's max_position_embeddings"
        raise ModelCheckError("rope scaling", what)
    factor = _given(scaling, "factor")
    ratio = factor * max(length, trained) / trained - (factor - 1)
    return float(theta * ratio ** (dim / (dim - 2)))


def _yarn(
    config: ModelConfig, scaling: RopeScaling, plain: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return frequencies kept where they are fast, interpolated where slow."""
    trained = _given(scaling, "original_max_position_embeddings")
    theta, dim = float(config.rope_theta or 0), 2 * plain.size

    def pair(rotations: float) -> float:
        """Return the pair that rotates so often within the trained context."""
        wavelength = trained / (rotations * 2 * math.pi)
        return dim * math.log(wavelength) / (2 * math.log(theta))

    first = max(math.floor(pair(scaling.beta_fast or BETA_FAST)), 0)
    last = min(math.ceil(pair(scaling.beta_slow or BETA_SLOW)), dim - 1)
    steps = np.arange(plain.size, dtype=np.float32) - np.float32(first)
    slow = np.clip(steps / np.float32(max(last - first, 0.001)), 0, 1)
    factor = np.float32(_given(scaling, "factor"))
    mixed: NDArray[np.float32] = plain / factor * slow + plain * (1 - slow)
    return mixed


def _yarn_attention(scaling: RopeScaling) -> float:
    if scaling.attention_factor is not None:
        return scaling.attention_factor
    return 0.1 * math.log(max(_given(scaling, "factor"), 1.0)) + 1.0


def _long_or_short(scaling: RopeScaling, length: int) -> NDArray[np.float32]:
    trained = _given(scaling, "original_max_position_embeddings")
    chosen = scaling.long_factor if length > trained else scaling.short_factor
    if chosen is None:
        what = "longrope needs short_factor and long_factor"
        raise ModelCheckError("rope scaling", what)
    return np.array(chosen, np.float32)


def _longrope_attention(config: ModelConfig, scaling: RopeScaling) -> float:
    if scaling.attention_factor is not None:
        return scaling.attention_factor
    trained = _given(scaling, "original_max_position_embeddings")
    factor = scaling.factor or (config.max_position_embeddings or trained) / trained
    if factor <= 1:
        return 1.0
    return math.sqrt(1 + math.log(factor) / math.log(trained))
