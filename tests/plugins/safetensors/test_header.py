"""Headers: what the safetensors package writes is read, what it refuses is refused."""

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from aprhub.api import CorruptFileError, InputError, UnsupportedFileError
from aprhub_safetensors.header import read_header
from tests.plugins.safetensors.disk import can_be_a_name, entry, packed, written

GOOD = {"a": entry("F32", [2, 3], 0, 24), "b": entry("U8", [4], 24, 28)}
DATA = bytes(28)

on_disk = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_every_dtype_of_the_package_reads_back_equal(tmp_path: Path) -> None:
    names = ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?"]
    saved = {name: np.arange(6).reshape(2, 3).astype(f"<{name}") for name in names}
    path = tmp_path / "model.safetensors"
    safetensors.numpy.save_file(saved, path)

    found = read_header(path).tensors()

    assert {name: each.numpy().dtype for name, each in found.items()} == {
        name: each.dtype for name, each in saved.items()
    }
    assert all(np.array_equal(found[name].numpy(), saved[name]) for name in names)


@pytest.mark.parametrize("dtype", ["BF16", "F8_E4M3", "F8_E5M2", "F8_E8M0"])
def test_dtypes_beyond_numpy_keep_their_bytes(tmp_path: Path, dtype: str) -> None:
    data = bytes(range(8))
    count = 8 // (2 if dtype == "BF16" else 1)
    header = {"a": entry(dtype, [count], 0, 8)}
    path = written(tmp_path / "x.safetensors", packed(header, data))

    found = read_header(path).tensors()["a"]

    assert found.tobytes() == data
    with safetensors.safe_open(path, "numpy") as judge:
        assert judge.get_slice("a").get_dtype() == dtype


@on_disk
@given(
    st.dictionaries(
        st.text(max_size=12).filter(can_be_a_name),
        arrays.arrays(
            st.sampled_from(["<f4", "<i8", "u1"]), arrays.array_shapes(min_side=0)
        ),
        max_size=5,
    ),
    st.dictionaries(st.text(max_size=8), st.text(max_size=20), max_size=3),
)
def test_what_the_package_saves_is_read_back(
    tmp_path: Path, saved: dict[str, Any], metadata: dict[str, str]
) -> None:
    data = safetensors.numpy.save(saved, metadata or None)
    path = written(tmp_path / "x.safetensors", data)

    header = read_header(path)

    found = header.tensors()
    assert found.keys() == saved.keys()
    for name, array in saved.items():
        assert found[name].numpy().tobytes() == array.tobytes()
        assert found[name].shape == array.shape
    assert header.metadata == metadata


@on_disk
@given(st.data())
def test_what_is_accepted_the_package_accepts_too(
    tmp_path: Path, data: st.DataObject
) -> None:
    whole = bytearray(packed({"__metadata__": {"format": "pt"}, **GOOD}, DATA))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(whole) - len(DATA) - 1))
        whole[place] = data.draw(st.sampled_from(b'0123456789{}[]",: -.eA\0'))
    path = written(tmp_path / "x.safetensors", bytes(whole))

    try:
        found = read_header(path).tensors()
    except InputError:
        return

    judged = safetensors.numpy.load(bytes(whole))
    assert {name: each.shape for name, each in found.items()} == {
        name: each.shape for name, each in judged.items()
    }


def changed(**fields: Any) -> bytes:
    return packed({**GOOD, "a": {**GOOD["a"], **fields}}, DATA)


def text_of(header: str) -> bytes:
    return packed(header.encode(), DATA)


