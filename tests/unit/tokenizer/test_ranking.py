"""Scores stand for merge rules, in the order in which SentencePiece merges."""

import numpy as np

from aprhub.ir.texts import Texts
from aprhub.ir.tokenizer import NORMAL, USER_DEFINED
from aprhub.tokenizer.ranking import Ways, ranked_ways

WORDS = ["b", "a", "ab", "aab", "aa", "bb", "bab"]


def ways(types: list[int] | None = None) -> Ways:
    scores = np.array([0, 0, -2, -1, -3, -9, -9], np.float32)
    return ranked_ways(
        Texts.of(WORDS), scores, np.array(types or [NORMAL] * 7, np.int32)
    )


def test_the_word_of_the_highest_score_is_made_first() -> None:
    assert ways().longest_first() == [
        ["aa", "b"],
        ["a", "ab"],
        ["a", "b"],
        ["a", "a"],
        ["b", "b"],
        ["b", "ab"],
    ]


def test_ways_to_make_one_word_may_be_in_order_of_the_ids_of_their_left_parts() -> None:
    longest, by_ids = ways().longest_first(), ways().in_order_of_ids()

    assert by_ids[:2] == [["a", "ab"], ["aa", "b"]]
    assert by_ids[2:] == longest[2:]


def test_words_that_are_matched_whole_come_first_the_longest_in_front() -> None:
    whole = [NORMAL] * 5 + [USER_DEFINED] * 2

    assert ways(whole).longest_first()[:2] == [["b", "ab"], ["b", "b"]]
