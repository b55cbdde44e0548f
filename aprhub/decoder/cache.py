"""Cache: keys and values of positions that a decoder has seen, so that it sees more.

Without it, every new token costs a run over all before it.
"""

import torch
from attrs import define


@define(eq=False)
class LayerCache:
    """Keys and values of one layer, `(batch, heads, positions, head_dim)`."""

    keys: torch.Tensor | None = None
    values: torch.Tensor | None = None

    def extended(
        self, keys: torch.Tensor, values: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return all keys and values with new ones behind, and keep them."""
        if self.keys is not None and self.values is not None:
            keys = torch.cat((self.keys, keys), dim=-2)
            values = torch.cat((self.values, values), dim=-2)
        self.keys, self.values = keys, values
        return keys, values


@define(eq=False)
class Cache:
    """The caches of all layers, and how many positions are in them."""

    layers: list[LayerCache]
    length: int = 0

    @classmethod
    def of(cls, layers: int) -> "Cache":
        """Return the empty cache of a decoder with so many layers."""
        return cls([LayerCache() for _ in range(layers)])
