"""What transformers' configuration classes do that the keys alone do not show."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from attrs import frozen


@frozen
class ConfigClass:
    """The ways of one configuration class.

    `activation` is its key for the activation function. `window` is the sliding window
    that it assumes where the key is absent; with `switched`, a window counts only when
    `use_sliding_window` is true, and only from layer `max_window_layers` on. `lacks`
    are fields that it has no key for, since its models do not differ in them.
    """

    activation: str = "hidden_act"
    window: int | None = None
    switched: bool = False
    lacks: tuple[str, ...] = ()


_QWEN2: Final = ConfigClass(
    window=4096, switched=True, lacks=("attention_bias", "mlp_bias")
)
_QWEN3: Final = ConfigClass(window=4096, switched=True, lacks=("mlp_bias",))
_GEMMA: Final = ConfigClass("hidden_activation", lacks=("mlp_bias",))
_GEMMA3: Final = ConfigClass("hidden_activation", window=4096, lacks=("mlp_bias",))

CLASSES: Final[Mapping[str, ConfigClass]] = MappingProxyType(
    {
        "llama": ConfigClass(),
        "mistral": ConfigClass(window=4096, lacks=("attention_bias", "mlp_bias")),
        "qwen2": _QWEN2,
        "qwen2_moe": _QWEN2,
        "qwen3": _QWEN3,
        "qwen3_moe": _QWEN3,
        "gemma": _GEMMA,
        "gemma2": _GEMMA3,
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
