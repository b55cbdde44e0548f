"""What a `tokenizer.json` is read from, and written as."""

import json
from collections.abc import Mapping

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aprhub.api import (
    CorruptFileError,
    Tokenizer,
    UnrepresentableError,
    described,
    flattened,
    restored,
    skeleton,
)
from aprhub.tokenizer.document import (
    forget_parsed,
    parsed,
    parsing_once,
    skimmed,
    written,
)
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


def test_a_text_is_parsed_once_where_that_is_wished() -> None:
    text, other = changed(byte_level()).encode(), changed(byte_level(), padding={})

    with parsing_once():
        first = parsed(text)
        assert skimmed(text) is not first
        assert parsed(bytes(bytearray(text))) is first
        assert parsed(other).root["padding"] == {}
        again = parsed(text)
        assert again == first
        assert again is not first
        with parsing_once():
            assert parsed(text) is not again
        assert parsed(text) is again
        forget_parsed()
        assert parsed(text) is not again

    assert parsed(text) is not parsed(text)
    forget_parsed()


def test_what_a_skeleton_gives_is_not_parsed_at_all() -> None:
    text = changed(byte_level())
    flat = flattened(Tokenizer(json=text), None).flat
    assert flat is not None
    bones = skeleton(text, flat)

    with parsing_once():
        program = restored(bones, flat)
        kept = parsed(program)
        forget_parsed()
        again = parsed(program)

    assert kept.root["model"]["vocab"] == again.root["model"]["vocab"]
    assert kept.added == again.added
    assert list(map(list, kept.model["merges"])) == list(
        map(list, again.model["merges"])
    )
    assert parsed(program) == again


def test_what_could_not_be_parsed_is_not_kept() -> None:
    with parsing_once():
        for _ in range(2):
            with pytest.raises(CorruptFileError, match="this is not JSON"):
                parsed(b"{")


LETTERS = st.sampled_from('"{}[],:\\ 01a\n')
CHANGES = st.tuples(st.integers(0, 90), st.integers(0, 2), LETTERS)
BROKEN = st.lists(CHANGES, min_size=1, max_size=3)


@settings(max_examples=500)
@given(BROKEN, st.booleans())
@example([(25, 1, "]")], True)
def test_a_text_of_any_form_is_what_a_parser_of_json_takes_it_for(
    changes: list[tuple[int, int, str]], paired: bool
) -> None:
    rules = '[["a", "b"], ["ab", "c"]]' if paired else '["a b", "ab c"]'
    begin = '{"model": {"vocab": {"a": 0, "b\\\\": 12, "é": 3}, "merges": '
    program = f"{begin}{rules}}}}}"
    for place, gone, new in changes:
        program = program[:place] + new + program[place + gone :]
    try:
        expected = orjson.loads(program)
    except orjson.JSONDecodeError:
        with pytest.raises(CorruptFileError, match="not JSON"):
            parsed(program)
        return
    if not isinstance(expected, dict) or not isinstance(expected.get("model"), dict):
        with pytest.raises(CorruptFileError):
            parsed(program)
        return

    found = parsed(program)

    assert found.root == expected
    words = (each["model"].get("vocab") or () for each in (found.root, expected))
    assert len({tuple(each) for each in words if isinstance(each, Mapping)}) < 2
    assert orjson.loads(written(found.root)) == expected
