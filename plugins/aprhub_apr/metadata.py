"""Metadata keys ⇄ provenance, what is carried, and the whole of a description."""

from collections.abc import Mapping
from typing import Any, Final

from attrs import asdict, fields

from aprhub.api import (
    LineageStep,
    Provenance,
    SamplingDefaults,
    StoredModel,
    Tensor,
    Texts,
)
from aprhub_apr import configuration, vocabulary
from aprhub_apr.claims import (
    COUNT,
    FLAG,
    NULL,
    OBJECT,
    TEXT,
    Claims,
    Kind,
    mapped,
    shaped,
)
from aprhub_apr.tables import ALIASES, TYPED_KEYS, WRITTEN_NULLS

NAMING: Final = "aprhub.naming"
NATIVE: Final = "aprhub.native"
LINEAGE: Final = "aprhub.lineage"
SAMPLING: Final = "aprhub.sampling"
CARRIED: Final = "aprhub.carried"

MODEL_TYPE: Final = "transformer_lm"
"""What a model is called where its source has no name for its type."""

_PROVENANCE: Final = (
    "name",
    "description",
    "author",
    "license",
    "data_source",
    "data_license",
    "version",
    "source",
    "original_format",
    "created_at",
)

_QUANTIZATION: Final = shaped(
    {
        "quant_type": TEXT,
        "bits": Kind("0 to 255", lambda value: type(value) is int and 0 <= value < 256),
        "block_size": COUNT | NULL,
        "symmetric": FLAG,
    },
    required=("quant_type", "bits", "symmetric"),
)
_SHARDING: Final = shaped(
    {
        "shard_count": COUNT,
        "shard_index": COUNT,
        "total_size": COUNT,
        "pattern": TEXT | NULL,
    },
    required=("shard_count", "shard_index", "total_size"),
)
_SPECIAL_TOKENS: Final = shaped(
    {
        f"{name}_token": TEXT | NULL
        for name in ("bos", "eos", "unk", "pad", "im_start", "im_end")
    }
)

_KEPT: Final[Mapping[str, Kind]] = {
    "model_type": TEXT,
    "chat_format": TEXT,
    "quantization": _QUANTIZATION,
    "special_tokens": _SPECIAL_TOKENS,
    "rope_type": Kind("0 or 2", lambda value: type(value) is int and value in (0, 2)),
}
"""Typed keys without a canonical meaning, which travel as they are."""

_DROPPED: Final[Mapping[str, tuple[Kind, str]]] = {
    "sharding": (_SHARDING, "every output is one file"),
    "tensor_shapes": (OBJECT, "recomputed from the tensors"),
}

_FORMAT: Final = "format"
_RENAMED: Final = {
    configuration.NESTED: f"entrenar.{configuration.NESTED}",
    _FORMAT: f"entrenar.{_FORMAT}",
}
"""Keys of training checkpoints that would be misread in a converted file: readers take
them to say that matrices are stored transposed, or hold a stale configuration."""

_SAMPLING_NAMES: Final = tuple(each.name for each in fields(SamplingDefaults))
_SAMPLING: Final = Kind(
    f"an object of numbers, named {', '.join(_SAMPLING_NAMES)}",
    lambda value: (
        type(value) is dict
        and value.keys() <= set(_SAMPLING_NAMES)
        and not SamplingDefaults.of(value)[1]
    ),
)

_STEP: Final = shaped(
    {
        "operation": TEXT,
        "inputs": mapped(TEXT),
        "options": OBJECT,
        "tools": mapped(TEXT),
    },
    required=("operation", "inputs"),
    closed=True,
)
_STEPS: Final = Kind(
    "a list of steps",
    lambda value: type(value) is list and all(map(_STEP.accepts, value)),
)

_NEVER_CARRIED: Final = frozenset(
    {*TYPED_KEYS, *(name for names in ALIASES.values() for name in names)}
) - frozenset({*_KEPT, "total_size", "param_count"})


def provenance(claims: Claims) -> Provenance:
    """Take what the metadata say about the origin of the model."""
    values = {key: claims.take(key, TEXT, f"provenance.{key}") for key in _PROVENANCE}
    steps = claims.take(LINEAGE, _STEPS, "provenance.lineage") or ()
    lineage = tuple(LineageStep(**step) for step in steps)
    return Provenance(**values, lineage=lineage)


