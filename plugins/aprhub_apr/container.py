"""A file as sections, with every number checked against the size of the file.

Only what stands before the tensor data is read. Rules and their order: section 10 of
the APR v2 specification; a valid checksum of the header proves nothing about it.
"""

import zlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

from attrs import evolve, frozen

from aprhub.api import (
    Complaints,
    CorruptFileError,
    UnsupportedFileError,
    opened_file,
)
from aprhub_apr import document, header, index
from aprhub_apr.document import Document, brief
from aprhub_apr.header import Header
from aprhub_apr.index import Entry
from aprhub_apr.tables import (
    ALIGNMENT,
    COMPRESSED,
    FOOTER_BYTES,
    HEADER_BYTES,
    METADATA_WRITTEN,
    NAME_BYTES,
    VERSION_MINOR,
    Flag,
)

_PIECE_BYTES: Final = 1 << 20


@frozen
class Container:
    """The header, the metadata and the index of one file of `size` bytes.

    `footer` is the checksum of all bytes before it, None where there is none.
    """

    path: Path
    size: int
    header: Header
    document: Document
    entries: tuple[Entry, ...]
    footer: int | None = None

    @property
    def required_size(self) -> int:
        """How many bytes the file has at least, without its footer."""
        return index.required_size(
            self.header.data_offset, self.header.metadata_end, self.entries
        )

    def notes(self) -> Iterator[str]:
        """Yield what is odd about the file and no reason to refuse it."""
        yield from self.document.notes
        yield from _header_notes(self.header)
        yield from _index_notes(self)
        yield from _tail_notes(self)


def scanned(
    path: Path, complaints: Complaints, columns: Collection[str] = ()
) -> Container:
    """Return the sections of a file, with Texts under the keys `columns` at best.

    Raises UnsupportedFileError for kinds of files that are not read, CorruptFileError
    for bytes that contradict the format, MissingFileError where there is no file.
    """
    with opened_file(path) as file:
        return _scanned(path, file, complaints, columns)


def surveyed(path: Path) -> tuple[Header, dict[str, Any], bool]:
    """Return the header and the metadata, and whether the header's checksum is right.

    Nothing else is looked at, so that a file which cannot be opened can be judged.
    """
    with opened_file(path) as file:
        size = file.seek(0, 2)
        data = _read(file, 0, HEADER_BYTES)
        head = header.parsed(path, header.resealed(data), size)
        header.check_sections(path, head, size)
        text = _read(file, head.metadata_offset, head.metadata_size)
    keys = document.parsed(path, text, head.metadata_offset).keys
    return head, keys, data == header.resealed(data)


def is_vouched(container: Container) -> bool:
    """Return whether the footer fits all bytes but the checksum in the header.

    That may have been wrong when the footer was written, or changed since. Reads all
    of the file.
    """
    with opened_file(container.path) as file:
        head = _read(file, 0, HEADER_BYTES)
        found = [zlib.crc32(head), zlib.crc32(header.resealed(head))]
        left = container.required_size - HEADER_BYTES
        while left and (piece := file.read(min(left, _PIECE_BYTES))):
            found = [zlib.crc32(piece, crc) for crc in found]
            left -= len(piece)
    return not left and container.footer in found


def _scanned(
    path: Path, file: BinaryIO, complaints: Complaints, columns: Collection[str]
) -> Container:
    size = file.seek(0, 2)
    head = header.parsed(path, _read(file, 0, HEADER_BYTES), size, complaints)
    header.check_flags(path, head)
    if head.flags & COMPRESSED:
        _check_plain(path, head, file, size)
    header.check_sections(path, head, size)
    text = _read(file, head.metadata_offset, head.metadata_size)
    start = head.metadata_offset
    described = document.with_columns(path, text, start, complaints, columns)
    container = Container(path, size, head, described, _entries(path, head, file))
    _check_extents(container)
    tail = _read(file, container.required_size, FOOTER_BYTES)
    whole = len(tail) == FOOTER_BYTES
    return evolve(container, footer=int.from_bytes(tail, "little") if whole else None)


def _read(file: BinaryIO, offset: int, count: int) -> bytes:
    file.seek(offset)
    return file.read(count)


def _check_plain(path: Path, head: Header, file: BinaryIO, size: int) -> None:
    """Refuse compressed files; some writers set the flag and compress nothing."""
    if head.metadata_offset < size and _read(file, head.metadata_offset, 1) == b"{":
        return
    flags = Flag(head.flags & COMPRESSED)
    raise UnsupportedFileError(
        path,
        f"flag {flags.name} is set: compressed files are not read; write it again with"
        " the program that made it, uncompressed",
    )


def _entries(path: Path, head: Header, file: BinaryIO) -> tuple[Entry, ...]:
    if not head.tensor_count:
        return ()
    data = _read(file, head.index_offset, head.data_offset - head.index_offset)
    return index.parsed(path, data, head.index_offset, head.tensor_count)


def _check_extents(container: Container) -> None:
    base, size = container.header.data_offset, container.size
    for entry in container.entries:
        end = base + entry.offset + entry.size
        if end > size:
            raise CorruptFileError(
                container.path,
                f"its data end at byte {end}, but the file ends at {size}: it is"
                " truncated, or the index is wrong",
                where=f"tensor {entry.name!r:.80}",
                offset=entry.place,
            )
    if container.required_size > size:
        raise CorruptFileError(
            container.path,
            f"the tensors and their padding take {container.required_size} bytes, but"
            f" the file has {size}: it is truncated",
            offset=size,
        )


def _header_notes(head: Header) -> Iterator[str]:
    if head.minor != VERSION_MINOR:
        yield f"version 2.{head.minor}, read as 2.{VERSION_MINOR}"
    for flag, note in _FLAG_NOTES.items():
        if flag in head.flags:
            yield note
    if head.metadata_size > METADATA_WRITTEN:
        yield f"{head.metadata_size} bytes of metadata, which is more than is written"


_FLAG_NOTES: Final = {
    Flag.LZ4_COMPRESSED: "flag LZ4_COMPRESSED is set, and nothing is compressed",
    Flag.ZSTD_COMPRESSED: "flag ZSTD_COMPRESSED is set, and nothing is compressed",
    Flag.SIGNED: "flag SIGNED is set; signatures are not checked",
    Flag.SHARDED: "flag SHARDED is set; other shards are not read",
}


def _index_notes(container: Container) -> Iterator[str]:
    base, entries = container.header.data_offset, container.entries
    long = [each for each in entries if len(each.name.encode()) > NAME_BYTES]
    unaligned = [each for each in entries if (base + each.offset) % ALIGNMENT]
    shared = [first for first, _ in index.overlaps(entries)]
    yield from _counted(long, f"with a name of over {NAME_BYTES} bytes")
    yield from _counted(unaligned, f"not aligned to {ALIGNMENT} bytes")
    yield from _counted(shared, "whose data overlap the next one's")


def _counted(entries: Sequence[Entry], what: str) -> Iterator[str]:
    if entries:
        yield f"{len(entries)} tensors {what}, such as {brief(entries[0].name)}"


def _tail_notes(container: Container) -> Iterator[str]:
    tail = container.size - container.required_size
    if tail < FOOTER_BYTES:
        yield "there is no footer, so no checksum of the whole file"
    elif tail > FOOTER_BYTES:
        yield f"{tail - FOOTER_BYTES} bytes come after the footer"
