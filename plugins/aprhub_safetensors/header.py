"""The header of a safetensors file, read strictly.

    0        8                  8 + length             end of file
    ┌────────┬──────────────────┬──────────────────────┐
    │ length │ JSON, padded with │ tensors, back to back │
    │ u64 LE │ spaces            │                       │
    └────────┴──────────────────┴──────────────────────┘

Offsets count from the end of the header. Specification:
https://huggingface.co/docs/safetensors
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from aprhub.api import (
    CorruptFileError,
    Encoding,
    Tensor,
    UnsupportedFileError,
    decoded_json,
    opened_file,
    shown,
)
from aprhub_safetensors.cursor import Cursor
from aprhub_safetensors.recognition import has_header, refuse_impostor
from aprhub_safetensors.tables import DTYPES, MAX_HEADER, MAX_TENSORS, METADATA

FIELDS = ("dtype", "shape", "data_offsets")
MAX_DIMENSION = 1 << 63
MAX_NAME = 1 << 10


@frozen
class Entry:
    """One tensor: bytes `[begin, end)` of the data."""

    name: str
    encoding: Encoding
    shape: tuple[int, ...]
    begin: int
    end: int


@frozen
class Header:
    """What a file says of its tensors, in the order of their bytes."""

    path: Path
    entries: tuple[Entry, ...] = field(repr=False)
    metadata: Mapping[str, str] = field(repr=False)
    data_start: int

    def tensors(self) -> dict[str, Tensor]:
        """Return the lazy tensors by name."""
        return {
            each.name: Tensor.at(
                self.path, self.data_start + each.begin, each.shape, each.encoding
            )
            for each in self.entries
        }


def read_header(path: Path) -> Header:
    """Read the header of a file, and nothing else of it.

    Raises CorruptFileError, naming the tensor and the byte, when the header is not
    what the specification says or does not fit the file; UnsupportedFileError for
    unknown dtypes and for files that are evidently something else.
    """
    with opened_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(4096)
        length = _length(path, head, size)
        file.seek(8)
        raw = file.read(length)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CorruptFileError(
            path,
            "not UTF-8",
            where="header",
            offset=8 + error.start,
        ) from error
    return _Reading(path, size - 8 - length, Cursor(path, text, 8)).header(8 + length)


def _length(path: Path, head: bytes, size: int) -> int:
    if has_header(head, size):
        return int.from_bytes(head[:8], "little")
    refuse_impostor(path, head)
    if size < 8:
        what = f"the file has {size} bytes, expected 8 for the length of the header"
        raise CorruptFileError(path, what, where="header length", offset=0)
    length = int.from_bytes(head[:8], "little")
    if length > min(MAX_HEADER, size - 8):
        what = (
            f"{length} bytes of header, but the file has {size} bytes and a header at"
            f" most {MAX_HEADER}: it is cut, or no safetensors file"
        )
        raise CorruptFileError(path, what, where="header length", offset=0)
    what = f"the header starts with {shown(head[8:12])}, expected '{{'"
    raise CorruptFileError(path, what, where="header", offset=8)


@frozen
class _Reading:
    """The way through one header; `data_bytes` is what the file has after it."""

    path: Path
    data_bytes: int
    cursor: Cursor

    def header(self, data_start: int) -> Header:
        entries: dict[str, Entry] = {}
        metadata: dict[str, str] = {}
        keys: set[str] = set()
        claimed = 0
        for key in self.cursor.members():
            if key in keys:
                raise self.cursor.fault("there twice, expected once", key)
            keys.add(key)
            self._refuse_unprintable(key)
            if key == METADATA:
                metadata = self._metadata()
                continue
            entries[key] = entry = self._entry(key)
            claimed += entry.end - entry.begin
            self._refuse_excess(key, claimed, len(entries))
        self.cursor.finish()
        ordered = sorted(entries.values(), key=lambda each: (each.begin, each.end))
        self._refuse_holes(ordered, data_start)
        return Header(self.path, tuple(ordered), metadata, data_start)

    def _refuse_unprintable(self, name: str) -> None:
        """Refuse names that would do harm on a terminal or fill it."""
        if len(name) > MAX_NAME or not name.isprintable():
            raise UnsupportedFileError(
                self.path,
                f"a tensor called {shown(name)}; give it a name of at most {MAX_NAME}"
                " printable letters with what wrote the file",
            )

    def _metadata(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for key in self.cursor.members():
            if key in found:
                where = f"{METADATA}.{key}"
                raise self.cursor.fault("there twice, expected once", where)
            found[key] = self.cursor.string(f"{METADATA}.{key}")
        return found

    def _entry(self, name: str) -> Entry:
        fields = self._fields(name)
        dtype = fields["dtype"]
        if not isinstance(dtype, str):
            raise self._wrong(name, "dtype", dtype, "a string")
        if dtype not in DTYPES:
            raise UnsupportedFileError(
                self.path,
                f"tensor {shown(name)} has dtype {shown(dtype)}, which is not read;"
                f" write it as one of {', '.join(DTYPES)}",
            )
        shape = self._wholes(name, "shape", fields["shape"], MAX_DIMENSION - 1)
        offsets = fields["data_offsets"]
        span = self._wholes(name, "data_offsets", offsets, self.data_bytes)
        if len(span) != 2 or span[0] > span[1]:
            raise self._wrong(name, "data_offsets", offsets, "[begin, end]")
        entry = Entry(name, DTYPES[dtype], tuple(shape), *span)
        self._refuse_wrong_size(entry, dtype)
        return entry

    def _fields(self, name: str) -> dict[str, Any]:
        text = self.cursor.entry(name)
        if text.count("[") > len(FIELDS) - 1:
            what = f"more than two lists, expected {', '.join(FIELDS)}"
            raise self.cursor.fault(what, name)
        try:
            fields = decoded_json(text)
        except ValueError as error:
            raise self.cursor.fault(f"not JSON: {error}", name) from error
        if sorted(fields) != sorted(FIELDS):
            what = f"found {shown(sorted(fields))}, expected {', '.join(FIELDS)}"
            raise self.cursor.fault(what, name)
        return dict(fields)

    def _wholes(self, name: str, key: str, value: object, limit: int) -> list[int]:
        if not isinstance(value, list):
            raise self._wrong(name, key, value, "a list")
        for each in value:
            if type(each) is not int or not 0 <= each <= limit:
                raise self._wrong(name, key, value, f"whole numbers from 0 to {limit}")
        return value

    def _wrong(
        self, name: str, key: str, found: object, expected: str
    ) -> CorruptFileError:
        what = f"{key} is {shown(found)}, expected {expected}"
        return self.cursor.fault(what, name)

    def _refuse_wrong_size(self, entry: Entry, dtype: str) -> None:
        needed, there = entry.encoding.nbytes(entry.shape), entry.end - entry.begin
        if needed != there:
            what = f"{dtype} {list(entry.shape)} takes {needed} bytes, found {there}"
            raise self.cursor.fault(what, entry.name)

    def _refuse_excess(self, name: str, claimed: int, count: int) -> None:
        if claimed > self.data_bytes:
            what = (
                f"the tensors up to here take {claimed} bytes, but the file has only"
                f" {self.data_bytes} bytes of data, so that some overlap"
            )
            raise self.cursor.fault(what, name)
        if count > MAX_TENSORS:
            raise UnsupportedFileError(
                self.path,
                f"more than {MAX_TENSORS} tensors in one file; split it into several",
            )

    def _refuse_holes(self, ordered: list[Entry], data_start: int) -> None:
        position = 0
        for each in ordered:
            if each.begin != position:
                how = "overlaps" if each.begin < position else "leaves a hole after"
                what = f"{how} the tensor before it, which ends at {position}"
                raise CorruptFileError(
                    self.path, what, where=each.name, offset=data_start + each.begin
                )
            position = each.end
        if position != self.data_bytes:
            what = f"{self.data_bytes - position} bytes follow the last tensor"
            raise CorruptFileError(self.path, what, offset=data_start + position)
