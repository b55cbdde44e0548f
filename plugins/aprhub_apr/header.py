"""The 64 bytes at the start of a file: fields, checksum, and what they claim."""

import struct
import zlib
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Final

from attrs import frozen

from aprhub.api import (
    UNDECIDED,
    Complaints,
    CorruptFileError,
    Finding,
    UnsupportedFileError,
    rewritten,
)
from aprhub_apr.tables import (
    HEAD_READ,
    HEADER_BYTES,
    HEADER_FIELDS,
    LOOKALIKES,
    MAGIC,
    SMALLEST_ENTRY,
    VERSION_MAJOR,
    VERSION_MINOR,
    Flag,
)

_STRUCT: Final = struct.Struct("<" + "".join(HEADER_FIELDS.values()))
_SIZES: Final = [struct.calcsize(f"<{code}") for code in HEADER_FIELDS.values()]
FIELD_OFFSETS: Final = dict(
    zip(HEADER_FIELDS, accumulate(_SIZES[:-1], initial=0), strict=True)
)
"""Where each field of the header starts, in bytes."""

_CHECKSUM: Final = FIELD_OFFSETS["checksum"]


@frozen
class Header:
    """What a header says, in bytes from the start of the file and numbers of tensors.

    `index_offset` is the field `tensor_index_offset`.
    """

    flags: Flag
    tensor_count: int
    metadata_offset: int
    metadata_size: int
    index_offset: int
    data_offset: int
    minor: int = VERSION_MINOR

    @property
    def metadata_end(self) -> int:
        """Where the metadata end, without padding."""
        return self.metadata_offset + self.metadata_size

    def packed(self) -> bytes:
        """Return the 64 bytes, with their checksum."""
        values = (
            MAGIC,
            VERSION_MAJOR,
            self.minor,
            self.flags,
            self.tensor_count,
            self.metadata_offset,
            self.metadata_size,
            self.index_offset,
            self.data_offset,
        )
        blank = _STRUCT.pack(*values, 0, b"")
        return _STRUCT.pack(*values, _crc(blank), b"")


def parsed(
    path: Path, data: bytes, file_size: int, complaints: Complaints | None = None
) -> Header:
    """Return the header in the first 64 bytes of a file.

    Raises UnsupportedFileError for other kinds and versions of APR files and
    CorruptFileError for a header that is cut short, or has a wrong checksum, which
    lenient complaints forgive.
    """
    _check_magic(path, data)
    if len(data) < HEADER_BYTES:
        raise CorruptFileError(
            path,
            f"the file has {file_size} bytes, and the header alone takes"
            f" {HEADER_BYTES}: it is truncated",
            where="header",
            offset=file_size,
        )
    fields = dict(zip(HEADER_FIELDS, _STRUCT.unpack(data), strict=True))
    _check_sum(path, data, fields["checksum"], complaints or Complaints())
    if fields["version major"] != VERSION_MAJOR:
        found = f"{fields['version major']}.{fields['version minor']}"
        raise UnsupportedFileError(
            path,
            f"APR version {found}, only version {VERSION_MAJOR} is read; write it again"
            f" as APR v{VERSION_MAJOR} with the program that made it",
        )
    return Header(
        Flag(fields["flags"]),
        fields["tensor_count"],
        fields["metadata_offset"],
        fields["metadata_size"],
        fields["tensor_index_offset"],
        fields["data_offset"],
        fields["version minor"],
    )


def _check_magic(path: Path, data: bytes) -> None:
    magic = data[: len(MAGIC)]
    if magic in LOOKALIKES:
        raise UnsupportedFileError(
            path,
            f"{LOOKALIKES[magic]}, which is not read; write it again as APR v2 with"
            " the program that made it",
        )
    if magic != MAGIC:
        found = f"starts with {magic!r}" if magic else "is empty"
        raise CorruptFileError(
            path,
            f"the file {found}, an APR v2 file with {MAGIC!r}",
            where="magic",
            offset=0,
            repair="get the file again, or name its own format with --from",
        )


