"""The zip around the arrays: members are stored, so each is a range of the file.

The layout: APPNOTE.TXT of PKWARE, sections 4.3.7 (local header), 4.3.12 (central
directory) and 4.3.16 (its end).
"""

import struct
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final

from attrs import frozen

from aprhub.api import (
    CorruptFileError,
    Crc32,
    EnvironmentFailureError,
    FileRange,
    LayoutFile,
    Literal,
    TensorData,
    UnrepresentableError,
    UnsupportedFileError,
)

VERSION: Final = 20
UTF8_NAMES: Final = 1 << 11
FIRST_OF_1980: Final = (1 << 5) | 1
ENCRYPTED: Final = 1
LIMIT: Final = (1 << 32) - 1

LOCAL: Final = struct.Struct("<4sHHHHH")
LOCAL_SIZE: Final = 30
NAME_LENGTHS: Final = struct.Struct("<HH")
SIZES: Final = struct.Struct("<IIHH")
CENTRAL: Final = struct.Struct("<4sHHHHHH")
CENTRAL_TAIL: Final = struct.Struct("<HHHII")
END: Final = struct.Struct("<4sHHHHIIH")

Part = Literal | TensorData


@frozen
class Member:
    """A file to be packed: its name, and what it is made of."""

    name: str
    parts: tuple[Part, ...]

    @property
    def nbytes(self) -> int:
        """How many bytes the file has."""
        return sum(part.nbytes for part in self.parts)


@frozen
class _Placed:
    member: Member
    offset: int

    @property
    def name(self) -> bytes:
        return self.member.name.encode()

    @property
    def start(self) -> int:
        return self.offset + LOCAL_SIZE + len(self.name)

    @property
    def stop(self) -> int:
        return self.start + self.member.nbytes

    @property
    def checksum(self) -> Crc32:
        """The checksum of the member's bytes, wherever it is to stand."""
        return Crc32(start=self.start, stop=self.stop)

    @property
    def sizes(self) -> bytes:
        size = self.member.nbytes
        return SIZES.pack(size, size, len(self.name), 0)


def packed(file_name: str, members: Sequence[Member]) -> LayoutFile:
    """Return the zip of some members, stored in their order.

    Raises UnrepresentableError beyond 4 GiB, which would need another kind of zip.
    """
    placed = list(_placed(members))
    directory = placed[-1].stop
    if max(directory, len(placed)) >= LIMIT:
        raise UnrepresentableError(
            file_name, f"{directory} bytes; an archive of this kind ends at 4 GiB"
        )
    segments = [part for each in placed for part in (*_local(each), *each.member.parts)]
    entries = [part for each in placed for part in _central(each)]
    size = sum(part.nbytes for part in entries)
    count = len(placed)
    end = END.pack(b"PK\x05\x06", 0, 0, count, count, size, directory, 0)
    return LayoutFile.of(file_name, (*segments, *entries, Literal(end)))


def _placed(members: Sequence[Member]) -> Iterator[_Placed]:
    offset = 0
    for member in members:
        placed = _Placed(member, offset)
        yield placed
        offset = placed.stop


def _local(each: _Placed) -> Iterator[Literal | Crc32]:
    yield Literal(LOCAL.pack(b"PK\x03\x04", VERSION, UTF8_NAMES, 0, 0, FIRST_OF_1980))
    yield each.checksum
    yield Literal(each.sizes + each.name)


def _central(each: _Placed) -> Iterator[Literal | Crc32]:
    yield Literal(
        CENTRAL.pack(b"PK\x01\x02", VERSION, VERSION, UTF8_NAMES, 0, 0, FIRST_OF_1980)
    )
    yield each.checksum
    tail = CENTRAL_TAIL.pack(0, 0, 0, 0, each.offset)
    yield Literal(each.sizes + tail + each.name)


def unpacked(path: Path) -> dict[str, FileRange]:
    """Return where the members of a zip are, by name.

    Raises CorruptFileError when the zip contradicts itself, and UnsupportedFileError
    when a member is compressed or encrypted.
    """
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            return {
                each.filename: _extent(path, file, each) for each in archive.infolist()
            }
    # NotImplementedError is zipfile's word for a newer kind of archive.
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as error:
        raise CorruptFileError(path, f"not a sound zip archive: {error}") from error
    except OSError as error:
        raise EnvironmentFailureError(f"{path}: {error.strerror}") from error


def _extent(path: Path, file: BinaryIO, member: zipfile.ZipInfo) -> FileRange:
    if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & ENCRYPTED:
        raise UnsupportedFileError(
            path, f"{member.filename} is compressed or encrypted; save it with np.savez"
        )
    file.seek(member.header_offset + LOCAL_SIZE - NAME_LENGTHS.size)
    lengths = file.read(NAME_LENGTHS.size)
    if len(lengths) < NAME_LENGTHS.size:
        raise EOFError(f"the file ends in the header of {member.filename}")
    start = member.header_offset + LOCAL_SIZE + sum(NAME_LENGTHS.unpack(lengths))
    if start + member.file_size > path.stat().st_size:
        raise EOFError(f"the file ends in {member.filename}")
    return FileRange(path, start, member.file_size)
