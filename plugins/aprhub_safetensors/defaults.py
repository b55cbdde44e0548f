"""What a `config.json` need not say, since its class assumes it."""

import math
from collections.abc import Mapping
from typing import Any

from aprhub.api import Family, ModelConfig


def completed(config: ModelConfig, family: Family | None) -> ModelConfig:
    """Return the configuration with what transformers assumes of absent keys."""
    if family is not None:
        for defaults in (family.hf_defaults, family.defaults):
            config = config.filled(_evaluated(defaults, config))
        config = config.filled({"layer_kinds": _kinds(config, family)})
    derived = {"num_kv_heads": config.num_heads, "head_dim": _head_dim(config)}
    return config.filled(derived)


def _head_dim(config: ModelConfig) -> int | None:
    if config.hidden_size is None or not config.num_heads:
        return None
    return config.hidden_size // config.num_heads


def _evaluated(defaults: Mapping[str, Any], config: ModelConfig) -> dict[str, Any]:
    """Return the defaults with formulas such as `2 * head_dim` computed."""
    texts = ("activation",)
    return {
        name: _product(value, config)
        if isinstance(value, str) and name not in texts
        else value
        for name, value in defaults.items()
    }


def _product(formula: str, config: ModelConfig) -> int | None:
    factors = [
        int(name) if name.isdigit() else getattr(config, name)
        for name in map(str.strip, formula.split("*"))
    ]
    return None if None in factors else math.prod(factors)


def _kinds(config: ModelConfig, family: Family) -> tuple[str, ...] | None:
    step, layers = family.layer_pattern, config.num_layers
    if not step or layers is None:
        return None
    return tuple("sliding" if (i + 1) % step else "full" for i in range(layers))