def _check_sum(path: Path, data: bytes, stored: int, complaints: Complaints) -> None:
    found = _crc(data)
    if found == stored:
        return
    where = "header field checksum"
    complaints.forgive(
        CorruptFileError(
            path,
            f"found {stored:#010x}, the header's bytes give {found:#010x}",
            where=where,
            offset=_CHECKSUM,
            repair="get the file again, or see what 'aprhub doctor' can repair",
        ),
        Finding(
            "DOC-CHECKSUM-001",
            where,
            f"{stored:#010x}",
            f"{found:#010x}, the checksum of the header's other bytes",
            "C-APRHUB-CHECKPOINT-PACKAGING",
            obstacle=UNDECIDED,
            mend=rewritten,
        ),
    )


def resealed(data: bytes) -> bytes:
    """Return the 64 bytes with the checksum that they should have."""
    if len(data) < HEADER_BYTES:
        return data
    seal = _crc(data).to_bytes(4, "little")
    return data[:_CHECKSUM] + seal + data[_CHECKSUM + len(seal) :]


def _crc(data: bytes) -> int:
    """Return the CRC-32 of the header without its checksum field."""
    return zlib.crc32(data[_CHECKSUM + 4 :], zlib.crc32(data[:_CHECKSUM]))


def check_flags(path: Path, header: Header) -> None:
    """Raise UnsupportedFileError for tensors that are not plain rows."""
    if Flag.LAYOUT_COLUMN_MAJOR in header.flags:
        raise UnsupportedFileError(
            path,
            "flag LAYOUT_COLUMN_MAJOR is set: tensors are stored column by column,"
            " which the format forbids (LAYOUT-002); convert the model from its source"
            " again",
        )
    if Flag.ENCRYPTED in header.flags:
        raise UnsupportedFileError(
            path,
            "flag ENCRYPTED is set: encrypted files are not read; write it again"
            " with the program that made it, decrypted",
        )


def check_sections(path: Path, header: Header, file_size: int) -> None:
    """Raise CorruptFileError where sections lie outside the file or overlap.

    Nothing has been read or allocated yet: the numbers are only compared.
    """
    for field, what in _violations(header, file_size):
        raise CorruptFileError(
            path, what, where=f"header field {field}", offset=FIELD_OFFSETS[field]
        )


def _violations(header: Header, file_size: int) -> Iterator[tuple[str, str]]:
    yield from _metadata_violations(header, file_size)
    if header.data_offset > file_size:
        yield (
            "data_offset",
            f"tensor data start at byte {header.data_offset}, but the file ends at"
            f" {file_size}: it is truncated",
        )
    if header.data_offset > HEAD_READ:
        yield (
            "data_offset",
            f"what stands before the tensor data takes {header.data_offset} bytes, at"
            f" most {HEAD_READ} are read",
        )
    if header.tensor_count:
        yield from _index_violations(header, file_size)


def _metadata_violations(header: Header, file_size: int) -> Iterator[tuple[str, str]]:
    if header.metadata_offset < HEADER_BYTES:
        yield (
            "metadata_offset",
            f"{header.metadata_offset} lies in the header, which takes the first"
            f" {HEADER_BYTES} bytes",
        )
    if header.metadata_end > file_size:
        yield (
            "metadata_size",
            f"metadata reach from byte {header.metadata_offset} to"
            f" {header.metadata_end}, but the file ends at {file_size}",
        )
    if header.metadata_size > HEAD_READ:
        yield (
            "metadata_size",
            f"{header.metadata_size} bytes of metadata, at most {HEAD_READ} are read",
        )


def _index_violations(header: Header, file_size: int) -> Iterator[tuple[str, str]]:
    begin, end = header.metadata_end, min(header.data_offset, file_size)
    if not begin <= header.index_offset <= end:
        yield (
            "tensor_index_offset",
            f"the index starts at byte {header.index_offset}, but has to lie between"
            f" the metadata's end at {begin} and the data at {end}",
        )
    room = (end - header.index_offset) // SMALLEST_ENTRY
    if header.tensor_count > room:
        yield (
            "tensor_count",
            f"{header.tensor_count} tensors, but there is room for {max(room, 0)} at"
            " most",
        )
