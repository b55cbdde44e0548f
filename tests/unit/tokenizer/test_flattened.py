import json
from typing import Any

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from aprhub.api import (
    AprhubError,
    CorruptFileError,
    FlatVocabulary,
    ModelCheckError,
    Tokenizer,
    UnrepresentableError,
    flattened,
)
from tests.unit.tokenizer.samples import (
    LETTERS,
    added,
    byte_level,
    changed,
    from_json,
    learnt,
)

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)


def _flat(text: str, rows: int | None = None, **said: Any) -> FlatVocabulary:
    flat = flattened(from_json(text, **said), rows).flat
    assert flat is not None
    return flat


def _types(flat: FlatVocabulary) -> list[int]:
    assert flat.types is not None
    types: list[int] = flat.types.tolist()
    return types


def test_byte_level_tokens_lie_by_id() -> None:
    flat = _flat(changed(byte_level()))

    assert (flat.model, flat.pre, flat.scores) == ("gpt2", "gpt-2", None)
    assert list(flat.tokens) == [
        *("a", "b", "c", "Ġ", "ab", "abc"),
        *("<|end|>", "<tool>"),
    ]
    assert _types(flat) == [NORMAL] * 6 + [CONTROL, USER_DEFINED]
    assert flat.merges == ["a b", "ab c"]


def test_an_id_without_a_token_becomes_an_unused_token() -> None:
    vocab = {"a": 0, "b": 2, "<|end|>": 4}
    tokens = [added(4, "<|end|>")]

    flat = _flat(changed(byte_level(), vocab=vocab, merges=[], added_tokens=tokens))

    assert list(flat.tokens) == ["a", "<|pad_1|>", "b", "<|pad_3|>", "<|end|>"]
    assert _types(flat) == [NORMAL, UNUSED, NORMAL, UNUSED, CONTROL]


def test_merges_may_be_pairs() -> None:
    pairs = [["a", "b"], ["ab", "c"]]
    assert _flat(changed(byte_level(), merges=pairs)).merges == ["a b", "ab c"]


def test_a_space_inside_a_merge_gets_the_letter_that_stands_for_it() -> None:
    vocab = {"a": 0, " ": 1, "a ": 2, "é": 3}
    text = changed(byte_level(), vocab=vocab, merges=[["a", " "]], added_tokens=[])
    assert _flat(text).merges == ["a Ġ"]


def test_more_rows_become_unused_tokens() -> None:
    flat = _flat(changed(byte_level()), rows=11)

    assert list(flat.tokens[7:]) == ["<tool>", "<|pad_8|>", "<|pad_9|>", "<|pad_10|>"]
    assert _types(flat)[7:] == [USER_DEFINED, UNUSED, UNUSED, UNUSED]


def test_as_many_rows_as_tokens_change_nothing() -> None:
    assert len(_flat(changed(byte_level()), rows=8).tokens) == 8


def test_a_name_for_a_filled_row_is_never_one_that_is_taken() -> None:
    tokens = [added(6, "<|pad_9|>"), added(7, "<|end|>"), added(8, "<|pad_9_|>")]

    flat = _flat(changed(byte_level(), added_tokens=tokens), rows=10)

    assert flat.tokens[9] == "<|pad_9__|>"
    assert len(set(flat.tokens)) == 10


def test_too_few_rows_are_refused_with_both_numbers() -> None:
    with pytest.raises(ModelCheckError, match="8 tokens for an embedding of 7 rows"):
        _flat(changed(byte_level()), rows=7)


def test_control_tokens_without_a_row_are_left_out() -> None:
    tokens = [added(6, "<tool>", special=False), added(7, "<|image|>")]

    flat = _flat(changed(byte_level(), added_tokens=tokens), rows=7)

    assert flat.tokens[-1] == "<tool>"
    assert len(_types(flat)) == 7


def test_a_control_token_with_a_role_needs_a_row() -> None:
    tokens = [added(6, "<tool>", special=False), added(7, "<|end|>")]
    text = changed(byte_level(), added_tokens=tokens)

    with pytest.raises(ModelCheckError, match="eos: its id 7 has no row"):
        _flat(text, rows=7, special_ids={"eos": 7})


def test_a_token_that_looks_like_control_is_control_whatever_it_is_called() -> None:
    tokens = [added(6, "<|fim|>", special=False), added(7, "<pad>", special=False)]
    flat = _flat(changed(byte_level(), added_tokens=tokens))
    assert _types(flat)[6:] == [CONTROL, CONTROL]


def test_sentencepiece_gets_scores_in_the_order_of_the_merges() -> None:
    text = learnt()["llama"]
    document = json.loads(text)
    vocab, merges = document["model"]["vocab"], document["model"]["merges"]

    flat = _flat(text)

    assert (flat.model, flat.pre, flat.merges) == ("llama", "default", None)
    assert flat.scores is not None
    made = [vocab[merge.replace(" ", "")] for merge in merges]
    first = {number: -rank for rank, number in reversed(list(enumerate(made)))}
    assert {n: flat.scores[n] for n in first} == first
    assert _types(flat)[:4] == [UNKNOWN, CONTROL, CONTROL, BYTE]
    assert flat.scores[:259].tolist() == [0.0] * 259
    assert flat.scores[vocab["é"]] == -1e9


