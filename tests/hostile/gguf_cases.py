"""What can be wrong with a GGUF file's bytes: header, key-value pairs, tensor table."""

from collections.abc import Iterator, Mapping
from typing import Final

from attrs import evolve

from tests.hostile import gguf_file, gguf_models
from tests.hostile.case import Case, RawFile, broken, legal, odd, unsound
from tests.hostile.gguf_file import (
    ARRAY,
    BOOL,
    I32,
    STRING,
    U8,
    U32,
    U64,
    GgufFile,
    Info,
    Pair,
    Writer,
)

HUGE: Final = 2**60
W: Final = Writer()
BASE: Final = gguf_file.valid()
NORM: Final = "output_norm.weight"
LAST: Final = "output.weight"
REMOVED_TYPES: Final = (4, 5, 31, 32, 33, 36, 37, 38)
UNKNOWN_TYPES: Final = (99, 255, 2**31, 2**32 - 1)


def _pair(key: str, kind: int, value: bytes) -> GgufFile:
    return BASE.plus(Pair(key.encode(), kind, value))


def _nested(depth: int) -> bytes:
    return (W.u32(ARRAY) + W.u64(1)) * depth + W.u32(U8) + W.u64(0)


def _headers() -> Iterator[Case]:
    head = BASE.tobytes()
    for size in (0, 3, 4, 8, 23):
        yield broken(f"a file of {size} bytes", RawFile("model.gguf", head[:size]))
    for magic in (b"GGUX", b"FUGG", b"ggjt", b"\0\0\0\0"):
        yield broken(f"magic {magic!r}", evolve(BASE, magic=magic))
    for version in (0, 1, 4, 2**32 - 1):
        yield broken(f"version {version}", evolve(BASE, version=version), "version")
    yield broken("a big-endian file", gguf_file.valid(">"), "endian")
    yield legal("version 2", evolve(BASE, version=2), "is read like version 3")
    for count in (2**63, 2**64 - 1, HUGE, 2**32, len(BASE.pairs) + 1):
        yield broken(f"n_kv {count}", evolve(BASE, n_kv=count))
    for count in (2**63, 2**64 - 1, HUGE, 2**32, len(BASE.infos) + 1):
        yield broken(f"n_tensors {count}", evolve(BASE, n_tensors=count))
    yield broken("n_kv one too small", evolve(BASE, n_kv=len(BASE.pairs) - 1))
    yield unsound(
        "n_tensors one too small", evolve(BASE, n_tensors=len(BASE.infos) - 1)
    )
    yield unsound("n_tensors 0", evolve(BASE, n_tensors=0))
    yield broken("n_kv 0", evolve(BASE, n_kv=0))


def _keys() -> Iterator[Case]:
    u32 = W.u32(7)
    lied: Mapping[str, int] = {
        "10^12": 10**12,
        "2^63": 2**63,
        "2^64-1": 2**64 - 1,
        "one over the end": len(BASE.tobytes()),
    }
    for name, length in lied.items():
        pair = Pair(b"some.key", U32, u32, key_length=length)
        yield broken(f"key length {name}", BASE.plus(pair))
    tiny_file = GgufFile((Pair(b"", U32, b"", 10**12),), (), b"", n_tensors=0)
    yield broken("key length 10^12 in 36 bytes", tiny_file)
    yield broken("an empty key", _pair("", U32, u32))
    yield broken("a key that is not UTF-8", BASE.plus(Pair(b"a\xff", U32, u32)))
    again = next(pair for pair in BASE.pairs if pair.key == b"llama.block_count")
    key = "llama.block_count"
    yield broken("a duplicate key, same value", BASE.plus(again), key)
    yield broken(
        "a duplicate key, other value", BASE.plus(evolve(again, value=u32)), key
    )
    yield broken(
        "a duplicate key of another type",
        BASE.plus(Pair(again.key, STRING, W.string("2"))),
        key,
    )


def _values() -> Iterator[Case]:
    for kind in (13, 255, 2**31, 2**32 - 1):
        yield broken(f"value type {kind}", _pair("some.key", kind, b"\1"), "some.key")
        array = W.array(kind, [b"\1"])
        name = f"an array of type {kind}"
        yield broken(name, _pair("some.key", ARRAY, array), "some.key")
    yield odd(
        "a bool of 2", _pair("some.key", BOOL, b"\2"), "C programs take it as true"
    )
    for length in (2**63, 2**64 - 1, HUGE, 10**12):
        value = W.u64(length) + b"text"
        yield broken(f"string length {length}", _pair("some.key", STRING, value))
    yield broken(
        "a string that is not UTF-8",
        _pair("some.key", STRING, W.string(b"\xc3\x28")),
        "some.key",
    )
    yield broken(
        "an architecture that is not UTF-8",
        BASE.with_pair("general.architecture", STRING, W.string(b"llam\xe1")),
        "general.architecture",
    )


