"""One array in the archive: its header, and the tensor behind it."""

import io
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.lib import format as npy

from aprhub.api import (
    ENCODINGS,
    CorruptFileError,
    FileRange,
    Literal,
    Tensor,
    TensorData,
    UnsupportedFileError,
)
from aprhub_npz.archive import Member
from aprhub_npz.tables import (
    ALIGNMENT,
    BYTES,
    DESCRIPTIONS,
    NPY_MAGIC,
    SUFFIX,
    described,
    is_native,
)

LONGEST_HEADER = 10_000


def packed(name: str, tensor: Tensor) -> Member:
    """Return a tensor as an array; what numpy has no type for, as its bytes."""
    native = is_native(tensor.encoding)
    shape = tensor.shape if native else (tensor.nbytes,)
    kind = DESCRIPTIONS[tensor.encoding.name] if native else BYTES
    header = repr({"descr": kind, "fortran_order": False, "shape": shape}).encode()
    # The header ends in a newline, at a multiple of the alignment.
    size = len(NPY_MAGIC) + 2 + len(header) + 1
    header += b" " * (-size % ALIGNMENT) + b"\n"
    head = NPY_MAGIC + len(header).to_bytes(2, "little") + header
    return Member(name + SUFFIX, (Literal(head), TensorData(name, tensor)))


def unpacked(name: str, extent: FileRange, encodings: Mapping[str, Any]) -> Tensor:
    """Return the tensor of an array, in the encoding that the description says."""
    head = np.empty(min(extent.nbytes, LONGEST_HEADER), np.uint8)
    extent.read_into(0, head)
    try:
        shape, order, dtype, start = _header(head.tobytes())
    except (ValueError, SyntaxError, TypeError, KeyError, RecursionError) as error:
        raise _corrupt(name, extent, f"no sound header: {error}") from error
    encoding = described(dtype)
    if encoding is None or (order and len(shape) > 1):
        raise UnsupportedFileError(
            extent.path, f"{name} is {dtype}, in column-major order: {order}"
        )
    data = extent.sliced(start, extent.nbytes)
    if name in encodings:
        encoding, shape = _described(name, extent, encodings[name])
    if encoding.nbytes(shape) != data.nbytes:
        what = f"{data.nbytes} bytes for {encoding.name} {shape}"
        raise _corrupt(name, extent, what)
    return Tensor(shape, encoding, data)


def _header(head: bytes) -> tuple[tuple[int, ...], bool, str, int]:
    """Return shape, order, type and the length of the header of an array."""
    stream = io.BytesIO(head)
    with warnings.catch_warnings(action="ignore"):
        if npy.read_magic(stream) != (1, 0):
            raise ValueError("another version than 1.0")
        shape, order, dtype = npy.read_array_header_1_0(stream, LONGEST_HEADER)
    if any(size < 0 for size in shape):
        raise ValueError(f"shape {shape}")
    return shape, order, dtype.str, stream.tell()


def _described(name: str, extent: FileRange, said: Any) -> tuple[Any, tuple[int, ...]]:
    match said:
        case [str(encoding), [*shape]] if encoding in ENCODINGS:
            if all(type(size) is int and size >= 0 for size in shape):
                return ENCODINGS[encoding], tuple(shape)
    raise _corrupt(name, extent, f"the description says {said!r:.80}")


def _corrupt(name: str, extent: FileRange, what: str) -> CorruptFileError:
    return CorruptFileError(extent.path, what, where=name, offset=extent.offset)
