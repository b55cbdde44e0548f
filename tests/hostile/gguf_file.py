"""GGUF files, written field by field, with a place to lie in every field."""

import struct
from collections.abc import Sequence
from functools import cache
from math import prod
from pathlib import Path
from typing import Any, Final, Self

from attrs import evolve, frozen

from tests.hostile import tiny
from tests.hostile.fields import Field, joined, padded

U8: Final = 0
I8: Final = 1
U32: Final = 4
I32: Final = 5
F32: Final = 6
BOOL: Final = 7
STRING: Final = 8
ARRAY: Final = 9
U64: Final = 10
F64: Final = 12

ALIGNMENT: Final = 32


@frozen
class Writer:
    """Packs numbers in one byte order: `<` or `>`."""

    order: str = "<"

    def u32(self, value: int) -> bytes:
        """Return four bytes."""
        return struct.pack(f"{self.order}I", value)

    def i32(self, value: int) -> bytes:
        """Return four bytes."""
        return struct.pack(f"{self.order}i", value)

    def u64(self, value: int) -> bytes:
        """Return eight bytes."""
        return struct.pack(f"{self.order}Q", value)

    def f32(self, value: float) -> bytes:
        """Return four bytes."""
        return struct.pack(f"{self.order}f", value)

    def string(self, text: str | bytes) -> bytes:
        """Return a length and the bytes of a text."""
        data = text.encode() if isinstance(text, str) else text
        return self.u64(len(data)) + data

    def array(
        self, kind: int, items: Sequence[bytes], count: int | None = None
    ) -> bytes:
        """Return an array of packed items; `count` claims another number."""
        claimed = len(items) if count is None else count
        return self.u32(kind) + self.u64(claimed) + b"".join(items)

    def strings(self, texts: Sequence[str | bytes]) -> bytes:
        """Return an array of strings."""
        return self.array(STRING, [self.string(text) for text in texts])


@frozen
class Pair:
    """A key, a value type and the packed value."""

    key: bytes
    kind: int
    value: bytes
    key_length: int | None = None

    def fields(self, writer: Writer) -> list[Field]:
        """Return the pair as labelled bytes."""
        name = self.key.decode(errors="replace")
        length = len(self.key) if self.key_length is None else self.key_length
        return [
            (f"{name} key length", writer.u64(length)),
            (f"{name} key", self.key),
            (f"{name} value type", writer.u32(self.kind)),
            (f"{name} value", self.value),
        ]


@frozen
class Info:
    """A row of the tensor table; `dims` are innermost first."""

    name: bytes
    dims: tuple[int, ...]
    kind: int
    offset: int
    n_dims: int | None = None

    def fields(self, writer: Writer) -> list[Field]:
        """Return the row as labelled bytes."""
        name = self.name.decode(errors="replace")
        count = len(self.dims) if self.n_dims is None else self.n_dims
        return [
            (f"{name} name", writer.string(self.name)),
            (f"{name} n_dims", writer.u32(count)),
            *((f"{name} dimension", writer.u64(dim)) for dim in self.dims),
            (f"{name} type", writer.u32(self.kind)),
            (f"{name} offset", writer.u64(self.offset)),
        ]


@frozen
class GgufFile:
    """A GGUF file; counts that are None are the true ones."""

    pairs: tuple[Pair, ...]
    infos: tuple[Info, ...]
    data: bytes
    magic: bytes = b"GGUF"
    version: int = 3
    n_kv: int | None = None
    n_tensors: int | None = None
    alignment: int = ALIGNMENT
    writer: Writer = Writer()
    tail: bytes = b""
    cut: int = 0
    file_name: str = "model.gguf"

    def fields(self) -> list[Field]:
        """Return the whole file as labelled bytes."""
        n_tensors = len(self.infos) if self.n_tensors is None else self.n_tensors
        n_kv = len(self.pairs) if self.n_kv is None else self.n_kv
        head: list[Field] = [
            ("magic", self.magic),
            ("version", self.writer.u32(self.version)),
            ("tensor_count", self.writer.u64(n_tensors)),
            ("kv_count", self.writer.u64(n_kv)),
        ]
        for pair in self.pairs:
            head += pair.fields(self.writer)
        for info in self.infos:
            head += info.fields(self.writer)
        padding = bytes(-len(joined(head)) % self.alignment)
        return [*head, ("padding", padding), ("data", self.data), ("tail", self.tail)]

    def tobytes(self) -> bytes:
        """Return the file, shortened by `cut` bytes."""
        whole = joined(self.fields())
        return whole[: len(whole) - self.cut]

    def write(self, folder: Path) -> Path:
        """Write the file into a folder."""
        path = folder / self.file_name
        path.write_bytes(self.tobytes())
        return path

    def with_pair(self, key: str, kind: int, value: bytes) -> Self:
        """Return the file with a value replaced, or added at the end."""
        pair = Pair(key.encode(), kind, value)
        if not any(old.key == pair.key for old in self.pairs):
            return evolve(self, pairs=(*self.pairs, pair))
        pairs = (pair if old.key == pair.key else old for old in self.pairs)
        return evolve(self, pairs=tuple(pairs))

    def without_pair(self, key: str) -> Self:
        """Return the file without a key."""
        pairs = (pair for pair in self.pairs if pair.key != key.encode())
        return evolve(self, pairs=tuple(pairs))

    def plus(self, *pairs: Pair) -> Self:
        """Return the file with pairs added, whether their keys are there or not."""
        return evolve(self, pairs=(*self.pairs, *pairs))

    def with_info(self, name: str, /, **changes: Any) -> Self:
        """Return the file with one row of the tensor table changed."""
        infos = (
            evolve(info, **changes) if info.name == name.encode() else info
            for info in self.infos
        )
        return evolve(self, infos=tuple(infos))


