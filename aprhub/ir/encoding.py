"""Encodings: how the elements of a tensor are stored as bytes.

Sizes of the ggml block types: `ggml/src/ggml-common.h` of llama.cpp; APR's q4 and q8:
the APR v2 specification, sections 3.2 and 3.3.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import ml_dtypes
import numpy as np
from attrs import field, frozen


@frozen
class Encoding:
    """A plain dtype, or a type that packs blocks of elements into bytes.

    A block holds `block_elements` elements in `block_bytes` bytes. Blocks start anew
    with each row (the innermost dimension), unless `flat`: then they run over the
    whole flattened tensor, after `header_bytes` that belong to all of it.
    """

    name: str
    block_bytes: int
    block_elements: int = 1
    flat: bool = False
    header_bytes: int = 0
    dtype: np.dtype[Any] | None = field(default=None, eq=False, repr=False)

    @property
    def is_plain(self) -> bool:
        """Whether numpy can view the bytes as elements."""
        return self.dtype is not None

    @property
    def is_float(self) -> bool:
        """Whether this is a plain floating-point type."""
        return self.name in FLOATS

    @property
    def is_quantized(self) -> bool:
        """Whether elements share scales, so that a codec is needed to read them."""
        return self.dtype is None

    def fits(self, columns: int) -> bool:
        """Return whether a row of `columns` elements is a whole number of blocks."""
        return self.flat or columns % self.block_elements == 0

    def row_bytes(self, columns: int) -> int:
        """Return the bytes of one row of `columns` elements."""
        return -(-columns // self.block_elements) * self.block_bytes

    def nbytes(self, shape: tuple[int, ...]) -> int:
        """Return the bytes of a tensor of this shape."""
        if self.flat:
            count = math.prod(shape)
            return self.header_bytes * (count > 0) + self.row_bytes(count)
        columns = shape[-1] if shape else 1
        return math.prod(shape[:-1]) * self.row_bytes(columns)


def _plain(name: str, dtype: Any) -> Encoding:
    described = np.dtype(dtype)
    return Encoding(name, described.itemsize, dtype=described)


_PLAIN = (
    _plain("f64", "<f8"),
    _plain("f32", "<f4"),
    _plain("f16", "<f2"),
    _plain("bf16", ml_dtypes.bfloat16),
    _plain("f8_e4m3", ml_dtypes.float8_e4m3fn),
    _plain("f8_e5m2", ml_dtypes.float8_e5m2),
    _plain("f8_e8m0", ml_dtypes.float8_e8m0fnu),
    _plain("i64", "<i8"),
    _plain("i32", "<i4"),
    _plain("i16", "<i2"),
    _plain("i8", "i1"),
    _plain("u64", "<u8"),
    _plain("u32", "<u4"),
    _plain("u16", "<u2"),
    _plain("u8", "u1"),
    _plain("bool", "?"),
)

_GGML_BLOCKS = {
    "q4_0": (32, 18),
    "q4_1": (32, 20),
    "q5_0": (32, 22),
    "q5_1": (32, 24),
    "q8_0": (32, 34),
    "q8_1": (32, 36),
    "q2_k": (256, 84),
    "q3_k": (256, 110),
    "q4_k": (256, 144),
    "q5_k": (256, 176),
    "q6_k": (256, 210),
    "q8_k": (256, 292),
    "iq2_xxs": (256, 66),
    "iq2_xs": (256, 74),
    "iq3_xxs": (256, 98),
    "iq1_s": (256, 50),
    "iq4_nl": (32, 18),
    "iq3_s": (256, 110),
    "iq2_s": (256, 82),
    "iq4_xs": (256, 136),
    "iq1_m": (256, 56),
    "tq1_0": (256, 54),
    "tq2_0": (256, 66),
    "mxfp4": (32, 17),
    "nvfp4": (64, 36),
    "q1_0": (128, 18),
    "q2_0": (64, 18),
}

_BLOCKS = (
    *(
        Encoding(name, block_bytes, elements)
        for name, (elements, block_bytes) in _GGML_BLOCKS.items()
    ),
    Encoding("apr_q4", 18, 32, flat=True),
    Encoding("apr_q8", 1, 1, flat=True, header_bytes=4),
)

ENCODINGS: Mapping[str, Encoding] = MappingProxyType(
    {encoding.name: encoding for encoding in (*_PLAIN, *_BLOCKS)}
)
"""Every encoding that the hub knows by name."""

FLOATS = ("f64", "f32", "f16", "bf16", "f8_e4m3", "f8_e5m2", "f8_e8m0")
"""The plain floating-point types, widest first."""

FLAT = tuple(name for name, encoding in ENCODINGS.items() if encoding.flat)
"""Those whose blocks know no rows, so that no column counts more than another."""

F32 = ENCODINGS["f32"]


def opaque(name: str, nbytes: int) -> Encoding:
    """Return an encoding of which only the extent in bytes is known."""
    return Encoding(name, nbytes, block_elements=1 << 62, flat=True)
