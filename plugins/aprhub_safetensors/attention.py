"""What tokens see: all before them, those in a window, or those behind them too."""

from collections.abc import Iterator
from typing import Any, Final

from aprhub.api import Document, ModelConfig
from aprhub_safetensors.classes import CAUSAL, MAX_WINDOW_LAYERS, ConfigClass

KEYS: Final = (
    "sliding_window",
    "layer_types",
    "sliding_window_pattern",
    "_sliding_window_pattern",
    "use_sliding_window",
    "max_window_layers",
    CAUSAL,
    "use_bidirectional_attention",
)
FIELDS: Final = ("sliding_window", "layer_kinds", "bidirectional")

FULL: Final = "full"
SLIDING: Final = "sliding"
LAYER_TYPES: Final = {"full_attention": FULL, "sliding_attention": SLIDING}
_BY_KIND: Final = {kind: name for name, kind in LAYER_TYPES.items()}


def read_attention(
    document: Document, ways: ConfigClass, layers: int | None
) -> dict[str, Any]:
    """Return the window and the kinds of a configuration's layers, and the direction.

    Raises CorruptFileError for a value of another kind, and for a class whose windows
    another key for the direction would move.
    """
    window = document.whole("sliding_window")
    if "sliding_window" not in document:
        window = ways.window
    if ways.switched and not document.flag("use_sliding_window"):
        window = None
    kinds = _kinds(document, ways, layers, window)
    if ways.switched and (window is None or kinds == (FULL,) * len(kinds or ())):
        window = kinds = None
    both = _is_bidirectional(document, ways) or None
    return {"sliding_window": window, "layer_kinds": kinds, "bidirectional": both}


def _is_bidirectional(document: Document, ways: ConfigClass) -> bool:
    """Return whether tokens see those behind them; a null is no for transformers."""
    stated = CAUSAL in document and not document.flag(CAUSAL)
    if ways.both_ways == CAUSAL:
        return stated
    if stated:
        raise document.fault(CAUSAL, f"true, or {ways.both_ways} instead of it")
    return bool(document.flag(ways.both_ways))


def _kinds(
    document: Document, ways: ConfigClass, layers: int | None, window: int | None
) -> tuple[str, ...] | None:
    types = document.texts("layer_types")
    if types is not None:
        return _listed(document, types, layers)
    if layers is None or window is None:
        return None
    if ways.switched:
        first = document.whole("max_window_layers")
        first = MAX_WINDOW_LAYERS if first is None else first
        return tuple(SLIDING if i >= first else FULL for i in range(layers))
    pattern = document.whole("sliding_window_pattern") or document.whole(
        "_sliding_window_pattern"
    )
    if pattern:
        return tuple(FULL if (i + 1) % pattern == 0 else SLIDING for i in range(layers))
    return None


def _listed(
    document: Document, types: tuple[str, ...], layers: int | None
) -> tuple[str, ...] | None:
    if layers is not None and len(types) != layers:
        raise document.fault("layer_types", f"one for each of {layers} layers")
    if not set(types) <= LAYER_TYPES.keys():
        return None
    return tuple(LAYER_TYPES[each] for each in types)


def spelled_attention(
    config: ModelConfig, ways: ConfigClass
) -> Iterator[tuple[str, Any]]:
    """Yield the keys that say what the fields of a configuration say.

    A class that assumes a window is told when there is none.
    """
    window, kinds = config.sliding_window, config.layer_kinds
    if config.bidirectional:
        yield ways.both_ways, ways.both_ways != CAUSAL
    if ways.switched:
        yield "use_sliding_window", window is not None
    if window is not None or (ways.window is not None and not ways.switched):
        yield "sliding_window", window
    if not kinds:
        return
    yield "layer_types", [_BY_KIND[kind] for kind in kinds]
    if ways.switched:
        yield "max_window_layers", (*kinds, SLIDING).index(SLIDING)
    elif (pattern := _pattern(kinds)) is not None:
        yield "sliding_window_pattern", pattern


def _pattern(kinds: tuple[str, ...]) -> int | None:
    """Return n where every n-th layer, and no other, is full."""
    if FULL not in kinds:
        return None
    step = kinds.index(FULL) + 1
    alike = all((kind == FULL) == ((i + 1) % step == 0) for i, kind in enumerate(kinds))
    return step if alike else None
