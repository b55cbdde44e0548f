"""The small parts that every larger one is made of: linear maps and norms."""

import torch
from torch import nn
from torch.nn import functional

from aprhub.decoder.plan import Plan


def linear(plan: Plan, name: str) -> nn.Linear:
    """Return the linear map of a name, with a bias if the model has one."""
    rows, columns = plan.shape(f"{name}.weight")
    return nn.Linear(columns, rows, bias=plan.has(f"{name}.bias"))


class RmsNorm(nn.Module):
    """Norm by the root of the mean square; some families add one to its weight."""

    def __init__(self, plan: Plan, name: str) -> None:
        super().__init__()
        self.offset = plan.norm_offset
        self.eps = plan.number("norm_eps")
        shape = plan.shape(f"{name}.weight")
        self.weight = nn.Parameter(torch.full(shape, 1 - self.offset))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return `(…, size)` normed, in the dtype in which it came; f32 in between."""
        weight = self.weight.float() + self.offset
        normed = functional.rms_norm(x.float(), weight.shape, weight, self.eps)
        return normed.to(x.dtype)


def norm_or_nothing(plan: Plan, name: str) -> nn.Module:
    """Return the norm of a name, or what changes nothing where the model has none."""
    return RmsNorm(plan, name) if plan.has(f"{name}.weight") else nn.Identity()
