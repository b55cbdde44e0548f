"""What ggml's reader refuses is refused here, with the place of the fault."""

import struct
from pathlib import Path

import pytest
from attrs import evolve

from aprhub.api import (
    AprhubError,
    CorruptFileError,
    MissingFileError,
    UnsupportedFileError,
)
from tests.plugins.gguf.disk import opened
from tests.plugins.gguf.raw import (
    ARRAY,
    BOOL,
    F32,
    I32,
    LLAMA,
    SMALL,
    STRING,
    U8,
    U16,
    U32,
    U64,
    Entry,
    File,
    Row,
    array,
    entry,
    string,
)

# The last byte of a token of 200 bytes begins a character that the next length,
# 128, would seem to end.
FOUR = b"".join(map(string, (b"a", b"b" * 199 + b"\xc3", b"c" * 128, b"d")))

ONE = Row(b"a", (32,), 0, 0)


def with_rows(*rows: Row, data: bytes = bytes(4096)) -> File:
    return File(LLAMA, rows, data)


def with_entry(key: str, kind: int, value: bytes) -> File:
    return File((*LLAMA, (key.encode(), kind, value)))


def changed(key: str, new: Entry) -> File:
    kept = [each for each in LLAMA if each[0] != key.encode()]
    return File((*kept, new))


