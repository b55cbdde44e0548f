"""Tensor: a shape, an encoding, and an expression over file ranges and arrays.

A tensor holds no values. Operations return new tensors and read nothing; what can be
done on packed bytes is, and expressions that undo each other vanish.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from attrs import evolve, field, frozen
from numpy.typing import NDArray

from aprhub.errors import UnrepresentableError
from aprhub.ir import rows as gathered
from aprhub.ir import source as sources
from aprhub.ir.casting import Observer, caster, lost, widens
from aprhub.ir.computed import (
    PIECE_BYTES,
    Mapped,
    Operation,
    Packed,
    Strided,
    Transposed,
)
from aprhub.ir.encoding import ENCODINGS, F32, Encoding
from aprhub.ir.source import Bytes, FileRange, Memory, Source

Decoder = Callable[[Bytes, Bytes], NDArray[np.float32]]
Encoder = Callable[[NDArray[np.float32], NDArray[np.float32] | None], Bytes]


@frozen(eq=False)
class Tensor:
    """An array that is read only when somebody asks for its bytes.

    `shape` counts from the slowest dimension to the contiguous one, in elements. All
    operations are lazy; `read_into`, `chunks`, `tobytes` and `numpy` read.
    """

    shape: tuple[int, ...]
    encoding: Encoding
    source: Source = field(repr=False)
    decoder: Decoder | None = field(default=None, repr=False)

    @classmethod
    def of(cls, array: NDArray[Any]) -> "Tensor":
        """Return a tensor over an array in memory, of a dtype that has an encoding."""
        for encoding in ENCODINGS.values():
            if encoding.dtype is not None and encoding.dtype == array.dtype:
                return cls(array.shape, encoding, Memory.of(array))
        what = f"no encoding has dtype {array.dtype}; give it as float32"
        raise UnrepresentableError("array", what)

    @classmethod
    def at(
        cls, path: Path, offset: int, shape: Sequence[int], encoding: Encoding
    ) -> "Tensor":
        """Return a tensor whose bytes start at `offset` of a file."""
        extent = FileRange(path, offset, encoding.nbytes(tuple(shape)))
        return cls(tuple(shape), encoding, extent)

    @property
    def nbytes(self) -> int:
        """How many bytes the tensor takes as encoded."""
        return self.encoding.nbytes(self.shape)

    @property
    def size(self) -> int:
        """How many elements the tensor has."""
        return math.prod(self.shape)

    @property
    def is_readable(self) -> bool:
        """Whether the values can be had: plain, packed parts, or with a decoder."""
        known = self.encoding.is_plain or self.decoder is not None
        return known or isinstance(self.source, Packed)

    def segments(self) -> tuple[FileRange, ...] | None:
        """Return the file ranges that hold the encoded bytes, or None if computed."""
        return self.source.segments()

    def chunks(
        self, limit: int = PIECE_BYTES, first: int = 0
    ) -> Iterator[tuple[int, int]]:
        """Yield (start, length) of consecutive pieces that can be read one by one.

        Pieces are `limit` bytes or less, unless a single unit is longer. The first has
        `first` bytes, if that is given and not within a unit.
        """
        granule = max(self.source.granule, 1)
        step = max(limit // granule, 1) * granule
        start = 0
        stop = step if first % granule else first or step
        while start < self.nbytes:
            yield start, min(stop, self.nbytes) - start
            start, stop = stop, stop + step

    def read_into(self, start: int, out: Bytes) -> None:
        """Fill `out` with the encoded bytes from `start` on."""
        sources.read(self.source, start, out)

    def pieces(self, limit: int = PIECE_BYTES) -> Iterator[Bytes]:
        """Yield the encoded bytes in order, in chunks."""
        for start, length in self.chunks(limit):
            piece = np.empty(length, np.uint8)
            self.read_into(start, piece)
            yield piece

    def tobytes(self) -> bytes:
        """Return all encoded bytes."""
        return b"".join(piece.tobytes() for piece in self.pieces())

    def numpy(self) -> NDArray[Any]:
        """Return the values: in their own dtype, or f32 where they are quantised."""
        plain = self if self.encoding.is_plain else self.decoded()
        out = np.empty(plain.nbytes, np.uint8)
        for start, length in plain.chunks():
            plain.read_into(start, out[start : start + length])
        dtype = plain.encoding.dtype or np.dtype(np.uint8)
        return out.view(dtype).reshape(plain.shape)

    def taken(self, index: NDArray[np.int64]) -> "Tensor":
        """Return rows (of dimension 0) in the order of `index`, on packed bytes."""
        if isinstance(self.source, Packed):
            return self.decoded().taken(index)
        row = self._bytes_per(self.shape[1:], "taking rows")
        source = gathered.taken(self.source, row, index)
        return evolve(self, shape=(index.size, *self.shape[1:]), source=source)

    def sliced(self, start: int, stop: int) -> "Tensor":
        """Return rows `[start, stop)` of dimension 0, on packed bytes."""
        if isinstance(self.source, Packed):
            return self.decoded().sliced(start, stop)
        row = self._bytes_per(self.shape[1:], "slicing rows")
        source = gathered.sliced(self.source, start * row, stop * row)
        return evolve(self, shape=(stop - start, *self.shape[1:]), source=source)

    def reshaped(self, *shape: int) -> Self:
        """Return the same bytes under another shape; quantised rows stay whole."""
        same_rows = self.shape[-1:] == shape[-1:] or self.encoding.block_elements == 1
        if math.prod(shape) != self.size or not (same_rows or self.encoding.flat):
            raise UnrepresentableError(
                "reshape",
                f"{self.encoding.name} {self.shape} cannot become {shape}; keep its"
                f" {self.size} elements, and the rows of what is quantised",
            )
        return evolve(self, shape=shape)

    def transposed(self) -> "Tensor":
        """Return the matrix transposed; a quantised one is decoded first."""
        if not self.encoding.is_plain:
            return self.decoded().transposed()
        if len(self.shape) != 2:
            what = f"{self.shape} is no matrix; give it two dimensions first"
            raise UnrepresentableError("transpose", what)
        rows, columns = self.shape
        inner = self.source
        if isinstance(inner, Transposed):
            return evolve(self, shape=(columns, rows), source=inner.parent)
        item = self.encoding.block_bytes
        turned = Transposed(inner, rows, columns, item)
        return Tensor((columns, rows), self.encoding, turned)

    def strided(self, first: int, step: int) -> "Tensor":
        """Return every `step`-th column of a matrix of plain elements."""
        if len(self.shape) != 2 or not self.encoding.is_plain:
            what = f"{self.encoding.name} {self.shape} is no plain matrix; make it one"
            raise UnrepresentableError("columns", what)
        rows, columns = self.shape
        item = self.encoding.block_bytes
        source = Strided(self.source, rows, columns, item, first, step)
        picked = len(range(first, columns, step))
        return Tensor((rows, picked), self.encoding, source)

    def decoded(self) -> "Tensor":
        """Return the f32 values of a quantised tensor; a plain one is returned."""
        if self.encoding.is_plain:
            return self
        if isinstance(self.source, Packed):
            return self.source.values.reshaped(*self.shape)
        if self.decoder is None:
            raise UnrepresentableError(
                self.encoding.name,
                "no installed codec decodes this encoding; install a plugin that does",
            )
        kernel = _decoding(self.decoder, self.encoding, self.shape)
        mapped = Mapped.of(self, Operation("decode"), kernel, F32)
        return Tensor(self.shape, F32, mapped)

    def cast(self, encoding: Encoding, observe: Observer | None = None) -> "Tensor":
        """Return the values in another plain encoding, rounded to nearest even.

        `observe` is called with the loss of each piece, when it is read.
        """
        if encoding == self.encoding:
            return self
        plain = self.decoded()
        if encoding == plain.encoding:
            return plain
        inner = plain.source
        if isinstance(inner, Mapped) and inner.operation.name == "cast":
            origin = inner.origin
            if origin.encoding == encoding and widens(encoding, plain.encoding):
                return origin
        kernel = caster(plain.encoding, encoding, observe)
        mapped = Mapped.of(plain, Operation("cast"), kernel, encoding)
        return Tensor(plain.shape, encoding, mapped)

    def encoded(
        self, encoding: Encoding, encoder: Encoder, importance: "Tensor | None" = None
    ) -> "Tensor":
        """Return the values quantised; what is in that encoding already is kept.

        Blocks are filled along rows, so a row must be a whole number of them: else
        UnrepresentableError. `importance` is f32 of the shape `(columns,)`, as a codec
        takes it; it is read with every piece. Flat blocks ignore rows, and the last may
        be part.
        """
        kept = self.kept(encoding)
        if kept is not None:
            return kept
        columns = self.shape[-1] if self.shape else 0
        if not encoding.flat and not (columns and encoding.fits(columns)):
            raise UnrepresentableError(
                encoding.name,
                f"rows of {columns} elements, expected whole blocks of"
                f" {encoding.block_elements}; choose another encoding, such as f16",
            )
        plain = self.cast(F32)
        width = columns if importance else encoding.block_elements
        rows = (1, -1) if encoding.flat else (-1, width)

        def kernel(packed: Bytes, _header: Bytes) -> Bytes:
            weights = importance.numpy() if importance else None
            return encoder(packed.view("<f4").reshape(rows), weights)

        mapped = Mapped.of(plain, Operation("encode"), kernel, encoding, width)
        return Tensor(self.shape, encoding, mapped)

    def kept(self, encoding: Encoding) -> "Tensor | None":
        """Return the blocks that the values are in, or were decoded from, if of these.

        None where they would have to be encoded.
        """
        inner = self.source
        if encoding == self.encoding:
            return self
        decoded = isinstance(inner, Mapped) and inner.operation.name == "decode"
        if isinstance(inner, Mapped) and decoded and inner.origin.encoding == encoding:
            return inner.origin
        return None

    def affine(self, offset: float, observe: Observer | None = None) -> "Tensor":
        """Return the f32 values plus `offset`; adding back what was taken vanishes.

        `observe` is told how many values of each piece taking it off would not restore.
        """
        inner = self.source
        undone = Operation("affine", offset=-offset)
        if isinstance(inner, Mapped) and inner.operation == undone:
            return inner.origin
        plain = self.cast(F32)

        def kernel(packed: Bytes, _header: Bytes) -> NDArray[np.float32]:
            values = packed.view("<f4")
            moved = values + np.float32(offset)
            if observe is not None:
                observe(lost(values, moved - np.float32(offset)))
            return moved

        operation = Operation("affine", offset=offset)
        mapped = Mapped.of(plain, operation, kernel, F32)
        return Tensor(self.shape, F32, mapped)

    def _bytes_per(self, shape: tuple[int, ...], what: str) -> int:
        """Return the bytes of one row, refusing encodings without rows."""
        blocked = not shape and self.encoding.block_elements > 1
        if self.encoding.flat or blocked or not self.shape:
            raise UnrepresentableError(
                self.encoding.name,
                f"{what} of {self.shape} would cut blocks; decode it first",
            )
        return self.encoding.nbytes(shape)


def _decoding(
    decoder: Decoder, encoding: Encoding, shape: tuple[int, ...]
) -> Callable[[Bytes, Bytes], NDArray[np.float32]]:
    columns = shape[-1] if shape else 1
    padded = not encoding.fits(columns)
    per_row = -(-columns // encoding.block_elements) * encoding.block_elements

    def kernel(packed: Bytes, header: Bytes) -> NDArray[np.float32]:
        values = decoder(packed.reshape(-1, encoding.block_bytes), header)
        return values.reshape(-1, per_row)[:, :columns] if padded else values

    return kernel
