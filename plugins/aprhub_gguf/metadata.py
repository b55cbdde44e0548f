"""GGUF keys of hyper-parameters ⇄ ModelConfig.

Key names: `docs/gguf.md` of ggml-org/ggml and `src/llama-arch.cpp` of llama.cpp; what
the absence of a key means: `llama_model_base::load_hparams` there.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from attrs import evolve

from aprhub.api import ModelConfig
from aprhub_gguf.implied import (
    KEY_LENGTH,
    VOCABULARY,
    derived_entries,
    has_shared_scale,
    rotary_size,
    settle_implied,
    shared_size,
)
from aprhub_gguf.ledger import Ledger
from aprhub_gguf.residue import RESIDUE_KEY, completed, residue_entry
from aprhub_gguf.scaling import read_scaling, scaling_entries
from aprhub_gguf.tables import INTEGERS
from aprhub_gguf.values import Entry, f32_entry, u32_entry
from aprhub_gguf.windows import WINDOW, WINDOWED, read_layer_kinds, slides

_KV_HEADS: Final = "attention.head_count_kv"
_CAUSAL: Final = "attention.causal"

_COUNTS: Final = MappingProxyType(
    {
        "context_length": "max_position_embeddings",
        "embedding_length": "hidden_size",
        "block_count": "num_layers",
        WINDOW: "sliding_window",
        "expert_count": "num_experts",
        "expert_used_count": "num_experts_per_tok",
        "expert_shared_feed_forward_length": "shared_intermediate_size",
    }
)
_DERIVABLE_COUNTS: Final = MappingProxyType(
    {KEY_LENGTH: "head_dim", VOCABULARY: "vocab_size"}
)
_COUNTS_BY_LAYER: Final = MappingProxyType(
    {
        "feed_forward_length": "intermediate_size",
        "attention.head_count": "num_heads",
        _KV_HEADS: "num_kv_heads",
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


_FIELDS: Final = {**_COUNTS, **_DERIVABLE_COUNTS, **_COUNTS_BY_LAYER, **_NUMBERS}


def field_of(key: str) -> str:
    """Return the field of the configuration that a key means, or nothing."""
    return _FIELDS.get(key.partition(".")[2], "")


def read_config(
    ledger: Ledger, architecture: str, token_count: int | None
) -> ModelConfig:
    """Read the hyper-parameters of an architecture.

    What llama.cpp derives from an absent key is filled in: as many key-value heads as
    heads, heads that share the hidden size, a row of the embedding for each token, and
    what queries are scaled by where that is not the size of a head.
    """
    said = dict(_said(ledger, architecture))
    said |= _by_layer(ledger, architecture, said["num_layers"])
    if said["sliding_window"] == 0:
        said["sliding_window"] = None
        if architecture not in WINDOWED:
            ledger.carry(f"{architecture}.{WINDOW}", "no window")
    said["rope_scaling"] = read_scaling(ledger, architecture)
    said["layer_kinds"] = read_layer_kinds(
        ledger, architecture, said["sliding_window"], said["num_layers"]
    )
    slid = slides(architecture, said["layer_kinds"])
    said["bidirectional"] = _is_bidirectional(ledger, architecture, slid) or None
    config = ModelConfig(**said)
    config = config.filled({"head_dim": shared_size(config), "vocab_size": token_count})
    rotated = rotary_size(ledger, architecture, config)
    config = evolve(config, rotary_dim=rotated)
    if has_shared_scale(architecture, config):
        config = evolve(config, query_scale=shared_size(config))
    settle_implied(ledger, architecture, config, token_count)
    return completed(config, ledger)


def _said(ledger: Ledger, architecture: str) -> Iterator[tuple[str, Any]]:
    for suffix, field in (*_COUNTS.items(), *_DERIVABLE_COUNTS.items()):
        yield field, ledger.integer(f"{architecture}.{suffix}", f"config.{field}")
    for suffix, field in _NUMBERS.items():
        yield field, ledger.number(f"{architecture}.{suffix}", f"config.{field}")


def _is_bidirectional(ledger: Ledger, architecture: str, slid: bool) -> bool:
    """Return whether tokens see those behind them.

    Windows of llama.cpp still end at the token then, which no other program does.
    """
    key = f"{architecture}.{_CAUSAL}"
    causal = ledger.flag(key, "config.bidirectional")
    if causal:
        ledger.carry(key, "says what its absence would say")
    if causal is False and slid:
        raise ledger.wrong(key, "true, since layers slide")
    return causal is False


def _by_layer(
    ledger: Ledger, architecture: str, layers: int | None
) -> dict[str, int | None]:
    counts = {
        field: _count(ledger, f"{architecture}.{suffix}", field, layers)
        for suffix, field in _COUNTS_BY_LAYER.items()
    }
    if ledger.kind(f"{architecture}.{_KV_HEADS}") is None:
        counts["num_kv_heads"] = counts["num_heads"]
    return counts


def _count(ledger: Ledger, key: str, field: str, layers: int | None) -> int | None:
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


def config_entries(
    architecture: str,
    config: ModelConfig,
    token_count: int | None,
    carried: Mapping[str, Any],
    defaults: Mapping[str, Any],
) -> dict[str, Entry]:
    """Return the entries of the hyper-parameters.

    `carried` are the entries that a GGUF source had besides, `defaults` what the
    model's family takes for granted.
    """
    suffixes = dict(_plain_entries(config))
    if architecture in WINDOWED:
        suffixes.setdefault(WINDOW, Entry("u32", 0))
    if config.bidirectional and not slides(architecture, config.layer_kinds):
        suffixes[_CAUSAL] = Entry("bool", False)
    suffixes |= dict(scaling_entries(config))
    suffixes |= dict(derived_entries(architecture, config, token_count, carried))
    entries = {f"{architecture}.{suffix}": each for suffix, each in suffixes.items()}
    said = read_config(Ledger(Path(architecture), entries), architecture, token_count)
    residue = residue_entry(config, said, defaults)
    return {**entries, RESIDUE_KEY: residue} if residue else entries


def _plain_entries(config: ModelConfig) -> Iterator[tuple[str, Entry]]:
    for suffix, field in (*_COUNTS.items(), *_COUNTS_BY_LAYER.items()):
        if getattr(config, field) is not None:
            yield suffix, u32_entry(field, getattr(config, field))
    for suffix, field in _NUMBERS.items():
        if getattr(config, field) is not None:
            yield suffix, f32_entry(field, getattr(config, field))