HOSTILE: dict[str, tuple[bytes, str]] = {
    "an empty file": (b"", "0 bytes"),
    "seven bytes": (bytes(7), "7 bytes"),
    "a length beyond the file": (packed(GOOD, DATA)[:-40], "cut"),
    "a length of 2^63-1": ((2**63 - 1).to_bytes(8, "little") + b"{}", "header length"),
    "a length over the limit": ((10**8 + 1).to_bytes(8, "little") + b"{}", "100000000"),
    "spaces only": (packed(b" " * 100), "expected '{'"),
    "a header that is not UTF-8": (packed(b'{"\xff": 1}'), "UTF-8"),
    "a byte order mark": (packed(b"\xef\xbb\xbf{}"), "expected '{'"),
    "NULs after the header": (packed(b"{}\0\0"), "nothing but spaces"),
    "an entry twice": (text_of('{"a":{},"a":{}}'), "'a'"),
    "one tensor twice": (
        packed(
            b'{"a":%b,"a":%b}'
            % ((b'{"dtype":"U8","shape":[],"data_offsets":[0,1]}',) * 2),
            b"0",
        ),
        "twice",
    ),
    "many tensors on one range": (
        packed({f"t{i}": entry("U8", [1], 0, 1) for i in range(1000)}, b"0"),
        "the tensors up to here take 2 bytes",
    ),
    "overlapping ranges": (
        packed({"a": entry("U8", [4], 0, 4), "b": entry("U8", [4], 2, 6)}, bytes(8)),
        "overlaps",
    ),
    "a hole": (packed({"a": entry("U8", [4], 4, 8)}, bytes(8)), "hole"),
    "bytes after the last tensor": (packed(GOOD, DATA + b"PK"), "2 bytes follow"),
    "one byte too few": (packed(GOOD, DATA[:-1]), "data_offsets"),
    "a negative offset": (changed(data_offsets=[-1, 23]), "whole numbers"),
    "a float offset": (changed(data_offsets=[0.0, 24]), "whole numbers"),
    "an offset as text": (changed(data_offsets=["0", 24]), "whole numbers"),
    "a true offset": (changed(data_offsets=[True, 24]), "whole numbers"),
    "an offset of 1e3": (
        text_of('{"a":{"dtype":"U8","shape":[],"data_offsets":[0,1e0]}}'),
        "whole",
    ),
    "three offsets": (changed(data_offsets=[0, 12, 24]), "[begin, end]"),
    "backward offsets": (changed(data_offsets=[24, 0]), "[begin, end]"),
    "a product that wraps": (changed(shape=[2**32, 2**32, 6]), "takes"),
    "a dimension beyond any file": (changed(shape=[2**64, 0]), "shape"),
    "a negative dimension": (changed(shape=[-2, -3]), "shape"),
    "a fractional dimension": (changed(shape=[2.0, 3]), "shape"),
    "a shape that does not fit its range": (changed(shape=[2, 2]), "takes 16 bytes"),
    "a shape that is no list": (changed(shape=6), "a list"),
    "a dtype that is no text": (changed(dtype=7), "a string"),
    "a field more": (changed(strides=[1]), "expected dtype, shape"),
    "a field less": (text_of('{"a":{"dtype":"U8"}}'), "expected dtype, shape"),
    "metadata with a number": (packed({"__metadata__": {"v": 1}}), "a string"),
    "metadata with a list": (packed({"__metadata__": {"v": []}}), "a string"),
    "metadata with null": (packed({"__metadata__": {"v": None}}), "a string"),
    "metadata that is null": (packed({"__metadata__": None}), "'{'"),
    "a tensor named __metadata__": (
        packed({"__metadata__": entry("U8", [1], 0, 1)}, b"0"),
        "__metadata__.shape",
    ),
    "lists nested deeply": (text_of('{"a":' + "[" * 100_000), "an object with"),
    "objects nested deeply": (text_of('{"a":' * 100_000), "an object with"),
    "a deep field": (
        text_of('{"a":{"dtype":' + "[" * 4000 + "}}"),
        "more than two lists",
    ),
    "NaN": (
        text_of('{"a":{"dtype":"U8","shape":[NaN],"data_offsets":[0,1]}}'),
        "shape",
    ),
    "a lone surrogate": (text_of(r'{"\ud800":{}}'), "cannot be decoded"),
    "a wrong escape": (text_of(r'{"\x":{}}'), "cannot be decoded"),
    "a list in place of the header": (packed(b"[{}]"), "expected '{'"),
    "a missing comma": (text_of('{"a":{} "b":{}}'), "'a'"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_broken_header_is_refused(tmp_path: Path, case: str) -> None:
    data, expected = HOSTILE[case]
    path = written(tmp_path / "x.safetensors", data)

    with pytest.raises(CorruptFileError) as caught:
        read_header(path)

    assert expected in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("dtype", ["F4", "F6_E2M3", "C64", "X9", "f32", ""])
def test_an_unknown_dtype_names_the_tensor(tmp_path: Path, dtype: str) -> None:
    path = written(tmp_path / "x.safetensors", changed(dtype=dtype))

    with pytest.raises(UnsupportedFileError, match=rf"'a' has dtype '{dtype}'"):
        read_header(path)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"\n<!DOCTYPE html><html></html>", "HTML"),
        (b"\x80\x04\x95\x1c\0\0\0\0\0\0\0\x8c\x05posix", "pickle"),
        (b"PK\x03\x04" + bytes(40), "zip"),
    ],
)
def test_another_kind_of_file_is_named(
    tmp_path: Path, data: bytes, expected: str
) -> None:
    path = written(tmp_path / "model.safetensors", data)

    with pytest.raises(UnsupportedFileError, match=expected):
        read_header(path)


@pytest.mark.parametrize("name", ["a\0b", "\x1b[31m", "a\nb", "x" * 2000])
def test_a_name_that_cannot_be_printed_is_refused(tmp_path: Path, name: str) -> None:
    header = {name: entry("U8", [1], 0, 1)}
    path = written(tmp_path / "x.safetensors", packed(header, b"0"))

    with pytest.raises(UnsupportedFileError, match="printable letters") as caught:
        read_header(path)

    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def test_a_header_as_long_as_a_pickle_s_first_bytes_is_no_pickle(
    tmp_path: Path,
) -> None:
    header = b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'.ljust(0x280)
    path = written(tmp_path / "x.safetensors", packed(header, b"0"))

    assert list(read_header(path).tensors()) == ["a"]
    written(path, path.read_bytes()[:-20])
    with pytest.raises(CorruptFileError, match="it is cut, or no safetensors file"):
        read_header(path)


def test_the_order_is_that_of_the_bytes(tmp_path: Path) -> None:
    header = {"b": entry("U8", [4], 4, 8), "a": entry("U8", [4], 0, 4)}
    path = written(tmp_path / "x.safetensors", packed(header, bytes(range(8))))

    found = read_header(path).tensors()

    assert list(found) == ["a", "b"]
    assert found["b"].tobytes() == bytes(range(4, 8))


def test_empty_tensors_may_share_an_offset(tmp_path: Path) -> None:
    header = {
        "a": entry("U8", [4], 0, 4),
        "b": entry("U8", [4], 4, 8),
        "none": entry("F32", [0, 7], 4, 4),
        "nothing": entry("F32", [0], 4, 4),
    }
    path = written(tmp_path / "x.safetensors", packed(header, bytes(8)))

    assert list(read_header(path).tensors()) == ["a", "none", "nothing", "b"]


def test_a_sparse_terabyte_opens_at_once(tmp_path: Path) -> None:
    size = 1 << 40
    path = written(
        tmp_path / "x.safetensors", packed({"a": entry("U8", [size], 0, size)})
    )
    os.truncate(path, path.stat().st_size + size)

    start = time.process_time()
    found = read_header(path).tensors()

    assert time.process_time() - start < 0.1
    assert found["a"].nbytes == size
