"""Importance matrices as llama.cpp wrote them before GGUF: the files `*.dat`.

    entry count i32 | entries | chunk count i32 | dataset: length i32, text

An entry is the length of its name (i32), the name, a number of calls (i32), a number of
values (i32), and the values, f32: mean squares times the number of calls. What follows
the entries may be missing. Layout: `common/imatrix-loader.cpp` of llama.cpp.
"""

import struct
from collections.abc import Container
from pathlib import Path
from typing import Final

from attrs import evolve

from aprhub.api import (
    ENCODINGS,
    CorruptFileError,
    FileEvidence,
    FileRange,
    Importance,
    Measured,
    Tensor,
    opened_file,
)
from aprhub_gguf.cursor import Cursor
from aprhub_gguf.tables import CONTROL_CHARACTERS, KEY_BYTES
from aprhub_gguf.texts import decoded

_I32: Final = struct.Struct("<i")
_SMALLEST: Final = 17
"""Bytes of the smallest entry: a name of one letter and one value."""


def looks_legacy(evidence: FileEvidence) -> bool:
    """Return whether a file begins with counts that it is large enough for."""
    if len(evidence.head) < 8:
        return False
    count, length = struct.unpack_from("<ii", evidence.head)
    fits: bool = 0 < count <= evidence.size // _SMALLEST
    return fits and 0 < length <= min(KEY_BYTES, evidence.size)


def open_legacy(path: Path) -> Importance:
    """Open an importance matrix; the sums are not read.

    Raises CorruptFileError for lengths that the file does not have room for, names
    that are there twice, and bytes that belong to nothing.
    """
    with opened_file(path) as file:
        return _read(Cursor(file, path, path.stat().st_size))


def _read(cursor: Cursor) -> Importance:
    count = _size(cursor, "entry count", 1, cursor.size // _SMALLEST)
    entries: dict[str, Measured] = {}
    for index in range(count):
        name = _name(cursor, f"name of entry {index}", entries)
        entries[name] = _measured(cursor, name)
    return _with_origin(cursor, Importance(cursor.path, entries))


def _name(cursor: Cursor, where: str, before: Container[str]) -> str:
    offset = cursor.position
    name = _text(cursor, where, 1)
    if CONTROL_CHARACTERS.search(name) or name in before:
        fault = "is there twice" if name in before else "has control characters"
        what = f"{name!r:.80} {fault}"
        raise CorruptFileError(cursor.path, what, where=where, offset=offset)
    return name


def _measured(cursor: Cursor, name: str) -> Measured:
    calls = _size(cursor, f"calls of {name}", 0)
    count = _size(cursor, f"values of {name}", 1, cursor.left // 4)
    place = cursor.skip(4 * count, name)
    sums = Tensor((count,), ENCODINGS["f32"], place)
    # Without calls, llama.cpp takes the values as they are.
    return Measured(sums, (max(calls, 1),))


def _with_origin(cursor: Cursor, found: Importance) -> Importance:
    """Return what was found with what may follow it: chunks and a dataset."""
    if cursor.left:
        found = evolve(found, chunks=_size(cursor, "chunk count", 0))
    if cursor.left:
        dataset = _text(cursor, "dataset", 0)
        found = evolve(found, datasets=(dataset,) if dataset else ())
    if cursor.left:
        raise CorruptFileError(
            cursor.path,
            f"{cursor.left} bytes follow the dataset and belong to nothing",
            where="end of the file",
            offset=cursor.position,
        )
    return found


def _text(cursor: Cursor, where: str, least: int) -> str:
    length = _size(cursor, f"length of {where}", least, KEY_BYTES)
    place = FileRange(cursor.path, cursor.position, length)
    return decoded(cursor.take(length, where), place, where)


def _size(cursor: Cursor, where: str, least: int, most: int = 2**31 - 1) -> int:
    offset = cursor.position
    found = int(cursor.unpack(_I32, where))
    if not least <= found <= most:
        what = f"found {found}, expected {least} to {most}"
        raise CorruptFileError(cursor.path, what, where=where, offset=offset)
    return found
