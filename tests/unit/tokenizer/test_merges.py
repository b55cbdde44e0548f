"""Rules name tokens, and make tokens, that a vocabulary should have."""

import numpy as np
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aprhub.ir.texts import Texts
from aprhub.tokenizer.columns import Rules
from aprhub.tokenizer.merges import Pair, unknown_tokens

TOKENS = st.sampled_from(["a", "b", "c", "ab", "bc", "abc", "cab", "x"])
PARTS = st.text(st.characters(codec="utf-8", exclude_characters=" "), max_size=3)
PAIRS = st.lists(st.lists(TOKENS, min_size=2, max_size=2), max_size=6)


def columns(pairs: list[list[str]]) -> Rules:
    return Rules(Texts.of(map(" ".join, pairs)), paired=True)


@pytest.mark.parametrize("form", [list, columns])
@given(PAIRS, st.lists(TOKENS, unique=True))
@example([["a", "b"], ["ab", "c"]], ["a", "b", "c", "ab", "abc"])
@example([["a", "bc"]], ["a", "abc"])
@example([["a", "b"], ["b", "c"]], ["a", "b", "c", "ab", "x"])
def test_what_rules_take_or_make_is_looked_for(
    form: type, pairs: list[list[str]], vocabulary: list[str]
) -> None:
    rules: list[Pair] = form(pairs)
    said = {part for pair in pairs for part in pair} | {a + b for a, b in pairs}

    found = unknown_tokens(rules, Texts.of(vocabulary))

    assert found == sorted(said - {*vocabulary})


@given(PAIRS)
def test_rules_in_columns_are_the_pairs_they_were_made_of(
    pairs: list[list[str]],
) -> None:
    rules = columns(pairs)
    words = Texts.of(part for pair in pairs for part in pair)
    left = np.arange(len(pairs)) * 2

    assert rules == Rules.of(words, left, left + 1) == pairs
    assert list(rules.made) == [left + right for left, right in pairs]
    assert list(rules.parts) == [part for pair in pairs for part in pair]
    assert rules[1:] == pairs[1:]


@given(st.lists(st.tuples(PARTS, PARTS).map(list)), st.booleans())
def test_rules_in_columns_are_in_json_as_the_file_lists_them(
    pairs: list[list[str]], paired: bool
) -> None:
    rules = Rules(Texts.of(map(" ".join, pairs)), paired)

    assert rules.as_json() == orjson.dumps(list(rules))