def _arrays() -> Iterator[Case]:
    counts = {
        "2^60 of u8": (U8, HUGE),
        "2^64-1 of u8": (U8, 2**64 - 1),
        "2^61 of u64": (U64, 2**61),
        "2^62 of u32": (U32, 2**62),
        "2^60 of strings": (STRING, HUGE),
        "2^60 of bools": (BOOL, HUGE),
        "2^60 of arrays": (ARRAY, HUGE),
    }
    for name, (kind, count) in counts.items():
        value = W.array(kind, [bytes(8)], count)
        yield broken(f"array count {name}", _pair("some.key", ARRAY, value), "some.key")
    one = W.string("a") + W.u64(len(BASE.tobytes()))
    yield broken(
        "a string array whose lengths sum past the file",
        _pair("some.key", ARRAY, W.array(STRING, [one], 2)),
        "some.key",
    )
    wrapping = W.u64(2**64 - 8) * 2
    yield broken(
        "a string array whose lengths wrap",
        _pair("some.key", ARRAY, W.array(STRING, [wrapping], 2)),
        "some.key",
    )
    yield broken("nested arrays", _pair("some.key", ARRAY, _nested(1)), "some.key")
    deep = _pair("some.key", ARRAY, _nested(100_000))
    yield broken("arrays nested 100,000 deep", deep, "some.key")
    yield unsound(
        "a token that is not UTF-8",
        BASE.with_pair(
            "tokenizer.ggml.tokens", ARRAY, W.strings([b"\xff"] * gguf_models.VOCAB)
        ),
        "tokenizer.ggml.tokens",
    )


def _alignments() -> Iterator[Case]:
    key = "general.alignment"
    values: Mapping[str, tuple[int, bytes]] = {
        "0": (U32, W.u32(0)),
        "3": (U32, W.u32(3)),
        "48": (U32, W.u32(48)),
        "2^32-1": (U32, W.u32(2**32 - 1)),
        "32 stored as i32": (I32, W.i32(32)),
        "-32 stored as i32": (I32, W.i32(-32)),
        "32 stored as u64": (U64, W.u64(32)),
        "32 stored as string": (STRING, W.string("32")),
        "32 stored as array": (ARRAY, W.array(U32, [W.u32(32)])),
        "true": (BOOL, b"\1"),
    }
    for name, (kind, value) in values.items():
        yield broken(f"alignment {name}", BASE.with_pair(key, kind, value), key)
    far = BASE.with_pair(key, U32, W.u32(2**31))
    yield broken("alignment 2^31", far)
    wide = gguf_file.valid(alignment=256).with_pair(key, U32, W.u32(256))
    yield legal("alignment 256", wide, "a power of two, and the offsets fit it")
    yield broken("alignment 256 on offsets for 32", evolve(wide, infos=BASE.infos))


def _dimensions() -> Iterator[Case]:
    counts = {"0": 0, "2": 2, "5": 5, "255": 255, "2^31": 2**31, "2^32-1": 2**32 - 1}
    for name, count in counts.items():
        yield broken(f"n_dims {name}", BASE.with_info(NORM, n_dims=count))
    yield broken("five dimensions", BASE.with_info(NORM, dims=(32, 1, 1, 1, 1)), NORM)
    yield unsound("no dimension", BASE.with_info(LAST, dims=()))
    shapes: Mapping[str, tuple[int, ...]] = {
        "a dimension 2^63": (2**63,),
        "a dimension 2^64-1": (2**64 - 1,),
        "a product that wraps to 0": (2**32, 2**32),
        "a product that wraps to 32": (2**59 + 1, 32),
        "a product that passes 2^63": (2**32, 2**31),
        "a product times type size that wraps": (2**62,),
        "a product times type size that wraps to 128": (2**62 + 32,),
        "a product of four that wraps": (2**16, 2**16, 2**16, 2**16),
        "a tensor larger than the file": (2**40,),
    }
    for name, dims in shapes.items():
        yield broken(name, BASE.with_info(NORM, dims=dims), NORM)
    yield broken("a dimension 0", BASE.with_info(NORM, dims=(0,)))
    last = BASE.with_info(LAST, dims=(32, 65))
    yield broken("a last tensor of one row too many", last, LAST)


