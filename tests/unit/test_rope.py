"""Rotary frequency factors, judged by transformers and by torch's arithmetic."""

import math
from typing import Any

import numpy as np
import pytest
from attrs import evolve
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from aprhub.errors import ModelCheckError
from aprhub.ir.config import ModelConfig, RopeScaling
from aprhub.rope import PRESETS, ROUNDING, factors, recovered

LLAMA_3_1, LLAMA_3_2 = PRESETS
RELEASED = [(LLAMA_3_1, 128), (LLAMA_3_2, 64), (LLAMA_3_2, 128)]


def _config(scaling: RopeScaling | None, dim: int, theta: float = 5e5) -> ModelConfig:
    return ModelConfig(rope_theta=theta, head_dim=dim, rope_scaling=scaling)


def _factors(config: ModelConfig) -> NDArray[np.float32]:
    return factors(config)["all"]


def _recovered(config: ModelConfig, values: NDArray[np.float32]) -> RopeScaling:
    return recovered(config, {"all": values})


def _by_torch(scaling: RopeScaling, dim: int) -> NDArray[np.float32]:
    """Compute as llama.cpp's converter does, one f32 tensor operation at a time."""
    import torch

    old = scaling.original_max_position_embeddings
    low, high = scaling.low_freq_factor, scaling.high_freq_factor
    assert old
    assert low
    assert high
    powers = 5e5 ** (torch.arange(0, dim, 2, dtype=torch.float32) / dim)
    found = []
    for frequency in 1.0 / powers:
        wavelength = 2 * math.pi / frequency
        smooth = (old / wavelength - low) / (high - low)
        between = 1 / ((1 - smooth) / scaling.factor + smooth)
        long = scaling.factor if wavelength > old / low else between
        found.append(1 if wavelength < old / high else long)
    values: NDArray[np.float32] = torch.tensor(found, dtype=torch.float32).numpy()
    return values


@pytest.mark.parametrize(("scaling", "dim"), RELEASED)
def test_factors_of_released_models_equal_a_converters_to_the_bit(
    scaling: RopeScaling, dim: int
) -> None:
    np.testing.assert_array_equal(
        _factors(_config(scaling, dim)), _by_torch(scaling, dim)
    )


@pytest.mark.parametrize(("scaling", "dim"), RELEASED)
def test_factors_divide_the_frequencies_as_transformers_scales_them(
    scaling: RopeScaling, dim: int
) -> None:
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    said: dict[str, Any] = {
        "rope_theta": 5e5,
        "factor": scaling.factor,
        "low_freq_factor": scaling.low_freq_factor,
        "high_freq_factor": scaling.high_freq_factor,
        "original_max_position_embeddings": 8192,
        "rope_type": "llama3",
    }
    config = LlamaConfig(
        hidden_size=4 * dim,
        num_attention_heads=4,
        head_dim=dim,
        max_position_embeddings=131072,
        rope_parameters=said,
    )
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")

    plain = 1 / 5e5 ** (np.arange(0, dim, 2) / dim)
    np.testing.assert_allclose(
        plain / scaled.numpy(), _factors(_config(scaling, dim)), rtol=1e-6
    )


@pytest.mark.parametrize(("scaling", "dim"), RELEASED)
def test_released_scalings_are_recognised_in_factors_alone(
    scaling: RopeScaling, dim: int
) -> None:
    assert _recovered(_config(None, dim), _by_torch(scaling, dim)) == scaling


def test_other_rounding_of_a_released_scaling_is_recognised_and_kept() -> None:
    values = _factors(_config(LLAMA_3_1, 128))
    nudged = (values * (1 + np.float32(ROUNDING / 2))).astype(np.float32)

    found = _recovered(_config(None, 128), nudged)

    assert evolve(found, long_factor=None) == LLAMA_3_1
    np.testing.assert_array_equal(_factors(_config(found, 128)), nudged)


