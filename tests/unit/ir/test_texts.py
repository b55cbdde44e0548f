"""A column of texts behaves as the list of them."""

from collections.abc import Sequence

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aprhub.errors import UnrepresentableError
from aprhub.ir import texts, words
from aprhub.ir.texts import Texts, as_texts

ODD = ["", "\0", "\x7f\x1f", '"\\', "\\u0000", "Ġa", "😀", "a b"]
LISTS = st.lists(st.text(max_size=4) | st.sampled_from(ODD))


class Elsewhere(Sequence[str]):
    """Texts in a form of its own."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int | slice) -> str:
        raise AssertionError(index)  # nobody asks for one after the other

    def column(self) -> Texts:
        return Texts.of(["from elsewhere"])


@given(LISTS, st.data())
def test_it_is_read_as_the_list_is(listed: list[str], data: st.DataObject) -> None:
    column = Texts.of(listed)
    size = len(listed)
    bounds = st.none() | st.integers(-size - 2, size + 2)
    steps = st.none() | st.sampled_from([1, 2, -1, -2])
    part = slice(data.draw(bounds), data.draw(bounds), data.draw(steps))

    assert list(column) == listed
    assert column == listed
    assert column == Texts.of(listed)
    assert list(column[part]) == listed[part]
    assert [column[place] for place in range(-size, size)] == [*listed, *listed]
    assert [piece.decode() for piece in column.pieces()] == listed


@pytest.mark.parametrize("place", [2, -3])
def test_a_place_that_is_none_is_an_error(place: int) -> None:
    with pytest.raises(IndexError):
        Texts.of(["a", "b"])[place]


@given(LISTS)
def test_many_are_gone_through_in_blocks(listed: list[str]) -> None:
    blocks = list(Texts.of(listed).blocks(2))

    assert [text for block in blocks for text in block] == listed
    assert all(len(block) <= 2 for block in blocks)


@given(LISTS, LISTS)
def test_it_is_equal_to_the_same_texts_alone(one: list[str], other: list[str]) -> None:
    assert (Texts.of(one) == Texts.of(other)) == (one == other)
    assert (Texts.of(one) == other) == (one == other)
    assert Texts.of(one) != "".join(one)


def test_texts_divided_otherwise_are_others() -> None:
    assert Texts.of(["ab", "c"]) != Texts.of(["a", "bc"])


@given(LISTS, LISTS)
def test_texts_are_found_wherever_they_stand(
    listed: list[str], wanted: list[str]
) -> None:
    column = Texts.of(listed)
    places = [(place, text) for place, text in enumerate(listed) if text in {*wanted}]

    assert column.found(wanted) == places
    assert column.places_of(wanted) == {text: place for place, text in places}
    assert all((text in column) == (text in listed) for text in wanted)


def test_many_texts_are_found_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "BLOCK", 2)

    places = Texts.of([*"abcab"]).found("ab")

    assert places == [(0, "a"), (1, "b"), (3, "a"), (4, "b")]


@given(LISTS)
def test_whether_texts_are_distinct_is_seen(listed: list[str]) -> None:
    assert Texts.of(listed).are_distinct == (len({*listed}) == len(listed))


@given(st.lists(st.text("ab", min_size=6, max_size=18), min_size=9, max_size=40))
def test_longer_texts_are_told_apart_by_all_of_their_bytes(listed: list[str]) -> None:
    column = Texts.of(listed)
    hashes = words.hashes_of(column.data, column.starts, column.lengths)

    assert len({*hashes.tolist()}) == len({*listed})


def test_the_ends_of_very_long_texts_are_looked_at_too() -> None:
    long = "x" * 3_000_000

    assert Texts.of([long + "a", long + "b"]).are_distinct
    assert not Texts.of([long + "a", "b", long + "a"]).are_distinct


def test_texts_of_many_bytes_are_cut_as_short_ones_are() -> None:
    long = Texts.of(["a", "b" * 5_000_000, "", "c"])

    assert long.take(np.array([3, 1, 2])) == ["c", "b" * 5_000_000, ""]


def test_distinct_texts_of_one_hash_are_distinct(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(words, "_FACTOR", np.uint64(0))

    assert Texts.of(["ab", "ba"]).are_distinct
    assert not Texts.of(["ab", "ba", "ab"]).are_distinct


@given(st.lists(st.sampled_from(["", "a", " ", "a b", " b", "a ", "a  b", "é è"])))
def test_texts_of_two_halves_are_known(listed: list[str]) -> None:
    expected = all(text.count(" ") == 1 for text in listed)

    assert Texts.of(listed).are_halved == expected


@given(LISTS.filter(bool), st.data())
def test_some_are_taken_replaced_and_joined(
    listed: list[str], data: st.DataObject
) -> None:
    column = Texts.of(listed)
    places = st.integers(0, len(listed) - 1)
    order = data.draw(st.lists(places))
    new = data.draw(st.dictionaries(places, st.text(max_size=3)))

    assert column.take(np.array(order, np.int64)) == [listed[each] for each in order]
    assert column.replaced(new) == [new.get(n, text) for n, text in enumerate(listed)]
    assert Texts.joined((column, Texts.of(()), column)) == [*listed, *listed]


@given(LISTS, LISTS)
def test_whether_they_are_distinct_is_known_of_more(
    listed: list[str], more: list[str]
) -> None:
    both = Texts.of(listed).extended(more)

    assert both == [*listed, *more]
    assert both.are_distinct == (len({*listed, *more}) == len(listed) + len(more))


@given(LISTS, st.integers(0, 3), st.integers(0, 3))
def test_room_is_made_around_each(listed: list[str], before: int, after: int) -> None:
    column = Texts.of(listed)
    spread, begins = column.spread(before, after)
    expected = (bytes(before) + text.encode() + bytes(after) for text in listed)

    assert spread.tobytes() == b"".join(expected)
    assert Texts.cut(spread, begins, begins + column.lengths) == listed
    assert column.divided(b"!") == b"".join(text.encode() + b"!" for text in listed)


@pytest.mark.parametrize(
    ("data", "ends", "is_valid"),
    [
        ("Ġa".encode(), [2, 3], True),
        ("Ġa".encode(), [1, 3], False),
        (b"a\xc4", [1, 2], False),
        (b"\xc4", [1], False),
        ("aé".encode(), [1, 1, 3], True),
        (b"", [0, 0], True),
    ],
)
def test_each_text_has_whole_characters(
    data: bytes, ends: list[int], is_valid: bool
) -> None:
    assert Texts(data, np.array(ends)).is_valid is is_valid


@given(LISTS)
def test_in_json_it_is_the_list(listed: list[str]) -> None:
    assert Texts.of(listed).as_json() == orjson.dumps(listed)


def test_half_of_a_character_cannot_be_kept() -> None:
    with pytest.raises(UnrepresentableError, match=r"correct 'b\\ud800' in the source"):
        Texts.of(["a", "b\ud800c"])


def test_what_holds_texts_otherwise_gives_them_itself() -> None:
    assert as_texts(Elsewhere()) == ["from elsewhere"]
    assert as_texts(["a"]) == ["a"]
    column = Texts.of(["a"])
    assert as_texts(column) is column


def test_it_is_shown_in_short() -> None:
    assert repr(Texts.of("abcdef")) == "Texts of 6: ['a', 'b', 'c', 'd']"
