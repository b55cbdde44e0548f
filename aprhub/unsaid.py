"""What a file leaves unsaid of its configuration, and tensors or the family tell."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from attrs import evolve

from aprhub.errors import ModelCheckError
from aprhub.ir.config import ModelConfig
from aprhub.ir.model import EMBEDDING
from aprhub.spec.family import Family, evaluated, role_of
from aprhub.spec.format import HF_WORLD, StoredModel
from aprhub.spec.spelling import Spelling


def said_and_unsaid(
    stored: StoredModel, family: Family, spellings: Mapping[str, Spelling]
) -> ModelConfig:
    """Return the configuration of a stored model with everything that can be known.

    `spellings` has, by canonical name, the tensor that each weight is in. What the file
    says counts first, then what its tensors tell, then what the family takes for
    granted.
    """
    config = evolve(stored.config, family=family.name)
    config = config.filled(dict(_evidence(stored, spellings, config)))
    if stored.naming is None and stored.namings == (HF_WORLD,):
        config = _defaulted(config, family.hf_defaults)
    config = _defaulted(config, family.defaults)
    if config.num_heads is not None:
        config = config.filled({"num_kv_heads": config.num_heads})
    flags = {weight.when for weight in family.weights if weight.when}
    present = set(map(role_of, spellings))
    config = config.filled(
        {
            flag: any(w.when == flag and w.role in present for w in family.weights)
            for flag in flags
        }
    )
    return _with_layer_kinds(config, family)


_EVIDENT: Final = {
    EMBEDDING: "vocab_size",
    "layers.0.attn.q.weight": "head_dim",
    "layers.0.router.weight": "num_experts",
    "layers.0.experts.0.ffn.gate.weight": "moe_intermediate_size",
    "layers.0.shared.ffn.gate.weight": "shared_intermediate_size",
}
"""Weights whose rows tell a size that a file may leave unsaid."""


def _evidence(
    stored: StoredModel, spellings: Mapping[str, Spelling], config: ModelConfig
) -> Iterator[tuple[str, int]]:
    """Yield sizes that the tensors determine, where the file does not say them."""
    for name, size in _EVIDENT.items():
        spelling = spellings.get(name)
        if spelling and size in spelling.part(name).spec.shape[0]:
            one: dict[str, Any] = {size: 1}
            probe = evolve(config, **one)
            shape = stored.tensors[spelling.stored].shape[spelling.is_stacked :]
            unit = _rows(spelling, probe.filled({"num_kv_heads": config.num_heads}))
            if unit > 0 and shape:
                yield size, shape[0] // unit


def _rows(spelling: Spelling, config: ModelConfig) -> int:
    try:
        return sum(evaluated(part.spec.shape[0], config) for part in spelling.parts)
    except ModelCheckError:
        return 0  # The check says which size is missing.


def _defaulted(config: ModelConfig, defaults: Mapping[str, Any]) -> ModelConfig:
    """Return the configuration with defaults filled in; formulas last."""
    texts = ("activation",)
    plain = {k: v for k, v in defaults.items() if k in texts or not _is_formula(v)}
    config = config.filled(plain)
    formulas = {k: v for k, v in defaults.items() if k not in plain}
    return config.filled(
        {
            name: evaluated(formula, config)
            for name, formula in formulas.items()
            if getattr(config, name) is None
        }
    )


def _is_formula(value: object) -> bool:
    return isinstance(value, str)


def _with_layer_kinds(config: ModelConfig, family: Family) -> ModelConfig:
    pattern = family.layer_pattern
    if not pattern or config.layer_kinds or not config.num_layers:
        return config
    kinds = (
        "sliding" if (layer + 1) % pattern else "full"
        for layer in range(min(config.num_layers, 1 << 16))
    )
    return evolve(config, layer_kinds=tuple(kinds))
