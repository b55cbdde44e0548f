"""Metadata keys ⇄ the configuration and the identity of a model.

What APR has no key for is kept under `aprhub.config.`, by its canonical name.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from attrs import asdict, fields

from aprhub.api import Identity, ModelConfig, RopeScaling, StoredModel, respelled
from aprhub_apr import document
from aprhub_apr.claims import (
    COUNT,
    FLAG,
    NUMBER,
    OBJECT,
    TEXT,
    TEXTS,
    WIDE_NUMBER,
    Claims,
    Kind,
    listed,
    shaped,
)
from aprhub_apr.tables import ALIASES

OWN: Final = "aprhub.config."
"""The prefix of the keys that hold fields without a key of APR's own."""

NESTED: Final = "model_config"
"""The key under which training checkpoints keep a configuration as JSON in a string."""

_TYPED: Final[Mapping[str, tuple[str, Kind]]] = {
    "hidden_size": ("hidden_size", COUNT),
    "num_layers": ("num_layers", COUNT),
    "num_heads": ("num_heads", COUNT),
    "num_kv_heads": ("num_kv_heads", COUNT),
    "vocab_size": ("vocab_size", COUNT),
    "intermediate_size": ("intermediate_size", COUNT),
    "max_position_embeddings": ("max_position_embeddings", COUNT),
    "rope_theta": ("rope_theta", NUMBER),
    "rms_norm_eps": ("norm_eps", NUMBER),
    "head_dim": ("head_dim", COUNT),
    "num_experts": ("num_experts", COUNT),
    "num_experts_per_tok": ("num_experts_per_tok", COUNT),
    "moe_intermediate_size": ("moe_intermediate_size", COUNT),
    "norm_topk_prob": ("norm_topk_prob", FLAG),
}

IDENTITY: Final[Mapping[str, str]] = {
    "architecture": "architecture",
    "hf_architecture": "hf_class",
    "hf_model_type": "hf_model_type",
}
"""The key of each field of an identity."""

_FACTORS: Final = listed("numbers", int, float)
_SCALING_KINDS: Final[Mapping[str, Kind]] = {
    "kind": TEXT,
    "original_max_position_embeddings": COUNT,
    "truncate": FLAG,
    "short_factor": _FACTORS,
    "long_factor": _FACTORS,
}
_SCALING: Final = shaped(
    {
        each.name: _SCALING_KINDS.get(each.name, WIDE_NUMBER)
        for each in fields(RopeScaling)
    },
    required=("kind",),
    closed=True,
)

_UNTYPED: Final[Mapping[str, Kind]] = {
    "rope_local_theta": WIDE_NUMBER,
    "rope_scaling": _SCALING,
    "rotary_dim": COUNT,
    "shared_intermediate_size": COUNT,
    "sliding_window": COUNT,
    "layer_kinds": TEXTS,
    "tie_embeddings": FLAG,
    "attention_bias": FLAG,
    "mlp_bias": FLAG,
    "activation": TEXT,
    "query_scale": WIDE_NUMBER,
    "bidirectional": FLAG,
    "attention_softcap": WIDE_NUMBER,
    "final_softcap": WIDE_NUMBER,
    "extra": OBJECT,
}

_UNSAID_THETA: Final = dict.fromkeys(("qwen2", "qwen3", "qwen3_moe", "gemma3"), 1e6)
"""What programs that run APR files take for a `rope_theta` that is left out.

Section 6 of the specification; for all others it is 10000. None of them runs a Gemma 3,
of which no other base is known."""

_TIED: Final = "tied_embeddings"
_HEADS: Final = ("lm_head.weight", "output.weight")

_NESTED_SPELLINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "head_dim": ("head_dim_override",),
    "hf_model_type": ("model_type",),
}
"""Spellings that mean something else, or nothing, outside the nested configuration."""


def config(claims: Claims) -> ModelConfig:
    """Take what the metadata claim about the architecture.

    Raises CorruptFileError where two places claim different values.
    """
    _unpack_nested(claims)
    values = {
        name: _claimed(claims, key, kind, f"config.{name}")
        for key, (name, kind) in _TYPED.items()
    }
    numbers = {name for name, kind in _TYPED.values() if kind is NUMBER}
    floats = {name: float(values[name]) for name in numbers if values[name] is not None}
    identity = _identity(claims)
    has_heads = identity.architecture and values["num_heads"]  # an adapter has not
    if has_heads and values["rope_theta"] is None:
        floats |= _unsaid_theta(str(identity.architecture), claims)
    return ModelConfig(identity=identity, **{**values, **floats}, **_untyped(claims))


