import pytest

from aprhub.api import ModelCheckError, same_ids, token_ids
from aprhub.tokenizer import PROBES
from tests.unit.tokenizer.samples import byte_level, changed, from_json, learnt


def test_ids_are_those_of_the_program() -> None:
    tokenizer = from_json(changed(byte_level()))
    assert token_ids(tokenizer, ["", "abcab c", "<tool>"]) == [[], [5, 4, 3, 2], [7]]


def test_ids_include_what_is_put_around_a_text() -> None:
    [ids] = token_ids(from_json(learnt()["bert"]), ["the"])
    assert (ids[0], ids[-1]) == (2, 3)


def test_padding_and_truncation_do_not_count() -> None:
    padding = {
        "strategy": {"Fixed": 8},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "a",
    }
    tokenizer = from_json(changed(byte_level(), padding=padding))
    assert token_ids(tokenizer, ["a"]) == [[0]]


def test_a_tokenizer_has_the_same_ids_as_itself() -> None:
    tokenizer = from_json(learnt()["gpt2"])
    assert same_ids(tokenizer, tokenizer, PROBES) == []


def test_a_difference_names_the_text_and_the_first_token() -> None:
    one = from_json(changed(byte_level()))
    other = from_json(changed(byte_level(), merges=["a b"]))

    differences = same_ids(one, other, ["ab", "c abc"])

    assert differences == ["'c abc': from token 2 on [5] of 3 and [4, 2] of 4"]


def test_what_does_not_load_is_one_of_our_errors() -> None:
    broken = from_json(changed(byte_level(), type="None such"))
    with pytest.raises(ModelCheckError, match=r"its tokenizer\.json does not load"):
        token_ids(broken, ["a"])