def naming(claims: Claims) -> str | None:
    """Take the convention of the tensor names; None where the file does not say."""
    name: str | None = claims.take(NAMING, TEXT, "naming")
    return name


def native(claims: Claims) -> dict[str, str]:
    """Take the encodings that tensors had before they came into this format."""
    return claims.take(NATIVE, mapped(TEXT), "native") or {}


def sampling(claims: Claims) -> SamplingDefaults:
    """Take what the makers of the model would have tokens drawn with."""
    said = claims.take(SAMPLING, _SAMPLING, "sampling") or {}
    return SamplingDefaults.of(said)[0]


def carried(
    claims: Claims, tensors: Mapping[str, Tensor]
) -> Mapping[str, Mapping[str, Any]]:
    """Take everything that is left, by format.

    A file whose sums over its tensors are made in another way, or not made at all,
    keeps its own.
    """
    worlds = claims.take(CARRIED, mapped(OBJECT), "carried") or {}
    own = {**_kept(claims), **_uncounted(claims, sums(tensors))}
    for key in claims.present(_DROPPED):
        kind, why = _DROPPED[key]
        claims.checked(key, kind)
        claims.settle(key, "dropped", why=why)
    for key in tuple(claims.keys):
        name = _RENAMED[key] if _is_training(claims, key) else key
        value = claims.keys.pop(key)
        own[name] = list(value) if isinstance(value, Texts) else value
        claims.settle(key, "carried", f"carried.apr.{name}")
    return {**worlds, "apr": own} if own else worlds


def _kept(claims: Claims) -> dict[str, Any]:
    values = {}
    for key in claims.present(_KEPT):
        values[key] = claims.checked(key, _KEPT[key])
        claims.settle(key, "carried", f"carried.apr.{key}")
    return {key: value for key, value in values.items() if value is not None}


def _uncounted(claims: Claims, counted: Mapping[str, int]) -> dict[str, int]:
    values = {key: claims.checked(key, COUNT) for key in claims.present(counted)}
    for key in values:
        claims.settle(key, "transformed", why="counted anew where tensors change")
    return {key: value for key, value in values.items() if value != counted[key]}


def _is_training(claims: Claims, key: str) -> bool:
    value = str(claims.keys[key])
    return key == configuration.NESTED or (
        key == _FORMAT and value.startswith("entrenar-")
    )


def described(stored: StoredModel) -> dict[str, Any]:
    """Return the metadata of a model: typed keys in their order, then the others.

    Keys that nobody knows are left out, but for those whose null means something.
    """
    keys = {**_carried_keys(stored), **_known(_own_keys(stored))}
    typed = {
        key: keys.get(key)
        for key in TYPED_KEYS
        if keys.get(key) is not None or key in WRITTEN_NULLS
    }
    return {**typed, **{key: keys[key] for key in sorted(keys.keys() - typed.keys())}}


def sums(tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """Return the bytes and the elements of all tensors, under their typed keys."""
    return {
        "total_size": sum(each.nbytes for each in tensors.values()),
        "param_count": sum(each.size for each in tensors.values()),
    }


def _own_keys(stored: StoredModel) -> dict[str, Any]:
    origin = stored.provenance
    others = {
        world: dict(keys) for world, keys in stored.carried.items() if world != "apr"
    }
    return {
        **{key: getattr(origin, key) for key in _PROVENANCE},
        **configuration.config_keys(stored),
        **vocabulary.tokenizer_keys(stored.tokenizer),
        NAMING: stored.naming,
        NATIVE: dict(stored.native) or None,
        LINEAGE: [asdict(step) for step in origin.lineage] or None,
        SAMPLING: stored.sampling.known() or None,
        CARRIED: others or None,
    }


def _known(keys: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in keys.items() if value is not None}


def _carried_keys(stored: StoredModel) -> dict[str, Any]:
    own = {
        "model_type": MODEL_TYPE,
        **sums(stored.tensors),
        **stored.carried.get("apr", {}),
    }
    if not any(each.encoding.is_quantized for each in stored.tensors.values()):
        own.pop("quantization", None)
    return {key: value for key, value in own.items() if key not in _NEVER_CARRIED}