def test_a_users_token_of_sentencepiece_has_real_spaces() -> None:
    document = json.loads(learnt()["llama"])
    size = len(document["model"]["vocab"])
    document["added_tokens"].append(added(size, "▁▁", special=False))

    flat = _flat(json.dumps(document))

    assert flat.tokens[size] == "  "
    assert _types(flat)[size] == USER_DEFINED


def test_flattening_says_whether_a_space_is_put_in_front() -> None:
    tokenizer = flattened(from_json(learnt()["llama"]), None)
    assert tokenizer.add_space_prefix is True


def test_unigram_keeps_its_scores() -> None:
    document = json.loads(learnt()["t5"])
    pieces = document["model"]["vocab"]

    flat = _flat(json.dumps(document))

    assert flat.model == "t5"
    assert list(flat.tokens) == [piece for piece, _ in pieces]
    assert flat.scores is not None
    assert flat.scores.tolist() == [score for _, score in pieces]
    assert _types(flat)[:3] == [CONTROL, CONTROL, UNKNOWN]


def test_wordpiece_turns_its_marks_round() -> None:
    document = json.loads(learnt()["bert"])
    vocab = document["model"]["vocab"]

    flat = _flat(json.dumps(document))

    assert (flat.model, flat.lowercase, flat.strip_accents) == ("bert", True, None)
    assert flat.tokens[vocab["[CLS]"]] == "[CLS]"
    assert flat.tokens[vocab["the"]] == "▁the"
    assert flat.tokens[vocab["##e"]] == "e"


def test_a_flat_vocabulary_that_fits_is_the_very_same() -> None:
    whole = flattened(from_json(changed(byte_level())), 12)
    assert flattened(whole, 12).flat is whole.flat
    assert flattened(whole, None).flat is whole.flat


def test_a_flat_vocabulary_alone_is_padded() -> None:
    flat = FlatVocabulary("llama", ["a", "b"], scores=np.zeros(2, np.float32))

    padded = flattened(Tokenizer(flat), 4).flat

    assert padded is not None
    assert list(padded.tokens) == ["a", "b", "<|pad_2|>", "<|pad_3|>"]
    assert padded.scores is not None
    assert padded.scores.tolist() == [0, 0, -1e9, -1e9]
    assert _types(padded) == [NORMAL, NORMAL, UNUSED, UNUSED]


def test_a_token_that_stands_again_becomes_unused() -> None:
    flat = FlatVocabulary("gpt2", ["<unk>", "a", "<unk>", "<unk>"], "gpt-2", merges=[])

    found = flattened(Tokenizer(flat), None).flat

    assert found is not None
    assert list(found.tokens) == ["<unk>", "a", "<|pad_2|>", "<|pad_3|>"]
    assert _types(found) == [NORMAL, NORMAL, UNUSED, UNUSED]


def test_a_flat_vocabulary_that_lacks_merges_is_made_from_the_program() -> None:
    bare = FlatVocabulary("gpt2", ["a"])
    tokenizer = from_json(changed(byte_level()), flat=bare)

    flat = flattened(tokenizer, None).flat

    assert flat is not None
    assert flat.merges == ["a b", "ab c"]


def test_scores_of_another_length_are_refused() -> None:
    flat = FlatVocabulary("llama", ["a", "b"], scores=np.zeros(3, np.float32))
    with pytest.raises(ModelCheckError, match="scores: 3 for 2 tokens"):
        flattened(Tokenizer(flat), None)


