"""Metadata read with columns say what they say to a parser of JSON."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aprhub.api import Complaints, CorruptFileError, Texts
from aprhub_apr import document
from aprhub_apr.vocabulary import COLUMNS
from tests.hostile.apr_file import AprFile
from tests.plugins.apr import disk

VOCABULARY, MERGES, OWN = COLUMNS
LETTERS = st.characters(codec="utf-8") | st.sampled_from('"\\{}[],: \n\0aĠ')
LISTS = st.lists(st.text(LETTERS, max_size=4), min_size=1, max_size=9)
FORMS: list[dict[str, Any]] = [
    {"separators": (",", ":")},
    {"indent": 2, "ensure_ascii": False},
]


def both(text: bytes) -> tuple[Any, Any]:
    """Read a text with columns and without; return what came of it, or the errors."""
    outcomes: list[Any] = []
    for columns in ((), COLUMNS):
        found = Complaints()
        try:
            read = document.with_columns(Path("m.apr"), text, 64, found, columns)
            outcomes.append((read, found.findings))
        except CorruptFileError as error:
            outcomes.append(str(error))
    return outcomes[0], outcomes[1]


@given(LISTS, LISTS, st.sampled_from(FORMS))
def test_lists_of_texts_are_columns(
    words: list[str], merges: list[str], form: dict[str, Any]
) -> None:
    keys = {"a": 1, MERGES: merges, OWN: merges, VOCABULARY: words, "z": [None, "b"]}

    plain, found = both(json.dumps(keys, **form).encode())

    assert plain == found
    assert [type(found[0].keys[key]) for key in COLUMNS] == [Texts] * 3


@pytest.mark.parametrize(
    "text",
    [
        '"V": ["a"], "V": ["a"]',
        '"V": ["a"], "V": ["b"]',
        '"V": ["a"], "V": null',
        '"V": ["a"], "\\u0056": ["b"]',
        '"V": ["a"], "x": {"b": 1, "b": 2}',
        '"x": {"V": ["a"]}',
        '"x": {"V": ["a"]}, "V": ["b"]',
        '"x\\"V": ["a"], "V": ["b"]',
        '"V": ["a"], "x": "aprhub: cut out"',
        '"V": ["a", 1]',
        '"V": [1, "a"]',
        '"V": [,"a"]',
        '"V": [["a"], "b"]',
        '"V": ["a" "b"]',
        '"V": ["a",]',
        '"V": ["\\ud800"]',
        '"V": ["a"], "x": NaN',
        '"V": ["a"], "tokenizer.scores": [NaN]',
        '"V": ["a"], "tokenizer.scores": [-Infinity]',
        '"V": ["a"], "tokenizer.scores": [1e999]',
        '"V": ["a"], "x": "NaN"',
        '"V": ["a"], "x": 1e999',
        '"V": ["a"], "x": "\\ud800"',
        '"V": ["a"], "x": ' + "[" * 100_000,
        '"V": ["a"], "x": ' + "[" * 100_000 + "]" * 100_000,
        '"V": ["a"], "x"',
        '"V": ["a"',
        '"V": [',
        '"V": []',
        '"V": null',
    ],
    ids=lambda text: text[:50],
)
def test_what_is_odd_is_said_as_ever(text: str) -> None:
    plain, found = both(b"{%b}" % text.replace('V"', f'{VOCABULARY}"').encode())

    assert plain == found


@pytest.mark.parametrize("odd", [b"\xff", b"\xc4"])
@pytest.mark.parametrize("place", [b'"a"', b'"x"'])
def test_what_is_not_utf_8_is_said_as_ever(odd: bytes, place: bytes) -> None:
    text = json.dumps({VOCABULARY: ["a"], "x": "x"}).encode()

    plain, found = both(text.replace(place, place[:2] + odd + place[2:], 1))

    assert plain == found
    assert "not UTF-8 at its byte" in plain


def test_rules_without_a_vocabulary_are_carried_as_a_list(tmp_path: Path) -> None:
    text = json.dumps({"model_type": "x", MERGES: ["a b"]}).encode()

    carried = disk.opened(AprFile(text, (), b"").write(tmp_path)).carried["apr"]

    assert carried[MERGES] == ["a b"]
    assert type(carried[MERGES]) is list
