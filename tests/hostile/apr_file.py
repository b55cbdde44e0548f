"""APR v2 files, written field by field; checksums are right unless told otherwise."""

import json
import struct
import zlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, Self

from attrs import evolve, field, frozen

from tests.hostile import tiny
from tests.hostile.fields import Field, joined, padded

HEADER: Final = 64
ALIGNMENT: Final = 64
ROW_MAJOR: Final = 0x0400
HAS_VOCAB: Final = 0x0200

HEADER_FIELDS: Final = {
    "magic": "4s",
    "version_major": "B",
    "version_minor": "B",
    "flags": "H",
    "tensor_count": "I",
    "metadata_offset": "Q",
    "metadata_size": "I",
    "tensor_index_offset": "Q",
    "data_offset": "Q",
    "checksum": "I",
    "reserved": "20s",
}


@frozen
class Entry:
    """A row of the tensor index."""

    name: bytes
    dtype: int
    dims: tuple[int, ...]
    offset: int
    size: int
    name_length: int | None = None
    ndim: int | None = None

    def fields(self) -> list[Field]:
        """Return the row as labelled bytes."""
        label = self.name.decode(errors="replace")
        length = len(self.name) if self.name_length is None else self.name_length
        ndim = len(self.dims) if self.ndim is None else self.ndim
        return [
            (f"{label} name length", struct.pack("<H", length)),
            (f"{label} name", self.name),
            (f"{label} dtype", struct.pack("<B", self.dtype)),
            (f"{label} ndim", struct.pack("<B", ndim)),
            *((f"{label} dimension", struct.pack("<Q", dim)) for dim in self.dims),
            (f"{label} offset", struct.pack("<Q", self.offset)),
            (f"{label} size", struct.pack("<Q", self.size)),
        ]


@frozen
class AprFile:
    """An APR v2 file.

    `lies` replaces fields of the header by name; the header's checksum covers them
    unless it is among them. `footer` is None for the right checksum. `cut` bytes are
    taken from the end, `tail` is added after the footer.
    """

    metadata: bytes
    entries: tuple[Entry, ...]
    data: bytes
    lies: Mapping[str, int | bytes] = field(factory=dict)
    footer: bytes | None = None
    tail: bytes = b""
    cut: int = 0
    file_name: str = "model.apr"

    def fields(self) -> list[Field]:
        """Return the whole file as labelled bytes."""
        index = [each for entry in self.entries for each in entry.fields()]
        size = len(joined(index))
        body: list[Field] = [
            ("metadata", self.metadata),
            ("metadata padding", bytes(-len(self.metadata) % ALIGNMENT)),
            *index,
            ("index padding", bytes(-size % ALIGNMENT)),
            ("data", self.data),
        ]
        whole = [*self._header(size), *body]
        crc = struct.pack("<I", zlib.crc32(joined(whole)))
        return [*whole, ("footer", crc if self.footer is None else self.footer)]

    def tobytes(self) -> bytes:
        """Return the file, shortened by `cut` bytes."""
        whole = joined(self.fields()) + self.tail
        return whole[: len(whole) - self.cut]

    def write(self, folder: Path) -> Path:
        """Write the file into a folder."""
        path = folder / self.file_name
        path.write_bytes(self.tobytes())
        return path

    def with_lies(self, **lies: int | bytes) -> Self:
        """Return the file with other values in its header."""
        return evolve(self, lies={**self.lies, **lies})

    def with_entry(self, name: str, /, **changes: Any) -> Self:
        """Return the file with one row of the index changed."""
        entries = (
            evolve(entry, **changes) if entry.name == name.encode() else entry
            for entry in self.entries
        )
        return evolve(self, entries=tuple(entries))

    def with_metadata(self, **changes: Any) -> Self:
        """Return the file with other values of metadata keys (`__` is a dot)."""
        table = json.loads(self.metadata)
        table |= {key.replace("__", "."): value for key, value in changes.items()}
        return evolve(self, metadata=_json(table))

    def without_metadata(self, key: str) -> Self:
        """Return the file without a metadata key."""
        table = json.loads(self.metadata)
        del table[key]
        return evolve(self, metadata=_json(table))

    def _header(self, index_size: int) -> list[Field]:
        index_offset = HEADER + aligned(len(self.metadata))
        values: dict[str, int | bytes] = {
            "magic": b"APR\0",
            "version_major": 2,
            "version_minor": 0,
            "flags": ROW_MAJOR | HAS_VOCAB,
            "tensor_count": len(self.entries),
            "metadata_offset": HEADER,
            "metadata_size": len(self.metadata),
            "tensor_index_offset": index_offset,
            "data_offset": index_offset + aligned(index_size),
            "reserved": bytes(20),
            **self.lies,
        }
        unsummed = _packed({**values, "checksum": 0})
        covered = b"".join(data for name, data in unsummed if name != "checksum")
        return _packed({"checksum": zlib.crc32(covered), **values})


def _packed(values: Mapping[str, int | bytes]) -> list[Field]:
    return [
        (name, struct.pack(f"<{code}", values[name]))
        for name, code in HEADER_FIELDS.items()
    ]


def aligned(size: int) -> int:
    """Return a size rounded up to the alignment of sections and tensors."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


METADATA: Final[Mapping[str, Any]] = {
    "model_type": "llama",
    "name": "tiny",
    "license": "MIT",
    "data_source": "synthetic",
    "data_license": "CC0-1.0",
    "source": "local://tiny",
    "original_format": "safetensors",
    "total_size": 0,
    "param_count": 0,
    "architecture": "llama",
    "hf_architecture": "LlamaForCausalLM",
    "hf_model_type": "llama",
    "hidden_size": tiny.HIDDEN,
    "num_layers": tiny.LAYERS,
    "num_heads": tiny.HEADS,
    "num_kv_heads": tiny.KV_HEADS,
    "vocab_size": tiny.VOCAB,
    "intermediate_size": tiny.INTERMEDIATE,
    "max_position_embeddings": tiny.CONTEXT,
    "rope_theta": tiny.THETA,
    "rope_type": 2,
    "rms_norm_eps": tiny.EPSILON,
    "head_dim": tiny.HEAD_DIM,
    "tokenizer.vocabulary": list(tiny.TOKENS),
    "tokenizer.vocab_size": tiny.VOCAB,
    "tokenizer.merges": [f"{left} {right}" for left, right in tiny.MERGES],
    "tokenizer.token_type": [3] * 2 + [1] * (tiny.VOCAB - 2),
    "tokenizer.bos_token_id": 0,
    "tokenizer.eos_token_id": 1,
    "tokenizer.add_bos_token": False,
    "tokenizer.pre_type": "gpt-2",
    "tokenizer.model": "gpt2",
    "tokenizer.model_type": "BPE",
}


@cache
def valid() -> AprFile:
    """Return a valid file with all tensors in f32 under their Hugging Face names."""
    entries, data = [], b""
    for name in sorted(tiny.SHAPES, key=str.encode):
        packed = tiny.weights(name)
        shape = tiny.SHAPES[name]
        entries.append(Entry(name.encode(), 0, shape, len(data), len(packed)))
        data += padded(packed, ALIGNMENT)
    count = len(data) // 4
    table = {**METADATA, "total_size": len(data), "param_count": count}
    return AprFile(_json(table), tuple(entries), data)
