"""Strings found and read many at a time are those found one after the other."""

import struct
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from aprhub.api import CorruptFileError, FileRange
from aprhub_gguf.strings import (
    are_lengths,
    begins_of,
    string_lengths,
)
from aprhub_gguf.values import FileArray

TEXTS = st.lists(
    st.one_of(
        st.binary(max_size=12),
        st.binary(min_size=120, max_size=300),
        st.sampled_from([b"", b"\0" * 7, b"\0" * 8, b"a" + b"\0" * 7, b"\0", b"\x01"]),
    ),
    max_size=12,
)


def stored(texts: list[bytes]) -> bytes:
    return b"".join(struct.pack("<Q", len(text)) + text for text in texts)


@given(TEXTS, st.binary(max_size=7), st.integers(0, 14))
def test_the_lengths_are_those_one_after_the_other(
    texts: list[bytes], behind: bytes, count: int
) -> None:
    found = string_lengths(stored(texts) + behind, count)

    assert found.tolist() == [len(text) for text in texts[:count]]


@given(TEXTS, TEXTS)
def test_lengths_are_told_from_those_of_other_strings(
    texts: list[bytes], others: list[bytes]
) -> None:
    data, lengths = stored(texts), np.array(list(map(len, others)), np.int64)

    assert are_lengths(data, lengths) == (list(map(len, texts)) == lengths.tolist())


@pytest.mark.parametrize("place", range(8))
def test_no_byte_of_a_length_is_left_out(place: int) -> None:
    data = bytearray(stored([b"ab", b"c"]))
    data[10 + place] ^= 2

    assert not are_lengths(bytes(data), np.array([2, 1]))


@given(st.integers(0, 3), st.integers(1, 99))
def test_a_length_beyond_the_end_ends_them(before: int, beyond: int) -> None:
    texts = [b"text"] * before

    data = stored(texts) + struct.pack("<Q", 4 + beyond) + b"text"

    assert string_lengths(data, 9).tolist() == [4] * before


def test_a_length_of_all_bits_is_no_number_of_bytes_to_go_back() -> None:
    assert string_lengths(b"\xff" * 64, 3).tolist() == []


def test_many_blocks_with_odd_strings_in_between_are_passed() -> None:
    texts = [b"%d" % number for number in range(50_000)]
    texts[7] = texts[20_000] = b"x" * 100_000
    texts[30_000:30_100] = [b""] * 100

    found = string_lengths(stored(texts), len(texts))

    assert found.tolist() == list(map(len, texts))
    assert begins_of(found)[:3].tolist() == [8, 17, 26]


def test_nothing_is_found_in_nothing() -> None:
    assert string_lengths(b"", 3).tolist() == []
    assert string_lengths(stored([b"text"]), 0).tolist() == []


@given(st.lists(st.text(max_size=5) | st.sampled_from(["", "\0", "ĠéΩ", "😀\0😀"])))
def test_all_texts_are_what_was_stored(texts: list[str]) -> None:
    with NamedTemporaryFile() as file:
        file.write(stored([text.encode() for text in texts]))
        file.flush()
        place = FileRange(Path(file.name), 0, file.tell())

        assert FileArray(place, "string", len(texts), "tokens") == texts


@pytest.mark.parametrize("halves", [(b"\xc4", b"\xa0"), (b"\xc4\0", b"\xa0")])
def test_half_of_a_character_is_none_with_the_next_string(
    halves: tuple[bytes, bytes], tmp_path: Path
) -> None:
    path = tmp_path / "strings"
    path.write_bytes(stored([b"a", *halves]))
    place = FileRange(path, 0, path.stat().st_size)

    with pytest.raises(CorruptFileError, match="changed after it had been opened"):
        FileArray(place, "string", 3, "tokens").column()


@pytest.mark.parametrize("lengths", [None, np.array([1, 3], np.uint8)])
@pytest.mark.parametrize("data", [b"x\3ab", b"x\3abcd", b"x\2abc", b"\xff\3abc"])
def test_strings_that_are_not_what_they_were_are_refused(
    data: bytes, lengths: NDArray[np.uint8] | None, tmp_path: Path
) -> None:
    path = tmp_path / "strings"
    zeros = bytes(7)
    path.write_bytes(b"\1" + zeros + data[:2] + zeros + data[2:])
    place = FileRange(path, 0, path.stat().st_size)

    with pytest.raises(CorruptFileError, match="changed after it had been opened"):
        list(FileArray(place, "string", 2, "tokens", lengths))
