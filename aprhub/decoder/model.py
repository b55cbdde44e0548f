"""Decoder: embeddings, layers, and the logits of the next token."""

import torch
from torch import nn
from torch.nn import functional

from aprhub.decoder.attention import Attention
from aprhub.decoder.feed_forward import FeedForward
from aprhub.decoder.norm import RmsNorm, linear
from aprhub.decoder.plan import Plan
from aprhub.decoder.rotary import Rotary, Turn
from aprhub.errors import Fault, ModelCheckError
from aprhub.ir.model import HEAD


class Layer(nn.Module):
    """One layer: attention, then the feed-forward network."""

    def __init__(self, plan: Plan, layer: int) -> None:
        super().__init__()
        self.attn = Attention(plan, layer)
        self.ffn = FeedForward(plan, layer)

    def forward(self, x: torch.Tensor, turn: Turn) -> torch.Tensor:
        """Return `(batch, positions, hidden)` after the layer."""
        x = x + self.attn(x, turn)
        added: torch.Tensor = self.ffn(x)
        return x + added


class Decoder(nn.Module):
    """A causal language model; its parameters have the canonical names of tensors.

    Raises ModelCheckError when the plan has a part that there is no code for, and
    when it lacks one that the code needs.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        hidden, vocabulary = plan.size("hidden_size"), plan.size("vocab_size")
        count = plan.size("num_layers")
        self.embed = nn.Embedding(vocabulary, hidden)
        self.layers = nn.ModuleList(Layer(plan, number) for number in range(count))
        self.norm = RmsNorm(plan, hidden)
        self.head = linear(plan, "head", hidden, vocabulary) if plan.has(HEAD) else None
        self.embedding_scale = hidden**0.5 if plan.spec.scaled_embedding else 1.0
        self.softcap = plan.config.final_softcap
        self.slides = [plan.is_sliding(number) for number in range(count)]
        self.rotary = Rotary.of(plan, sliding=False)
        self.sliding_rotary = Rotary.of(plan, sliding=True)
        _refuse_other_parts(plan, {name for name, _ in self.named_parameters()})

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the logits `(batch, positions, vocabulary)` of token ids."""
        return self.logits(self.hidden(ids))

    def hidden(self, ids: torch.Tensor) -> torch.Tensor:
        """Return what the head is applied to, `(batch, positions, hidden)`."""
        x = self.embed(ids) * self.embedding_scale
        full = self.rotary.turn(ids.shape[-1], ids.device)
        sliding = self.sliding_rotary.turn(ids.shape[-1], ids.device)
        for layer, slides in zip(self.layers, self.slides, strict=True):
            x = layer(x, sliding if slides else full)
        normed: torch.Tensor = self.norm(x)
        return normed

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return the logits `(…, vocabulary)` of what `hidden` returns, or a part."""
        head = self.embed if self.head is None else self.head
        logits = functional.linear(hidden, head.weight)
        if self.softcap:
            return self.softcap * torch.tanh(logits / self.softcap)
        return logits


def _refuse_other_parts(plan: Plan, built: set[str]) -> None:
    """Raise unless what was built has exactly the weights of the family."""
    unknown = [Fault(name, "no part of the decoder") for name in plan.names - built]
    lacking = [Fault(name, "the decoder needs it") for name in built - plan.names]
    faults = sorted(unknown + lacking, key=lambda each: each.subject)
    if faults:
        raise ModelCheckError(
            plan.family, "the decoder cannot compute this family", faults
        )
