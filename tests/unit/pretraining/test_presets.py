"""Configurations to train from nothing."""

from math import prod
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from aprhub.api import AprhubError, ModelCheckError, ModelConfig
from aprhub.check import faults
from aprhub.decoder.plan import Plan
from aprhub.ir.model import ModelIR
from aprhub.pretraining.presets import (
    BASELINE,
    preset,
    read_config,
    refuse_outside_band,
)
from aprhub.testing.models import pico_config
from tests.unit import toys

NAMES = (
    *("llama-370m", "qwen2-0.5b", "qwen2.5-0.5b", "qwen3-0.6b", "qwen3-8b"),
    "smollm2-135m",
)


def parameters(config: ModelConfig) -> int:
    plan = Plan.of(config, toys.INSTALLED.family(str(config.family)))
    return sum(map(prod, plan.shapes.values()))


def test_the_baseline_is_frozen() -> None:
    found = preset(BASELINE, toys.INSTALLED)

    assert found.identity.hf_class == "LlamaForCausalLM"
    assert evolve(found, identity=ModelConfig().identity) == ModelConfig(
        family="llama",
        hidden_size=1024,
        num_layers=24,
        num_heads=16,
        num_kv_heads=4,
        head_dim=64,
        vocab_size=50257,
        intermediate_size=2816,
        max_position_embeddings=1024,
        norm_eps=1e-5,
        rope_theta=10000.0,
        tie_embeddings=False,
        attention_bias=False,
        mlp_bias=False,
        activation="silu",
    )


def test_the_baseline_is_within_its_band() -> None:
    refuse_outside_band(parameters(preset(BASELINE, toys.INSTALLED)))
    for count in (365_999_999, 374_000_001):
        with pytest.raises(ModelCheckError, match="INV-ARCH-370M-001"):
            refuse_outside_band(count)


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_is_a_whole_configuration(name: str) -> None:
    config = preset(name, toys.INSTALLED)
    family = toys.INSTALLED.family(str(config.family))

    wrong = faults(ModelIR(config, {}), family)
    assert {each.problem for each in wrong} <= {"missing"} | {
        "missing, and the configuration says that it is not tied"
    }


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("qwen2-0.5b", 494_032_768),
        ("qwen3-0.6b", 596_049_920),
        ("qwen3-8b", 8_190_735_360),
        ("smollm2-135m", 134_515_008),
    ],
)
def test_a_preset_has_the_parameters_that_were_published(name: str, count: int) -> None:
    assert parameters(preset(name, toys.INSTALLED)) == count


def test_a_size_that_nobody_knows_lists_those_that_are() -> None:
    with pytest.raises(AprhubError) as caught:
        preset("qwen-0.5b", toys.INSTALLED)

    assert "did you mean 'qwen2-0.5b'?" in str(caught.value)
    assert [name for name in NAMES if name not in str(caught.value)] == []


@pytest.mark.parametrize("family", ["gemma3", "phi3", "qwen3_moe"])
def test_a_file_is_completed_by_what_the_family_takes_for_granted(
    family: str, tmp_path: Path
) -> None:
    wanted = pico_config(toys.INSTALLED.family(family))
    said = {n: v for n, v in wanted.known().items() if not isinstance(v, dict | tuple)}
    path = tmp_path / "pico.toml"
    path.write_text("\n".join(f"{name} = {_toml(v)}" for name, v in said.items()))

    found = read_config(path, toys.INSTALLED)

    assert evolve(found, identity=wanted.identity, layer_kinds=None) == evolve(
        wanted, layer_kinds=None
    )
    assert found.identity.hf_class == toys.INSTALLED.family(family).hf_classes[0]


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else repr(value)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("hidden_size = 64", "names no family"),
        ('family = "llama"\nhiden_size = 64', "; did you mean 'hidden_size'?"),
        ('family = "llama"\nhidden_size = "64"', "a value of another kind"),
        ('family = "llama"\nrope_scaling = { sort = 1 }', "no field is called 'sort'"),
        ('family = "llama"\nrope_scaling = 8', "a value of another kind"),
        ("family = ", "not TOML"),
        ('family = "mamba"', "no family is called 'mamba'"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(
    text: str, word: str, tmp_path: Path
) -> None:
    path = tmp_path / "pico.toml"
    path.write_text(text)

    with pytest.raises(AprhubError, match=word):
        read_config(path, toys.INSTALLED)