SCALINGS = st.builds(
    RopeScaling,
    st.just("llama3"),
    st.sampled_from([2.0, 4.0, 8.0, 32.0]),
    st.sampled_from([256, 2048, 4096, 8192, 32768]),
    st.just(1.0),
    st.sampled_from([2.0, 4.0, 8.0]),
)


@given(SCALINGS, st.sampled_from([64, 80, 128]), st.sampled_from([1e4, 5e5, 1e6]))
def test_a_recovered_scaling_gives_the_same_factors(
    scaling: RopeScaling, dim: int, theta: float
) -> None:
    config = _config(scaling, dim, theta)
    values = _factors(config)
    silent = evolve(config, rope_scaling=None)

    found = _recovered(silent, values)

    again = _factors(evolve(config, rope_scaling=found))
    np.testing.assert_allclose(again, values, rtol=ROUNDING)
    assert _recovered(config, values) == scaling


@given(SCALINGS, st.sampled_from([64, 128]))
def test_a_scaling_with_enough_pairs_between_is_found_by_its_parameters(
    scaling: RopeScaling, dim: int
) -> None:
    values = _factors(_config(scaling, dim))
    between = (values > 1) & (values < values.max())
    assume(between.sum() >= 2)

    found = _recovered(_config(None, dim), values)

    assert found.kind == "llama3"
    assert found.factor == scaling.factor


@given(st.lists(st.floats(0.5, 100, width=32), min_size=8, max_size=8))
def test_any_other_factors_are_kept_as_they_are(values: list[float]) -> None:
    array = np.array(values, np.float32)

    found = _recovered(_config(None, 16), array)

    kept = _factors(_config(found, 16))
    np.testing.assert_allclose(kept, array, rtol=ROUNDING)
    assert found.kind == "llama3" or np.array_equal(kept, array)


@pytest.mark.parametrize("theta", [None, -1.0, 0.0, 1.0, 1e300, math.inf, math.nan])
def test_factors_beside_a_senseless_base_are_kept_as_they_are(
    theta: float | None,
) -> None:
    values = np.linspace(1, 8, 8, dtype=np.float32)

    found = _recovered(ModelConfig(rope_theta=theta, head_dim=16), values)

    assert found.kind == "factors"


def test_factors_for_another_head_size_are_kept_as_they_are() -> None:
    huge = ModelConfig(rope_theta=5e5, head_dim=1 << 40)

    assert _recovered(huge, np.ones(8, np.float32)).kind == "factors"


@pytest.mark.parametrize("kind", ["linear", "yarn", "dynamic", "longrope"])
def test_other_kinds_of_scaling_have_no_factors(kind: str) -> None:
    assert factors(_config(RopeScaling(kind, 2.0), 64)) == {}
    assert factors(_config(None, 64)) == {}


@pytest.mark.parametrize(
    "change",
    [
        {"factor": None},
        {"original_max_position_embeddings": None},
        {"low_freq_factor": 4.0},
        {"high_freq_factor": 0.0},
    ],
)
def test_a_scaling_without_its_parameters_is_refused_with_what_it_has(
    change: dict[str, Any],
) -> None:
    with pytest.raises(ModelCheckError, match="llama3 needs factor"):
        factors(_config(evolve(LLAMA_3_1, **change), 64))


def test_factors_by_length_are_the_scaling_that_was_said_or_another() -> None:
    said = RopeScaling("longrope", None, 16, short_factor=(1.1,), long_factor=(2.2,))
    config = ModelConfig(rope_scaling=said)
    found = factors(config)
    changed = {**found, "long": np.array([3], np.float32)}

    assert found.keys() == {"short", "long"}
    assert recovered(config, found) is said
    assert recovered(config, changed).long_factor == (3.0,)
    assert recovered(config, changed).original_max_position_embeddings == 16
    assert recovered(ModelConfig(), found).kind == "longrope"
