"""Whether llama.cpp computes what the configuration of a model says.

Sources: `src/llama-context.cpp` and `src/models/*.cpp` of llama.cpp.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from aprhub.api import Fault, ModelConfig, RopeScaling, StoredModel
from aprhub_gguf.architectures import (
    ACTIVATIONS,
    CAPS,
    NORMALISED,
    OPTIONAL,
    OPTIONS,
    WINDOWS,
)
from aprhub_gguf.implied import has_shared_scale, shared_size
from aprhub_gguf.table import WRITE_FOLDER
from aprhub_gguf.windows import slides

_DYNAMIC: Final = "dynamic"
_SCALINGS: Final[Mapping[str, Sequence[str]]] = {
    "linear": (),
    "yarn": (),
    _DYNAMIC: (),
    "longrope": ("rope_factors_long.weight", "rope_factors_short.weight"),
    "llama3": ("rope_freqs.weight",),
    "factors": ("rope_freqs.weight",),
}
"""The kinds of scaling that there are, and the tensors that each needs. One that is
dynamic begins behind the trained context, where nobody else goes."""

_YARN: Final = {"beta_fast": 32, "beta_slow": 1, "truncate": True}
"""What YaRN's ramp is made of, whatever the file says."""


def computed_otherwise(stored: StoredModel) -> Iterator[Fault]:
    """Find what llama.cpp has no place for, or would do in a way of its own."""
    architecture = stored.config.identity.architecture or ""
    yield from _tensors(stored, architecture)
    yield from _scaling(stored)
    yield from _numbers(stored.config, architecture)


def unheeded(stored: StoredModel) -> Sequence[str]:
    """Say what llama.cpp leaves out of a model, and runs it all the same."""
    if stored.family is None:
        return ()
    architecture = stored.family.ggml_architecture
    return (*_window(stored.config, architecture), *_stretch(stored.config))


def _window(config: ModelConfig, architecture: str) -> Iterator[str]:
    window, length = config.sliding_window, config.max_position_embeddings or 0
    if window and window < length and architecture not in WINDOWS:
        yield (
            f"sliding_window {window}: llama.cpp has no windows in {architecture} and"
            f" lets every token see all before it; what comes after {window} tokens is"
            " predicted otherwise than by transformers"
        )


def _stretch(config: ModelConfig) -> Iterator[str]:
    if config.rope_scaling and config.rope_scaling.kind == _DYNAMIC:
        yield (
            "rope_scaling dynamic: llama.cpp does not stretch texts of more than"
            f" {config.max_position_embeddings} tokens; up to there nothing changes"
        )


def _tensors(stored: StoredModel, architecture: str) -> Iterator[Fault]:
    unread = OPTIONAL - OPTIONS.get(architecture, OPTIONAL)
    found = {re.sub(r"blk\.\d+\.", "", name) for name in stored.tensors}
    for name in sorted(unread & found):
        what = f"llama.cpp has no place for it in {architecture}"
        yield Fault(name, what, WRITE_FOLDER)


def _scaling(stored: StoredModel) -> Iterator[Fault]:
    scaling = stored.config.rope_scaling
    if scaling is None:
        return
    if scaling.kind not in _SCALINGS:
        what = f"llama.cpp has no scaling {scaling.kind!r}"
        yield Fault("rope_scaling", what, WRITE_FOLDER)
    for name in _SCALINGS.get(scaling.kind, ()):
        if name not in stored.tensors:
            what = f"missing, though the scaling is {scaling.kind}"
            yield Fault(name, what, "convert the original model again")
    if scaling.kind == "yarn":
        yield from _yarn(scaling)


def _yarn(scaling: RopeScaling) -> Iterator[Fault]:
    for name, fixed in _YARN.items():
        value = getattr(scaling, name)
        if value not in (None, fixed):
            yield _otherwise(f"rope_scaling.{name}", value, fixed)


def _numbers(config: ModelConfig, architecture: str) -> Iterator[Fault]:
    normalised = NORMALISED.get(architecture, config.norm_topk_prob)
    if config.norm_topk_prob not in (None, normalised):
        yield _otherwise("norm_topk_prob", config.norm_topk_prob, normalised)
    if config.bidirectional and slides(architecture, config.layer_kinds):
        what = "true, and llama.cpp lays windows otherwise then"
        yield Fault("bidirectional", what, WRITE_FOLDER)
    activations = ACTIVATIONS.get(architecture)
    if activations and config.activation not in (None, *activations):
        expected = " or ".join(sorted(activations))
        yield _otherwise("activation", config.activation, expected)
    for name, fixed in CAPS.get(architecture, {}).items():
        if getattr(config, name) == 0:
            yield _otherwise(name, "none", fixed)
    kinds = config.layer_kinds if architecture in WINDOWS else None
    if kinds and config.sliding_window and "sliding" not in kinds:
        yield Fault("layer_kinds", "none slides, and llama.cpp stops", WRITE_FOLDER)
    shared = has_shared_scale(architecture, config)
    scale = shared_size(config) if shared else config.head_dim
    if architecture in OPTIONS and config.query_scale not in (None, scale):
        yield _otherwise("query_scale", config.query_scale, scale)


def _otherwise(name: str, value: object, fixed: object) -> Fault:
    what = f"{_said(value)}, where llama.cpp computes with {_said(fixed)}"
    return Fault(name, what, WRITE_FOLDER)


def _said(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
