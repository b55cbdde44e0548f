"""Words are cut into two others as a loop over every cut does it."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aprhub.ir.texts import Texts
from aprhub.tokenizer import halving
from aprhub.tokenizer.halving import halves

WORDS = st.lists(st.text("ab\0▁😀", max_size=6), max_size=40)


def by_hand(words: Sequence[str], wanted: Sequence[int]) -> list[tuple[int, int, int]]:
    ids = {word: number for number, word in enumerate(words)}
    return [
        (place, ids[word[:cut]], ids[word[cut:]])
        for place, word in enumerate(words[number] for number in wanted)
        for cut in range(len(word) - 1, 0, -1)
        if word[:cut] in ids and word[cut:] in ids
    ]


def found(words: Sequence[str], wanted: Sequence[int]) -> list[tuple[int, int, int]]:
    columns = (
        each.tolist() for each in halves(Texts.of(words), np.array(wanted, np.intp))
    )
    return list(zip(*columns, strict=True))


@given(WORDS, st.data())
def test_every_way_to_make_a_word_is_found_in_order(
    words: list[str], data: st.DataObject
) -> None:
    ids = st.lists(st.integers(0, len(words) - 1)) if words else st.just([])
    wanted = data.draw(ids)

    assert found(words, wanted) == by_hand(words, wanted)


def test_words_are_cut_a_part_of_them_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parts = ("", "a", "bc", "cab")
    words = sorted({f"{left}{right}" for left in parts for right in parts})
    wanted = list(range(len(words)))[::-1]
    monkeypatch.setattr(halving, "_AT_ONCE", 3)

    assert found(words, wanted) == by_hand(words, wanted)


def test_more_text_than_a_vocabulary_has_is_cut_by_hand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ["a", "ab", "b", "aab"]
    monkeypatch.setattr(halving, "_MOST", 6)

    assert found(words, range(len(words))) == by_hand(words, range(len(words)))


def test_words_of_one_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["a", "b", "ab", "ba", "aba", "bab", "abab"]
    monkeypatch.setattr(halving, "_FACTOR", 1)

    assert found(words, range(len(words))) == by_hand(words, range(len(words)))


def test_a_part_that_only_has_the_hash_of_a_word_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ["a", "bc", "acb"]
    monkeypatch.setattr(halving, "_FACTOR", 1)

    assert found(words, [2]) == []
