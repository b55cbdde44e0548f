"""A reader of APR v2 containers that shares no line with aprhub's own.

It believes no number before it has compared it with the length of the file, and
refuses what the format's rules for readers refuse. What only a writer must not
do is left to ``apr_checker``.
"""

import json
import zlib
from itertools import pairwise
from math import prod
from pathlib import Path
from struct import Struct
from typing import Any, Final, NoReturn

from attrs import frozen

from tests.judges.errors import JudgeError

# magic, major, minor, flags, tensors, metadata offset and size, index, data, CRC
HEADER: Final = Struct("<4sBBHIQIQQI20s")

COLUMN_MAJOR: Final = 0x0800
REFUSED_FLAGS: Final = {
    0x0001: "LZ4 compressed",
    0x0002: "zstd compressed",
    0x0004: "encrypted",
    COLUMN_MAJOR: "column-major",
}

F32, F16, BF16, Q4_K, Q6_K, APR_Q4, APR_Q8 = 0, 1, 30, 12, 14, 128, 129
_PLAIN_BYTES: Final = {F32: 4, F16: 2, BF16: 2, 3: 8, 4: 4, 5: 8, 6: 1, 7: 1}
_SUPER_BLOCK_BYTES: Final = {Q4_K: 144, Q6_K: 210}
LEGACY: Final = {8: APR_Q4, 9: APR_Q8}


class MalformedError(JudgeError):
    """A container that a reader must refuse."""


@frozen
class Entry:
    """One tensor of the index; `offset` counts from the start of the data."""

    name: str
    dtype: int
    shape: tuple[int, ...]
    offset: int
    size: int

    @property
    def padded(self) -> int:
        return align64(self.size)


@frozen
class Container:
    """A parsed file: all its bytes, what the header says, and the index."""

    data: bytes
    version: tuple[int, int]
    flags: int
    metadata_offset: int
    metadata_size: int
    index_offset: int
    index_end: int
    data_offset: int
    reserved: bytes
    metadata: dict[str, Any]
    repeated_keys: tuple[str, ...]
    entries: tuple[Entry, ...]

    @property
    def metadata_text(self) -> str:
        start = self.metadata_offset
        return self.data[start : start + self.metadata_size].decode()

    @property
    def required_length(self) -> int:
        """The length up to the footer: the padded end of the last payload."""
        ends = (self.data_offset + e.offset + e.padded for e in self.entries)
        return max((self.data_offset, *ends))

    def payload(self, entry: Entry) -> bytes:
        start = self.data_offset + entry.offset
        return self.data[start : start + entry.size]


def align64(length: int) -> int:
    """Round up to the next multiple of 64."""
    return (length + 63) & ~63


