"""Keys that may say what their absence would say too.

llama.cpp derives head sizes, rotary dimensions, the vocabulary and the pattern of
sliding windows where no key gives them. A file that gives them nevertheless keeps the
key on the way there and back; its value is derived anew.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from aprhub.api import ModelConfig
from aprhub_gguf.architectures import SHARED_SCALE
from aprhub_gguf.ledger import Ledger
from aprhub_gguf.tables import INTEGERS
from aprhub_gguf.values import Entry, u32_entry
from aprhub_gguf.windows import PATTERN_SUFFIX, implied_pattern, pattern_entry

KEY_LENGTH: Final = "attention.key_length"
_VALUE_LENGTH: Final = "attention.value_length"
_ROTARY: Final = "rope.dimension_count"
VOCABULARY: Final = "vocab_size"

_HEAD_SIZES: Final = (_VALUE_LENGTH, _ROTARY)
_SUFFIXES: Final = (KEY_LENGTH, *_HEAD_SIZES, VOCABULARY, PATTERN_SUFFIX)

_CUSTOMARY: Final = MappingProxyType(
    {"llama": (VOCABULARY, _ROTARY), "phi3": (_ROTARY,)}
)
"""Keys that the files of an architecture have by custom."""

_MARK: Final = "implied"


def shared_size(config: ModelConfig) -> int | None:
    """Return the size of a head when all heads share the hidden size."""
    if not config.hidden_size or not config.num_heads:
        return None
    size, rest = divmod(config.hidden_size, config.num_heads)
    return None if rest else size


def has_shared_scale(architecture: str, config: ModelConfig) -> bool:
    """Return whether llama.cpp divides scores by the root of a head's equal share."""
    layers = SHARED_SCALE.get(architecture)
    return layers is not None and layers == config.num_layers


def _implied(
    architecture: str, config: ModelConfig, token_count: int | None
) -> dict[str, Entry]:
    """Return what the absence of each key means for a model."""
    counts = {
        KEY_LENGTH: shared_size(config),
        _VALUE_LENGTH: shared_size(config),
        _ROTARY: config.head_dim,
        VOCABULARY: token_count,
    }
    known = {key: Entry("u32", count) for key, count in counts.items() if count}
    pattern = implied_pattern(architecture, config)
    return {**known, PATTERN_SUFFIX: pattern} if pattern else known


def settle_implied(
    ledger: Ledger, architecture: str, config: ModelConfig, token_count: int | None
) -> None:
    """Settle the keys of a file that say nothing new, or nothing but the head size."""
    implied = _implied(architecture, config, token_count)
    for suffix in _SUFFIXES:
        key = f"{architecture}.{suffix}"
        entry = ledger.entries.get(key)
        if entry is None:
            continue
        _require_size(ledger, key, config.head_dim)
        same = suffix in implied and implied[suffix].value == entry.value
        if same and suffix not in _CUSTOMARY.get(architecture, ()):
            ledger.carry(key, "says what its absence would say", implied=True)
        elif suffix in _HEAD_SIZES and entry.value == config.head_dim:
            ledger.settle(key, "renamed", "config.head_dim")


def _require_size(ledger: Ledger, key: str, head_dim: int | None) -> None:
    """Raise CorruptFileError when a part of a head is no size, or larger than it."""
    entry = ledger.entries[key]
    if not key.endswith(_HEAD_SIZES):
        return
    if entry.kind not in INTEGERS or entry.value < 0:
        raise ledger.wrong(key, "a whole number")
    if key.endswith(_ROTARY) and head_dim and entry.value > head_dim:
        raise ledger.wrong(key, f"at most {head_dim}, the size of a head")


def rotary_size(ledger: Ledger, architecture: str, config: ModelConfig) -> int | None:
    """Return how many elements of a head are rotated, where it is not all."""
    key = f"{architecture}.{_ROTARY}"
    if ledger.kind(key) is None or ledger.entries[key].value == config.head_dim:
        return None
    return ledger.integer(key, "config.rotary_dim")


def derived_entries(
    architecture: str,
    config: ModelConfig,
    token_count: int | None,
    carried: Mapping[str, Any],
) -> Iterator[tuple[str, Entry]]:
    """Yield the keys, without the architecture, that a file needs or had before.

    Values that were carried because they mean more than the configuration says are
    left to whoever writes what is carried.
    """
    needed = dict(_needed(architecture, config, token_count))
    implied = _implied(architecture, config, token_count)
    for suffix in _SUFFIXES:
        before = carried.get(f"{architecture}.{suffix}")
        if before is not None and not before.get(_MARK):
            continue
        wanted = before is not None or suffix in _CUSTOMARY.get(architecture, ())
        entry = needed.get(suffix) or (implied.get(suffix) if wanted else None)
        if entry is not None:
            yield suffix, entry


def _needed(
    architecture: str, config: ModelConfig, token_count: int | None
) -> Iterator[tuple[str, Entry]]:
    if config.head_dim is not None and config.head_dim != shared_size(config):
        yield KEY_LENGTH, u32_entry("head_dim", config.head_dim)
        yield _VALUE_LENGTH, u32_entry("head_dim", config.head_dim)
    if config.rotary_dim is not None:
        yield _ROTARY, u32_entry("rotary_dim", config.rotary_dim)
    if config.vocab_size is not None and config.vocab_size != token_count:
        yield VOCABULARY, u32_entry("vocab_size", config.vocab_size)
    pattern = pattern_entry(architecture, config)
    if pattern is not None:
        yield PATTERN_SUFFIX, pattern