CORRUPT = {
    "magic": (evolve(SMALL, magic=b"GGUG"), "magic"),
    "swapped magic": (evolve(SMALL, magic=b"FUGG"), "magic"),
    "empty key": (with_entry("", U8, b"\1"), "the key is empty"),
    "long key": (File((*LLAMA, (b"k" * 70_000, U8, b"\1"))), "70000"),
    "key beyond the file": (File(entry_count=1), "8 bytes that follow"),
    "duplicate key": (with_entry("llama.block_count", U32, bytes(4)), "twice"),
    "key that is not text": (File(((b"\xff\xfe", U8, b"\1"),)), "0xff"),
    "value type 13": (with_entry("own", 13, bytes(8)), "no type 13"),
    "value type 255": (with_entry("own", 255, bytes(8)), "no type 255"),
    "bool of 2": (with_entry("own", BOOL, b"\2"), "neither false"),
    "text that is not text": (with_entry("own", STRING, string(b"\xc3")), "0xc3"),
    "string of 2^63": (with_entry("own", STRING, struct.pack("<Q", 1 << 63)), "own"),
    "array of arrays": (
        with_entry("own", ARRAY, struct.pack("<IQIQ", ARRAY, 1, U8, 0)),
        "array of arrays",
    ),
    "array of 2^60": (
        with_entry("own", ARRAY, struct.pack("<IQ", U8, 1 << 60)),
        "elements",
    ),
    "array beyond the file": (
        with_entry("own", ARRAY, struct.pack("<IQ", U64, 1 << 29)),
        "own",
    ),
    "strings beyond the file": (
        with_entry("own", ARRAY, struct.pack("<IQQ", STRING, 1, 1 << 40)),
        "own",
    ),
    "last string cut": (
        with_entry("own", ARRAY, struct.pack("<IQQ", STRING, 1, 99) + bytes(10)),
        "99 bytes are announced",
    ),
    "many strings": (
        with_entry("own", ARRAY, struct.pack("<IQ", STRING, 1 << 29)),
        "own",
    ),
    "entry count 2^63": (evolve(SMALL, entry_count=1 << 63), "metadata count"),
    "tensor count 2^64-1": (evolve(SMALL, tensor_count=2**64 - 1), "tensor count"),
    "alignment 0": (with_entry("general.alignment", U32, bytes(4)), "power of two"),
    "alignment 24": (
        with_entry("general.alignment", U32, struct.pack("<I", 24)),
        "power of two",
    ),
    "alignment as i32": (
        with_entry("general.alignment", I32, struct.pack("<i", 32)),
        "i32 32",
    ),
    "alignment as text": (
        with_entry("general.alignment", STRING, string("32")),
        "string",
    ),
    "5 dimensions": (with_rows(Row(b"a", (1,) * 5, 0, 0)), "5 dimensions"),
    "2^32-1 dimensions": (
        with_rows(Row(b"a", (1,), 0, 0, rank=2**32 - 1)),
        "4294967295 dimensions",
    ),
    "negative dimension": (with_rows(Row(b"a", (2**64 - 1,), 0, 0)), "63 bits"),
    "product that wraps": (with_rows(Row(b"a", (2**32, 2**32), 0, 0)), "63 bits"),
    "dimension of 0": (with_rows(Row(b"a", (4, 0), 0, 0)), "(0, 4) has no elements"),
    "bytes after the last tensor": (
        evolve(SMALL, data=SMALL.data + b"PK"),
        "2 bytes follow the last tensor",
    ),
    "one tensor uncounted": (evolve(SMALL, tensor_count=1), "follow the last tensor"),
    "key with an escape": (with_entry("a\33[2J", U8, b"\1"), "control characters"),
    "name with a NUL": (with_rows(Row(b"a\0b", (32,), 0, 0)), "control characters"),
    "alignment 2^31": (
        with_entry("general.alignment", U32, struct.pack("<I", 1 << 31)),
        "power of two",
    ),
    "no architecture": (File(LLAMA[1:]), "general.architecture"),
    "token that is not text": (
        changed(
            "tokenizer.ggml.tokens",
            (b"tokenizer.ggml.tokens", ARRAY, struct.pack("<IQ", STRING, 4) + FOUR),
        ),
        "tokenizer.ggml.tokens at byte",
    ),
    "token id 4 of 4": (
        changed(
            "tokenizer.ggml.bos_token_id", entry("tokenizer.ggml.bos_token_id", U32, 4)
        ),
        "one of the 4 tokens",
    ),
    "token id 2^32-1": (
        with_entry("tokenizer.ggml.padding_token_id", U32, b"\xff" * 4),
        "one of the 4 tokens",
    ),
    "token id -1": (
        with_entry("tokenizer.ggml.padding_token_id", I32, b"\xff" * 4),
        "-1",
    ),
    "token type 7": (
        changed(
            "tokenizer.ggml.token_type",
            array("tokenizer.ggml.token_type", I32, [1, 1, 1, 7]),
        ),
        "types 0 to 6",
    ),
    "epsilon below 0": (
        changed(
            "llama.attention.layer_norm_rms_epsilon",
            entry("llama.attention.layer_norm_rms_epsilon", F32, -1e-5),
        ),
        "from 0 on",
    ),
    "no part of none": (
        File((*LLAMA, entry("split.count", U16, 0))),
        "split.count",
    ),
    "bytes that wrap": (with_rows(Row(b"a", (2**62,), 0, 0)), "ends at byte"),
    "cut block": (with_rows(Row(b"a", (48,), 8, 0)), "blocks of 32"),
    "empty name": (with_rows(Row(b"", (32,), 0, 0)), "0 bytes"),
    "name of 64 bytes": (with_rows(Row(b"n" * 64, (32,), 0, 0)), "64 bytes"),
    "name that is not text": (with_rows(Row(b"\xff", (32,), 0, 0)), "0xff"),
    "duplicate name": (with_rows(ONE, evolve(ONE, offset=128)), "two tensors"),
    "offset beyond the file": (with_rows(evolve(ONE, offset=1 << 40)), "not at 0"),
    "tensor beyond the file": (with_rows(ONE, data=bytes(127)), "ends at byte"),
    "gap": (with_rows(ONE, Row(b"b", (1,), 0, 160)), "offset 160, not at 128"),
    "overlap": (with_rows(ONE, Row(b"b", (1,), 0, 0)), "offset 0, not at 128"),
    "unaligned": (with_rows(ONE, Row(b"b", (1,), 0, 129)), "not at 128"),
    "architecture with a slash": (
        changed("general.architecture", entry("general.architecture", STRING, "a/b")),
        "general.architecture",
    ),
    "architecture of 1 MB": (
        changed(
            "general.architecture", entry("general.architecture", STRING, "a" * 10**6)
        ),
        "general.architecture",
    ),
    "architecture as a number": (
        changed("general.architecture", entry("general.architecture", U32, 1)),
        "expected a string",
    ),
    "size as text": (
        changed("llama.block_count", entry("llama.block_count", STRING, "2")),
        "llama.block_count",
    ),
    "size as a fraction": (
        changed("llama.block_count", entry("llama.block_count", F32, 2.0)),
        "llama.block_count",
    ),
    "negative size": (
        changed("llama.block_count", entry("llama.block_count", I32, -1)),
        "-1",
    ),
    "size as bool": (
        changed("llama.block_count", entry("llama.block_count", BOOL, True)),
        "llama.block_count",
    ),
    "size as array": (
        changed("llama.block_count", array("llama.block_count", U32, [1])),
        "array of 1 u32",
    ),
    "rotary size as text": (
        changed(
            "llama.rope.dimension_count",
            entry("llama.rope.dimension_count", STRING, "x"),
        ),
        "whole number",
    ),
    "more rotary elements than there are": (
        changed(
            "llama.rope.dimension_count", entry("llama.rope.dimension_count", U32, 17)
        ),
        "at most 16",
    ),
    "epsilon as text": (
        changed(
            "llama.attention.layer_norm_rms_epsilon",
            entry("llama.attention.layer_norm_rms_epsilon", STRING, "1e-5"),
        ),
        "finite number",
    ),
    "epsilon that is no number": (
        changed(
            "llama.attention.layer_norm_rms_epsilon",
            entry("llama.attention.layer_norm_rms_epsilon", F32, float("nan")),
        ),
        "nan",
    ),
    "heads for too few layers": (
        changed(
            "llama.attention.head_count",
            array("llama.attention.head_count", U32, [4, 4]),
        ),
        "each of 1 layers",
    ),
    "too few scores": (
        changed("tokenizer.ggml.scores", array("tokenizer.ggml.scores", F32, [0.0])),
        "each of 4 tokens",
    ),
    "too many types": (
        changed(
            "tokenizer.ggml.token_type",
            array("tokenizer.ggml.token_type", I32, [1] * 5),
        ),
        "each of 4 tokens",
    ),
    "tokens that are numbers": (
        changed("tokenizer.ggml.tokens", array("tokenizer.ggml.tokens", U32, [1])),
        "array of string",
    ),
    "vocabulary without tokens": (
        File([each for each in LLAMA if each[0] != b"tokenizer.ggml.tokens"]),
        "tokenizer.ggml.tokens",
    ),
    "vocabulary without a kind": (
        File([each for each in LLAMA if each[0] != b"tokenizer.ggml.model"]),
        "tokenizer.ggml.model",
    ),
    "own key that is no json": (
        File((*LLAMA, entry("aprhub.lineage", STRING, "[" * 200_000))),
        "aprhub.lineage",
    ),
    "own key with other json": (
        File((*LLAMA, entry("aprhub.lineage", STRING, '[{"a": 1}]'))),
        "operations",
    ),
    "own parameters unknown": (
        File((*LLAMA, entry("aprhub.config", STRING, '{"legs": 4}'))),
        "hyper-parameters",
    ),
    "own parameters of a wrong type": (
        File((*LLAMA, entry("aprhub.config", STRING, '{"head_dim": "x"}'))),
        "of their types",
    ),
}

