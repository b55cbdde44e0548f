"""The norm of every part: by the root of the mean square."""

import torch
from torch import nn
from torch.nn import functional

from aprhub.decoder.plan import Plan


class RmsNorm(nn.Module):
    """RMS norm with a weight, to which some families add one; computed in f32."""

    def __init__(self, plan: Plan, size: int) -> None:
        super().__init__()
        self.offset = plan.norm_offset
        self.eps = plan.number("norm_eps")
        self.weight = nn.Parameter(torch.full((size,), 1 - self.offset))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return `(…, size)` normed, in the dtype in which it came."""
        weight = self.weight.float() + self.offset
        normed = functional.rms_norm(x.float(), weight.shape, weight, self.eps)
        return normed.to(x.dtype)


def norm_or_nothing(plan: Plan, name: str, size: int) -> nn.Module:
    """Return the norm whose weight has this name, or what changes nothing."""
    return RmsNorm(plan, size) if plan.has(f"{name}.weight") else nn.Identity()


def linear(plan: Plan, name: str, columns: int, rows: int) -> nn.Linear:
    """Return the linear map of a name, with a bias if the model has one."""
    return nn.Linear(columns, rows, bias=plan.has(f"{name}.bias"))
