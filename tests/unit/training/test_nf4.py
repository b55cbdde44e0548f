"""Matrices in four bits, as bitsandbytes has them, and maps that keep them so."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from aprhub.training.nf4 import BLOCK, LEVELS, Nf4Linear, decoded, encoded

RECORDED: Final = Path(__file__).parent / "recorded" / "nf4.safetensors"


def linear(rows: int = 48, columns: int = 96, *, bias: bool = False) -> nn.Linear:
    torch.manual_seed(3)
    return nn.Linear(columns, rows, bias=bias).requires_grad_(False)


def plain(found: Nf4Linear) -> torch.Tensor:
    return decoded(found.codes, found.scales, found.shape)


@contextmanager
def saved_sizes() -> Iterator[list[int]]:
    """Give the bytes of whatever is kept for a gradient."""
    sizes: list[int] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        sizes.append(tensor.nbytes)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield sizes


def test_codes_and_scales_are_those_of_bitsandbytes() -> None:
    recorded = load_file(RECORDED)

    codes, scales = encoded(recorded["matrix"])

    assert torch.equal(codes, recorded["codes"])
    assert torch.equal(scales, recorded["scales"])
    assert torch.equal(torch.tensor(LEVELS), recorded["levels"])
    found = decoded(codes, scales, recorded["matrix"].shape)
    assert torch.equal(found, recorded["decoded"])


@pytest.mark.parametrize("shape", [(1, 1), (3, 21), (2, 64), (5, 13)])
def test_matrices_of_any_shape_come_back_nearly(shape: tuple[int, int]) -> None:
    torch.manual_seed(1)
    matrix = torch.randn(shape)

    found = decoded(*encoded(matrix), matrix.shape)

    assert found.shape == shape
    widest = max(b - a for a, b in pairwise(LEVELS))
    assert (found - matrix).abs().max() <= widest / 2 * matrix.abs().max()
    assert torch.equal(decoded(*encoded(found), found.shape), found)


def test_zeros_stay_zeros_and_what_is_not_finite_is_not_hidden() -> None:
    matrix = torch.zeros(3, BLOCK)
    matrix[1, 5], matrix[2, 5] = torch.nan, torch.inf

    found = decoded(*encoded(matrix), matrix.shape)

    assert not found[0].any()
    assert not found[1:].isfinite().any()


def test_a_matrix_takes_a_seventh_of_its_bytes() -> None:
    before = linear(512, 256)
    found = Nf4Linear(before)

    kept = sum(each.nbytes for each in (*found.buffers(), *found.parameters()))

    assert before.weight.nbytes / kept == pytest.approx(7.1, abs=0.02)


def test_a_map_and_its_gradient_are_those_of_the_decoded_matrix() -> None:
    found = Nf4Linear(linear(bias=True))
    x = torch.randn(2, 5, 96, requires_grad=True)
    other = x.detach().clone().requires_grad_()
    wanted = functional.linear(other, plain(found), found.bias)

    y = found(x)
    for each in (y, wanted):
        torch.autograd.backward(each.square().sum())

    assert torch.equal(y, wanted)
    assert x.grad is not None
    assert other.grad is not None
    torch.testing.assert_close(x.grad, other.grad)


def test_the_decoded_matrix_is_not_kept_for_the_gradient() -> None:
    found = Nf4Linear(linear())
    x = torch.randn(2, 96, requires_grad=True)

    with saved_sizes() as kept:
        found(x)

    assert kept
    assert sum(kept) == found.codes.nbytes + found.scales.nbytes


def test_a_map_computes_in_the_dtype_of_autocast() -> None:
    found = Nf4Linear(linear(bias=True))
    x = torch.randn(2, 96, requires_grad=True)

    with torch.autocast("cpu", torch.bfloat16):
        y = found(x)
        wanted = functional.linear(x, plain(found), found.bias)
    torch.autograd.backward(y.float().sum())

    assert y.dtype == wanted.dtype == torch.bfloat16
    torch.testing.assert_close(y, wanted, rtol=1e-2, atol=1e-2)
    assert x.grad is not None
    assert x.grad.dtype == torch.float32
