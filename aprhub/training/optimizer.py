"""AdamW, which lets matrices decay and nothing else."""

from typing import Final

import torch
from torch import nn

from aprhub.course import Course
from aprhub.ir.tensor import Tensor

BETAS: Final = (0.9, 0.95)
EPS: Final = 1e-8


def trained(decoder: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that are trained, by name; others have no gradient."""
    named = decoder.named_parameters()
    return {name: each for name, each in named if each.requires_grad}


def values_of(decoder: nn.Module) -> dict[str, Tensor]:
    """Return what is trained as tensors; on the CPU these share its memory."""
    return {
        name: Tensor.of(each.detach().cpu().numpy())
        for name, each in trained(decoder).items()
    }


def optimizer_of(decoder: nn.Module, course: Course) -> torch.optim.AdamW:
    """Return the optimiser of what is trained, with nothing in its memory yet."""
    parameters = trained(decoder).values()
    matrices = [each for each in parameters if each.ndim > 1]
    vectors = [each for each in parameters if each.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": course.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=course.lr, betas=BETAS, eps=EPS, fused=True)
