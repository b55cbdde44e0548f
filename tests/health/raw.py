"""Models of all three formats taken apart and put together again without aprhub."""

import json
import shutil
import struct
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gguf
from attrs import define, field

from tests.judges import apr_container

Pairs = list[tuple[str, Any]]
"""Metadata in the order of the file; a key may come twice."""


@define
class Stored:
    """A tensor: the format's name of its type, its shape, slowest first, its bytes."""

    type: Any
    shape: tuple[int, ...]
    data: bytes


@define
class Parts:
    """A model taken apart; what else its format has is in `rest`."""

    pairs: Pairs
    tensors: dict[str, Stored]
    rest: dict[str, Any] = field(factory=dict)

    def put(self, key: str, value: Any) -> None:
        """Set a key, or add it at the end."""
        self.pairs = [pair for pair in self.pairs if pair[0] != key] + [(key, value)]

    def get(self, key: str) -> Any:
        """Return the value of a key."""
        return dict(self.pairs)[key]

    def drop(self, *starts: str) -> None:
        """Take out all keys that start so."""
        self.pairs = [pair for pair in self.pairs if not pair[0].startswith(starts)]


def _document(pairs: Pairs) -> str:
    """Return a JSON object with keys as often as they are given."""
    dumped = (f"{json.dumps(key)}:{json.dumps(value)}" for key, value in pairs)
    return "{" + ",".join(dumped) + "}"


def open_apr(path: Path) -> Parts:
    """Take an APR file apart."""
    found = apr_container.parse(path)
    tensors = {
        each.name: Stored(each.dtype, each.shape, found.payload(each))
        for each in found.entries
    }
    return Parts(list(found.metadata.items()), tensors, {"flags": found.flags})


def write_apr(parts: Parts, path: Path) -> None:
    """Put an APR file together, with right checksums."""
    text = _document(parts.pairs).encode()
    index, data = b"", b""
    for name in sorted(parts.tensors, key=str.encode):
        each = parts.tensors[name]
        rank = len(each.shape)
        index += struct.pack("<H", len(name.encode())) + name.encode()
        index += struct.pack(f"<BB{rank}Q", each.type, rank, *each.shape)
        index += struct.pack("<QQ", len(data), len(each.data))
        data += _padded(each.data)
    sections = _padded(text) + _padded(index)
    fields = [b"APR\0", 2, 0, parts.rest["flags"], len(parts.tensors), 64, len(text)]
    fields += [64 + len(_padded(text)), 64 + len(sections), 0, b""]
    header = apr_container.HEADER.pack(*fields)
    fields[-2] = zlib.crc32(header[44:], zlib.crc32(header[:40]))
    whole = apr_container.HEADER.pack(*fields) + sections + data
    path.write_bytes(whole + struct.pack("<I", zlib.crc32(whole)))


def _padded(data: bytes, to: int = 64) -> bytes:
    return data + bytes(-len(data) % to)


def open_gguf(path: Path) -> Parts:
    """Take a GGUF file apart; values of metadata stay bytes, behind their types."""
    reader = gguf.GGUFReader(path)
    pairs = [
        (name, b"".join(part.tobytes() for part in each.parts[2:]))
        for name, each in reader.fields.items()
        if not name.startswith("GGUF.")
    ]
    tensors = {
        each.name: Stored(
            int(each.tensor_type),
            tuple(int(size) for size in reversed(each.shape)),
            each.data.tobytes(),
        )
        for each in reader.tensors
    }
    return Parts(pairs, tensors)


def gguf_text(value: str) -> bytes:
    """Return a string as the value of a GGUF key."""
    data = value.encode()
    return struct.pack("<IQ", 8, len(data)) + data


def gguf_u32(value: int) -> bytes:
    """Return a number as the value of a GGUF key."""
    return struct.pack("<II", 4, value)


def write_gguf(parts: Parts, path: Path) -> None:
    """Put a GGUF file together."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(parts.tensors), len(parts.pairs))
    for key, value in parts.pairs:
        head += struct.pack("<Q", len(key.encode())) + key.encode() + value
    data = b""
    for name, each in parts.tensors.items():
        rank = len(each.shape)
        head += struct.pack("<Q", len(name)) + name.encode()
        head += struct.pack(f"<I{rank}Q", rank, *reversed(each.shape))
        head += struct.pack("<IQ", each.type, len(data))
        data += _padded(each.data, 32)
    path.write_bytes(_padded(head, 32) + data)


def open_folder(path: Path) -> Parts:
    """Take a Hugging Face folder apart: its configuration, and one file of weights."""
    whole = (path / "model.safetensors").read_bytes()
    size = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + size])
    metadata = header.pop("__metadata__", None)
    tensors = {
        name: Stored(
            each["dtype"],
            tuple(each["shape"]),
            whole[8 + size :][slice(*each["data_offsets"])],
        )
        for name, each in header.items()
    }
    pairs = list(json.loads((path / "config.json").read_text()).items())
    return Parts(pairs, tensors, {"metadata": metadata, "folder": path})


def write_folder(parts: Parts, path: Path) -> None:
    """Put a folder together, with all other files of the one that was taken apart."""
    shutil.copytree(parts.rest["folder"], path, dirs_exist_ok=True)
    header: dict[str, Any] = {"__metadata__": parts.rest["metadata"] or {}}
    data = b""
    for name, each in parts.tensors.items():
        places = [len(data), len(data) + len(each.data)]
        described = {"dtype": each.type, "shape": each.shape, "data_offsets": places}
        header[name] = described
        data += each.data
    text = json.dumps(header).encode()
    whole = len(text).to_bytes(8, "little") + text + data
    (path / "model.safetensors").write_bytes(whole)
    (path / "config.json").write_text(_document(parts.pairs))
    for name in parts.rest.get("without", ()):
        (path / name).unlink()
    for name, (old, new) in parts.rest.get("renamed", {}).items():
        text = (path / name).read_text()
        (path / name).write_text(text.replace(json.dumps(old), json.dumps(new)))


OPENERS: Mapping[str, Callable[[Path], Parts]] = {
    ".apr": open_apr,
    ".gguf": open_gguf,
    "": open_folder,
}
WRITERS: Mapping[str, Callable[[Parts, Path], None]] = {
    ".apr": write_apr,
    ".gguf": write_gguf,
    "": write_folder,
}


def replanted(source: Path, target: Path, change: Callable[[Parts], None]) -> Path:
    """Copy a model with one change; the suffix says in which format it is."""
    parts = OPENERS[source.suffix](source)
    change(parts)
    WRITERS[source.suffix](parts, target)
    return target
