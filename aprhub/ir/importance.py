"""Importance: how much each input column of a model's matrices matters."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from aprhub.ir.tensor import Tensor, combined


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

    def importance(self, matrix: int = 0) -> Tensor:
        """Return the mean square of each column, or ones where nothing was seen."""
        count, width = self.counts[matrix], self.columns
        if not count:
            return Tensor.of(np.ones(width, np.float32))
        flat = self.sums.reshaped(self.sums.size)
        row = flat.sliced(matrix * width, (matrix + 1) * width)

        def mean(sums: NDArray[np.float32]) -> NDArray[np.float32]:
            return sums / np.float32(count)

        return combined(mean, [row])


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
