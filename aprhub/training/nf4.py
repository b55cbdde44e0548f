"""NF4: weights in four bits, for bases of which nothing is trained (arXiv 2305.14314).

A block of 64 weights has its largest magnitude as an f32 scale, and a code for each:
the nearest of sixteen quantiles of the normal distribution. That is 4.5 bits a weight.
The scales are kept as they are: codes for them would save 0.4 bits more, and add an
error. It is the plain NF4 of bitsandbytes, code for code.
"""

import math
from typing import Any, Final

import torch
from torch import nn
from torch.nn import functional

BLOCK: Final = 64

LEVELS: Final = (
    -1.0,
    -0.6961928009986877,
    -0.5250730514526367,
    -0.39491748809814453,
    -0.28444138169288635,
    -0.18477343022823334,
    -0.09105003625154495,
    0.0,
    0.07958029955625534,
    0.16093020141124725,
    0.24611230194568634,
    0.33791524171829224,
    0.44070982933044434,
    0.5626170039176941,
    0.7229568362236023,
    1.0,
)
"""What codes mean, times the scale: appendix E of the paper."""


def encoded(matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the codes of a matrix, row after row, and the f32 scales of their blocks.

    There are two codes in a byte, the first in the higher half; the last block is
    filled with zeros. Of two levels that are equally near, the lower one is taken. What
    is not finite makes its whole block so.
    """
    flat = matrix.detach().float().flatten()
    blocks = functional.pad(flat, (0, -flat.numel() % BLOCK)).view(-1, BLOCK)
    scales = blocks.abs().amax(1)
    divisors = torch.where(scales == 0, 1.0, scales)
    levels = torch.tensor(LEVELS, device=matrix.device)
    middles = (levels[1:] + levels[:-1]) / 2
    codes = torch.bucketize(blocks / divisors[:, None], middles, out_int32=True)
    high, low = codes.to(torch.uint8).view(-1, 2).unbind(1)
    return high << 4 | low, scales


def decoded(
    codes: torch.Tensor, scales: torch.Tensor, shape: tuple[int, ...]
) -> torch.Tensor:
    """Return the f32 matrix of a shape that codes and scales stand for."""
    levels = torch.tensor(LEVELS, device=codes.device)
    pairs = torch.cartesian_prod(levels, levels)
    blocks = functional.embedding(codes.int(), pairs).view(-1, BLOCK)
    return (blocks * scales[:, None]).flatten()[: math.prod(shape)].view(shape)


class Nf4Linear(nn.Module):
    """A linear map whose matrix is kept as NF4, and decoded when it is applied.

    Made of one that has no weights yet, it encodes its matrix when it is loaded, so
    that of a whole model only one matrix at a time is there in more than four bits.
    """

    codes: torch.Tensor
    scales: torch.Tensor
    bias: nn.Parameter | None

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.shape = linear.weight.shape
        self.bias = linear.bias
        if linear.weight.is_meta:
            self.weight = linear.weight
        else:
            self._keep(linear.weight)

    def _keep(self, matrix: torch.Tensor) -> None:
        codes, scales = encoded(matrix)
        self.register_buffer("codes", codes)
        self.register_buffer("scales", scales)

    def _load_from_state_dict(
        self, state_dict: dict[str, torch.Tensor], prefix: str, *details: Any
    ) -> None:
        """Take the matrix out of what is loaded, and load the rest."""
        matrix = state_dict.pop(f"{prefix}weight", None)
        if matrix is not None:
            del self.weight
            self._keep(matrix)
        super()._load_from_state_dict(state_dict, prefix, *details)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the map of `(…, in)`, in the dtype that autocast wants if it is on."""
        kind = x.device.type
        if torch.is_autocast_enabled(kind):
            x = x.to(torch.get_autocast_dtype(kind))
        parts = (self.codes, self.scales, self.shape)
        y: torch.Tensor = _Product.apply(x, *parts)  # type: ignore[no-untyped-call]  # torch leaves it so
        return y if self.bias is None else y + self.bias.to(y.dtype)


class _Product(torch.autograd.Function):
    """x W^T for a W that is decoded when it is needed, and never kept between."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        codes: torch.Tensor,
        scales: torch.Tensor,
        shape: tuple[int, ...],
    ) -> torch.Tensor:
        ctx.save_for_backward(codes, scales)
        ctx.shape = shape
        return functional.linear(x, decoded(codes, scales, shape).to(x.dtype))

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient,) = gradients
        codes, scales = ctx.saved_tensors
        weight = decoded(codes, scales, ctx.shape).to(gradient.dtype)
        return gradient @ weight, None, None, None
