"""Low-rank pairs beside frozen weights: only they are trained, and they are an adapter.

A weight's map becomes y = W x + s B (A x). A starts uniform within ± 1 / sqrt(in), as
PEFT has it (`reset_lora_parameters`, which is He's initialisation with a slope of
sqrt(5)), B with zeros: at first nothing changes.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from aprhub.decoder.model import Decoder
from aprhub.errors import UsageError, near_miss
from aprhub.ir.adapter import Adapter
from aprhub.ir.lowrank import LowRank
from aprhub.ir.tensor import Tensor
from aprhub.low_rank import LowRankOptions
from aprhub.spec.family import LAYER, role_of
from aprhub.training.fresh import generator
from aprhub.training.nf4 import Nf4Linear


class LowRankLinear(nn.Module):
    """A linear map that stays as it is, and a low-rank one that is trained beside it.

    `lora_a` is `(rank, in)`, `lora_b` `(out, rank)`.
    """

    def __init__(
        self, base: nn.Module, a: torch.Tensor, b: torch.Tensor, scale: float
    ) -> None:
        super().__init__()
        self.base = base
        self.lora_a = nn.Parameter(a)
        self.lora_b = nn.Parameter(b)
        self.scale = scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sum of both maps of `(…, in)`."""
        change = functional.linear(functional.linear(x, self.lora_a), self.lora_b)
        summed: torch.Tensor = self.base(x) + self.scale * change
        return summed


Linear = nn.Linear | Nf4Linear


def quantize(decoder: Decoder, options: LowRankOptions) -> None:
    """Let the targeted weights of a decoder that has none yet be NF4 when loaded.

    Raises as `adapt` does. Without `options.quantized`, nothing is changed.
    """
    if options.quantized:
        for name, linear in _targeted(decoder, options.targets).items():
            decoder.set_submodule(name, _quantized(linear))


def adapt(decoder: Decoder, options: LowRankOptions, seed: int) -> None:
    """Freeze a decoder and give each targeted weight a pair that is trained.

    A depends on the seed and the weight's name alone. The pairs are where the weights
    are; a decoder that is adapted first and moved then takes quantised weights along.
    Raises UsageError where no weight is of a target, and changes nothing then.
    """
    targeted = _targeted(decoder, options.targets)
    decoder.requires_grad_(False)
    for name, linear in targeted.items():
        adapted = _adapted(name, linear, options, seed)
        decoder.set_submodule(name, adapted)


def adapter_of(values: Mapping[str, Tensor], options: LowRankOptions) -> Adapter:
    """Return the adapter that pairs are, by the names of their halves, as of now."""
    end = ".lora_a"
    names = [each.removesuffix(end) for each in values if each.endswith(end)]
    return Adapter(
        {
            f"{name}.weight": LowRank(
                _kept(values[f"{name}.lora_a"]),
                _kept(values[f"{name}.lora_b"]),
                options.alpha,
                options.rank_stabilised,
            )
            for name in names
        }
    )


def _targeted(decoder: Decoder, targets: tuple[str, ...]) -> dict[str, Linear]:
    """Return the linear maps that are meant, by name."""
    linears = dict(_linears(decoder))
    roles = sorted({role_of(name) for name in linears})
    for target in targets:
        if not any(_is_meant(role, target) for role in roles):
            known = [role.removeprefix(f"layers.{LAYER}.") for role in roles]
            raise UsageError(
                f"targets: no weight has the role {target!r:.80}; choose from"
                f" {', '.join(known)}{near_miss(target, known)}"
            )
    return {
        name: linear
        for name, linear in linears.items()
        if any(_is_meant(role_of(name), target) for target in targets)
    }


def _linears(decoder: Decoder) -> Iterator[tuple[str, Linear]]:
    """Yield the linear maps of all layers; the head is none of them."""
    for name, module in decoder.layers.named_modules(prefix="layers"):
        if isinstance(module, Linear):
            yield name, module


def _quantized(linear: Linear) -> Nf4Linear:
    return linear if isinstance(linear, Nf4Linear) else Nf4Linear(linear)


def _is_meant(role: str, target: str) -> bool:
    return f".{role}".endswith(f".{target}")


def _adapted(
    name: str, linear: Linear, options: LowRankOptions, seed: int
) -> LowRankLinear:
    base = _quantized(linear) if options.quantized else linear
    kept = base.codes if isinstance(base, Nf4Linear) else base.weight
    rows, columns = base.shape if isinstance(base, Nf4Linear) else kept.shape
    bound, device = columns**-0.5, kept.device
    random = generator(seed, f"{name}.lora_a")
    a = random.uniform(-bound, bound, (options.rank, columns)).astype(np.float32)
    return LowRankLinear(
        base,
        torch.from_numpy(a).to(device),
        torch.zeros(rows, options.rank, device=device),
        options.scale,
    )


def _kept(half: Tensor) -> Tensor:
    """Return values that go on being these while the parameter is trained."""
    return Tensor.of(half.numpy().copy())
