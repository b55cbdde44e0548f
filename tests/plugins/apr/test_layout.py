import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aprhub.api import (
    ENCODINGS,
    Crc32,
    FlatVocabulary,
    LayoutOptions,
    Provenance,
    Tensor,
    TensorData,
    Tokenizer,
    UnrepresentableError,
)
from aprhub_apr import APR
from tests.plugins.apr import disk, golden

WORKED_EXAMPLE = {
    0x0000: "41 50 52 00 02 00 20 04 02 00 00 00 40 00 00 00",
    0x0010: "00 00 00 00 6b 00 00 00 c0 00 00 00 00 00 00 00",
    0x0020: "40 01 00 00 00 00 00 00 bc 8d 5e 2d 00 00 00 00",
    0x0040: "7b 22 6d 6f 64 65 6c 5f 74 79 70 65 22 3a 22 64",
    0x0050: "65 6d 6f 22 2c 22 6c 69 63 65 6e 73 65 22 3a 22",
    0x0060: "4d 49 54 22 2c 22 64 61 74 61 5f 73 6f 75 72 63",
    0x0070: "65 22 3a 6e 75 6c 6c 2c 22 64 61 74 61 5f 6c 69",
    0x0080: "63 65 6e 73 65 22 3a 6e 75 6c 6c 2c 22 74 6f 74",
    0x0090: "61 6c 5f 73 69 7a 65 22 3a 30 2c 22 70 61 72 61",
    0x00A0: "6d 5f 63 6f 75 6e 74 22 3a 38 7d 00 00 00 00 00",
    0x00C0: "01 00 61 81 01 02 00 00 00 00 00 00 00 00 00 00",
    0x00D0: "00 00 00 00 00 06 00 00 00 00 00 00 00 01 00 77",
    0x00E0: "00 02 02 00 00 00 00 00 00 00 03 00 00 00 00 00",
    0x00F0: "00 00 40 00 00 00 00 00 00 00 18 00 00 00 00 00",
    0x0140: "00 00 00 3f 7f c0 00 00 00 00 00 00 00 00 00 00",
    0x0180: "00 00 80 3f 00 00 00 40 00 00 40 40 00 00 80 bf",
    0x0190: "00 00 00 c0 00 00 40 c0 00 00 00 00 00 00 00 00",
    0x01C0: "73 f0 e9 b1",
}
"""Section 12 of the specification; bytes that are not listed are zero."""


def _worked_example() -> bytes:
    data = bytearray(452)
    for offset, text in WORKED_EXAMPLE.items():
        row = bytes.fromhex(text)
        data[offset : offset + len(row)] = row
    return bytes(data)


def _floats(*values: float) -> Tensor:
    return Tensor.of(np.array(values, "<f4"))


def _lay_out(stored: Any, **options: Any) -> Any:
    assert APR.lay_out is not None
    return APR.lay_out(stored, Path("model.apr"), LayoutOptions(**options))


def test_the_worked_example_of_the_specification() -> None:
    stored = disk.model(
        {
            "w": _floats(1, 2, 3, -1, -2, -3).reshaped(2, 3),
            "a": disk.packed(
                (2,), ENCODINGS["apr_q8"], bytes.fromhex("0000003f 7f c0")
            ),
        },
        provenance=Provenance(license="MIT"),
        carried={"apr": {"model_type": "demo", "total_size": 0, "param_count": 8}},
    )

    assert disk.laid_out(stored) == _worked_example()


def test_the_model_that_the_reference_pins() -> None:
    stored = disk.model(
        {
            "weights": _floats(1, 2, 0.5, -0.5, 4, -2, 0.25, 8),
            "bias": _floats(0.125),
        },
        provenance=Provenance(
            name="golden-v2", version="0.0.0-golden", created_at="1700000000"
        ),
        carried={
            "apr": {
                "model_type": "linear_regression",
                "total_size": 0,
                "param_count": 8,
            }
        },
    )

    data = disk.laid_out(stored)

    assert len(data) == 516
    expected = golden.verdict("golden_v2_model.apr")["file_sha256"]
    assert hashlib.sha256(data).hexdigest() == expected


def test_payloads_stand_in_the_order_of_their_names_bytes() -> None:
    names = ["é", "z", "Z", "a.b", "a", ""]
    layout = _lay_out(disk.model({name: _floats(1) for name in names}))

    (file,) = layout.files
    stored = [each.name for each in file.segments if isinstance(each, TensorData)]
    assert stored == ["", "Z", "a", "a.b", "z", "é"]


