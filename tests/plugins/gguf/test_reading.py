"""Files that the `gguf` package writes are read as it meant them."""

import struct
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFValueType, GGUFWriter
from numpy.typing import NDArray

from aprhub.api import CorruptFileError
from tests.plugins.gguf.disk import opened
from tests.plugins.gguf.raw import LLAMA, SMALL, STRING, U32, File, Row, array, entry

SCALARS = [
    (GGUFValueType.UINT8, 200, "u8"),
    (GGUFValueType.INT8, -100, "i8"),
    (GGUFValueType.UINT16, 60_000, "u16"),
    (GGUFValueType.INT16, -30_000, "i16"),
    (GGUFValueType.UINT32, 4_000_000_000, "u32"),
    (GGUFValueType.INT32, -2_000_000_000, "i32"),
    (GGUFValueType.UINT64, 2**64 - 1, "u64"),
    (GGUFValueType.INT64, -(2**63), "i64"),
    (GGUFValueType.FLOAT32, 0.1, "f32"),
    (GGUFValueType.FLOAT64, 0.1, "f64"),
    (GGUFValueType.BOOL, True, "bool"),
    (GGUFValueType.STRING, "Ünïcode 🦙", "string"),
]


def finish(writer: GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize(("kind", "value", "name"), SCALARS)
def test_every_type_of_value_is_carried_as_it_is(
    tmp_path: Path, kind: GGUFValueType, value: Any, name: str
) -> None:
    writer = GGUFWriter(tmp_path / "a.gguf", "llama")
    writer.add_key_value("own.key", value, kind)
    finish(writer)

    model = opened(tmp_path / "a.gguf")

    assert model.carried["gguf"]["own.key"] == {"type": name, "value": value}


@pytest.mark.parametrize(("kind", "value", "name"), SCALARS)
def test_arrays_of_every_type_are_carried_as_they_are(
    tmp_path: Path, kind: GGUFValueType, value: Any, name: str
) -> None:
    exact = float(np.float32(value)) if name == "f32" else value
    writer = GGUFWriter(tmp_path / "a.gguf", "llama")
    writer.add_key_value("own.key", [value, value], GGUFValueType.ARRAY, sub_type=kind)
    finish(writer)

    model = opened(tmp_path / "a.gguf")

    expected = {"type": "array", "of": name, "value": [exact, exact]}
    assert model.carried["gguf"]["own.key"] == expected


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_numbers_that_json_lacks_are_carried_as_text(
    tmp_path: Path, value: float
) -> None:
    writer = GGUFWriter(tmp_path / "a.gguf", "llama")
    writer.add_float32("own.key", value)
    finish(writer)

    model = opened(tmp_path / "a.gguf")

    assert model.carried["gguf"]["own.key"] == {"type": "f32", "value": str(value)}


@pytest.mark.parametrize(
    ("array", "name"),
    [
        (np.arange(6, dtype=np.float32).reshape(2, 3), "f32"),
        (np.arange(6, dtype=np.float16).reshape(3, 2), "f16"),
        (np.arange(24, dtype=np.float64).reshape(2, 3, 4), "f64"),
        (np.arange(6, dtype=np.int8), "i8"),
        (np.arange(6, dtype=np.int16), "i16"),
        (np.arange(6, dtype=np.int32), "i32"),
        (np.arange(6, dtype=np.int64).reshape(1, 2, 3, 1), "i64"),
    ],
)
def test_tensors_have_shape_encoding_and_values(
    tmp_path: Path, array: NDArray[Any], name: str
) -> None:
    writer = GGUFWriter(tmp_path / "a.gguf", "llama")
    writer.add_tensor("before", np.ones(3, np.float32))
    writer.add_tensor("it", array)
    finish(writer)

    tensor = opened(tmp_path / "a.gguf").tensors["it"]

    assert tensor.shape == array.shape
    assert tensor.encoding.name == name
    np.testing.assert_array_equal(tensor.numpy(), array)


@pytest.mark.parametrize("name", ["Q4_0", "Q5_1", "Q8_0", "TQ1_0", "BF16"])
def test_quantised_tensors_keep_their_bytes(tmp_path: Path, name: str) -> None:
    kind = GGMLQuantizationType[name]
    values = np.random.default_rng(0).standard_normal((3, 512), np.float32)
    packed = gguf.quants.quantize(values, kind)
    writer = GGUFWriter(tmp_path / "a.gguf", "llama")
    writer.add_tensor("it", packed, raw_dtype=kind)
    finish(writer)

    tensor = opened(tmp_path / "a.gguf").tensors["it"]

    assert tensor.shape == (3, 512)
    assert tensor.encoding.name == name.lower()
    assert tensor.tobytes() == packed.tobytes()


@pytest.mark.parametrize("alignment", [8, 64, 4096])
def test_any_power_of_two_is_an_alignment(tmp_path: Path, alignment: int) -> None:
    writer = GGUFWriter(tmp_path / "a.gguf", "llama")
    writer.add_custom_alignment(alignment)
    writer.add_tensor("a", np.ones(3, np.float32))
    writer.add_tensor("b", np.full(5, 7, np.float32))
    finish(writer)

    model = opened(tmp_path / "a.gguf")

    assert model.tensors["b"].numpy().tolist() == [7.0] * 5
    assert "general.alignment" not in model.carried.get("gguf", {})


def test_version_2_is_read_like_version_3(tmp_path: Path) -> None:
    writer = GGUFWriter(tmp_path / "a.gguf", "llama")
    writer.add_block_count(3)
    finish(writer)
    data = bytearray((tmp_path / "a.gguf").read_bytes())
    data[4:8] = struct.pack("<I", 2)
    (tmp_path / "a.gguf").write_bytes(data)

    assert opened(tmp_path / "a.gguf").config.num_layers == 3


def test_a_scalar_and_a_fourth_dimension_are_shapes(tmp_path: Path) -> None:
    rows = (Row(b"zero", (), 0, 0), Row(b"four", (1, 2, 3, 4), 0, 32))
    path = File(LLAMA, rows, bytes(32 + 96)).write(tmp_path / "a.gguf")

    tensors = opened(path).tensors

    assert tensors["zero"].shape == ()
    assert tensors["four"].shape == (4, 3, 2, 1)


def test_an_unknown_type_reaches_to_the_next_tensor(tmp_path: Path) -> None:
    rows = (
        Row(b"new", (10, 3), 99, 0),
        Row(b"old", (3,), 0, 64),
        Row(b"last", (7,), 1000, 96),
    )
    data = bytes(range(64)) + bytes(32) + bytes(range(40))
    path = File(LLAMA, rows, data).write(tmp_path / "a.gguf")

    model = opened(path)

    assert model.tensors["new"].tobytes() == bytes(range(64))
    assert model.tensors["last"].tobytes() == bytes(range(40))
    assert model.tensors["new"].shape == (3, 10)
    assert any("type 99" in note for note in model.notes)


def test_an_unknown_type_may_not_overlap_what_follows(tmp_path: Path) -> None:
    rows = (
        Row(b"old", (16,), 0, 0),
        Row(b"new", (10, 3), 99, 64),
        Row(b"next", (3,), 0, 32),
    )
    path = File(LLAMA, rows, bytes(128)).write(tmp_path / "a.gguf")

    with pytest.raises(CorruptFileError, match="99 is not known"):
        opened(path)


def test_the_last_tensor_needs_no_padding_behind_it(tmp_path: Path) -> None:
    data = SMALL.bytes()[:-20]
    (tmp_path / "a.gguf").write_bytes(data)

    assert opened(tmp_path / "a.gguf").notes == ()


def test_tokens_are_decoded_when_somebody_asks(tmp_path: Path) -> None:
    path = SMALL.write(tmp_path / "a.gguf")
    model = opened(path)
    assert model.tokenizer is not None
    assert model.tokenizer.flat is not None
    tokens = model.tokenizer.flat.tokens
    data = path.read_bytes()

    path.write_bytes(data.replace(b"<unk>", b"<new>"))
    assert tokens[0] == "<new>"


def test_tokens_that_changed_into_no_text_are_an_error_of_ours(tmp_path: Path) -> None:
    path = SMALL.write(tmp_path / "a.gguf")
    model = opened(path)
    assert model.tokenizer is not None
    assert model.tokenizer.flat is not None

    path.write_bytes(path.read_bytes().replace(b"<unk>", b"<\xff>!!"))

    with pytest.raises(CorruptFileError, match="was changed"):
        list(model.tokenizer.flat.tokens)


def test_tokens_whose_lengths_changed_are_an_error_of_ours(tmp_path: Path) -> None:
    path = SMALL.write(tmp_path / "a.gguf")
    model = opened(path)
    assert model.tokenizer is not None
    assert model.tokenizer.flat is not None

    path.write_bytes(
        path.read_bytes().replace(b"\5\0\0\0\0\0\0\0<", b"\xff" * 8 + b"<")
    )

    with pytest.raises(CorruptFileError, match="was changed"):
        list(model.tokenizer.flat.tokens)


def test_tokens_may_be_of_any_length(tmp_path: Path) -> None:
    lengths = (0, 1, 127, 128, 129, 195, 255, 256, 1000, 3_000_000)
    tokens = ["é" * (length // 2) + "x" * (length % 2) for length in lengths]
    key = "tokenizer.ggml.tokens"
    kept = [each for each in LLAMA if not each[0].startswith(b"tokenizer.")]
    entries = (
        entry("tokenizer.ggml.model", STRING, "gpt2"),
        array(key, STRING, tokens),
    )
    path = File((*kept, *entries)).write(tmp_path / "a.gguf")

    model = opened(path)

    assert model.tokenizer is not None
    assert model.tokenizer.flat is not None
    assert model.tokenizer.flat.tokens == tokens


def test_a_world_of_our_own_name_is_a_key_like_any_other(tmp_path: Path) -> None:
    own = entry("aprhub.carried.gguf", STRING, "{}")
    path = File((*LLAMA, own)).write(tmp_path / "a.gguf")

    carried = opened(path).carried["gguf"]

    assert carried == {"aprhub.carried.gguf": {"type": "string", "value": "{}"}}


def test_every_key_has_one_fate(tmp_path: Path) -> None:
    extra = (entry("own.key", U32, 1), entry("general.alignment", U32, 32))
    path = File((*LLAMA, *extra)).write(tmp_path / "a.gguf")

    fates = opened(path).fates

    keys = [key.decode() for key, _, _ in (*LLAMA, *extra)]
    assert [fate.key for fate in fates] == keys
    assert {fate.key: fate.fate for fate in fates}["own.key"] == "carried"
    assert {fate.key: fate.fate for fate in fates}["general.alignment"] == "transformed"


def test_a_large_array_stays_in_the_file_until_it_is_used(tmp_path: Path) -> None:
    numbers = np.arange(500_000, dtype=np.int32)
    head = struct.pack("<IQ", 5, numbers.size)
    own = (b"own.key", 9, head + numbers.tobytes())
    path = File((*LLAMA, own)).write(tmp_path / "a.gguf")

    value = opened(path).carried["gguf"]["own.key"]["value"]

    assert not isinstance(value, list)
    assert len(value) == 500_000
    assert value[123_456] == 123_456
    assert value == numbers.tolist()
