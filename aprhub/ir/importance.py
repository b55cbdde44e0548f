"""Importance: how much each input column of a model's matrices matters."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from aprhub.ir.joining import combined
from aprhub.ir.tensor import Tensor


@frozen
class Measured:
    """What a matrix was multiplied with, or each of several that are stacked.

    `sums` are f32: of each input column the sum of the squares that were seen, matrix
    after matrix. `counts` says how many vectors that were, for each matrix.
    """

    sums: Tensor
    counts: tuple[int, ...]

    @property
    def columns(self) -> int:
        """How many input columns one matrix has."""
        return self.sums.size // len(self.counts)

    def split(self, matrices: int) -> Iterator["Measured"]:
        """Yield what each of so many matrices was multiplied with.

        A single count, as older files have it, is that of each.
        """
        counts = self.counts * (matrices if len(self.counts) == 1 else 1)
        width = self.sums.size // matrices
        flat = self.sums.reshaped(self.sums.size)
        for place, count in enumerate(counts[:matrices]):
            yield Measured(flat.sliced(place * width, (place + 1) * width), (count,))

    def importance(self) -> Tensor:
        """Return the mean square of each column, or ones where nothing was seen."""
        (count,) = self.counts
        flat = self.sums.reshaped(self.sums.size)
        if not count:
            return Tensor.of(np.ones(flat.shape, np.float32))

        def mean(sums: NDArray[np.float32]) -> NDArray[np.float32]:
            return sums / np.float32(count)

        return combined(mean, [flat])


def _frozen_entries(values: Mapping[str, Measured]) -> Mapping[str, Measured]:
    return MappingProxyType(dict(values))


@frozen
class Importance:
    """An importance matrix, as llama.cpp calls it.

    `entries` are by stored name when it comes from a file, by canonical name when it
    belongs to a model. `datasets` names the texts it was measured on, `chunks` their
    pieces of `chunk_size` tokens, each 0 where that is not known. `notes` are oddities
    that the reader accepted.
    """

    path: Path
    entries: Mapping[str, Measured] = field(converter=_frozen_entries, repr=False)
    datasets: tuple[str, ...] = ()
    chunks: int = 0
    chunk_size: int = 0
    notes: tuple[str, ...] = ()
