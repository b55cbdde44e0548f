"""The stored parts of one weight, checked before they are believed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from attrs import evolve, field, frozen
from numpy.typing import NDArray

from aprhub.api import (
    ComputedRows,
    CorruptFileError,
    Encoding,
    Tensor,
    UnsupportedFileError,
    packed,
)

FLOATS: Final = ("f32", "f16", "bf16")
SCALES: Final = (*FLOATS, "f8_e8m0")


@frozen
class Parts:
    """The tensors of one weight, by what follows the name of its module.

    `native` is the float type in which the model computes.
    """

    path: Path
    module: str
    tensors: Mapping[str, Tensor] = field(repr=False)
    native: Encoding

    def __contains__(self, name: str) -> bool:
        """Return whether the weight has such a part."""
        return name in self.tensors

    def take(
        self, name: str, encodings: tuple[str, ...], ranks: tuple[int, ...] = (2,)
    ) -> Tensor:
        """Return a part that must be there, of one of some encodings, and not empty."""
        tensor = self.tensors.get(name)
        if tensor is None:
            there = ", ".join(sorted(self.tensors))
            raise self.fault(name, f"missing; there are only {there}")
        if tensor.encoding.name not in encodings:
            wanted = " or ".join(encodings)
            found = f"is {tensor.encoding.name}; take a checkpoint with {wanted}"
            raise self.unsupported(name, found)
        if len(tensor.shape) not in ranks or not tensor.size:
            wanted = " or ".join(map(str, ranks))
            what = f"has shape {tensor.shape}, expected {wanted} dimensions"
            raise self.fault(name, what)
        return tensor

    def shaped(
        self, name: str, encodings: tuple[str, ...], shape: tuple[int, ...]
    ) -> Tensor:
        """Return a part that must be there and have this shape."""
        tensor = self.take(name, encodings, (len(shape),))
        if tensor.shape != shape:
            raise self.fault(name, f"has shape {tensor.shape}, expected {shape}")
        return tensor

    def index(self, name: str, count: int) -> NDArray[np.int64]:
        """Read a part whose numbers are each one of so many."""
        numbers: NDArray[np.int64] = self.tensors[name].numpy().astype(np.int64)
        low, high = int(numbers.min()), int(numbers.max())
        if low < 0 or high >= count:
            what = f"has numbers from {low} to {high}, expected 0 to {count - 1}"
            raise self.fault(name, what)
        return numbers

    def fault(self, name: str, what: str) -> CorruptFileError:
        """Return the error for a part that does not fit the others."""
        return CorruptFileError(self.path, what, where=f"{self.module}.{name}")

    def unsupported(self, name: str, what: str) -> UnsupportedFileError:
        """Return the error for a part of a kind that is not read; more to do is told.

        `what` ends with a checkpoint that would be read.
        """
        return UnsupportedFileError(
            self.path,
            f"{self.module}.{name}: {what}, or keep the parts as they are with"
            " --naming keep",
        )

    def weight(self, name: str, values: ComputedRows) -> Tensor:
        """Return the weight that all parts together are, under an encoding's name."""
        native = evolve(values, native=self.native)
        return packed(name, self.tensors, native)
