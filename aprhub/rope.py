"""Rotary frequency factors: the numbers behind the `llama3` scaling.

The formula is that of the Llama 3.1 reference implementation; a factor divides the
frequency of its pair of elements.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

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


ROUNDING = 4e-6
"""How far f32 programs differ among each other in a factor, relatively: their powers
and divisions round differently."""

LARGEST_THETA = 1e30
"""A base beyond which the powers no longer fit into f32."""


Factors = Mapping[str, NDArray[np.float32]]
"""One f32 number for each rotated pair of elements: `all` for texts of any length, or
`short` and `long` for those within the trained context and beyond it."""


def factors(config: ModelConfig) -> Factors:
    """Return the factors of a configuration, none where all are 1.

    Raises ModelCheckError when the scaling lacks one of its parameters.
    """
    scaling = config.rope_scaling
    if scaling is None:
        return {}
    if scaling.kind == "longrope":
        lists = {"short": scaling.short_factor, "long": scaling.long_factor}
        return {
            name: np.array(each, np.float32) for name, each in lists.items() if each
        }
    if scaling.kind not in ("llama3", "factors"):
        return {}
    if scaling.long_factor is not None:
        return {"all": np.array(scaling.long_factor, np.float32)}
    return {"all": _llama3(config, scaling)}


def _llama3(config: ModelConfig, scaling: RopeScaling) -> NDArray[np.float32]:
    factor, old = scaling.factor, scaling.original_max_position_embeddings
    low, high = scaling.low_freq_factor, scaling.high_freq_factor
    theta, dim = config.rope_theta, config.head_dim
    if not (factor and old and low and high and theta and dim) or low == high:
        raise ModelCheckError(
            "rope scaling",
            "llama3 needs factor, low_freq_factor, high_freq_factor (another than"
            f" low), original_max_position_embeddings; found {scaling!r:.400}; correct"
            " rope_scaling in config.json, or take another file of the model",
        )
    with np.errstate(all="ignore"):
        wavelength = np.float32(2 * math.pi) / frequencies(theta, dim)
        share = np.float32(old) / wavelength - np.float32(low)
        share /= np.float32(high - low)
        smooth = 1 / ((1 - share) / np.float32(factor) + share)
    stretched = np.where(wavelength > old / low, np.float32(factor), smooth)
    return np.where(wavelength < old / high, np.float32(1), stretched)


def frequencies(theta: float, dim: int) -> NDArray[np.float32]:
    """Return the radians per position of each pair.

    Each step is rounded to f32, as it is in the programs that compute and use them;
    so the factors of the released models come out as those programs store them.
    """
    exponents = np.arange(0, dim, 2, dtype=np.float32) / np.float32(dim)
    powers = np.float64(theta) ** exponents.astype(np.float64)
    return np.float32(1) / powers.astype(np.float32)


def recovered(config: ModelConfig, found: Factors) -> RopeScaling:
    """Return the scaling that gives these factors."""
    if "all" in found:
        return _of_any_length(config, found["all"])
    said = config.rope_scaling or RopeScaling("longrope")
    meant = factors(evolve(config, rope_scaling=said))
    if all(np.array_equal(meant.get(name, ()), each) for name, each in found.items()):
        return said
    lists: dict[str, Any] = {
        f"{name}_factor": _exact(each) for name, each in found.items()
    }
    return evolve(said, kind="longrope", **lists)


def _exact(values: NDArray[np.float32]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _of_any_length(config: ModelConfig, values: NDArray[np.float32]) -> RopeScaling:
    """Return the scaling with these factors for texts of any length.

    Tries what the configuration says, the released models' parameters, then those that
    fit the values: first for equal factors, then for equal ones but for the rounding
    of f32 programs; then the factors are kept besides, so that they come back to the
    bit. Where none does, the factors themselves are the scaling.
    """
    exact = _exact(values)
    candidates = tuple(_candidates(config, values))
    for tolerance in (0.0, ROUNDING):
        for scaling in candidates:
            found = factors(evolve(config, rope_scaling=scaling)).get("all")
            if found is not None and np.allclose(found, values, tolerance, 0):
                return scaling if not tolerance else evolve(scaling, long_factor=exact)
    return RopeScaling("factors", short_factor=exact, long_factor=exact)


def _candidates(
    config: ModelConfig, values: NDArray[np.float32]
) -> Iterator[RopeScaling]:
    usual = 1 < (config.rope_theta or 0) < LARGEST_THETA
    if not usual or config.head_dim != 2 * values.size:
        return
    if config.rope_scaling:
        yield config.rope_scaling
    yield from PRESETS
    yield from _solved(config, values)


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
    frequency = frequencies(theta, dim)[inside].astype(np.float64) / (2 * math.pi)
    smooth = (1 / values[inside].astype(np.float64) - 1 / top) / (1 - 1 / top)
    slope, intercept = np.polyfit(frequency, smooth, 1)
    if intercept < 0:
        high = round(float(1 - 1 / intercept), 3)
        yield RopeScaling("llama3", top, round(slope * (high - 1)), 1.0, high)
