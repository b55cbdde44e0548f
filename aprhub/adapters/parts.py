"""The tensors that an adapter has for one weight, and whether they fit it."""

from collections.abc import Iterator
from typing import Final

from attrs import frozen

from aprhub.errors import Fault
from aprhub.ir.tensor import Tensor
from aprhub.spec.adapter import AdapterPart, AdapterTensor


@frozen
class Placed:
    """A tensor of an adapter in canonical layout, and as it is in the file."""

    told: AdapterTensor
    tensor: Tensor


Parts = dict[AdapterPart, Placed]

BASE: Final = "give the base that the adapter was trained on"
"""What to do where tensors do not fit a base."""


def bias_of(weight: str) -> str:
    """Return the canonical name of the bias that goes with a weight."""
    return weight.removesuffix(".weight") + ".bias"


def is_pair(parts: Parts) -> bool:
    """Return whether both halves of a change are there."""
    return AdapterPart.A in parts and AdapterPart.B in parts


def halves(parts: Parts) -> Iterator[Fault]:
    """Yield what belongs to a pair that is not whole."""
    missing = " and ".join(
        part for part in (AdapterPart.A, AdapterPart.B) if part not in parts
    )
    for part, placed in parts.items():
        if part not in (AdapterPart.WHOLE, AdapterPart.ROWS):
            what = f"the {part} of a pair without {missing}"
            yield Fault(placed.told.stored, what, "get the whole adapter again")


def misfits(shape: tuple[int, ...], parts: Parts, pair: bool) -> Iterator[Fault]:
    """Yield the tensors whose shape is not that of the base's weight."""
    expected: dict[AdapterPart, tuple[int, ...]] = {AdapterPart.WHOLE: shape}
    if pair and len(shape) == 2:
        ranks = parts[AdapterPart.A].tensor.shape[:1]
        expected[AdapterPart.A], expected[AdapterPart.B] = (
            (*ranks, shape[1]),
            (shape[0], *ranks),
        )
        expected[AdapterPart.MAGNITUDE] = expected[AdapterPart.BIAS] = shape[:1]
        expected[AdapterPart.LENGTHS] = shape[1:]
        if ranks == (0,):
            repair = "train the adapter anew, with a rank of 1 or more"
            yield Fault(parts[AdapterPart.A].told.stored, "has rank 0", repair)
    elif pair:
        what = f"is for a matrix, the base has {shape}"
        yield Fault(parts[AdapterPart.A].told.stored, what, BASE)
    if AdapterPart.ROWS in parts:
        count = len(parts[AdapterPart.ROWS].told.rows)
        expected[AdapterPart.ROWS] = (count, *shape[1:])
    for part, placed in parts.items():
        found = placed.tensor.shape
        if part in expected and found != expected[part]:
            what = f"{part} has shape {found}, expected {expected[part]}"
            yield Fault(placed.told.stored, what, BASE)
