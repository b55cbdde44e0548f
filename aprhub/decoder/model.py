"""Decoder: embeddings, layers, and the logits of the next token."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from aprhub.decoder.cache import Cache
from aprhub.decoder.layers import layer_of
from aprhub.decoder.parts import RmsNorm, linear
from aprhub.decoder.plan import Plan
from aprhub.decoder.rotary import Rotary
from aprhub.errors import Fault, ModelCheckError
from aprhub.ir.model import EMBEDDING, HEAD


class Decoder(nn.Module):
    """A causal language model; its parameters have the canonical names of tensors.

    With `recomputes`, what a layer computed is not kept for its gradient but computed
    again, which costs time and saves memory.

    Raises ModelCheckError where the plan lacks a weight that the decoder needs, and
    where it has one that the decoder has no use for.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        count = plan.size("num_layers")
        rows, columns = plan.shape(EMBEDDING)
        # `nn.Embedding` itself would draw values, for which torch loads its compiler.
        empty = torch.empty(rows, columns)
        self.embed = nn.Embedding.from_pretrained(empty, freeze=False)  # type: ignore[no-untyped-call]  # so torch
        self.layers = nn.ModuleList(layer_of(plan, number) for number in range(count))
        self.norm = RmsNorm(plan, "norm")
        self.head = linear(plan, "head") if plan.has(HEAD) else None
        self.embedding_scale = columns**0.5 if plan.spec.scaled_embedding else 1.0
        self.softcap = plan.config.final_softcap
        self.slides = [plan.is_sliding(number) for number in range(count)]
        self.rotary = Rotary.of(plan, sliding=False)
        self.sliding_rotary = Rotary.of(plan, sliding=True)
        self.recomputes = False
        _refuse_unused(plan, {name for name, _ in self.named_parameters()})

    def forward(self, ids: torch.Tensor, cache: Cache | None = None) -> torch.Tensor:
        """Return the logits `(batch, positions, vocabulary)` of token ids."""
        return self.logits(self.hidden(ids, cache))

    def hidden(self, ids: torch.Tensor, cache: Cache | None = None) -> torch.Tensor:
        """Return what the head is applied to, `(batch, positions, hidden)`.

        With a cache, the ids are those after the ones that it has seen.
        """
        seen = cache.length if cache else 0
        length = seen + ids.shape[-1]
        x = self.embed(ids) * self.embedding_scale
        full = self.rotary.turn(length, ids.device, seen)
        sliding = self.sliding_rotary.turn(length, ids.device, seen)
        for number, layer in enumerate(self.layers):
            turn = sliding if self.slides[number] else full
            if self.recomputes and torch.is_grad_enabled():
                x = checkpoint(layer, x, turn, use_reentrant=False)
            else:
                x = layer(x, turn, cache.layers[number] if cache else None)
        if cache:
            cache.length = length
        normed: torch.Tensor = self.norm(x)
        return normed

    def cache(self) -> Cache:
        """Return an empty cache for this decoder."""
        return Cache.of(len(self.layers))

    def remembers(self, before: int, after: int) -> bool:
        """Return whether what it has seen holds when there are more positions.

        Some kinds of scaled positions turn all of them otherwise in a longer text.
        """
        return all(
            np.array_equal(each.speeds(before)[0], each.speeds(after)[0])
            for each in (self.rotary, self.sliding_rotary)
        )

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return the logits `(…, vocabulary)` of what `hidden` returns, or a part."""
        head = self.embed if self.head is None else self.head
        logits = functional.linear(hidden, head.weight)
        if self.softcap:
            return self.softcap * torch.tanh(logits / self.softcap)
        return logits


def _refuse_unused(plan: Plan, built: set[str]) -> None:
    """Raise if the family has weights that no part of the decoder reads."""
    unused = [name for name in plan.shapes if name not in built]
    if unused:
        problem = "no part of the decoder reads it"
        repair = "report it to the author of the family"
        faults = [Fault(name, problem, repair) for name in unused]
        what = "the decoder cannot compute it"
        raise ModelCheckError(f"family {plan.family}", what, faults)