def _pairs(w: Writer) -> tuple[Pair, ...]:
    def integers(**values: int) -> list[Pair]:
        return [
            Pair(f"llama.{key.replace('__', '.')}".encode(), U32, w.u32(value))
            for key, value in values.items()
        ]

    kinds = [w.i32(3)] * len(tiny.SPECIAL)
    kinds += [w.i32(1)] * (tiny.VOCAB - len(tiny.SPECIAL))
    merges = [f"{left} {right}" for left, right in tiny.MERGES]
    return (
        Pair(b"general.architecture", STRING, w.string("llama")),
        Pair(b"general.name", STRING, w.string("tiny")),
        Pair(b"general.file_type", U32, w.u32(0)),
        *integers(
            context_length=tiny.CONTEXT,
            embedding_length=tiny.HIDDEN,
            block_count=tiny.LAYERS,
            feed_forward_length=tiny.INTERMEDIATE,
            vocab_size=tiny.VOCAB,
            attention__head_count=tiny.HEADS,
            attention__head_count_kv=tiny.KV_HEADS,
            attention__key_length=tiny.HEAD_DIM,
            attention__value_length=tiny.HEAD_DIM,
            rope__dimension_count=tiny.HEAD_DIM,
        ),
        Pair(b"llama.attention.layer_norm_rms_epsilon", F32, w.f32(tiny.EPSILON)),
        Pair(b"llama.rope.freq_base", F32, w.f32(tiny.THETA)),
        Pair(b"tokenizer.ggml.model", STRING, w.string("gpt2")),
        Pair(b"tokenizer.ggml.pre", STRING, w.string("gpt-2")),
        Pair(b"tokenizer.ggml.tokens", ARRAY, w.strings(tiny.TOKENS)),
        Pair(b"tokenizer.ggml.token_type", ARRAY, w.array(I32, kinds)),
        Pair(b"tokenizer.ggml.merges", ARRAY, w.strings(merges)),
        Pair(b"tokenizer.ggml.bos_token_id", U32, w.u32(0)),
        Pair(b"tokenizer.ggml.eos_token_id", U32, w.u32(1)),
        Pair(b"tokenizer.ggml.add_bos_token", BOOL, b"\0"),
    )


def laid_out(
    tensors: Sequence[tuple[str, tuple[int, ...], int, bytes]], alignment: int
) -> tuple[tuple[Info, ...], bytes]:
    """Return the table and the data of tensors (name, shape, type, bytes) in order."""
    infos, data = [], b""
    for name, shape, kind, packed in tensors:
        infos.append(Info(name.encode(), shape[::-1], kind, len(data)))
        data += padded(packed, alignment)
    return tuple(infos), data


def _tensors() -> list[tuple[str, tuple[int, ...], int, bytes]]:
    return [
        (tiny.gguf_name(name), shape, 0, tiny.weights(name))
        for name, shape in tiny.SHAPES.items()
    ]


@cache
def valid(order: str = "<", alignment: int = ALIGNMENT) -> GgufFile:
    """Return a valid file; a big-endian one has big-endian values, too."""
    writer = Writer(order)
    tensors = _tensors()
    if order == ">":
        tensors = [(n, s, k, _swapped(packed)) for n, s, k, packed in tensors]
    infos, data = laid_out(tensors, alignment)
    return GgufFile(_pairs(writer), infos, data, alignment=alignment, writer=writer)


def replaced(name: str, kind: int, packed: bytes) -> GgufFile:
    """Return a valid file in which one tensor has another type, with its bytes."""
    tensors = [
        (each, shape, kind, packed) if each == name else (each, shape, old, data)
        for each, shape, old, data in _tensors()
    ]
    infos, data = laid_out(tensors, ALIGNMENT)
    return evolve(valid(), infos=infos, data=data)


def quantised(name: str, scale: bytes) -> GgufFile:
    """Return a valid file in which one matrix is Q8_0, all blocks with one scale."""
    rows, columns = next(shape for each, shape, *_ in _tensors() if each == name)
    return replaced(name, 8, (scale + bytes(range(32))) * (rows * columns // 32))


def elements(info: Info) -> int:
    """Return how many elements a row of the tensor table claims."""
    return prod(info.dims)


def _swapped(packed: bytes) -> bytes:
    count = len(packed) // 4
    return struct.pack(f">{count}I", *struct.unpack(f"<{count}I", packed))
