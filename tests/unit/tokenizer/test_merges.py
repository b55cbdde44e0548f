"""Rules name tokens, and make tokens, that a vocabulary should have."""

from hypothesis import example, given
from hypothesis import strategies as st

from aprhub.tokenizer.merges import unknown_tokens

TOKENS = st.sampled_from(["a", "b", "c", "ab", "bc", "abc", "cab", "x"])
PAIRS = st.lists(st.lists(TOKENS, min_size=2, max_size=2), max_size=6)


@given(PAIRS, st.lists(TOKENS, unique=True))
@example([["a", "b"], ["ab", "c"]], ["a", "b", "c", "ab", "abc"])
@example([["a", "bc"]], ["a", "abc"])
@example([["a", "b"], ["b", "c"]], ["a", "b", "c", "ab", "x"])
def test_what_rules_take_or_make_is_looked_for(
    pairs: list[list[str]], vocabulary: list[str]
) -> None:
    ids = {token: number for number, token in enumerate(vocabulary)}
    said = {part for pair in pairs for part in pair} | {a + b for a, b in pairs}

    assert unknown_tokens(pairs, ids) == sorted(said - {*vocabulary})
