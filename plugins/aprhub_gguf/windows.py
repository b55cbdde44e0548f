"""Which layers see only a window of the text: `attention.sliding_window_pattern`."""

from typing import Final

from aprhub.api import ModelConfig
from aprhub_gguf.architectures import WINDOWS
from aprhub_gguf.ledger import Ledger
from aprhub_gguf.tables import INTEGERS
from aprhub_gguf.values import Entry

WINDOW: Final = "attention.sliding_window"

WINDOWED: Final = frozenset(("phi3",))
"""Architectures whose files say so, with a 0, if there is no window."""

PATTERN_SUFFIX: Final = "attention.sliding_window_pattern"

_FULL: Final = "full"
_SLIDING: Final = "sliding"

_DEFAULT_PATTERNS: Final = {
    "gemma2": 2,
    "gemma3": 6,
    "gemma3n": 5,
    "gemma-embedding": 6,
}
"""Of how many layers the last is full, where the architecture has a habit."""


def read_layer_kinds(
    ledger: Ledger, architecture: str, window: int | None, layers: int | None
) -> tuple[str, ...] | None:
    """Read the kind of each layer; a pattern is a period, or a flag for each layer."""
    key = f"{architecture}.{PATTERN_SUFFIX}"
    if not window or layers is None:
        return None
    default = _DEFAULT_PATTERNS.get(architecture)
    if ledger.kind(key) is None:
        return None if default is None else _periodic(default, layers)
    if ledger.kind(key) == "array":
        return _flagged(ledger, key, layers)
    return _periodic(ledger.integer(key, "config.layer_kinds") or 0, layers)


def slides(architecture: str, kinds: tuple[str, ...] | None) -> bool:
    """Return whether llama.cpp heeds the windows of some layers."""
    return architecture in WINDOWS and bool(kinds)


def _flagged(ledger: Ledger, key: str, layers: int) -> tuple[str, ...]:
    entry = ledger.array(key, "config.layer_kinds", "bool", *INTEGERS)
    flags = entry.value if entry else []
    if len(flags) != layers:
        raise ledger.wrong(key, f"one flag for each of {layers} layers")
    return tuple(_SLIDING if flag else _FULL for flag in flags)


def _periodic(period: int, layers: int) -> tuple[str, ...]:
    """Return kinds of which every `period`-th is full; with 0, none is."""
    return tuple(
        _FULL if period and layer % period == period - 1 else _SLIDING
        for layer in range(layers)
    )


def implied_pattern(architecture: str, config: ModelConfig) -> Entry | None:
    """Return the pattern that a model has whose file gives none."""
    default = _DEFAULT_PATTERNS.get(architecture)
    return Entry("u32", default) if default and config.sliding_window else None


def pattern_entry(architecture: str, config: ModelConfig) -> Entry | None:
    """Return the pattern, or None where none is needed."""
    kinds = config.layer_kinds
    if not config.sliding_window or not kinds or {*kinds} - {_FULL, _SLIDING}:
        return None
    default = _DEFAULT_PATTERNS.get(architecture)
    if default and kinds == _periodic(default, len(kinds)):
        return None
    # Every reader of the key takes flags; not every one takes a period.
    return Entry("array", [kind == _SLIDING for kind in kinds], "bool")
