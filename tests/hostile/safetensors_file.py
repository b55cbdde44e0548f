"""safetensors files from a table of tensors, or from a header written by hand."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

from attrs import evolve, field, frozen

from tests.hostile import tiny
from tests.hostile.fields import Field, joined

METADATA: Final = "__metadata__"
Table = Mapping[str, Any]


@frozen
class SafetensorsFile:
    """A safetensors file.

    `header` is None for the JSON of `table`; `length` is None for the true length of
    the header.
    """

    table: Table
    data: bytes
    header: bytes | None = None
    length: int | None = None
    tail: bytes = b""
    cut: int = 0
    file_name: str = "model.safetensors"

    def fields(self) -> list[Field]:
        """Return the whole file as labelled bytes."""
        header = self.text()
        length = len(header) if self.length is None else self.length
        return [
            ("length", struct.pack("<Q", length)),
            ("header", header),
            ("data", self.data),
            ("tail", self.tail),
        ]

    def text(self) -> bytes:
        """Return the header."""
        if self.header is not None:
            return self.header
        plain = json.dumps(self.table, separators=(",", ":")).encode()
        return plain + b" " * (-len(plain) % 8)

    def tobytes(self) -> bytes:
        """Return the file, shortened by `cut` bytes."""
        whole = joined(self.fields())
        return whole[: len(whole) - self.cut]

    def write(self, folder: Path) -> Path:
        """Write the file into a folder."""
        path = folder / self.file_name
        path.write_bytes(self.tobytes())
        return path

    def with_tensor(self, name: str, /, **changes: Any) -> Self:
        """Return the file with one tensor's entry changed, or added."""
        return evolve(
            self, table={**self.table, name: {**self.table.get(name, {}), **changes}}
        )

    def with_metadata(self, value: object) -> Self:
        """Return the file with another metadata entry."""
        return evolve(self, table={**self.table, METADATA: value})

    def without(self, name: str) -> Self:
        """Return the file without an entry; the bytes stay."""
        table = {key: value for key, value in self.table.items() if key != name}
        return evolve(self, table=table)

    def plus(self, name: str, dtype: str, shape: list[int], packed: bytes) -> Self:
        """Return the file with a tensor more at its end."""
        start = len(self.data)
        grown = self.with_tensor(
            name,
            dtype=dtype,
            shape=shape,
            data_offsets=[start, start + len(packed)],
        )
        return evolve(grown, data=self.data + packed)


@frozen
class _Growing:
    table: dict[str, Any] = field(factory=dict)
    data: bytearray = field(factory=bytearray)

    def add(self, name: str) -> None:
        start = len(self.data)
        self.data.extend(tiny.weights(name))
        self.table[name] = {
            "dtype": "F32",
            "shape": list(tiny.SHAPES[name]),
            "data_offsets": [start, len(self.data)],
        }


def holding(*names: str) -> SafetensorsFile:
    """Return a valid file with some of the tiny model's tensors."""
    growing = _Growing({METADATA: {"format": "pt"}})
    for name in names:
        growing.add(name)
    return SafetensorsFile(growing.table, bytes(growing.data))


def valid() -> SafetensorsFile:
    """Return a valid file with the whole tiny model."""
    return holding(*tiny.SHAPES)
