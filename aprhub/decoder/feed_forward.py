"""The gated feed-forward network."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import torch
from torch import nn
from torch.nn import functional

from aprhub.decoder.parts import RmsNorm, linear, norm_or_nothing
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


class GatedNetwork(nn.Module):
    """Two maps to a wider space, one through the activation, and one back."""

    def __init__(self, plan: Plan, name: str) -> None:
        super().__init__()
        self.gate = linear(plan, f"{name}.gate")
        self.up = linear(plan, f"{name}.up")
        self.down = linear(plan, f"{name}.down")
        self.activation = activation(plan.config.activation)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the network makes of `(…, hidden)`."""
        made: torch.Tensor = self.down(self.activation(self.gate(x)) * self.up(x))
        return made


class FeedForward(GatedNetwork):
    """What the feed-forward network of one layer adds to its input."""

    def __init__(self, plan: Plan, name: str) -> None:
        super().__init__(plan, name)
        self.norm = RmsNorm(plan, f"{name}.norm")
        self.post_norm = norm_or_nothing(plan, f"{name}.post_norm")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return what is added to `(batch, positions, hidden)`."""
        added: torch.Tensor = self.post_norm(super().forward(self.norm(x)))
        return added


def activation(name: str | None) -> Activation:
    """Return the function of a name; raises ModelCheckError for one not known."""
    if name is None or name not in ACTIVATIONS:
        raise ModelCheckError(
            "activation",
            f"{name!r:.80} is not one of {', '.join(ACTIVATIONS)}; correct it in the"
            " configuration",
        )
    return ACTIVATIONS[name]
