"""Several tensors as one: below each other, stacked, or combined by a function."""

from collections.abc import Callable, Sequence

import numpy as np
from attrs import evolve
from numpy.typing import NDArray

from aprhub.errors import UnrepresentableError
from aprhub.ir import source as sources
from aprhub.ir.computed import Combined, Packed
from aprhub.ir.encoding import F32
from aprhub.ir.tensor import Tensor


def concatenated(parts: Sequence[Tensor]) -> Tensor:
    """Return tensors joined along dimension 0, on packed bytes."""
    parts = [p.decoded() if isinstance(p.source, Packed) else p for p in parts]
    first = parts[0]
    kinds = {(part.encoding, part.shape[1:]) for part in parts}
    if len(kinds) > 1 or first.encoding.flat:
        found = ", ".join(f"{part.encoding.name} {part.shape}" for part in parts)
        raise UnrepresentableError(
            "concatenation",
            f"found {found:.200}, expected rows of one length in one encoding that has"
            " rows; decode or cast the parts first",
        )
    rows = sum(part.shape[0] for part in parts)
    joined = sources.Concatenation.of([part.source for part in parts])
    return evolve(first, shape=(rows, *first.shape[1:]), source=joined)


def stacked(parts: Sequence[Tensor]) -> Tensor:
    """Return tensors of one shape stacked along a new dimension 0."""
    return concatenated([part.reshaped(1, *part.shape) for part in parts])


def combined(
    function: Callable[..., NDArray[np.float32]], parts: Sequence[Tensor]
) -> Tensor:
    """Return the f32 result of a function of tensors of one shape, elementwise."""
    shapes = {part.shape for part in parts}
    if len(shapes) > 1:
        raise UnrepresentableError(
            "combination",
            f"the shapes {sorted(shapes)} differ; give tensors of one shape",
        )
    source = Combined(tuple(part.cast(F32).source for part in parts), function)
    return Tensor(parts[0].shape, F32, source)
