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
_EFFECTIVE: Final = "attn_factor"

_OLD_FACTOR: Final = "rope.scale_linear"
"""The key for a factor in files of 2023, which llama.cpp still takes."""

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
            _EFFECTIVE: "attention_factor",
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
    prefix, old = f"{architecture}.{_PREFIX}", f"{architecture}.{_OLD_FACTOR}"
    kind = _kind(ledger, prefix, old)
    if kind is None:
        return None
    values: dict[str, Any] = {}
    for suffix, field in _FIELDS[kind].items():
        read = ledger.integer if suffix == _ORIGINAL_CONTEXT else ledger.number
        values[field] = read(prefix + suffix, f"config.rope_scaling.{field}")
    if "factor" in values and values["factor"] is None:
        values["factor"] = ledger.number(old, "config.rope_scaling.factor")
    scaling = RopeScaling(kind, **values)
    return _with_effective(scaling, ledger, prefix) if kind == "yarn" else scaling


def _with_effective(scaling: RopeScaling, ledger: Ledger, prefix: str) -> RopeScaling:
    """Return a YaRN with the factor for attention that llama.cpp takes.

    It multiplies its own by `attn_factor`, and does not read `yarn_attn_factor`.
    """
    field = "config.rope_scaling.attention_factor"
    relative = ledger.number(prefix + _EFFECTIVE, field)
    if relative is None:
        return scaling
    effective = relative * _own_attention_factor(scaling)
    said = scaling.attention_factor
    if said is not None and math.isclose(said, effective, rel_tol=1e-6):
        return scaling
    return evolve(scaling, attention_factor=effective)


def _own_attention_factor(scaling: RopeScaling) -> float:
    """Return what YaRN scales attention by where nobody says otherwise.

    Source of the formula: `ggml_compute_forward_rope_flt` of ggml.
    """
    return 1 + 0.1 * math.log(max(scaling.factor or 1, 1))


def _kind(ledger: Ledger, prefix: str, old: str) -> str | None:
    key = f"{prefix}type"
    has_factor = ledger.kind(f"{prefix}factor") is not None or (
        old in ledger.entries and ledger.entries[old].value not in (0, 1)
    )
    if ledger.kind(key) is None:
        if ledger.kind(f"{prefix}attn_factor"):
            return "longrope"
        return "linear" if has_factor else None
    kind = ledger.text(key, "config.rope_scaling.kind")
    if kind in _FIELDS and (kind != "linear" or has_factor):
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
    if scaling.kind == "yarn" and scaling.attention_factor is not None:
        relative = scaling.attention_factor / _own_attention_factor(scaling)
        yield _PREFIX + _EFFECTIVE, f32_entry("attention_factor", relative)
