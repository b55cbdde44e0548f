"""Rotary position embeddings as `config.json` spells them.

Up to version 4 of transformers: `rope_theta`, `rope_scaling` and, for sliding layers,
`rope_local_base_freq`. From version 5: `rope_parameters`, for each kind of layer where
the kinds differ. Both are read; the first is written, which all versions read.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from attrs import asdict, evolve

from aprhub.api import (
    Document,
    ModelConfig,
    RopeScaling,
    UnrepresentableError,
    UnsupportedFileError,
)
from aprhub_safetensors.classes import CLASSES, ConfigClass

KEYS: Final = (
    "rope_theta",
    "rope_local_base_freq",
    "rope_scaling",
    "rope_parameters",
    "partial_rotary_factor",
    "original_max_position_embeddings",
)
FIELDS: Final = ("rope_theta", "rope_local_theta", "rope_scaling", "rotary_dim")

LONGROPE: Final = "longrope"
KINDS: Final[Mapping[str, str]] = {"su": LONGROPE}
"""Older names of kinds of scaling."""

UNSCALED: Final = (None, "default", "mrope")

REQUIRED: Final[Mapping[str, tuple[str, ...]]] = {
    "linear": ("factor",),
    "dynamic": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor"),
    "yarn": ("factor",),
    "longrope": ("short_factor", "long_factor"),
}
"""What each kind of scaling cannot do without."""

_NUMBERS: Final = (
    "factor",
    "low_freq_factor",
    "high_freq_factor",
    "beta_fast",
    "beta_slow",
)
"""What a field of a scaling has its name from."""

PARTIAL: Final = "partial_rotary_factor"
"""The part of each head that is rotated."""

LENGTH: Final = "original_max_position_embeddings"
"""The trained context; kinds that need it take the whole one where it is absent."""

FACTORS: Final = "factors"
"""The kind that is nothing but a list of frequency factors.