def test_nothing_to_flatten_is_an_error() -> None:
    with pytest.raises(ModelCheckError, match="neither a vocabulary nor a program"):
        flattened(Tokenizer(), None)


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        ({"vocab": None}, "model.vocab: None found"),
        ({"vocab": {}}, "model.vocab: {} found"),
        ({"vocab": {"a": "0"}}, "model.vocab: 'a' has id '0', a whole number"),
        ({"vocab": {"a": True}}, "'a' has id True"),
        ({"vocab": {"a": 1.5}}, "'a' has id 1.5"),
        ({"vocab": {"a": -1}}, "an id is -1"),
        ({"vocab": {"a": 1 << 80}}, r"id 1\.2089\S*e\+24, a whole number"),
        ({"vocab": {"a": 10**400}}, "not JSON: number is infinity"),
        ({"vocab": {"a": 1 << 63}}, "an id is 9223372036854775808"),
        ({"vocab": {"a": 1 << 40}}, "an id is 1099511627776"),
        ({"vocab": {"a": 0, "b": 0}}, "'a' and 'b' share id 0"),
        ({"vocab": []}, r"\[\] found, pieces with scores expected"),
        ({"vocab": [["a"]]}, r"model.vocab\[0\]"),
        ({"vocab": [["a", 0], ["a", 0]]}, r"model.vocab\[1\]"),
        ({"vocab": [["a", 1e39]]}, "found, a score in 32 bits expected"),
        ({"vocab": [["a", float("nan")]]}, "not JSON: unexpected character"),
        ({"merges": None}, "model.merges: None found"),
        (
            {"merges": ["a b", ["ab", "c"]]},
            "pairs of texts or texts throughout expected",
        ),
        ({"merges": [["a", 1]]}, "pairs of texts or texts throughout expected"),
        ({"merges": [["a", ["b"]]]}, "pairs of texts or texts throughout expected"),
        ({"merges": [["a"]]}, "two tokens expected"),
        ({"merges": ["a b c"]}, "two tokens expected"),
        ({"merges": ["a x"]}, "'ax' is in a rule, but not in the vocabulary"),
        ({"merges": ["c a"]}, "'ca' is in a rule"),
        ({"added_tokens": [added(1 << 40, "x")]}, "an id is 1099511627776"),
        ({"added_tokens": [added(0, "x")]}, "'x' has id 0, but is read as 6"),
        ({"added_tokens": [added(7, "x")]}, "'x' has id 7, but is read as 6"),
        ({"added_tokens": [added(7, "a")]}, "'a' has id 7, but"),
        ({"added_tokens": [added(6, "x"), added(6, "y")]}, "'y' has id 6, but"),
        (
            {"vocab": {**LETTERS, "ab": 4, "abc": 6}, "added_tokens": [added(6, "x")]},
            "'x' has id 6, but the vocabulary has 'abc' there",
        ),
        ({"pre_tokenizer": 3}, "pre_tokenizer: 3 found"),
        ({"type": None}, "model.type: None found"),
    ],
)
def test_a_tokenizer_that_contradicts_itself_is_refused(
    parts: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(CorruptFileError, match=complaint):
        _flat(changed(byte_level(), **parts))


@pytest.mark.parametrize(
    ("kind", "parts", "complaint"),
    [
        ("gpt2", {"type": "WordLevel"}, "a WordLevel tokenizer"),
        ("gpt2", {"normalizer": {"type": "NFKC"}}, "normalizer: {'type': 'NFKC'}"),
        ("gpt2", {"end_of_word_suffix": "</w>"}, "model.end_of_word_suffix: '</w>'"),
        ("gpt2", {"dropout": 0.1}, "model.dropout: 0.1"),
        ("llama", {"normalizer": {"type": "Lowercase"}}, "normalizer"),
        (
            "llama",
            {"pre_tokenizer": {"type": "Whitespace"}},
            "pre_tokenizer: {'type': 'Whitespace'} has no place in a llama vocabulary",
        ),
        ("llama", {"ignore_merges": True}, "model.ignore_merges: True"),
        ("t5", {"normalizer": {"type": "Lowercase"}}, "normalizer"),
        ("bert", {"normalizer": {"type": "NFD"}}, "normalizer"),
        ("bert", {"pre_tokenizer": {"type": "Whitespace"}}, "pre_tokenizer"),
    ],
)
def test_what_a_flat_vocabulary_cannot_say_is_refused_part_by_part(
    kind: str, parts: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(UnrepresentableError, match=complaint):
        _flat(changed(json.loads(learnt()[kind]), **parts))


def test_wordpiece_with_another_mark_is_refused() -> None:
    text = changed(json.loads(learnt()["bert"]), continuing_subword_prefix="@@")
    with pytest.raises(CorruptFileError, match="continuing_subword_prefix"):
        _flat(text)


def test_a_character_map_that_is_no_base64_is_refused() -> None:
    step = {"type": "Precompiled", "precompiled_charsmap": "?"}
    with pytest.raises(CorruptFileError, match="normalizer"):
        _flat(changed(json.loads(learnt()["t5"]), normalizer=step))


def test_a_score_that_is_no_number_is_refused() -> None:
    with pytest.raises(CorruptFileError, match="'0' found, a score in 32 bits"):
        _flat(changed(json.loads(learnt()["t5"]), vocab=[["a", "0"]], added_tokens=[]))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "id", "a", "content"]), inner)
    ),
    max_leaves=4,
)
PLACES = st.sampled_from(
    [
        *("added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder"),
        *("type", "vocab", "merges", "ignore_merges", "byte_fallback", "unk_token"),
    ]
)


@given(
    st.sampled_from(["gpt2", "llama", "t5", "bert"]),
    st.dictionaries(PLACES, JSON_VALUES, min_size=1, max_size=2),
)
def test_any_value_anywhere_gives_a_vocabulary_or_one_of_our_errors(
    kind: str, parts: dict[str, Any]
) -> None:
    small = learnt(("a b c d e f g h i j",) * 3)[kind]
    try:
        flat = _flat(changed(json.loads(small), **parts))
    except AprhubError:
        return
    assert len(set(flat.tokens)) == len(flat.tokens)


def test_the_input_is_left_as_it_was() -> None:
    tokenizer = from_json(changed(byte_level()))
    before = evolve(tokenizer)

    flattened(tokenizer, 20)

    assert tokenizer == before
