"""The gated feed-forward network."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import torch
from torch import nn
from torch.nn import functional

from aprhub.decoder.norm import RmsNorm, linear, norm_or_nothing
from aprhub.decoder.plan import Plan
from aprhub.errors import ModelCheckError

Activation = Callable[[torch.Tensor], torch.Tensor]

_GELU_TANH: Final = partial(functional.gelu, approximate="tanh")

ACTIVATIONS: Final[Mapping[str, Activation]] = {
    "silu": functional.silu,
    "swish": functional.silu,
    "gelu": functional.gelu,
    "gelu_new": _GELU_TANH,
    "gelu_pytorch_tanh": _GELU_TANH,
    "relu": functional.relu,
}
"""The functions by the names that configurations give them."""


class FeedForward(nn.Module):
    """What the feed-forward network of one layer adds to its input."""

    def __init__(self, plan: Plan, layer: int) -> None:
        super().__init__()
        name, hidden = f"layers.{layer}.ffn", plan.size("hidden_size")
        inner = plan.size("intermediate_size")
        self.norm = RmsNorm(plan, hidden)
        self.gate = linear(plan, f"{name}.gate", hidden, inner)
        self.up = linear(plan, f"{name}.up", hidden, inner)
        self.down = linear(plan, f"{name}.down", inner, hidden)
        self.post_norm = norm_or_nothing(plan, f"{name}.post_norm", hidden)
        self.activation = activation(plan.config.activation)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return what is added to `x`, which is `(batch, positions, hidden)`."""
        normed = self.norm(x)
        inner = self.activation(self.gate(normed)) * self.up(normed)
        added: torch.Tensor = self.post_norm(self.down(inner))
        return added


def activation(name: str | None) -> Activation:
    """Return the function of a name; raises ModelCheckError for one not known."""
    if name is None or name not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise ModelCheckError("activation", f"{name!r} is not one of {known}")
    return ACTIVATIONS[name]