transformers has no such kind; it is `longrope` with one list for any length.
"""


def read_rope(document: Document, ways: ConfigClass) -> dict[str, Any]:
    """Return the fields of a configuration that speak of rotary embeddings."""
    parameters = document.section("rope_parameters")
    layers = _by_layer(parameters)
    everywhere = layers.get("full_attention", parameters)
    sliding = layers.get("sliding_attention")
    return {
        "rope_theta": _agreed(document, "rope_theta", everywhere),
        "rope_local_theta": _agreed(
            document, "rope_local_base_freq", sliding, "rope_theta"
        ),
        "rope_scaling": _scaling(document, ways, everywhere, sliding),
        "rotary_dim": _rotary(document, everywhere) if ways.partial else None,
    }


def _rotary(document: Document, section: Document | None) -> int | None:
    """Return how many elements of a head are rotated, or None if all are."""
    part = _agreed(document, PARTIAL, section)
    hidden, heads = document.whole("hidden_size"), document.whole("num_attention_heads")
    size = document.whole("head_dim") or (hidden and heads and hidden // heads)
    rotated = int(size * part) if size and part is not None else None
    return None if rotated == size else rotated


def _by_layer(parameters: Document | None) -> dict[str, Document]:
    kinds = ("full_attention", "sliding_attention")
    found = {kind: parameters.section(kind) for kind in kinds} if parameters else {}
    return {kind: section for kind, section in found.items() if section}


def _agreed(
    document: Document, key: str, section: Document | None, name: str = ""
) -> float | None:
    """Return a number that may be said in two places, inside as `name` or alike.

    Raises CorruptFileError when the two contradict each other.
    """
    outside = document.number(key)
    inside = section.number(name or key) if section else None
    if None not in (outside, inside) and outside != inside:
        raise document.fault(key, f"{inside}, as in rope_parameters")
    return outside if inside is None else inside


def _scaling(
    document: Document,
    ways: ConfigClass,
    everywhere: Document | None,
    sliding: Document | None,
) -> RopeScaling | None:
    if sliding and _kind(sliding) not in UNSCALED:
        raise UnsupportedFileError(
            document.path,
            f"{sliding.prefix}rope_type: {_kind(sliding)!r:.80} found, sliding layers"
            " are only read unscaled; convert it with another program, such as that of"
            " llama.cpp",
        )
    section = document.section("rope_scaling") or everywhere
    kind = _kind(section) if section else None
    if section is None or kind in UNSCALED:
        return None
    _refuse_unknown(document, section, kind or "")
    length = ways.trained_length and (document.whole(LENGTH) or ways.trained_length)
    return _as_factors(_described(document, section, kind or "", length))


def _kind(section: Document) -> str | None:
    kind = section.text("rope_type") or section.text("type")
    return KINDS.get(kind, kind) if kind else None


def _refuse_unknown(document: Document, section: Document, kind: str) -> None:
    """Refuse a kind that a known class does not have, and one without its numbers."""
    if kind not in REQUIRED and document.text("model_type") in CLASSES:
        raise section.fault("rope_type", f"one of {', '.join(REQUIRED)}")
    for key in REQUIRED.get(kind, ()):
        if section.values.get(key) is None:
            raise section.fault(key, f"a value, which {kind} scaling needs")


def _described(
    document: Document, section: Document, kind: str, length: int | None
) -> RopeScaling:
    length = length or section.whole(LENGTH) or document.whole(LENGTH)
    if length is None and kind in ("llama3", "yarn", "longrope"):
        length = document.whole("max_position_embeddings")
    return RopeScaling(
        kind,
        original_max_position_embeddings=length,
        short_factor=section.numbers("short_factor"),
        long_factor=section.numbers("long_factor"),
        attention_factor=_attention_factor(section, kind),
        truncate=False if section.flag("truncate") is False else None,
        **{name: section.number(name) for name in _NUMBERS},
    )


def _attention_factor(section: Document, kind: str) -> float | None:
    """Return what attention is scaled by, which YaRN may work out from two numbers.

    Source of the formula: `_compute_yarn_parameters` of transformers.
    """
    given = section.number("attention_factor")
    factor, grown, shrunk = map(section.number, ("factor", "mscale", "mscale_all_dim"))
    if kind != "yarn" or given is not None or not (factor and grown and shrunk):
        return given
    stretch = 0.1 * math.log(max(factor, 1.0))
    return (stretch * grown + 1) / (stretch * shrunk + 1)


def _as_factors(scaling: RopeScaling) -> RopeScaling:
    alike = scaling.long_factor and scaling.short_factor == scaling.long_factor
    if scaling.kind == "longrope" and alike and scaling.attention_factor == 1:
        return RopeScaling(
            FACTORS,
            short_factor=scaling.short_factor,
            long_factor=scaling.long_factor,
        )
    return scaling


def spelled_rope(config: ModelConfig, ways: ConfigClass) -> Iterator[tuple[str, Any]]:
    """Yield the keys that say what the fields of a configuration say."""
    if config.rotary_dim and config.head_dim:
        yield PARTIAL, config.rotary_dim / config.head_dim
    if config.rope_theta is not None:
        yield "rope_theta", float(config.rope_theta)
    if config.rope_local_theta is not None:
        yield "rope_local_base_freq", float(config.rope_local_theta)
    if config.rope_scaling is not None:
        section = _section(config.rope_scaling, config)
        yield "rope_scaling", section
        if ways.trained_length and LENGTH in section:
            yield LENGTH, section[LENGTH]


def _section(scaling: RopeScaling, config: ModelConfig) -> dict[str, Any]:
    if scaling.kind == FACTORS:
        scaling = evolve(
            scaling,
            kind="longrope",
            attention_factor=1.0,
            original_max_position_embeddings=config.max_position_embeddings,
        )
    values = asdict(scaling, filter=lambda _, value: value is not None)
    kind = values.pop("kind")
    for key in REQUIRED.get(kind, ()):
        if key not in values:
            what = f"{kind} without {key}, which transformers needs for it"
            raise UnrepresentableError(
                "rope_scaling", f"{what}; correct the source, or take another"
            )
    return {"rope_type": kind, **values}
