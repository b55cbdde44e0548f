"""Reads the tensor table: name, dimensions, type and offset of each tensor."""

import math
import struct
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from attrs import frozen

from aprhub.api import (
    ENCODINGS,
    CorruptFileError,
    Encoding,
    Fault,
    Tensor,
    UnsupportedFileError,
    opaque,
)
from aprhub_gguf.cursor import Cursor
from aprhub_gguf.tables import (
    CONTROL_CHARACTERS,
    KEY_BYTES,
    MAX_DIMENSIONS,
    MAX_ELEMENTS,
    NAME_BYTES,
    REMOVED_TENSOR_TYPES,
    TENSOR_TYPE_IDS,
    TENSOR_TYPES,
)

_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")
_SMALLEST = 25
"""Bytes of the smallest row: a name of one letter and no dimensions."""

_OPAQUE = "ggml_type_"

CAST: Final = "convert with --dtype f32, f16 or bf16"
WRITE_FOLDER: Final = "write a Hugging Face folder instead"
"""What to do about what GGUF, or programs that run it, do not have."""

_RENAME: Final = "rename it in the source"


@frozen
class Row:
    """A row of the table; `offset` counts from the start of the data."""

    name: str
    shape: tuple[int, ...]
    type_id: int
    offset: int
    place: int

    @property
    def encoding(self) -> Encoding | None:
        """The encoding, or None when the type is newer than this program."""
        name = TENSOR_TYPES.get(self.type_id)
        return None if name is None else ENCODINGS[name]


def type_id(encoding: Encoding) -> int | None:
    """Return the ggml type of an encoding, or None when there is none."""
    number = encoding.name.removeprefix(_OPAQUE)
    if number != encoding.name and number.isdecimal():
        return int(number)
    return TENSOR_TYPE_IDS.get(encoding.name)


def faults_of_row(name: str, tensor: Tensor) -> Iterator[Fault]:
    """Yield why a tensor cannot be in the table of a file."""
    length, encoding = len(name.encode(errors="replace")), tensor.encoding
    columns = tensor.shape[-1] if tensor.shape else 1
    if not 0 < length <= NAME_BYTES:
        what = f"the name has {length} bytes, not 1 to {NAME_BYTES}"
        yield Fault(name, what, _RENAME)
    if CONTROL_CHARACTERS.search(name):
        what = "there are control characters in the name"
        yield Fault(repr(name), what, _RENAME)
    if not all(tensor.shape):
        yield Fault(name, f"{tensor.shape} has no elements", WRITE_FOLDER)
    if len(tensor.shape) > MAX_DIMENSIONS:
        what = f"{tensor.shape} has more than {MAX_DIMENSIONS} dimensions"
        yield Fault(name, what, WRITE_FOLDER)
    if type_id(encoding) is None:
        what = f"GGUF has no type for {encoding.name}"
        casts = encoding.is_float or encoding.is_quantized
        yield Fault(name, what, CAST if casts else WRITE_FOLDER)
    elif not encoding.flat and columns % encoding.block_elements:
        what = f"rows of {columns} elements cut blocks of {encoding.name}"
        yield Fault(name, what, CAST)


def read_rows(cursor: Cursor, count: int) -> list[Row]:
    """Read `count` rows.

    Raises CorruptFileError for what ggml's reader refuses, UnsupportedFileError for
    types that were removed from ggml.
    """
    if count > cursor.left // _SMALLEST:
        raise CorruptFileError(
            cursor.path,
            f"{count} tensors cannot be in the {cursor.left} bytes that follow",
            where="tensor count",
        )
    rows: dict[str, Row] = {}
    for index in range(count):
        row = _read_row(cursor, f"tensor {index}")
        if row.name in rows:
            raise CorruptFileError(
                cursor.path,
                f"there are two tensors called {row.name!r}",
                where=f"tensor {index}",
                offset=row.place,
            )
        rows[row.name] = row
    return list(rows.values())