def test_everything_is_padded_to_64_bytes_and_the_footer_comes_last() -> None:
    layout = _lay_out(disk.model({"a": _floats(1), "b": _floats(*range(17))}))

    (file,) = layout.files
    head, *_, footer = file.segments
    assert head.nbytes % 64 == 0
    assert [each.nbytes for each in file.segments[1:-1]] == [4, 60, 68, 60]
    assert footer == Crc32()


def test_the_same_model_gives_the_same_bytes() -> None:
    custom = {"zeta": 1, "alpha": {"b": 1, "a": 2}}
    stored = disk.model({"a": _floats(1)}, carried={"apr": custom, "hf": {"b": "text"}})
    other = disk.model(
        {"a": _floats(1)}, carried={"hf": {"b": "text"}, "apr": dict([*custom.items()])}
    )

    assert disk.laid_out(stored) == disk.laid_out(other)


@pytest.mark.parametrize(
    ("encoding", "tokenizer", "flags"),
    [
        ("f32", None, 0x0400),
        ("apr_q4", None, 0x0420),
        ("f32", Tokenizer(FlatVocabulary("gpt2", ["a"], merges=["a a"])), 0x0600),
        ("apr_q8", Tokenizer(FlatVocabulary("gpt2", ["a"])), 0x0620),
    ],
)
def test_flags_say_what_is_inside(
    encoding: str, tokenizer: Tokenizer | None, flags: int
) -> None:
    found = ENCODINGS[encoding]
    tensor = disk.packed((4,), found, bytes(found.nbytes((4,))))

    data = disk.laid_out(disk.model({"a": tensor}, tokenizer=tokenizer))

    assert int.from_bytes(data[6:8], "little") == flags


def test_unknown_provenance_is_an_explicit_null() -> None:
    keys = disk.described(disk.laid_out(disk.model({})))

    assert keys == {
        "model_type": "transformer_lm",
        "license": None,
        "data_source": None,
        "data_license": None,
        "total_size": 0,
        "param_count": 0,
    }


def test_sums_are_computed_where_the_source_has_none() -> None:
    keys = disk.described(disk.laid_out(disk.model({"a": _floats(1, 2, 3)})))

    assert (keys["total_size"], keys["param_count"]) == (12, 3)


def _tensor_of(encoding: str) -> Tensor:
    found = ENCODINGS[encoding]
    return disk.packed((2, 2), found, bytes(found.nbytes((2, 2))))


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"é" * 129: _floats(1)}, "258 bytes"),
        ({"\ud800": _floats(1)}, "UTF-8"),
        ({"deep": _floats(1).reshaped(*[1] * 9)}, "9 dimensions"),
        ({"odd": _tensor_of("q5_k")}, "q5_k"),
        ({"wide": _tensor_of("f64")}, "f64"),
    ],
)
def test_what_the_format_has_no_room_for_is_refused(
    tensors: dict[str, Tensor], message: str
) -> None:
    with pytest.raises(UnrepresentableError, match=message):
        _lay_out(disk.model(tensors))


def test_metadata_over_16_mib_are_refused() -> None:
    stored = disk.model({}, carried={"apr": {"long": "x" * (16 << 20)}})

    with pytest.raises(UnrepresentableError, match="16777216"):
        _lay_out(stored)


def test_values_that_are_not_json_are_refused() -> None:
    stored = disk.model({}, carried={"apr": {"odd": float("nan")}})

    with pytest.raises(UnrepresentableError, match="JSON"):
        _lay_out(stored)


def test_shards_are_refused() -> None:
    with pytest.raises(UnrepresentableError, match="shard-size"):
        _lay_out(disk.model({}), shard_size=1 << 30)


@pytest.mark.parametrize(
    ("encoding", "shape", "stored"),
    [
        ("bf16", (4, 4), "bf16"),
        ("bf16", (4,), "f32"),
        ("f16", (), "f32"),
        ("f64", (4, 4), "f32"),
        ("f8_e4m3", (4, 4), "f32"),
        ("q4_k", (4, 256), "q4_k"),
        ("q6_k", (4, 256), "q6_k"),
        ("apr_q8", (4, 4), "apr_q8"),
        ("q5_0", (4, 32), "f32"),
        ("i64", (4,), "i64"),
        ("u8", (4, 4), "u8"),
    ],
)
def test_the_encoding_is_kept_where_programs_can_read_it(
    encoding: str, shape: tuple[int, ...], stored: str
) -> None:
    found = ENCODINGS[encoding]
    tensor = disk.packed(shape, found, bytes(found.nbytes(shape)))

    assert APR.encoding_for("a", tensor).name == stored


def test_whole_numbers_without_a_type_are_refused() -> None:
    with pytest.raises(UnrepresentableError, match="i16"):
        APR.encoding_for("a", Tensor.of(np.zeros(4, "<i2")))
