"""Embeddings whose rows are put in the order of another vocabulary, lazily."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Final

import numpy as np
from attrs import Factory, define
from numpy.typing import NDArray

from aprhub.ir.encoding import F32
from aprhub.ir.joining import combined, concatenated
from aprhub.ir.source import Bytes, FileRange
from aprhub.ir.tensor import Tensor
from aprhub.merging.vocabulary import Row
from aprhub.spec.merging import Numbers, Values

_PIECE_BYTES: Final = 1 << 22


def aligned(
    path: Path, tensors: Mapping[Path, Tensor], rows: Mapping[int, Row], count: int
) -> Tensor:
    """Return a model's matrix with the given row for each of `count` ids.

    `tensors` are the matrices of all models. Rows of one origin are taken together.
    Ids without a row of their own get the mean of all others, which no text prefers.
    """
    own = tensors[path]
    if _is_unchanged(path, own, rows, count):
        return own
    tables = {each: tensor.cast(F32) for each, tensor in tensors.items()}
    groups: dict[tuple[Path, ...], list[int]] = {}
    for number, row in rows.items():
        groups.setdefault(tuple(each for each, _ in row), []).append(number)
    order = np.empty(count, np.int64)
    parts, start = [], 0
    for origins, numbers in groups.items():
        picked = np.array([[at for _, at in rows[n]] for n in numbers], np.int64)
        parts.append(_taken([tables[each] for each in origins], picked, own.shape[1:]))
        order[numbers] = np.arange(start, start + len(numbers))
        start += len(numbers)
    whole = concatenated(parts)
    spare = sorted({*range(count)} - rows.keys())
    if spare:
        mean = Tensor((1, *own.shape[1:]), F32, _Mean(whole))
        order[spare] = start
        whole = concatenated([whole, mean])
    return whole.taken(order)


def _is_unchanged(path: Path, own: Tensor, rows: Mapping[int, Row], count: int) -> bool:
    same = all(row == ((path, number),) for number, row in rows.items())
    return same and own.shape[0] == count


def _taken(
    tables: Sequence[Tensor], rows: NDArray[np.int64], shape: tuple[int, ...]
) -> Tensor:
    """Return the mean of rows of tables, `rows` has a column for each; or zeros."""
    if not tables:
        return Tensor.of(np.zeros((len(rows), *shape), np.float32))
    parts = [table.taken(rows[:, place]) for place, table in enumerate(tables)]
    return parts[0] if len(parts) == 1 else combined(_mean, parts)


def _mean(*parts: Values) -> Values:
    stacked = np.stack(parts).astype(np.float64)
    mean: Numbers = stacked.mean(axis=0)
    return mean.astype(np.float32)


@define(eq=False)
class _Mean:
    """The mean of all rows of an f32 matrix, as one row; computed once."""

    whole: Tensor
    _row: Bytes | None = None
    _lock: Lock = Factory(Lock)

    @property
    def nbytes(self) -> int:
        """How many bytes a row has."""
        return F32.nbytes(self.whole.shape[1:])

    @property
    def granule(self) -> int:
        """The row."""
        return self.nbytes

    def read_into(self, _start: int, out: Bytes) -> None:
        """Give the row."""
        with self._lock:
            if self._row is None:
                self._row = self._computed()
        out[:] = self._row

    def _computed(self) -> Bytes:
        columns = self.whole.shape[1]
        total = np.zeros(columns)
        step = max(_PIECE_BYTES // self.nbytes, 1) * self.nbytes
        for start in range(0, self.whole.nbytes, step):
            piece = np.empty(min(step, self.whole.nbytes - start), np.uint8)
            self.whole.read_into(start, piece)
            total += piece.view("<f4").reshape(-1, columns).sum(0, dtype=np.float64)
        return (total / self.whole.shape[0]).astype("<f4").view(np.uint8)

    def segments(self) -> tuple[FileRange, ...] | None:
        """Return None: computed bytes are in no file."""
        return None