def _read_row(cursor: Cursor, where: str) -> Row:
    place = cursor.position
    name = _read_name(cursor, where)
    shape = _read_shape(cursor, name)
    number = cursor.unpack(_U32, f"type of {name}")
    offset = cursor.unpack(_U64, f"offset of {name}")
    row = Row(name, shape, number, offset, place)
    problem = _problem(row)
    if problem:
        where = f"{where} {name!r}"
        raise CorruptFileError(cursor.path, problem, where=where, offset=place)
    if number in REMOVED_TENSOR_TYPES:
        raise UnsupportedFileError(
            cursor.path,
            f"tensor {name!r} at byte {place} has type {number}, which ggml no longer"
            " has; quantise the original model anew",
        )
    return row


def _read_name(cursor: Cursor, where: str) -> str:
    place = cursor.position
    name = cursor.string(f"name of {where}", KEY_BYTES)
    length = len(name.encode())
    if not 0 < length <= NAME_BYTES:
        raise CorruptFileError(
            cursor.path,
            f"the name has {length} bytes, not 1 to {NAME_BYTES}",
            where=where,
            offset=place,
        )
    return name


def _read_shape(cursor: Cursor, name: str) -> tuple[int, ...]:
    place = cursor.position
    count = cursor.unpack(_U32, f"dimensions of {name}")
    if count > MAX_DIMENSIONS:
        raise CorruptFileError(
            cursor.path,
            f"{count} dimensions, at most {MAX_DIMENSIONS} are possible",
            where=name,
            offset=place,
        )
    # GGUF counts dimensions from the contiguous one, numpy from the slowest.
    sizes = [cursor.unpack(_U64, f"dimensions of {name}") for _ in range(count)]
    return tuple(reversed(sizes))


def _problem(row: Row) -> str:
    """Return what is wrong with the name or the shape of a row, or nothing."""
    if CONTROL_CHARACTERS.search(row.name):
        return "there are control characters in the name"
    if not all(row.shape):
        return f"{row.shape} has no elements"
    if math.prod(row.shape) > MAX_ELEMENTS:
        return f"{row.shape} has more elements than fit in 63 bits"
    encoding = row.encoding
    columns = row.shape[-1] if row.shape else 1
    if encoding is not None and columns % encoding.block_elements:
        return (
            f"rows of {columns} elements cannot be cut into blocks of"
            f" {encoding.block_elements}, as {encoding.name} needs"
        )
    return ""


def placed(
    cursor: Cursor, rows: Sequence[Row], data: int, alignment: int
) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors at their places in the file; data starts at byte `data`.

    A tensor of a type that is not known reaches up to the next one. Raises
    CorruptFileError unless each tensor starts where the one before it ends, rounded
    up to the alignment, and all of them are inside the file.
    """
    expected = 0
    ends = [after.offset for _, after in pairwise(rows)]
    for row, end in zip(rows, [*ends, cursor.size - data], strict=False):
        if row.offset != expected:
            raise CorruptFileError(
                cursor.path,
                f"its data is at offset {row.offset}, not at {expected}, where the"
                " tensor before it ends",
                where=row.name,
                offset=row.place,
            )
        encoding = row.encoding or _unknown(cursor, row, end)
        nbytes = encoding.nbytes(row.shape)
        _require_inside(cursor, row, data + row.offset + nbytes)
        yield row.name, Tensor.at(cursor.path, data + expected, row.shape, encoding)
        expected = -(-(expected + nbytes) // alignment) * alignment


def _unknown(cursor: Cursor, row: Row, end: int) -> Encoding:
    """Return the encoding of a type of which only the extent is known."""
    if end < row.offset:
        raise CorruptFileError(
            cursor.path,
            f"type {row.type_id} is not known, and what follows is at offset {end},"
            f" before {row.offset}, so that its size cannot be told",
            where=row.name,
            offset=row.place,
        )
    return opaque(f"{_OPAQUE}{row.type_id}", end - row.offset)


def _require_inside(cursor: Cursor, row: Row, end: int) -> None:
    if end > cursor.size:
        raise CorruptFileError(
            cursor.path,
            f"its data ends at byte {end}, but the file has {cursor.size}: it is cut"
            " short or damaged",
            where=row.name,
            offset=row.place,
        )
