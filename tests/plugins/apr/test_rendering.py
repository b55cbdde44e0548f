"""Metadata are the same bytes whichever library writes them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aprhub.api import UnrepresentableError
from aprhub_apr.document import rendered

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e9, 1e9) | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=6,
)


@given(st.dictionaries(TEXTS, st.lists(TEXTS) | VALUES))
def test_the_bytes_are_those_of_pythons_own_json(keys: dict[str, object]) -> None:
    plain = json.dumps(keys, ensure_ascii=False, separators=(",", ":"))
    assert rendered(keys) == plain.encode()


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], ["a\ud800"], "\ud800"])
def test_what_json_has_no_word_for_is_refused(value: object) -> None:
    with pytest.raises(UnrepresentableError, match="not possible as JSON"):
        rendered({"key": value})
