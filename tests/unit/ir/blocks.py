"""Tensors over a file of random bytes, and what a plain reader makes of them."""

from pathlib import Path
from typing import Any

import numpy as np
from attrs import evolve, frozen
from hypothesis import strategies as st
from numpy.typing import NDArray

from aprhub.api import ENCODINGS, Encoding, Tensor

SIZE = 1 << 16

PLAIN = ("f64", "f32", "f16", "bf16", "i32", "i16", "u8")
ROWED = (*PLAIN, "q8_0")


def q8_0(blocks: NDArray[np.uint8], _header: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Decode blocks of an f16 scale and 32 signed bytes."""
    scale = blocks[:, :2].copy().view("<f2").astype(np.float32)
    codes = blocks[:, 2:].view(np.int8).astype(np.float32)
    values: NDArray[np.float32] = scale * codes
    return values


def apr_q8(blocks: NDArray[np.uint8], header: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Decode signed bytes with one f32 scale in front of all."""
    codes = blocks.view(np.int8).astype(np.float32)
    values: NDArray[np.float32] = codes * header.view("<f4")[0]
    return values


DECODERS = {"q8_0": q8_0, "apr_q8": apr_q8}


def columns_of(encoding: Encoding, units: int) -> int:
    """Return a row length of that many blocks."""
    return units * encoding.block_elements


@frozen
class Stored:
    """A tensor in a file, and the bytes that it should have."""

    tensor: Tensor
    data: bytes

    @property
    def rows(self) -> NDArray[np.uint8]:
        """The bytes, one row of dimension 0 per row."""
        count = self.tensor.shape[0]
        return np.frombuffer(self.data, np.uint8).reshape(count, -1)


def at(path: Path, offset: int, shape: tuple[int, ...], name: str) -> Stored:
    """Return a tensor at an offset of a file, with its bytes read by hand."""
    tensor = Tensor.at(path, offset, shape, ENCODINGS[name])
    data = path.read_bytes()[offset : offset + tensor.nbytes]
    return Stored(evolve(tensor, decoder=DECODERS.get(name)), data)


@st.composite
def stored(draw: Any, path: Path, names: tuple[str, ...] = ROWED) -> Stored:
    """Draw a matrix or a stack of matrices somewhere in a file."""
    name = draw(st.sampled_from(names))
    encoding = ENCODINGS[name]
    inner = draw(st.lists(st.integers(1, 4), min_size=0, max_size=1))
    shape = (
        draw(st.integers(1, 9)),
        *inner,
        columns_of(encoding, draw(st.integers(1, 3))),
    )
    offset = draw(st.integers(0, SIZE - encoding.nbytes(shape)))
    return at(path, offset, shape, name)


def spans(size: int) -> st.SearchStrategy[tuple[int, int]]:
    """Return spans `[start, stop)` of so many bytes."""
    pair = st.tuples(st.integers(0, size), st.integers(0, size))
    return pair.map(lambda ends: (min(ends), max(ends)))


def read(tensor: Tensor, start: int, stop: int) -> bytes:
    """Read a span of a tensor's bytes."""
    out = np.empty(stop - start, np.uint8)
    tensor.read_into(start, out)
    return out.tobytes()
