"""Rotary positions: frequencies under every kind of scaling, and how they turn heads.

The formulas are those of the papers (position interpolation, NTK-aware scaling, YaRN,
LongRoPE) and of Llama 3.1, with the rounding of the f32 programs that use them.
"""

import math
from typing import Final

import numpy as np
import torch
from attrs import frozen
from numpy.typing import NDArray

from aprhub.decoder.plan import Plan
from aprhub.errors import ModelCheckError
from aprhub.ir.config import ModelConfig, RopeScaling
from aprhub.rope import factors, frequencies

Turn = tuple[torch.Tensor, torch.Tensor]
"""Cosines and sines, each `(positions, rotated elements)`."""

BETA_FAST: Final = 32.0
BETA_SLOW: Final = 1.0
"""Rotations within the trained context beyond which YaRN keeps a frequency as it is,
and below which it interpolates, unless the configuration says."""


def turned(heads: torch.Tensor, turn: Turn) -> torch.Tensor:
    """Return heads, `(…, positions, head_dim)`, turned by their positions.

    Of the rotated elements, element i makes a pair with the one half of them later;
    those behind stay as they are.
    """
    cosines, sines = (each.to(heads.dtype) for each in turn)
    size = cosines.shape[-1]
    rotated, kept = heads[..., :size], heads[..., size:]
    first, second = rotated.chunk(2, dim=-1)
    rotated = rotated * cosines + torch.cat((-second, first), dim=-1) * sines
    return torch.cat((rotated, kept), dim=-1)


@frozen
class Rotary:
    """The rotary positions of one kind of layer.

    `size` elements of a head are rotated, `context` positions are what the model is
    made for, and `scaling` stretches what comes of the base `theta`.
    """

    theta: float
    size: int
    context: int
    scaling: RopeScaling | None

    @classmethod
    def of(cls, plan: Plan, *, sliding: bool) -> "Rotary":
        """Return the positions of full or of sliding-window layers.

        Where sliding layers have a base of their own, nothing scales it.
        """
        size = plan.config.rotary_dim or plan.size("head_dim")
        context = plan.size("max_position_embeddings")
        if sliding and plan.config.rope_local_theta is not None:
            return cls(plan.number("rope_local_theta"), size, context, None)
        scaling = plan.config.rope_scaling
        return cls(plan.number("rope_theta"), size, context, scaling)

    def turn(self, length: int, device: torch.device, start: int = 0) -> Turn:
        """Return the cosines and sines of positions `start` to `length`, f32.

        Raises ModelCheckError for a scaling that is not known or lacks a parameter.
        """
        speeds, scale = self.speeds(length)
        positions = torch.arange(start, length, dtype=torch.float32, device=device)
        angles = torch.outer(positions, torch.from_numpy(speeds).to(device))
        angles = torch.cat((angles, angles), dim=-1)
        return angles.cos() * scale, angles.sin() * scale

    def speeds(self, length: int) -> tuple[NDArray[np.float32], float]:
        """Return the radians per position of each pair, and what scales the turn.

        Some kinds of scaling depend on how many positions there are.
        """
        plain, scaling = frequencies(self.theta, self.size), self.scaling
        if scaling is None:
            return plain, 1.0
        match scaling.kind:
            case "linear":
                return plain / np.float32(_given(scaling, "factor")), 1.0
            case "llama3" | "factors":
                return plain / self._factors(), 1.0
            case "dynamic":
                return frequencies(self._stretched(scaling, length), self.size), 1.0
            case "yarn":
                return self._interpolated(scaling), _yarn_scale(scaling)
            case "longrope":
                divisors = _long_or_short(scaling, length)
                return plain / divisors, self._longrope_scale(scaling)
        raise ModelCheckError(
            "rope scaling",
            f"{scaling.kind!r:.40} is no known kind (known: linear, llama3, dynamic,"
            " yarn, longrope); correct it in the configuration",
        )

    def _factors(self) -> NDArray[np.float32] | np.float32:
        config = ModelConfig(
            rope_theta=self.theta, head_dim=self.size, rope_scaling=self.scaling
        )
        return factors(config).get("all", np.float32(1))

    def _stretched(self, scaling: RopeScaling, length: int) -> float:
        """Return the base of the frequencies under NTK-aware scaling."""
        factor = _given(scaling, "factor")
        ratio = factor * max(length, self.context) / self.context - (factor - 1)
        return float(self.theta * ratio ** (self.size / (self.size - 2)))

    def _interpolated(self, scaling: RopeScaling) -> NDArray[np.float32]:
        """Return YaRN's frequencies: fast ones as they are, slow ones interpolated."""
        trained = _given(scaling, "original_max_position_embeddings")
        plain = frequencies(self.theta, self.size)

        def pair(rotations: float) -> float:
            """Return the pair that rotates so often within the trained context."""
            ratio = math.log(trained / (rotations * 2 * math.pi))
            return self.size * ratio / (2 * math.log(self.theta))

        first = pair(scaling.beta_fast or BETA_FAST)
        last = pair(scaling.beta_slow or BETA_SLOW)
        if scaling.truncate is not False:
            first, last = math.floor(first), math.ceil(last)
        first, last = max(first, 0), min(last, self.size - 1)
        steps = np.arange(plain.size, dtype=np.float32) - np.float32(first)
        slow = np.clip(steps / np.float32(max(last - first, 0.001)), 0, 1)
        factor = np.float32(_given(scaling, "factor"))
        mixed: NDArray[np.float32] = plain / factor * slow + plain * (1 - slow)
        return mixed

    def _longrope_scale(self, scaling: RopeScaling) -> float:
        if scaling.attention_factor is not None:
            return scaling.attention_factor
        trained = _given(scaling, "original_max_position_embeddings")
        factor = scaling.factor or self.context / trained
        if factor <= 1:
            return 1.0
        return math.sqrt(1 + math.log(factor) / math.log(trained))


def _yarn_scale(scaling: RopeScaling) -> float:
    if scaling.attention_factor is not None:
        return scaling.attention_factor
    return 0.1 * math.log(max(_given(scaling, "factor"), 1.0)) + 1.0


def _long_or_short(scaling: RopeScaling, length: int) -> NDArray[np.float32]:
    trained = _given(scaling, "original_max_position_embeddings")
    chosen = scaling.long_factor if length > trained else scaling.short_factor
    if chosen is None:
        what = "longrope needs short_factor and long_factor; get the model again"
        raise ModelCheckError("rope scaling", what)
    return np.array(chosen, np.float32)


def _given(scaling: RopeScaling, name: str) -> float:
    value = getattr(scaling, name)
    if value is None:
        what = f"{scaling.kind} needs {name}; set it with 'aprhub stamp --set'"
        raise ModelCheckError("rope scaling", what)
    return float(value)
