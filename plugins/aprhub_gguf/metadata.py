"""GGUF keys of hyper-parameters ⇄ ModelConfig.

Key names: `docs/gguf.md` of ggml-org/ggml and `src/llama-arch.cpp` of llama.cpp; what
the absence of a key means: `llama_model_base::load_hparams` there.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from aprhub.api import ModelConfig
from aprhub_gguf.ledger import Ledger
from aprhub_gguf.residue import completed
from aprhub_gguf.scaling import read_scaling, scaling_entries
from aprhub_gguf.tables import INTEGERS
from aprhub_gguf.values import Entry
from aprhub_gguf.windows import (
    PATTERN_SUFFIX,
    implied_pattern,
    pattern_entry,
    read_layer_kinds,
)

_COUNTS: Final = MappingProxyType(
    {
        "context_length": "max_position_embeddings",
        "embedding_length": "hidden_size",
        "block_count": "num_layers",
        "attention.sliding_window": "sliding_window",
        "expert_count": "num_experts",
        "expert_used_count": "num_experts_per_tok",
    }
)
_COUNTS_BY_LAYER: Final = MappingProxyType(
    {
        "feed_forward_length": "intermediate_size",
        "attention.head_count": "num_heads",
        "attention.head_count_kv": "num_kv_heads",
        "expert_feed_forward_length": "moe_intermediate_size",
    }
)
_NUMBERS: Final = MappingProxyType(
    {
        "attention.layer_norm_rms_epsilon": "norm_eps",
        "rope.freq_base": "rope_theta",
        "rope.freq_base_swa": "rope_local_theta",
        "attn_logit_softcapping": "attention_softcap",
        "final_logit_softcapping": "final_softcap",
    }
)

_KEY_LENGTH: Final = "attention.key_length"
_VALUE_LENGTH: Final = "attention.value_length"
_ROTARY: Final = "rope.dimension_count"
_VOCABULARY: Final = "vocab_size"

_ALWAYS_WRITTEN: Final = MappingProxyType({"llama": (_VOCABULARY, _ROTARY)})
"""Keys that an architecture's files have by custom, though they say nothing new."""

_IMPLIED: Final = "what its absence would say"


def read_config(
    ledger: Ledger, architecture: str, token_count: int | None
) -> ModelConfig:
    """Read the hyper-parameters of an architecture.

    What llama.cpp derives from an absent key is filled in: as many key-value heads as
    heads, heads that share the hidden size, a row of the embedding for each token.
    Keys that repeat such a value are carried too, so that they can be written again.
    """
    values: dict[str, Any] = {}
    for suffix, field in _COUNTS.items():
        values[field] = ledger.integer(f"{architecture}.{suffix}", f"config.{field}")
    for suffix, field in _NUMBERS.items():
        values[field] = ledger.number(f"{architecture}.{suffix}", f"config.{field}")
    for suffix, field in _COUNTS_BY_LAYER.items():
        key = f"{architecture}.{suffix}"
        values[field] = _by_layer(ledger, key, field, values["num_layers"])
    if values["num_kv_heads"] is None:
        values["num_kv_heads"] = _absent(ledger, architecture, values)
    values["rope_scaling"] = read_scaling(ledger, architecture)
    values["layer_kinds"] = read_layer_kinds(
        ledger, architecture, values["sliding_window"], values["num_layers"]
    )
    config = ModelConfig(**values)
    config = _with_derivable(ledger, architecture, config, token_count)
    return completed(config, ledger)


def _by_layer(ledger: Ledger, key: str, field: str, layers: int | None) -> int | None:
    """Read a count, or a list of counts for all layers if they are equal."""
    if ledger.kind(key) != "array":
        return ledger.integer(key, f"config.{field}")
    entry = ledger.array(key, f"config.{field}", "u32", *INTEGERS)
    counts = entry.value if entry else []
    if len(counts) != layers or min(counts, default=0) < 0:
        raise ledger.wrong(key, f"one count for each of {layers} layers")
    if len({*counts}) == 1:
        return int(counts[0])
    ledger.carry_noted(key, "differs between layers")
    return None


def _absent(ledger: Ledger, architecture: str, values: Mapping[str, Any]) -> Any:
    if ledger.kind(f"{architecture}.attention.head_count_kv"):
        return None
    return values["num_heads"]


def _with_derivable(
    ledger: Ledger, architecture: str, config: ModelConfig, token_count: int | None
) -> ModelConfig:
    """Return the configuration with what follows from it where no key says more."""
    said = {
        "head_dim": ledger.integer(f"{architecture}.{_KEY_LENGTH}", "config.head_dim"),
        "vocab_size": ledger.integer(f"{architecture}.{_VOCABULARY}", "config.vocab_size"),
    }
    derived = {"head_dim": _shared_size(config), "vocab_size": token_count}
    config = config.filled(said).filled(derived)
    for suffix, implied in _implied(architecture, config, token_count).items():
        _settle_implied(ledger, architecture, suffix, implied)
    return config


def _shared_size(config: ModelConfig) -> int | None:
    """Return the size of a head when all heads share the hidden size."""
    if not config.hidden_size or not config.num_heads:
        return None
    size, rest = divmod(config.hidden_size, config.num_heads)
    return None if rest else size