def _types() -> Iterator[Case]:
    for kind in REMOVED_TYPES:
        yield broken(f"removed type {kind}", BASE.with_info(LAST, kind=kind), LAST)
    for kind in UNKNOWN_TYPES:
        yield unsound(f"unknown type {kind}", BASE.with_info(LAST, kind=kind), LAST)
    for kind, name in ((12, "Q4_K"), (14, "Q6_K"), (40, "NVFP4")):
        title = f"a row of 32 in blocks of {name}"
        yield broken(title, BASE.with_info(LAST, kind=kind), LAST)
    odd_row = BASE.with_info(LAST, kind=8, dims=(33, 64))
    yield broken("a row of 33 in blocks of Q8_0", odd_row, LAST)
    yield broken("f32 bytes called f16", BASE.with_info("blk.0.ffn_up.weight", kind=1))


def _offsets() -> Iterator[Case]:
    first, second = BASE.infos[0], BASE.infos[1]
    last = BASE.infos[-1]
    offsets = {
        "beyond the file": len(BASE.data) + 4096,
        "at the end of the file": len(BASE.data),
        "2^63": 2**63,
        "2^64-32": 2**64 - 32,
        "unaligned": last.offset + 1,
        "one alignment too far": last.offset + 32,
        "one alignment too early": last.offset - 32,
        "of another tensor": first.offset,
    }
    for name, offset in offsets.items():
        yield broken(f"offset {name}", BASE.with_info(LAST, offset=offset), LAST)
    gap = tuple(evolve(info, offset=info.offset + 32) for info in BASE.infos)
    shifted = evolve(BASE, infos=gap, data=bytes(32) + BASE.data)
    yield broken("a gap before the first tensor", shifted, first.name.decode())
    swapped = (second, first, *BASE.infos[2:])
    yield broken("a table that is not in the order of the data", _table(swapped))
    q, k = (BASE.infos[at] for at in (3, 4))
    shared = BASE.with_info(k.name.decode(), offset=q.offset)
    yield broken("two tensors on one range", shared, k.name.decode())


def _table(infos: tuple[Info, ...]) -> GgufFile:
    return evolve(BASE, infos=infos)


def _names() -> Iterator[Case]:
    duplicate = BASE.with_info("blk.1.attn_q.weight", name=b"blk.0.attn_q.weight")
    yield broken("a duplicate tensor name", duplicate, "blk.0.attn_q.weight")
    last = {
        "of 64 bytes": b"x" * 64,
        "of 65536 bytes": b"x" * 65536,
        "that is not UTF-8": b"out\xff",
    }
    for name, value in last.items():
        yield broken(f"a tensor name {name}", BASE.with_info(LAST, name=value))
    length = W.u64(2**62)
    cut = evolve(BASE, infos=(), n_tensors=1, data=length + bytes(64), alignment=1)
    yield broken("a tensor name of 2^62 bytes", cut)
    doubtful = {
        "of 63 bytes": b"x" * 63,
        "that is empty": b"",
        "with a slash": b"../output.weight",
        "that is a path": b"/etc/passwd",
        "with a NUL": b"output\0.weight",
        "with a line break": b"output\n.weight",
        "with a terminal escape": b"\x1b]0;owned\x07\x1b[31moutput",
    }
    for name, value in doubtful.items():
        yield unsound(f"a tensor name {name}", BASE.with_info(LAST, name=value))


def _extents() -> Iterator[Case]:
    data = len(BASE.data)
    for name, size in {
        "1 byte": 1,
        "half": data // 2,
        "95.5 %": int(data * 0.955),
        "all": data,
    }.items():
        yield broken(f"the data cut by {name}", evolve(BASE, cut=size))
    tail = evolve(BASE, tail=b"PK\3\4" + bytes(60))
    yield odd("bytes after the last tensor", tail, "no rule of the format forbids them")


CASES: Final = [
    *_headers(),
    *_keys(),
    *_values(),
    *_arrays(),
    *_alignments(),
    *_dimensions(),
    *_types(),
    *_offsets(),
    *_names(),
    *_extents(),
    *gguf_models.cases(),
]
