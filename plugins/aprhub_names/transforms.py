"""The invertible differences between stored layouts and the canonical one."""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from aprhub.api import (
    Adjustment,
    Family,
    ModelCheckError,
    ModelConfig,
    Tensor,
    Transform,
)

HeadCount = Callable[[ModelConfig], int | None]


def _interleaving(rows: int, heads: int) -> NDArray[np.int64]:
    """Return which canonical row stands in each interleaved row.

    Canonical rows pair element i of a head with i + d/2; ggml's NORM rotation pairs
    2i with 2i + 1. (heads, 2, d/2) -> (heads, d/2, 2).
    """
    grid = np.arange(rows, dtype=np.int64).reshape(heads, 2, rows // heads // 2)
    return grid.swapaxes(1, 2).reshape(-1)


def _heads(name: str, tensor: Tensor, count: int | None) -> tuple[int, int]:
    rows = tensor.shape[0]
    if not count or rows % (2 * count):
        raise ModelCheckError(
            name,
            f"{rows} rows cannot be {count} heads of an even size; repair the source"
            " with 'aprhub doctor --fix -o OUT'",
        )
    return rows, count


def interleaved(name: str, heads: HeadCount) -> Transform:
    """Return the reordering of a query or key projection for `heads` heads."""

    def lower(tensor: Tensor, config: ModelConfig) -> Tensor:
        return tensor.taken(_interleaving(*_heads(name, tensor, heads(config))))

    def lift(tensor: Tensor, config: ModelConfig) -> Tensor:
        forward = _interleaving(*_heads(name, tensor, heads(config)))
        return tensor.taken(np.argsort(forward))

    return Transform(name, lift, lower)


def _pairs_neighbours(family: Family) -> bool:
    return family.rope_pairs == "interleaved"


def _adds_to_norms(family: Family) -> bool:
    return family.norm_offset == 1


ROPE_INTERLEAVED: Final = (
    Adjustment(
        r"layers\.\{i\}\.attn\.q\.(weight|bias)",
        interleaved("rope rows of q interleaved", lambda config: config.num_heads),
        _pairs_neighbours,
    ),
    Adjustment(
        r"layers\.\{i\}\.attn\.k\.(weight|bias)",
        interleaved("rope rows of k interleaved", lambda config: config.num_kv_heads),
        _pairs_neighbours,
    ),
)

NORM_PLUS_ONE: Final = Adjustment(
    r".*norm\.weight",
    Transform(
        "norm weight plus one",
        lambda tensor, _config: tensor.affine(-1.0),
        lambda tensor, _config: tensor.affine(1.0),
        packed_safe=False,
        observed=lambda tensor, _config, observe: tensor.affine(1.0, observe),
    ),
    _adds_to_norms,
)
"""Stores what the norm multiplies with, where the architecture stores one less."""


def _as_row(tensor: Tensor, _config: ModelConfig) -> Tensor:
    return tensor.reshaped(1, tensor.size) if len(tensor.shape) == 1 else tensor


ONE_ROW: Final = Adjustment(
    r"layers\.\{i\}\.shared\.gate\.weight",
    Transform("one row", _as_row, lambda tensor, _config: tensor),
)
"""A matrix of one row, of which llama.cpp's quantiser makes a vector."""
