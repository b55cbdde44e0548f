"""Causal attention with grouped heads."""

import math

import torch
from torch import nn
from torch.nn import functional

from aprhub.decoder.cache import LayerCache
from aprhub.decoder.parts import RmsNorm, linear, norm_or_nothing
from aprhub.decoder.plan import Plan
from aprhub.decoder.rotary import Turn, turned


class Attention(nn.Module):
    """What the attention of one layer adds to its input."""

    def __init__(self, plan: Plan, layer: int) -> None:
        super().__init__()
        name = f"layers.{layer}.attn"
        self.head_dim = plan.size("head_dim")
        self.norm = RmsNorm(plan, f"{name}.norm")
        self.q = linear(plan, f"{name}.q")
        self.k = linear(plan, f"{name}.k")
        self.v = linear(plan, f"{name}.v")
        self.o = linear(plan, f"{name}.o")
        self.q_norm = norm_or_nothing(plan, f"{name}.q_norm")
        self.k_norm = norm_or_nothing(plan, f"{name}.k_norm")
        self.post_norm = norm_or_nothing(plan, f"{name}.post_norm")
        self.window = plan.window(layer)
        self.scale = (plan.config.query_scale or self.head_dim) ** -0.5
        self.softcap = plan.config.attention_softcap

    def forward(
        self, x: torch.Tensor, turn: Turn, cache: LayerCache | None = None
    ) -> torch.Tensor:
        """Return what is added to `x`, which is `(batch, positions, hidden)`.

        With a cache, the positions come after those that it has, and it keeps them.
        """
        normed = self.norm(x)
        queries = turned(self.q_norm(self._heads(self.q(normed))), turn)
        keys = turned(self.k_norm(self._heads(self.k(normed))), turn)
        values = self._heads(self.v(normed))
        if cache:
            keys, values = cache.extended(keys, values)
        mixed = self._mixed(queries, keys, values)
        added: torch.Tensor = self.post_norm(self.o(mixed.transpose(1, 2).flatten(2)))
        return added

    def _heads(self, rows: torch.Tensor) -> torch.Tensor:
        """Return rows of all heads as `(batch, heads, positions, head_dim)`."""
        batch, positions, _ = rows.shape
        return rows.view(batch, positions, -1, self.head_dim).transpose(1, 2)

    def _mixed(
        self, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor
    ) -> torch.Tensor:
        """Return the values that each query sees, by how well their keys fit it."""
        if self.softcap:
            return self._capped(queries, keys, values, self.softcap)
        asking, asked = queries.shape[-2], keys.shape[-2]
        is_cut = self.window is not None and self.window < asked
        is_whole = asking == asked and not is_cut
        # One query sees all there is; SDPA would take it for the first position.
        needs_mask = not is_whole and (asking > 1 or is_cut)
        return functional.scaled_dot_product_attention(
            queries,
            keys,
            values,
            attn_mask=self._visible(queries, keys) if needs_mask else None,
            is_causal=is_whole,
            scale=self.scale,
            enable_gqa=True,
        )

    def _visible(self, queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        """Return which key, in a row, each query sees: none to come, none too old.

        The queries are those of the last positions.
        """
        asking, asked = queries.shape[-2], keys.shape[-2]
        place = torch.arange(asked, device=queries.device)
        age = place[asked - asking :, None] - place
        return (age >= 0) & (age < (self.window or asked))

    def _capped(
        self,
        queries: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        softcap: float,
    ) -> torch.Tensor:
        """Return the same with scores kept within ± `softcap`, step by step."""
        group = queries.shape[1] // keys.shape[1]
        keys, values = (each.repeat_interleave(group, 1) for each in (keys, values))
        scores = queries @ keys.transpose(-2, -1) * self.scale
        scores = softcap * torch.tanh(scores / softcap)
        scores = scores.masked_fill(~self._visible(queries, keys), -math.inf)
        return scores.softmax(-1, dtype=torch.float32).to(values.dtype) @ values
