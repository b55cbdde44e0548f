"""Reads one GGUF file: header, metadata, tensor table.

    magic "GGUF" | version u32 | tensor count u64 | metadata count u64
    metadata entries | tensor table | zeros up to the alignment | tensor data

Numbers are little-endian. Specification: `docs/gguf.md` of ggml-org/ggml; where it and
ggml's own reader differ, the stricter one counts.
"""

import struct
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from attrs import field, frozen

from aprhub.api import (
    Complaints,
    CorruptFileError,
    Tensor,
    UnsupportedFileError,
    opened_file,
    padding,
)
from aprhub_gguf.cursor import Cursor
from aprhub_gguf.entries import read_entries
from aprhub_gguf.table import Row, placed, read_rows
from aprhub_gguf.tables import (
    DEFAULT_ALIGNMENT,
    MAGIC,
    MAX_ALIGNMENT,
    READ_VERSIONS,
)
from aprhub_gguf.values import Entry

_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")

ALIGNMENT_KEY = "general.alignment"


@frozen
class Container:
    """What one GGUF file holds; arrays and tensors are not read yet."""

    path: Path
    version: int
    entries: Mapping[str, Entry] = field(repr=False)
    tensors: Mapping[str, Tensor] = field(repr=False)
    notes: tuple[str, ...] = ()


def read_container(path: Path, complaints: Complaints | None = None) -> Container:
    """Read everything of a file but arrays and tensor data.

    Raises MissingFileError, UnsupportedFileError for other versions and byte orders,
    CorruptFileError for what contradicts the format.
    """
    with opened_file(path) as file:
        cursor = Cursor(file, path, path.stat().st_size)
        return _read(cursor, complaints or Complaints())


def _read(cursor: Cursor, complaints: Complaints) -> Container:
    version = _read_version(cursor)
    tensor_count = cursor.unpack(_U64, "tensor count")
    entry_count = cursor.unpack(_U64, "metadata count")
    entries = read_entries(cursor, entry_count, complaints)
    alignment = _alignment(cursor, entries)
    rows = read_rows(cursor, tensor_count)
    data = cursor.position + padding(cursor.position, alignment).nbytes
    tensors = dict(placed(cursor, rows, data, alignment))
    _refuse_surplus(cursor, tensors, alignment)
    notes = tuple(_opaque_notes(rows))
    return Container(
        cursor.path,
        version,
        MappingProxyType(entries),
        MappingProxyType(tensors),
        notes,
    )


def _read_version(cursor: Cursor) -> int:
    magic = cursor.take(len(MAGIC), "magic")
    if magic != MAGIC:
        raise CorruptFileError(
            cursor.path,
            f"found {magic!r}, expected {MAGIC!r}",
            where="magic",
            offset=0,
            repair="get the file again, or name its own format with --from",
        )
    version: int = cursor.unpack(_U32, "version")
    if version and not version & 0xFFFF:
        raise UnsupportedFileError(
            cursor.path,
            "the file is big-endian, only little-endian GGUF is read; convert it with"
            " gguf-convert-endian of the gguf package",
        )
    if version not in READ_VERSIONS:
        raise UnsupportedFileError(
            cursor.path,
            f"version {version} of GGUF, versions 2 and 3 are read; make the file anew"
            " from the original model",
        )
    return version


def _alignment(cursor: Cursor, entries: Mapping[str, Entry]) -> int:
    entry = entries.get(ALIGNMENT_KEY, Entry("u32", DEFAULT_ALIGNMENT))
    value = entry.value
    if entry.kind != "u32" or value & (value - 1) or not 0 < value <= MAX_ALIGNMENT:
        raise CorruptFileError(
            cursor.path,
            f"found {entry.described} {value!r:.40}, expected a power of two, as u32,"
            f" up to {MAX_ALIGNMENT}",
            where=ALIGNMENT_KEY,
        )
    return int(value)


def _opaque_notes(rows: list[Row]) -> list[str]:
    return [
        f"{row.name}: type {row.type_id} is not known; its bytes are kept as they are"
        for row in rows
        if row.encoding is None
    ]


def _refuse_surplus(
    cursor: Cursor, tensors: Mapping[str, Tensor], alignment: int
) -> None:
    """Raise CorruptFileError for bytes after the last tensor.

    A wrong count of tensors shows in them, and so does a second file hidden in one.
    """
    end = cursor.position
    for tensor in tensors.values():
        end = max(end, *(part.offset + part.nbytes for part in tensor.segments() or ()))
    surplus = cursor.size - end - padding(end, alignment).nbytes
    if surplus > 0:
        raise CorruptFileError(
            cursor.path,
            f"{surplus} bytes follow the last tensor and belong to nothing",
            where="end of the data",
            offset=cursor.size - surplus,
        )
