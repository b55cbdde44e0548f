"""What is cut out of a `tokenizer.json` is what a parser of JSON finds in it."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aprhub.tokenizer import quoted
from aprhub.tokenizer.columns import Numbered, Rules
from aprhub.tokenizer.scanning import TOKENIZER, cut_out, put_back

LETTERS = st.characters(codec="utf-8") | st.sampled_from('"\\{}[],: \n\0aĠ')
WORDS = st.text(LETTERS, max_size=4)
VOCABULARIES = st.dictionaries(WORDS, st.integers(0, 10**17), min_size=1, max_size=9)
PARTS = st.text(LETTERS.filter(lambda each: each != " "), max_size=3)
PAIRS = st.lists(st.tuples(PARTS, PARTS).map(list), min_size=1, max_size=9)
FORMS: list[dict[str, Any]] = [
    {"separators": (",", ":")},
    {"indent": 2, "ensure_ascii": False},
    {"indent": "\t", "separators": (" ,", " : ")},
]


def read(program: bytes) -> tuple[Any, list[str]]:
    """Read a text by cutting it; return what it says, and what was cut out."""
    rest, found = cut_out(program, TOKENIZER)
    root = orjson.loads(rest)
    assert put_back(root["model"], found)
    return root, sorted(found)


def model_of(program: bytes) -> Any:
    root = orjson.loads(program)
    return root.get("model") if isinstance(root, dict) else None


@pytest.fixture(params=[1 << 18, 3])
def _small_pieces(request: pytest.FixtureRequest, monkeypatch: Any) -> None:
    monkeypatch.setattr(quoted, "_PIECE", request.param)
    monkeypatch.setattr(quoted, "_BLOCK", min(request.param, 2))


@pytest.mark.usefixtures("_small_pieces")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("paired", [True, False])
def test_both_parts_are_those_of_the_text(form: dict[str, Any], paired: bool) -> None:
    @given(VOCABULARIES, PAIRS, st.booleans())
    def judged(vocabulary: dict[str, int], pairs: list[list[str]], last: bool) -> None:
        rules = pairs if paired else list(map(" ".join, pairs))
        parts: dict[str, Any] = {"vocab": vocabulary, "merges": rules}
        model = {"type": "BPE", **(dict(reversed(parts.items())) if last else parts)}
        program = json.dumps({"a": '"vocab": {', "model": model, "b": 1}, **form)

        root, found = read(program.encode())

        assert found == ["merges", "vocab"]
        assert isinstance(root["model"]["vocab"], Numbered)
        assert list(root["model"]["vocab"].items()) == list(vocabulary.items())
        assert isinstance(root["model"]["merges"], Rules)
        assert root["model"]["merges"].paired is paired
        assert root["model"]["merges"] == rules
        assert (root["a"], root["b"]) == ('"vocab": {', 1)

    judged()


@pytest.mark.parametrize("blanks", [0, 2, 3, 7, 9, 64, 70])
def test_blanks_near_the_end_of_a_text_are_passed(blanks: int) -> None:
    gap = b" " * blanks
    program = b'{"model":{"merges":["a b"],"vocab":{"a":%b1%b}}}' % (gap, gap)

    root, found = read(program)

    assert found == ["merges", "vocab"]
    assert dict(root["model"]["vocab"]) == {"a": 1}


def test_a_text_with_nothing_but_blanks_for_a_while_is_left_to_the_parser() -> None:
    gap = b" " * 5_000_000
    program = b'{"model":{"merges":["a b"],"vocab":{"a":0,"b":%b1}}}' % gap

    root, found = read(program)

    assert found == ["merges"]
    assert root["model"]["vocab"] == {"a": 0, "b": 1}


def changed(vocabulary: str, merges: str = '["a b"]') -> bytes:
    return b'{"model": {"vocab": %b, "merges": %b, "x": "}]"}}' % (
        vocabulary.encode(),
        merges.encode(),
    )


@pytest.mark.parametrize(
    "vocabulary",
    [
        "{}",
        "[]",
        "null",
        '{"a": 1.0}',
        '{"a": -1}',
        '{"a": 1e3}',
        '{"a": null}',
        '{"a": {"b": 1}}',
        '{"a": "b"}',
        '{"a": 1, "a": 2}',
        '{"a": 1, "\\u0061": 2}',
        '{"a": 1234567890123456789}',
        '[["a", 0.5]]',
    ],
)
def test_a_vocabulary_of_another_form_is_left_to_the_parser(vocabulary: str) -> None:
    program = changed(vocabulary)

    root, found = read(program)

    assert found == ["merges"]
    assert root["model"]["vocab"] == orjson.loads(program)["model"]["vocab"]


@pytest.mark.parametrize(
    "vocabulary",
    [
        '{"a" 1}',
        '{"a": }',
        '{"a": 1,}',
        '{"a": 1 "b": 2}',
        '{"a": 1,, "b": 2}',
        '{"a": 1, 2 "b": , "c": 3}',
        '{"a": 1, "b":}',
        '{"a": 01}',
        '{"a": 1 2}',
        '{a "b": 1}',
        '{"b": 1 c}',
        '{, "b": 1}',
        '{"\n": 1}',
        '{"\\x": 1}',
        '{"\\ud800": 1}',
        '{"a": 1, \\"b": 2}',
        '{"a": 1]',
        '{"a": 1',
    ],
)
def test_what_is_no_json_is_left_to_the_parser_to_refuse(vocabulary: str) -> None:
    program = changed(vocabulary)
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(program)

    rest, found = cut_out(program, TOKENIZER)

    assert "vocab" not in found
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(rest)


@pytest.mark.parametrize(
    "merges",
    [
        "[]",
        "null",
        '["a"]',
        '["a b c"]',
        '["a b", ["a", "b"]]',
        '[["a", "b", "c"]]',
        '[["a", "b"], ["c"]]',
        '[["a"], ["b"]]',
        '[["a ", "b"]]',
        '[[["a", "b"]]]',
        '["a b", 1]',
        '[1, "a b"]',
        '{"a": 1}',
    ],
)
def test_merge_rules_of_another_form_are_left_to_the_parser(merges: str) -> None:
    program = changed('{"a": 1}', merges)

    root, found = read(program)

    assert found == ["vocab"]
    assert root["model"]["merges"] == orjson.loads(program)["model"]["merges"]


@pytest.mark.parametrize(
    "merges",
    [
        '["a b",]',
        '["a b" "c d"]',
        '["a b",, "c d"]',
        '[,"a b"]',
        '[["a", "b"],]',
        '[["a", "b"] ["c", "d"]]',
        '[["a" "b"]]',
        '[["a", "b",]]',
        '[["a", "b"]',
        '["a b"',
        '["a\tb c"]',
    ],
)
def test_rules_that_are_no_json_are_left_to_the_parser_to_refuse(merges: str) -> None:
    rest, found = cut_out(changed('{"a": 1}', merges), TOKENIZER)

    assert "merges" not in found
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(rest)


@pytest.mark.parametrize("odd", [b"\xff", b"\xc4", b"\xa0"])
@pytest.mark.parametrize("place", [b'"a": 1', b'"a b"'])
def test_what_is_not_utf_8_is_left_to_the_parser_to_refuse(
    odd: bytes, place: bytes
) -> None:
    program = changed('{"a": 1, "b": 2}', '["a b", "c d"]')

    rest, found = cut_out(
        program.replace(place, place[:2] + odd + place[2:]), TOKENIZER
    )

    assert len(found) == 1
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(rest)


@pytest.mark.parametrize(
    "program",
    [
        b'{"other": {"vocab": {"a": 1}}, "model": {"vocab": {"b": 2}}}',
        b'{"vocab": {"a": 1}, "model": {}}',
        b'{"model": {"vocab": {"a": 1}, "vocab": {"b": 2}}}',
        b'{"model": {"inner": {"vocab": {"a": 1}}}}',
        b'[{"vocab": {"a": 1}}]',
        b'{"model": [{"vocab": {"a": 1}}]}',
    ],
)
def test_a_part_that_is_not_the_models_is_not_put_back(program: bytes) -> None:
    rest, found = cut_out(program, TOKENIZER)

    assert not put_back(model_of(rest), found)


def test_a_text_with_the_stand_in_is_not_cut() -> None:
    program = b'{"model": {"vocab": {"a": 1}, "merges": "aprhub: cut out"}}'

    assert cut_out(program, TOKENIZER) == (program, {})
