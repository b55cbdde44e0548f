"""Blocks behind a header that all values of a tensor determine together."""

from collections.abc import Callable, Iterable
from threading import Lock
from typing import ClassVar

import numpy as np
from attrs import define, evolve, field, frozen
from numpy.typing import NDArray

from aprhub.ir.encoding import F32, Encoding
from aprhub.ir.source import Bytes, Concatenation
from aprhub.ir.tensor import Encoder, Tensor

Fitted = tuple[Bytes, Encoder]
Fit = Callable[[Iterable[NDArray[np.float32]]], Fitted]
"""Takes all values, in pieces; returns the header and what encodes pieces behind it."""


@define
class _Fitting:
    """What all values determine: found when first asked for, by one thread."""

    values: Tensor
    fit: Fit
    _found: Fitted | None = None
    _lock: Lock = field(factory=Lock)

    def found(self) -> Fitted:
        with self._lock:
            if self._found is None:
                self._found = self.fit(
                    piece.view("<f4") for piece in self.values.pieces()
                )
            return self._found

    def encode(
        self, values: NDArray[np.float32], importance: NDArray[np.float32] | None
    ) -> Bytes:
        return self.found()[1](values, importance)


@frozen
class _Header:
    """The bytes in front."""

    nbytes: int
    fitting: _Fitting = field(repr=False)
    granule: ClassVar[int] = 1

    def read_into(self, start: int, out: Bytes) -> None:
        """Copy from `start` on."""
        out[:] = self.fitting.found()[0][start : start + out.size]

    def segments(self) -> None:
        """Return None: computed bytes are in no file."""


def fitted(tensor: Tensor, encoding: Encoding, fit: Fit) -> Tensor:
    """Return the values quantised behind a header; what is so already is kept.

    They are read twice, for the header and for the blocks.
    """
    kept = tensor.kept(encoding)
    if kept is not None:
        return kept
    fitting = _Fitting(tensor.cast(F32), fit)
    blocks = tensor.encoded(evolve(encoding, header_bytes=0), fitting.encode)
    parts = _Header(encoding.header_bytes * (tensor.size > 0), fitting), blocks.source
    return Tensor(tensor.shape, encoding, Concatenation.of(parts))
