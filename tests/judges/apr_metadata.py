"""The rules of APR v2 for its JSON metadata, as tables and as checks."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from tests.judges.apr_container import Container

Metadata = Mapping[str, Any]
_Test = Callable[[Any], bool]


def _integer(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 64


def _number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _string(value: Any) -> bool:
    return isinstance(value, str)


def _optional(test: _Test) -> _Test:
    return lambda value: value is None or test(value)


def _list_of(test: _Test) -> _Test:
    return lambda value: isinstance(value, list) and all(map(test, value))


def _object_of(fields: Mapping[str, _Test]) -> _Test:
    """Accept an object with exactly these fields."""
    return lambda value: (
        isinstance(value, dict)
        and value.keys() == fields.keys()
        and all(test(value[name]) for name, test in fields.items())
    )


_QUANTIZATION: Final = _object_of(
    {
        "quant_type": _string,
        "bits": _integer,
        "block_size": _optional(_integer),
        "symmetric": lambda value: isinstance(value, bool),
    }
)
_SHARDING: Final = _object_of(
    {
        "shard_count": _integer,
        "shard_index": _integer,
        "total_size": _integer,
        "pattern": _optional(_string),
    }
)
_SPECIAL_TOKENS: Final = _object_of(
    dict.fromkeys(
        (
            "bos_token",
            "eos_token",
            "unk_token",
            "pad_token",
            "im_start_token",
            "im_end_token",
        ),
        _optional(_string),
    )
)

# In the order in which a writer emits them.
TYPED: Final[Mapping[str, _Test]] = {
    "model_type": _string,
    "name": _string,
    "description": _string,
    "author": _string,
    "license": _optional(_string),
    "data_source": _optional(_string),
    "data_license": _optional(_string),
    "version": _string,
    "source": _string,
    "original_format": _string,
    "created_at": _string,
    "total_size": _integer,
    "param_count": _integer,
    "quantization": _QUANTIZATION,
    "sharding": _SHARDING,
    "chat_template": _string,
    "chat_format": _string,
    "special_tokens": _SPECIAL_TOKENS,
    "architecture": _string,
    "hf_architecture": _string,
    "hf_model_type": _string,
    "hidden_size": _integer,
    "num_layers": _integer,
    "num_heads": _integer,
    "num_kv_heads": _integer,
    "vocab_size": _integer,
    "intermediate_size": _integer,
    "max_position_embeddings": _integer,
    "rope_theta": _number,
    "rope_type": lambda value: type(value) is int and value in (0, 2),
    "rms_norm_eps": _number,
    "head_dim": _integer,
    "num_experts": _integer,
    "num_experts_per_tok": _integer,
    "moe_intermediate_size": _integer,
}

_TOKENIZER: Final[Mapping[str, _Test]] = {
    "tokenizer.vocabulary": _list_of(_string),
    "tokenizer.vocab_size": _integer,
    "tokenizer.merges": _list_of(lambda value: _string(value) and " " in value[1:-1]),
    "tokenizer.scores": _list_of(_number),
    "tokenizer.token_type": _list_of(lambda value: _integer(value) and 1 <= value <= 6),
    "tokenizer.bos_token_id": _integer,
    "tokenizer.eos_token_id": _integer,
    "tokenizer.padding_token_id": _integer,
    "tokenizer.add_bos_token": lambda value: isinstance(value, bool),
    "tokenizer.pre_type": _string,
    "tokenizer.model": _string,
    "tokenizer.model_type": _string,
    "tokenizer.chat_template": _string,
    "tokenizer.architecture": _string,
    "tokenizer.model_name": _string,
}

ALWAYS: Final = (
    "model_type",
    "license",
    "data_source",
    "data_license",
    "total_size",
    "param_count",
)

ALIASES: Final[Mapping[str, tuple[str, ...]]] = {
    "hidden_size": ("hidden_dim", "d_model", "n_embd"),
    "num_layers": ("num_hidden_layers", "n_layers", "n_layer"),
    "num_heads": ("num_attention_heads", "n_heads", "n_head"),
    "num_kv_heads": ("num_key_value_heads", "n_kv_heads"),
    "vocab_size": ("n_vocab",),
    "intermediate_size": ("ffn_dim", "intermediate_dim", "n_inner"),
    "max_position_embeddings": ("max_seq_len", "context_length", "n_ctx"),
    "rms_norm_eps": ("layer_norm_eps", "norm_eps"),
}

_NEVER_NULL: Final = ("model_type", "total_size", "param_count")
_LIMIT: Final = 16 << 20


def spellings(metadata: Metadata, field: str) -> list[str]:
    """Return the keys of the object that mean this field."""
    names = (field, *ALIASES.get(field, ()))
    return [name for name in names if name in metadata]


def value(metadata: Metadata, field: str) -> Any:
    """Return the field's value under whichever name it has, None without one."""
    return next((metadata[name] for name in spellings(metadata, field)), None)


def poison(container: Container) -> Iterator[str]:
    """Name every field that is there twice, under one name or under two."""
    for name in container.repeated_keys:
        yield f"metadata: key {name!r} is repeated"
    for field in ALIASES:
        found = spellings(container.metadata, field)
        if len(found) > 1:
            yield f"metadata: {field} is spelled {found}"


def type_faults(metadata: Metadata, *, nulls: bool) -> Iterator[str]:
    """Name every key whose value has not exactly the type it must have.

    With `nulls` a null passes where older writers put one for an absent value.
    """
    for name, test in (*TYPED.items(), *_TOKENIZER.items()):
        absent = nulls and name not in _NEVER_NULL and metadata.get(name) is None
        if name in metadata and not absent and not test(metadata[name]):
            yield f"metadata: {name} is {repr(metadata[name])[:60]}"


def writer_faults(container: Container) -> Iterator[str]:
    """Name what a reader tolerates in the metadata and a writer must not do."""
    metadata = container.metadata
    yield from (
        f"metadata: {name} is missing" for name in ALWAYS if name not in metadata
    )
    for names in ALIASES.values():
        yield from (f"metadata: alias {name}" for name in names if name in metadata)
    typed = [name for name in TYPED if name in metadata]
    custom = sorted(name for name in metadata if name not in TYPED)
    if list(metadata) != typed + custom:
        yield "metadata: keys are not in the writing order"
    if re.search(r"\s", re.sub(r'"(?:[^"\\]|\\.)*"', "", container.metadata_text)):
        yield "metadata: JSON is not compact"
    if container.metadata_size > _LIMIT:
        yield f"metadata: {container.metadata_size} bytes"
    yield from _tokenizer_faults(metadata)


def _tokenizer_faults(metadata: Metadata) -> Iterator[str]:
    count = len(metadata.get("tokenizer.vocabulary", ()))
    if metadata.get("tokenizer.vocab_size", count) != count:
        yield f"tokenizer.vocab_size is not the {count} of the vocabulary"
    for name in ("tokenizer.scores", "tokenizer.token_type"):
        if len(metadata.get(name, range(count))) != count:
            yield f"{name} is not parallel to the vocabulary"
    for name in ("bos", "eos", "padding"):
        if metadata.get(f"tokenizer.{name}_token_id", -1) >= count:
            yield f"tokenizer.{name}_token_id is not in the vocabulary"
