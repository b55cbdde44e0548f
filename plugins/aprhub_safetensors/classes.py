"""What transformers' configuration classes do that the keys alone do not show."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from attrs import evolve, frozen

CAUSAL: Final = "is_causal"


@frozen
class ConfigClass:
    """The ways of one configuration class.

    `activation` is its key for the activation function, `experts` that for their
    number. `window` is the sliding window that it assumes where the key is absent; with
    `switched`, a window counts only when `use_sliding_window` is true, and only from
    layer `max_window_layers` on. `partial` says that it can rotate a part of each head.
    `trained_length` is the trained context that it assumes; a class with one has the
    key for it outside of the scaling of rotary frequencies. `lacks` are fields that it
    has no key for, since its models do not differ in them. One that is `capped` assumes
    caps of scores and logits, unless their keys are null. With `loose_gelu`, `gelu`
    means the approximation with tanh. `both_ways` is the key that lets tokens see those
    behind them. With `local`, sliding layers can have a base of frequencies of their
    own; one that has a `trained_length` knows no scaling but longrope.
    """

    activation: str = "hidden_act"
    experts: str = "num_experts"
    window: int | None = None
    switched: bool = False
    partial: bool = False
    trained_length: int | None = None
    lacks: tuple[str, ...] = ()
    capped: bool = False
    loose_gelu: bool = False
    both_ways: str = CAUSAL
    local: bool = False


_QWEN2: Final = ConfigClass(
    window=4096, switched=True, lacks=("attention_bias", "mlp_bias")
)
_QWEN3: Final = ConfigClass(window=4096, switched=True, lacks=("mlp_bias",))
_GEMMA: Final = ConfigClass(lacks=("mlp_bias",), loose_gelu=True)
_GEMMA2: Final = ConfigClass(
    "hidden_activation", window=4096, lacks=("mlp_bias",), capped=True
)
_GEMMA3: Final = evolve(
    _GEMMA2, capped=False, both_ways="use_bidirectional_attention", local=True
)

CLASSES: Final[Mapping[str, ConfigClass]] = MappingProxyType(
    {
        "llama": ConfigClass(),
        "mistral": ConfigClass(window=4096, lacks=("attention_bias", "mlp_bias")),
        "mixtral": ConfigClass(
            experts="num_local_experts", lacks=("attention_bias", "mlp_bias")
        ),
        "phi3": ConfigClass(
            partial=True, trained_length=4096, lacks=("attention_bias", "mlp_bias")
        ),
        "qwen2": _QWEN2,
        "qwen2_moe": _QWEN2,
        "qwen3": _QWEN3,
        "qwen3_moe": _QWEN3,
        "gemma": _GEMMA,
        "gemma2": _GEMMA2,
        "gemma3_text": _GEMMA3,
        "gemma3": _GEMMA3,
    }
)
"""By `model_type`; sources: the `configuration_*.py` files of transformers 5."""

MAX_WINDOW_LAYERS: Final = 28
"""What the switched classes assume for `max_window_layers`."""


def class_of(model_type: str | None) -> ConfigClass:
    """Return what is known of a class, or the common ways."""
    return CLASSES.get(model_type or "", ConfigClass())