def payload_bytes(dtype: int, shape: tuple[int, ...]) -> int:
    """Return the payload's length by the formula of the dtype id.

    Rows of super-blocks start a new block each; APR's own blocks run over the
    flattened tensor. Raises MalformedError for an id that the format does not define.
    """
    count, dtype = prod(shape), LEGACY.get(dtype, dtype)
    if dtype in _PLAIN_BYTES:
        return _PLAIN_BYTES[dtype] * count
    if dtype in _SUPER_BLOCK_BYTES:
        columns = shape[-1] if shape else 1
        rows = prod(shape[:-1])
        return rows * -(-columns // 256) * _SUPER_BLOCK_BYTES[dtype]
    if dtype == APR_Q4:
        return -(-count // 32) * 18
    if dtype == APR_Q8:
        return 4 + count if count else 0
    raise MalformedError(f"dtype id {dtype} is not defined")


def parse(path: Path) -> Container:
    """Read a whole file; raises MalformedError with what is wrong."""
    data = path.read_bytes()
    fields = _header(data)
    _, major, minor, flags, count, meta_offset, meta_size, index, start, _, rest = (
        fields
    )
    metadata, repeated = _metadata(data, meta_offset, meta_size)
    if count and index < meta_offset + meta_size:
        raise MalformedError(f"the index at {index} starts inside of the metadata")
    entries, index_end = _Index(data, index, start).read(count)
    for entry in entries:
        _check_extent(entry, start, len(data))
    container = Container(
        data=data,
        version=(major, minor),
        flags=flags,
        metadata_offset=meta_offset,
        metadata_size=meta_size,
        index_offset=index,
        index_end=index_end,
        data_offset=start,
        reserved=rest,
        metadata=metadata,
        repeated_keys=repeated,
        entries=entries,
    )
    _check_whole(container)
    return container


def _header(data: bytes) -> tuple[Any, ...]:
    if len(data) < HEADER.size:
        raise MalformedError(f"{len(data)} bytes are no header of {HEADER.size}")
    fields = HEADER.unpack_from(data)
    if fields[0] != b"APR\0":
        raise MalformedError(f"magic {fields[0]!r}")
    checksum = zlib.crc32(data[44:64], zlib.crc32(data[:40]))
    if fields[9] != checksum:
        raise MalformedError(f"header CRC {fields[9]:08x}, computed {checksum:08x}")
    if fields[1] != 2:
        raise MalformedError(f"version {fields[1]}.{fields[2]}")
    for bit, meaning in REFUSED_FLAGS.items():
        if fields[3] & bit:
            raise MalformedError(f"flag {bit:#06x}: {meaning}")
    return fields


def _metadata(
    data: bytes, offset: int, size: int
) -> tuple[dict[str, Any], tuple[str, ...]]:
    if offset < 64 or offset + size > len(data):
        raise MalformedError(
            f"metadata of {size} bytes at {offset} in {len(data)} bytes"
        )
    repeated: list[str] = []

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        repeated.extend(name for name in set(names) if names.count(name) > 1)
        return dict(pairs)

    try:
        found = json.loads(
            data[offset : offset + size].decode(),
            object_pairs_hook=unique,
            parse_constant=_refuse_constant,
        )
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"metadata: {error}") from error
    if not isinstance(found, dict):
        raise MalformedError("metadata is not a JSON object")
    return found, tuple(sorted(repeated))


def _refuse_constant(literal: str) -> NoReturn:
    raise MalformedError(f"metadata: {literal} is not JSON")


class _Index:
    """A cursor over the tensor index, which ends at the data."""

    def __init__(self, data: bytes, start: int, end: int) -> None:
        if not start <= end <= len(data):
            raise MalformedError(f"index at {start}, data at {end}, {len(data)} bytes")
        self._data, self._position, self._end = data, start, end

    def read(self, count: int) -> tuple[tuple[Entry, ...], int]:
        smallest = 20
        if count > (self._end - self._position) // smallest:
            raise MalformedError(f"{count} tensors do not fit into the index")
        entries = tuple(self._entry() for _ in range(count))
        names = [entry.name.encode() for entry in entries]
        for before, name in pairwise(names):
            if before >= name:
                raise MalformedError(f"index: {name!r} after {before!r}")
        return entries, self._position

    def _entry(self) -> Entry:
        name = self._take(self._number(2))
        dtype, dimensions = self._number(1), self._number(1)
        if dimensions > 8:
            raise MalformedError(f"{name!r} has {dimensions} dimensions")
        shape = tuple(self._number(8) for _ in range(dimensions))
        try:
            text = name.decode()
        except UnicodeDecodeError as error:
            raise MalformedError(f"tensor name {name!r}: {error}") from error
        return Entry(text, dtype, shape, self._number(8), self._number(8))

    def _number(self, length: int) -> int:
        return int.from_bytes(self._take(length), "little")

    def _take(self, length: int) -> bytes:
        start, self._position = self._position, self._position + length
        if self._position > self._end:
            raise MalformedError(f"index entry at {start} runs into the data")
        return self._data[start : self._position]


def _check_extent(entry: Entry, data_offset: int, length: int) -> None:
    if prod(entry.shape) > 1 << 48:
        raise MalformedError(f"{entry.name}: shape {entry.shape}")
    expected = payload_bytes(entry.dtype, entry.shape)
    if entry.size != expected:
        raise MalformedError(f"{entry.name}: {entry.size} bytes, {expected} expected")
    end = data_offset + entry.offset + entry.size
    if end > length:
        raise MalformedError(f"{entry.name} ends at {end} of {length} bytes")


def _check_whole(container: Container) -> None:
    found, required = len(container.data), container.required_length
    if found < required:
        raise MalformedError(f"truncated: {found} bytes, {required} required")
    if found >= required + 4:
        stored = int.from_bytes(container.data[required : required + 4], "little")
        computed = zlib.crc32(container.data[:required])
        if stored != computed:
            raise MalformedError(f"footer CRC {stored:08x}, computed {computed:08x}")
