"""Bytes of GGUF files, made field by field without aprhub, to be bent at will."""

import struct
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

from attrs import frozen

Entry = tuple[bytes, int, bytes]
"""Key, type id, encoded value."""

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
_CODES = dict(enumerate("BbHhIif?")) | {U64: "Q", I64: "q", F64: "d"}


def string(text: str | bytes) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(data)) + data


def scalar(kind: int, value: float) -> bytes:
    return struct.pack(f"<{_CODES[kind]}", value)


def entry(key: str, kind: int, value: float | str) -> Entry:
    data = string(value) if isinstance(value, str) else scalar(kind, value)
    return key.encode(), kind, data


def array(key: str, kind: int, values: Sequence[float | str]) -> Entry:
    encoded = (
        string(each) if isinstance(each, str) else scalar(kind, each) for each in values
    )
    head = struct.pack("<IQ", kind, len(values))
    return key.encode(), ARRAY, head + b"".join(encoded)


@frozen
class Row:
    """A row of the tensor table, dimensions in GGUF's order."""

    name: bytes
    dimensions: tuple[int, ...]
    type_id: int
    offset: int
    rank: int | None = None

    def fields(self) -> list[bytes]:
        rank = len(self.dimensions) if self.rank is None else self.rank
        return [
            string(self.name),
            struct.pack("<I", rank),
            *(struct.pack("<Q", each) for each in self.dimensions),
            struct.pack("<I", self.type_id),
            struct.pack("<Q", self.offset),
        ]


@frozen
class File:
    """A whole file; counts are those of the lists unless given."""

    entries: Sequence[Entry] = ()
    rows: Sequence[Row] = ()
    data: bytes = b""
    magic: bytes = b"GGUF"
    version: int = 3
    tensor_count: int | None = None
    entry_count: int | None = None
    alignment: int = 32
    order: str = "<"

    def fields(self) -> list[bytes]:
        """Return the file cut at every boundary of a field, without tensor data."""
        entries, rows = self.entry_count, self.tensor_count
        order = self.order
        fields = [
            self.magic,
            struct.pack(f"{order}I", self.version),
            struct.pack(f"{order}Q", len(self.rows) if rows is None else rows),
            struct.pack(f"{order}Q", len(self.entries) if entries is None else entries),
        ]
        for key, kind, value in self.entries:
            fields += [struct.pack("<Q", len(key)), key, struct.pack("<I", kind)]
            fields += [value[:4], value[4:12], value[12:]] if kind == ARRAY else [value]
        for row in self.rows:
            fields += row.fields()
        return fields

    def bytes(self) -> bytes:
        head = b"".join(self.fields())
        return head + bytes(-len(head) % self.alignment) + self.data

    def boundaries(self) -> list[int]:
        """Return the end of each field, but for the last."""
        return list(accumulate(map(len, self.fields())))[:-1]

    def write(self, path: Path) -> Path:
        path.write_bytes(self.bytes())
        return path


LLAMA: tuple[Entry, ...] = (
    entry("general.architecture", STRING, "llama"),
    entry("llama.context_length", U32, 128),
    entry("llama.embedding_length", U32, 64),
    entry("llama.block_count", U32, 1),
    entry("llama.feed_forward_length", U32, 96),
    entry("llama.attention.head_count", U32, 4),
    entry("llama.attention.head_count_kv", U32, 2),
    entry("llama.attention.layer_norm_rms_epsilon", F32, 1e-5),
    entry("llama.rope.freq_base", F32, 10000.0),
    entry("llama.rope.dimension_count", U32, 16),
    entry("llama.vocab_size", U32, 4),
    entry("tokenizer.ggml.model", STRING, "llama"),
    array("tokenizer.ggml.tokens", STRING, ["<unk>", "<s>", "</s>", "a"]),
    array("tokenizer.ggml.scores", F32, [0.0, 0.0, 0.0, -1.0]),
    array("tokenizer.ggml.token_type", I32, [2, 3, 3, 1]),
    entry("tokenizer.ggml.bos_token_id", U32, 1),
)
"""The metadata of a small model."""

SMALL = File(
    entries=LLAMA,
    rows=(Row(b"a.weight", (32, 2), 8, 0), Row(b"b.weight", (3,), 0, 96)),
    data=bytes(range(68)) + bytes(28) + bytes(12) + bytes(20),
)
"""A q8_0 matrix of two blocks, and an f32 vector."""