def _unsaid_theta(architecture: str, claims: Claims) -> dict[str, float]:
    theta = _UNSAID_THETA.get(architecture, 1e4)
    claims.notes.append(
        f"metadata key 'rope_theta' is missing; {theta:.0f} is taken, as by programs"
        " that run such files (say another with 'aprhub stamp --set rope_theta=VALUE')"
    )
    return {"rope_theta": theta}


def _unpack_nested(claims: Claims) -> None:
    """Put the keys of a nested configuration beside the others, with a prefix."""
    text = claims.keys.get(NESTED)
    if not (isinstance(text, str) and text.lstrip().startswith("{")):
        return
    where = f"metadata key {NESTED!r}"
    nested = document.parsed(claims.path, text, claims.offset, where, claims.complaints)
    claims.notes.extend(nested.notes)
    known = {name for key in (*_TYPED, *IDENTITY) for name in spellings(key)}
    for key in nested.keys.keys() & known:
        claims.keys.setdefault(f"{NESTED}.{key}", nested.keys[key])


def spellings(key: str) -> tuple[str, ...]:
    """Return what a key is called in a nested configuration."""
    return (key, *ALIASES.get(key, ()), *_NESTED_SPELLINGS.get(key, ()))


def _claimed(claims: Claims, key: str, kind: Kind, into: str) -> Any:
    aliases = ALIASES.get(key, ())
    found = claims.present((key, *aliases))
    if len(found) > 1:
        claims.notes.append(f"{' and '.join(found)} are spellings of one key")
    said = {repr(claims.keys[each]) for each in found} - {"None"}
    if found not in ([], [key]) and len(said) < 2:
        claims.complaints.note(respelled(found, key, "".join(said) or "null"))
    nested = (f"{NESTED}.{name}" for name in spellings(key))
    return claims.take(key, kind, into, (*aliases, *nested))


def _identity(claims: Claims) -> Identity:
    return Identity(
        **{
            name: _claimed(claims, key, TEXT, f"config.identity.{name}")
            for key, name in IDENTITY.items()
        }
    )


def _untyped(claims: Claims) -> dict[str, Any]:
    values = {
        name: claims.take(OWN + name, kind, f"config.{name}")
        for name, kind in _UNTYPED.items()
        if name != "tie_embeddings"
    }
    values["tie_embeddings"] = claims.take(
        _TIED, FLAG, "config.tie_embeddings", (OWN + "tie_embeddings",)
    )
    scaling, kinds = values["rope_scaling"], values["layer_kinds"]
    return {
        **values,
        "rope_scaling": None if scaling is None else _scaling(scaling),
        "layer_kinds": None if kinds is None else tuple(kinds),
        "extra": values["extra"] or {},
    }


def _scaling(values: Mapping[str, Any]) -> RopeScaling:
    parts: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in values.items()
    }
    return RopeScaling(**parts)


def field_of(key: str) -> str:
    """Return the field of the configuration that a key means, or nothing."""
    typed = next((each for each, others in ALIASES.items() if key in others), key)
    return _TYPED[typed][0] if typed in _TYPED else ""


def config_keys(stored: StoredModel) -> dict[str, Any]:
    """Return the configuration as metadata keys, None where nobody knows a value."""
    typed = {key: getattr(stored.config, name) for key, (name, _) in _TYPED.items()}
    return {**_identity_keys(stored), **typed, **dict(_own_keys(stored))}


def _identity_keys(stored: StoredModel) -> dict[str, Any]:
    identity, family = stored.config.identity, stored.family
    said = {key: getattr(identity, name) for key, name in IDENTITY.items()}
    if family is None:
        return said
    return {**said, "architecture": family.slug, "rope_type": rope_type(stored)}


def rope_type(stored: StoredModel) -> int | None:
    """Return how rotary elements are paired in this order of rows, None if unknown.

    0 pairs neighbours, 2 pairs halves of a head. Only ggml's order has neighbours.
    """
    if stored.family is None:
        return None
    neighbours = stored.naming == "ggml" and stored.family.rope_pairs == "interleaved"
    return 0 if neighbours else 2


def _own_keys(stored: StoredModel) -> Iterator[tuple[str, Any]]:
    for name in _UNTYPED:
        value = getattr(stored.config, name)
        if name == "tie_embeddings":
            yield _tie_key(stored), value
        elif name == "rope_scaling":
            yield OWN + name, value and _without_none(asdict(value))
        else:
            yield OWN + name, value if value != {} else None


def _tie_key(stored: StoredModel) -> str:
    """Return the key for the tie: only a stored copy is called tied in APR's words."""
    copied = any(name in stored.tensors for name in _HEADS)
    return _TIED if copied and stored.config.tie_embeddings else OWN + "tie_embeddings"


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
