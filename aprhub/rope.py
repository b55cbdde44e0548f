"""Rotary frequency factors: the numbers behind the `llama3` scaling.

The formula is that of the Llama 3.1 reference implementation; a factor divides the
frequency of its pair of elements.
"""

import math
from collections.abc import Iterator

import numpy as np
from attrs import evolve
from numpy.typing import NDArray

from aprhub.errors import ModelCheckError
from aprhub.ir.config import ModelConfig, RopeScaling

PRESETS = (
    RopeScaling("llama3", 8.0, 8192, 1.0, 4.0),
    RopeScaling("llama3", 32.0, 8192, 1.0, 4.0),
)
"""Llama 3.1 and Llama 3.2."""


def factors(config: ModelConfig) -> NDArray[np.float32] | None:
    """Return the `head_dim / 2` f32 factors of a configuration, or None if all are 1.

    Raises ModelCheckError when the scaling lacks one of its parameters.
    """
    scaling = config.rope_scaling
    if scaling is None or scaling.kind not in ("llama3", "factors"):
        return None
    if scaling.kind == "factors":
        return np.array(scaling.long_factor, np.float32)
    return np.array(list(_llama3(config, scaling)), np.float32)


def _llama3(config: ModelConfig, scaling: RopeScaling) -> Iterator[float]:
    factor, old = scaling.factor, scaling.original_max_position_embeddings
    low, high = scaling.low_freq_factor, scaling.high_freq_factor
    theta, dim = config.rope_theta, config.head_dim
    if not (factor and old and low and high and theta and dim) or low == high:
        raise ModelCheckError(
            "rope scaling",
            "llama3 needs factor, low_freq_factor, high_freq_factor (another than"
            f" low), original_max_position_embeddings; found {scaling}",
        )
    for pair in range(dim // 2):
        wavelength = 2 * math.pi * theta ** (2 * pair / dim)
        if wavelength < old / high:
            yield 1.0
        elif wavelength > old / low:
            yield factor
        else:
            smooth = (old / wavelength - low) / (high - low)
            yield 1 / ((1 - smooth) / factor + smooth)


def recovered(config: ModelConfig, values: NDArray[np.float32]) -> RopeScaling:
    """Return the scaling that gives these factors exactly.

    Tries what the configuration says, the released models' parameters, then those that
    fit the values; where none reproduces every factor to the bit, the factors
    themselves are the scaling.
    """
    said = (config.rope_scaling,) if config.rope_scaling else ()
    candidates: tuple[RopeScaling, ...] = (*said, *PRESETS, *_solved(config, values))
    for scaling in candidates:
        found = factors(evolve(config, rope_scaling=scaling))
        if found is not None and np.array_equal(found, values):
            return scaling
    exact = tuple(float(value) for value in values)
    return RopeScaling("factors", short_factor=exact, long_factor=exact)


def _solved(config: ModelConfig, values: NDArray[np.float32]) -> Iterator[RopeScaling]:
    """Yield the scaling whose smooth part passes through the values, with low 1.

    smooth = (old / wavelength - low) / (high - low) is a line in 1 / wavelength, and
    (old, low, high) matter only up to a common factor.
    """
    top = float(values.max(initial=1.0))
    theta, dim = config.rope_theta, config.head_dim
    inside = np.flatnonzero((values > 1) & (values < top))
    if not theta or not dim or inside.size < 2:
        return
    frequency = theta ** (-2 * inside / dim) / (2 * math.pi)
    smooth = (1 / values[inside].astype(np.float64) - 1 / top) / (1 - 1 / top)
    slope, intercept = np.polyfit(frequency, smooth, 1)
    if intercept < 0:
        high = round(1 - 1 / intercept, 3)
        yield RopeScaling("llama3", top, round(slope * (high - 1)), 1.0, high)
