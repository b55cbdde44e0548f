"""What a `tokenizer.json` is read from, and written as."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aprhub.api import CorruptFileError, Tokenizer, UnrepresentableError, described
from aprhub.tokenizer.document import parsed, written
from tests.unit.tokenizer.samples import byte_level, changed

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from("xyz"), VALUES))
def test_what_is_written_is_read_by_another_program(more: dict[str, object]) -> None:
    root = {**byte_level(), **more}
    assert json.loads(written(root)) == root


def test_a_text_and_its_bytes_are_one_program() -> None:
    text = changed(byte_level())
    assert parsed(text) == parsed(text.encode())
    assert Tokenizer(json=text) == Tokenizer(json=lambda: text.encode())
    assert Tokenizer(json=text.encode()).json == text


def test_half_of_a_character_is_no_text() -> None:
    with pytest.raises(UnrepresentableError, match=r"Unicode.*\\ud800"):
        written({"model": {"vocab": {"a\ud800": 0}}})
    with pytest.raises(UnrepresentableError, match=r"Unicode.*\\ud800"):
        described('{"model": "\ud800"}', None, None, None, None)
    with pytest.raises(CorruptFileError, match="not JSON: no low surrogate"):
        parsed(rb'{"model": "\ud800"}')
