"""One tensor of several models, blended when it is read: in rows, in bounded memory."""

import hashlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any, Final

import numpy as np
from attrs import Factory, define, field, frozen

from aprhub.errors import ModelCheckError, UnrepresentableError
from aprhub.ir.casting import caster, fits, refuse_overflow
from aprhub.ir.encoding import F32, Encoding
from aprhub.ir.source import Bytes, FileRange
from aprhub.ir.tensor import Tensor
from aprhub.spec.merging import (
    Answer,
    Blend,
    Measure,
    MergeMethod,
    Piece,
    Settings,
    Values,
)

ELEMENTS: Final = 1 << 18
"""How many elements of each model are blended or measured at a time.

That takes so long that threads seldom wait for the interpreter.
"""

_THREADS: Final = min(os.cpu_count() or 1, 8)
_BATCH: Final = 4 * _THREADS


@frozen
class Operands:
    """A tensor in every model, plain: the group that a method prepares for."""

    shape: tuple[int, ...]
    models: tuple[Tensor, ...] = field(repr=False)
    base: Tensor | None = field(repr=False)
    settings: Settings
    key: bytes

    @classmethod
    def of(
        cls,
        models: Sequence[Tensor],
        base: Tensor | None,
        settings: Settings,
        key: tuple[str, int],
    ) -> "Operands":
        """Return tensors of one shape as operands; `key` is a name and a seed."""
        parts = [*models, *([base] if base else [])]
        shapes = sorted({part.shape for part in parts})
        if len(shapes) > 1:
            raise UnrepresentableError(
                key[0],
                f"its shapes differ: {shapes}; merge only models that have it in one",
            )
        plain = tuple(model.decoded() for model in models)
        ground = base.decoded() if base else None
        digest = hashlib.sha256(f"{key[1]}/{key[0]}".encode()).digest()
        return cls(shapes[0], plain, ground, settings, digest)

    @property
    def has_base(self) -> bool:
        """Whether pieces have a base."""
        return self.base is not None

    @property
    def columns(self) -> int:
        """How many elements a row has; a vector is one row."""
        return self.shape[-1] if self.shape else 1

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return math.prod(self.shape[:-1])

    def spans(self, first: int, stop: int) -> Iterator[range]:
        """Yield rows from `first` to `stop` in runs of at most so many elements."""
        step = max(ELEMENTS // max(self.columns, 1), 1)
        for row in range(first, stop, step):
            yield range(row, min(row + step, stop))

    def piece(self, rows: range) -> Piece:
        """Read some rows of every model, as f32."""
        ground = None if self.base is None else self._values(self.base, rows)
        models = tuple(self._values(model, rows) for model in self.models)
        return Piece(rows.start * self.columns, models, ground)

    def _values(self, tensor: Tensor, rows: range) -> Values:
        row = tensor.encoding.block_bytes * self.columns
        packed = np.empty(len(rows) * row, np.uint8)
        tensor.read_into(rows.start * row, packed)
        widen = caster(tensor.encoding, F32, None)
        values = widen(packed, packed[:0]).reshape(len(rows), self.columns)
        values.flags.writeable = False
        return values

    def folded(
        self,
        measure: Measure[Answer],
        within: range | None = None,
        combine: Callable[[Any, Any], Any] = np.add,
    ) -> Answer:
        """Measure pieces on all cores, and combine the results in order."""
        first, stop = 0, self.rows
        if within is not None:
            first, stop = within.start // self.columns, -(-within.stop // self.columns)
        spans = [*self.spans(first, stop)] or [range(first, first)]

        def measured(rows: range) -> Answer:
            return measure(self.piece(rows))

        total = measured(spans[0])
        if len(spans) == 1:
            return total
        with ThreadPoolExecutor(_THREADS) as pool:
            for start in range(1, len(spans), _BATCH):
                for each in pool.map(measured, spans[start : start + _BATCH]):
                    total = combine(total, each)
        return total


@define(eq=False)
class Blended:
    """What a method makes of its operands, rounded to a plain encoding.

    What the method measures, it measures once, when the first byte is read.
    """

    name: str
    method: MergeMethod
    operands: Operands
    encoding: Encoding
    _blend: Blend | None = None
    _lock: Lock = Factory(Lock)

    @property
    def nbytes(self) -> int:
        """How many bytes there are."""
        return self.encoding.nbytes(self.operands.shape)

    @property
    def granule(self) -> int:
        """One row."""
        return max(self.encoding.block_bytes * self.operands.columns, 1)

    def read_into(self, start: int, out: Bytes) -> None:
        """Blend the rows behind the request, some at a time."""
        blend = self._prepared()
        first, count = start // self.granule, out.size // self.granule
        for rows in self.operands.spans(first, first + count):
            with np.errstate(over="ignore", invalid="ignore"):
                values = blend(self.operands.piece(rows)).astype("<f4")
            ends = np.array([values.min(), values.max()])
            self._require_finite(ends, rows)
            found = self._rounded(values, ends)
            place = (rows.start - first) * self.granule
            out[place : place + found.size] = found

    def _prepared(self) -> Blend:
        with self._lock:
            if self._blend is None:
                self._blend = self.method.prepare(self.operands)
            return self._blend

    def _rounded(self, values: Values, ends: Values) -> Bytes:
        refuse = refuse_overflow(self.name, self.encoding)
        observe = None if fits(ends, self.encoding) else refuse
        packed = values.reshape(-1).view(np.uint8)
        return caster(F32, self.encoding, observe)(packed, packed[:0]).view(np.uint8)

    def _require_finite(self, ends: Values, rows: range) -> None:
        # Both ends of what has a NaN in it are NaN.
        if not np.isfinite(ends).all():
            raise ModelCheckError(
                self.name,
                f"{self.method.name} gives infinite values or none in rows"
                f" {rows.start} to {rows.stop - 1}; look for such values in the models"
                " with 'aprhub tensors --stats', or choose other parameters",
            )

    def segments(self) -> tuple[FileRange, ...] | None:
        """Return None: computed bytes are in no file."""
        return None


def blended(
    name: str, method: MergeMethod, operands: Operands, encoding: Encoding
) -> Tensor:
    """Return what a method makes of its operands, rounded to a plain encoding."""
    source = Blended(name, method, operands, encoding)
    return Tensor(operands.shape, encoding, source)