UNSUPPORTED = {
    "version 0": (evolve(SMALL, version=0), "version 0"),
    "version 1": (evolve(SMALL, version=1), "version 1"),
    "version 4": (evolve(SMALL, version=4), "version 4"),
    "big-endian": (evolve(SMALL, order=">"), "big-endian"),
    **{
        f"removed type {number}": (
            with_rows(Row(b"a", (256,), number, 0)),
            f"type {number}",
        )
        for number in (4, 5, 31, 32, 33, 36, 37, 38)
    },
    "older blocks": (
        File(
            (*LLAMA, entry("general.quantization_version", U32, 1)),
            (Row(b"a", (32,), 8, 0),),
            bytes(64),
        ),
        "general.quantization_version is 1",
    ),
}


@pytest.mark.parametrize("name", CORRUPT)
def test_a_file_that_contradicts_the_format_is_refused(
    tmp_path: Path, name: str
) -> None:
    file, expected = CORRUPT[name]
    path = file.write(tmp_path / "a.gguf")

    with pytest.raises((CorruptFileError, UnsupportedFileError)) as caught:
        opened(path)

    assert expected in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, name: str) -> None:
    file, expected = UNSUPPORTED[name]

    with pytest.raises(UnsupportedFileError, match=expected):
        opened(file.write(tmp_path / "a.gguf"))


