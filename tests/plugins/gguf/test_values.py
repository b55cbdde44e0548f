"""Arrays that stay in a file are sequences, equal to others of the same values."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aprhub.api import FileRange
from aprhub_gguf.values import FileArray, FileText
from tests.plugins.gguf.test_strings import stored

STRINGS = ["a", "", "é"]
ARRAYS: list[tuple[str, Sequence[Any], bytes]] = [
    ("string", STRINGS, stored([text.encode() for text in STRINGS])),
    ("i16", [1, -2, 3], np.array([1, -2, 3], "<i2").tobytes()),
    ("bool", [True, False, True], b"\1\0\1"),
    ("f32", [1.0, 0.5, -0.0], np.array([1, 0.5, -0.0], "<f4").tobytes()),
]


def array(folder: Path, kind: str, data: bytes) -> FileArray:
    path = folder / f"{kind}-{data.hex()}"
    path.write_bytes(b"before" + data)
    return FileArray(FileRange(path, 6, len(data)), kind, 3, "values")


@pytest.mark.parametrize(("kind", "values", "data"), ARRAYS)
def test_an_array_is_read_as_a_list_is(
    kind: str, values: Sequence[Any], data: bytes, tmp_path: Path
) -> None:
    found = array(tmp_path, kind, data)

    assert list(found) == values
    assert [found[place] for place in (0, 2, -1)] == [values[0], values[2], values[2]]
    assert found[1:] == values[1:]
    assert type(found[1:]) is list
    assert len(found) == 3


@pytest.mark.parametrize(("kind", "values", "data"), ARRAYS)
def test_an_array_is_equal_to_its_values_wherever_they_are(
    kind: str, values: Sequence[Any], data: bytes, tmp_path: Path
) -> None:
    found = array(tmp_path, kind, data)
    turned = array(tmp_path, kind, data[:-1] + bytes([data[-1] ^ 1]))

    for same in (values, tuple(values), array(tmp_path, kind, data)):
        assert found == same
    for other in (values[:2], [*values[:2], 7], turned, "abc", None):
        assert found != other


def test_arrays_of_two_kinds_are_equal_as_their_values_are(tmp_path: Path) -> None:
    arrays = {kind: array(tmp_path, kind, data) for kind, _, data in ARRAYS}
    ones = array(tmp_path, "u16", b"\1\0\0\0\1\0")

    assert ones == arrays["bool"]
    assert ones != arrays["string"]
    assert arrays["string"] != ones


def test_a_long_text_is_equal_to_its_letters_wherever_they_are(tmp_path: Path) -> None:
    path = tmp_path / "texts"
    path.write_bytes("éé".encode() * 2 + b"xx")
    one, two, other = (FileText(FileRange(path, n, 4), "text") for n in (0, 4, 6))

    assert one == two == "éé"
    assert one != other
    assert one != b"ee"
