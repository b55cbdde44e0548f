"""The two kinds of layers: with one feed-forward network, and with a choice of many."""

import torch
from torch import nn

from aprhub.decoder.attention import Attention
from aprhub.decoder.cache import LayerCache
from aprhub.decoder.feed_forward import FeedForward, GatedNetwork
from aprhub.decoder.parts import RmsNorm, linear, norm_or_nothing
from aprhub.decoder.plan import Plan
from aprhub.decoder.rotary import Turn


def layer_of(plan: Plan, layer: int) -> nn.Module:
    """Return a layer of the kind that its weights make it."""
    routed = plan.has(f"layers.{layer}.router.weight")
    return MixtureLayer(plan, layer) if routed else DenseLayer(plan, layer)


class DenseLayer(nn.Module):
    """Attention, then the feed-forward network."""

    def __init__(self, plan: Plan, layer: int) -> None:
        super().__init__()
        self.attn = Attention(plan, layer)
        self.ffn = FeedForward(plan, f"layers.{layer}.ffn")

    def forward(
        self, x: torch.Tensor, turn: Turn, cache: LayerCache | None = None
    ) -> torch.Tensor:
        """Return `(batch, positions, hidden)` after the layer."""
        x = x + self.attn(x, turn, cache)
        added: torch.Tensor = self.ffn(x)
        return x + added


class MixtureLayer(nn.Module):
    """Attention, then for each token the experts that the router chooses.

    A shared expert, where there is one, is asked for every token besides.
    """

    def __init__(self, plan: Plan, layer: int) -> None:
        super().__init__()
        name = f"layers.{layer}"
        self.attn = Attention(plan, layer)
        self.ffn = _Norms(plan, f"{name}.ffn")
        self.router = linear(plan, f"{name}.router")
        self.experts = nn.ModuleList(
            _Expert(plan, f"{name}.experts.{number}")
            for number in range(plan.size("num_experts"))
        )
        shared = f"{name}.shared"
        has_shared = plan.has(f"{shared}.gate.weight")
        self.shared = _SharedExpert(plan, shared) if has_shared else None
        self.asked = plan.size("num_experts_per_tok")
        told = plan.config.norm_topk_prob
        self.is_normed = plan.spec.normed_shares if told is None else told

    def forward(
        self, x: torch.Tensor, turn: Turn, cache: LayerCache | None = None
    ) -> torch.Tensor:
        """Return `(batch, positions, hidden)` after the layer."""
        x = x + self.attn(x, turn, cache)
        normed = self.ffn.norm(x)
        added = self._mixed(normed.flatten(0, 1)).view_as(x)
        if self.shared is not None:
            added = added + self.shared(normed)
        added = self.ffn.post_norm(added)
        summed: torch.Tensor = x + added
        return summed

    def _mixed(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return what the chosen experts make of `(tokens, hidden)`, by their shares.

        A share is the router's probability of an expert; where the model wants it,
        those of the chosen ones are made to sum to one.
        """
        shares = self.router(tokens).softmax(-1, dtype=torch.float32)
        shares, chosen = shares.topk(self.asked, dim=-1)
        if self.is_normed:
            shares = shares / shares.sum(-1, keepdim=True)
        mixed = torch.zeros_like(tokens)
        for number, expert in enumerate(self.experts):
            rows, places = torch.where(chosen == number)
            share = shares[rows, places, None].to(tokens.dtype)
            mixed = mixed.index_add(0, rows, expert(tokens[rows]) * share)
        return mixed


class _Norms(nn.Module):
    """The norms around a mixture, under the names that a dense layer has for them."""

    def __init__(self, plan: Plan, name: str) -> None:
        super().__init__()
        self.norm = RmsNorm(plan, f"{name}.norm")
        self.post_norm = norm_or_nothing(plan, f"{name}.post_norm")


class _Expert(nn.Module):
    def __init__(self, plan: Plan, name: str) -> None:
        super().__init__()
        self.ffn = GatedNetwork(plan, f"{name}.ffn")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self.ffn(x)
        return made


class _SharedExpert(_Expert):
    """An expert whose share is a gate's, from 0 to 1, by itself."""

    def __init__(self, plan: Plan, name: str) -> None:
        super().__init__(plan, name)
        self.gate = linear(plan, f"{name}.gate")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        share: torch.Tensor = self.gate(x).sigmoid()
        return super().forward(x) * share
