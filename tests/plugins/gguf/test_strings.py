"""Strings found and read many at a time are those found one after the other."""

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aprhub.api import CorruptFileError, FileRange
from aprhub_gguf.strings import begins_of, decoded, divided, string_lengths
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


@given(TEXTS)
def test_all_strings_are_what_was_stored(texts: list[bytes]) -> None:
    data = stored(texts)

    assert divided(data, string_lengths(data, len(texts))) == texts


@given(st.lists(st.text(max_size=5) | st.sampled_from(["", "\0", "ĠéΩ", "😀\0😀"])))
def test_all_texts_are_what_was_stored(texts: list[str]) -> None:
    data = stored([text.encode() for text in texts])

    assert decoded(data, string_lengths(data, len(texts))) == texts


@pytest.mark.parametrize("halves", [(b"\xc4", b"\xa0"), (b"\xc4\0", b"\xa0")])
def test_half_of_a_character_is_none_with_the_next_string(
    halves: tuple[bytes, bytes],
) -> None:
    data = stored([b"a", *halves])

    with pytest.raises(UnicodeDecodeError):
        decoded(data, string_lengths(data, 3))


@pytest.mark.parametrize("data", [b"ab", b"abcd"])
def test_strings_that_are_not_as_long_as_they_were_are_refused(
    data: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "strings"
    path.write_bytes(stored([b"x", b"abc"])[:-3] + data)
    place = FileRange(path, 0, path.stat().st_size)

    with pytest.raises(CorruptFileError, match="changed after it had been opened"):
        list(FileArray(place, "string", 2, "tokens"))