def test_the_small_file_is_sound(tmp_path: Path) -> None:
    model = opened(SMALL.write(tmp_path / "a.gguf"))

    assert [*model.tensors] == ["a.weight", "b.weight"]
    assert model.notes == ()


def test_a_cut_at_every_byte_names_a_place(tmp_path: Path) -> None:
    data, path = SMALL.bytes(), tmp_path / "a.gguf"
    used = len(data) - 20
    messages = set()
    for length in range(used):
        path.write_bytes(data[:length])
        with pytest.raises(CorruptFileError) as caught:
            opened(path)
        assert caught.value.offset is not None or caught.value.where
        messages.add(caught.value.where)
    assert len(messages) > len(LLAMA)


@pytest.mark.parametrize("boundary", SMALL.boundaries())
def test_a_cut_after_every_field_is_found(tmp_path: Path, boundary: int) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(SMALL.bytes()[:boundary])

    with pytest.raises(CorruptFileError):
        opened(path)


def test_a_flipped_byte_raises_nothing_but_our_errors(tmp_path: Path) -> None:
    data, path = SMALL.bytes(), tmp_path / "a.gguf"
    refused = 0
    for position in range(len(data) - len(SMALL.data)):
        flipped = bytearray(data)
        flipped[position] ^= 0xFF
        path.write_bytes(flipped)
        try:
            model = opened(path)
            assert (
                model.tokenizer is None
                or model.tokenizer.flat is None
                or [*model.tokenizer.flat.tokens]
            )
        except AprhubError:
            refused += 1
    assert refused > len(data) // 4


def test_a_sparse_file_costs_no_memory_and_no_time(tmp_path: Path) -> None:
    huge = struct.pack("<IQ", STRING, 1 << 30)
    path = File((*LLAMA, (b"own", ARRAY, huge))).write(tmp_path / "a.gguf")
    with path.open("r+b") as file:
        file.truncate(1 << 40)

    with pytest.raises(UnsupportedFileError, match="1073741824 texts"):
        opened(path)


def test_strings_of_too_many_bytes_are_refused_before_they_are_read(
    tmp_path: Path,
) -> None:
    huge = struct.pack("<IQQ", STRING, 1, 1 << 39)
    path = File((*LLAMA, (b"own", ARRAY, huge))).write(tmp_path / "a.gguf")
    with path.open("r+b") as file:
        file.truncate(1 << 40)

    with pytest.raises(UnsupportedFileError, match="own has 549755813896 bytes"):
        opened(path)


def test_a_long_array_of_numbers_is_not_read(tmp_path: Path) -> None:
    long = (b"own", ARRAY, struct.pack("<IQ", U64, 1 << 30))
    path = File((*LLAMA, long)).write(tmp_path / "a.gguf")
    with path.open("r+b") as file:
        file.truncate(len(b"".join(File((*LLAMA, long)).fields())) + (8 << 30))

    value = opened(path).carried["gguf"]["own"]["value"]

    assert len(value) == 1 << 30


def test_a_long_text_is_refused_before_it_is_read(tmp_path: Path) -> None:
    text = struct.pack("<Q", 1 << 39)
    path = File((*LLAMA, (b"own", STRING, text))).write(tmp_path / "a.gguf")
    with path.open("r+b") as file:
        file.truncate(1 << 40)

    with pytest.raises(UnsupportedFileError, match="549755813888 bytes"):
        opened(path)


def test_what_is_no_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError):
        opened(tmp_path / "a.gguf")
    with pytest.raises(MissingFileError):
        opened(tmp_path)
