"""Keys `rope.scaling.*` ⇄ RopeScaling."""

import math
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any, Final

from attrs import evolve

from aprhub.api import ModelConfig, RopeScaling
from aprhub_gguf.ledger import Ledger
from aprhub_gguf.values import Entry, f32_entry, u32_entry

_PREFIX: Final = "rope.scaling."

_ORIGINAL_CONTEXT: Final = "original_context_length"

# A longrope's factor is only documentation; ggml would divide positions by it.
_FIELDS: Final = MappingProxyType(
    {
        "linear": {"factor": "factor"},
        "yarn": {
            "factor": "factor",
            _ORIGINAL_CONTEXT: "original_max_position_embeddings",
            "yarn_attn_factor": "attention_factor",
            "yarn_beta_fast": "beta_fast",
            "yarn_beta_slow": "beta_slow",
        },
        "longrope": {
            _ORIGINAL_CONTEXT: "original_max_position_embeddings",
            "attn_factor": "attention_factor",
        },
    }
)
"""For each kind of scaling: the field of each key."""


def _explicit(config: ModelConfig) -> RopeScaling | None:
    """Return the scaling, and for a longrope the factor that others work out.

    Source of the formula: `_compute_longrope_parameters` of transformers.
    """
    scaling = config.rope_scaling
    if scaling is None or scaling.kind != "longrope" or scaling.attention_factor:
        return scaling
    length, trained = config.max_position_embeddings, _trained(scaling)
    if not length or trained < 2:
        return scaling
    factor = scaling.factor or length / trained
    grown = math.sqrt(1 + math.log(factor) / math.log(trained)) if factor > 1 else 1.0
    return evolve(scaling, attention_factor=grown)


def _trained(scaling: RopeScaling) -> int:
    return scaling.original_max_position_embeddings or 0


def read_scaling(ledger: Ledger, architecture: str) -> RopeScaling | None:
    """Read the scaling; without a kind, a factor means `linear`.

    A factor for attention means `longrope`: llama.cpp's converter leaves out the kind.
    """
    prefix = f"{architecture}.{_PREFIX}"
    kind = _kind(ledger, prefix)
    if kind is None:
        return None
    values: dict[str, Any] = {}
    for suffix, field in _FIELDS[kind].items():
        read = ledger.integer if suffix == _ORIGINAL_CONTEXT else ledger.number
        values[field] = read(prefix + suffix, f"config.rope_scaling.{field}")
    return RopeScaling(kind, **values)


def _kind(ledger: Ledger, prefix: str) -> str | None:
    key = f"{prefix}type"
    if ledger.kind(key) is None:
        if ledger.kind(f"{prefix}attn_factor"):
            return "longrope"
        return "linear" if ledger.kind(f"{prefix}factor") else None
    kind = ledger.text(key, "config.rope_scaling.kind")
    if kind in _FIELDS and (kind != "linear" or ledger.kind(f"{prefix}factor")):
        return kind
    if kind == "linear" or kind == "none":
        ledger.carry(key, "no scaling")
    else:
        ledger.carry_noted(key, f"{kind!r:.40} is no known kind of scaling")
    return None


def scaling_entries(config: ModelConfig) -> Iterator[tuple[str, Entry]]:
    """Yield the keys of a scaling, without the architecture before them."""
    scaling = _explicit(config)
    if scaling is None or scaling.kind not in _FIELDS:
        return
    yield f"{_PREFIX}type", Entry("string", scaling.kind)
    for suffix, field in _FIELDS[scaling.kind].items():
        value = getattr(scaling, field)
        if value is not None:
            made = u32_entry if suffix == _ORIGINAL_CONTEXT else f32_entry
            yield _PREFIX + suffix, made(field, value)
