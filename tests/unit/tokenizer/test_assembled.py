import json
from typing import Any

import numpy as np
import pytest
from attrs import evolve
from tokenizers import Tokenizer as Program

from aprhub.api import (
    FlatVocabulary,
    ModelCheckError,
    Tokenizer,
    UnrepresentableError,
    assembled,
    flattened,
)
from tests.judges import corpus
from tests.unit.tokenizer.samples import byte_level, changed, from_json, learnt

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
KINDS = ("gpt2", "llama", "t5", "bert")


def _rebuilt(text: str, rows: int | None = None, **said: Any) -> dict[str, Any]:
    """Return a tokenizer that went through its flat form, which alone was kept."""
    flat = flattened(from_json(text, **said), rows)
    return _document(evolve(flat, json=None))


def _document(tokenizer: Tokenizer) -> dict[str, Any]:
    text = assembled(tokenizer).json
    assert text is not None
    document: dict[str, Any] = json.loads(text)
    return document


def _flat(*tokens: tuple[str, int], **said: Any) -> FlatVocabulary:
    words = [word for word, _ in tokens]
    types = np.array([kind for _, kind in tokens], np.int32)
    scores = -np.arange(len(tokens), dtype=np.float32)
    values = {"pre": "gpt-2", "merges": [], "scores": scores, **said}
    return FlatVocabulary(values.pop("model", "gpt2"), words, types=types, **values)


def _ids(document: dict[str, Any], text: str) -> list[int]:
    ids: list[int] = Program.from_str(json.dumps(document)).encode(text).ids
    return ids


@pytest.mark.parametrize("kind", KINDS)
def test_there_and_back_gives_the_ids_of_every_string(kind: str) -> None:
    text = learnt()[kind]
    roles = {"bert": {"cls": 2, "sep": 3, "unk": 1}}.get(kind, {"unk": 0})
    adds = {"add_bos": kind != "gpt2" and kind != "t5"}
    if kind == "t5":
        roles = {"eos": 1, "unk": 2}
    original = Program.from_str(text)

    rebuilt = Program.from_str(
        json.dumps(
            _rebuilt(text, 2100, special_ids={**roles, "bos": 1} | roles, **adds)
        )
    )

    strings = [each for each in corpus.STRINGS if kind != "t5" or each.strip()]
    differ = [s for s in strings if original.encode(s).ids != rebuilt.encode(s).ids]
    assert differ == []


def test_a_small_vocabulary_comes_back_as_it_was() -> None:
    document = _rebuilt(changed(byte_level()), 12)

    original = byte_level()
    assert document["added_tokens"] == original["added_tokens"]
    model = document["model"]
    assert model["vocab"] == original["model"]["vocab"]
    assert model["merges"] == original["model"]["merges"]
    assert document["pre_tokenizer"]["type"] == "ByteLevel"


def test_unused_tokens_at_the_end_are_dropped_whatever_type_they_have() -> None:
    flat = _flat(
        ("a", NORMAL),
        ("[PAD1]", UNUSED),
        ("b", NORMAL),
        ("<|end|>", CONTROL),
        ("[PAD4]", USER_DEFINED),
        ("<|pad_5|>", UNUSED),
    )

    document = _document(Tokenizer(flat))

    assert document["model"]["vocab"] == {"a": 0, "[PAD1]": 1, "b": 2}
    assert [each["content"] for each in document["added_tokens"]] == ["<|end|>"]


def test_an_unused_token_with_a_name_of_its_own_is_kept() -> None:
    document = _document(Tokenizer(_flat(("a", NORMAL), ("<unused0>", UNUSED))))
    assert document["model"]["vocab"] == {"a": 0, "<unused0>": 1}


def test_ids_behind_a_filled_one_stay_right() -> None:
    flat = _flat(
        *(("a", NORMAL), ("<|one|>", CONTROL), ("[PAD2]", UNUSED)),
        ("<|two|>", CONTROL),
    )

    document = _document(Tokenizer(flat))

    assert _ids(document, "<|two|>a<|one|>") == [3, 0, 1]


def test_control_tokens_are_special_and_those_of_a_user_are_not() -> None:
    flat = _flat(("a", NORMAL), ("<|x|>", CONTROL), ("<y>", USER_DEFINED))

    added = _document(Tokenizer(flat))["added_tokens"]

    assert [each["special"] for each in added] == [True, False]
    assert {each["normalized"] for each in added} == {False}


def test_without_types_roles_and_looks_tell_control_tokens() -> None:
    flat = FlatVocabulary("gpt2", ["a", "</s>", "<|x|>"], "gpt-2", merges=[])

    added = _document(Tokenizer(flat, special_ids={"eos": 1}))["added_tokens"]

    assert [each["content"] for each in added] == ["</s>", "<|x|>"]


@pytest.mark.parametrize(
    ("pre", "add_bos", "expected"),
    [
        ("llama-bpe", None, [1, 0]),
        ("llama-bpe", False, [0]),
        ("gpt-2", None, [0]),
        ("gpt-2", True, [1, 0]),
    ],
)
def test_a_bos_is_put_in_front_as_the_file_or_its_pre_tokenizer_says(
    pre: str, add_bos: bool | None, expected: list[int]
) -> None:
    flat = _flat(("a", NORMAL), ("<|begin|>", CONTROL), pre=pre)
    tokenizer = Tokenizer(flat, special_ids={"bos": 1}, add_bos=add_bos)
    assert _ids(_document(tokenizer), "a") == expected


def test_an_eos_is_put_behind_when_the_file_says_so() -> None:
    flat = _flat(("a", NORMAL), ("<|end|>", CONTROL))
    tokenizer = Tokenizer(flat, special_ids={"eos": 1}, add_eos=True)
    assert _ids(_document(tokenizer), "a") == [0, 1]


@pytest.mark.parametrize(("pre", "expected"), [("llama-bpe", [2]), ("dbrx", [0, 1])])
def test_a_whole_word_is_found_without_merges_where_the_pre_tokenizer_says_so(
    pre: str, expected: list[int]
) -> None:
    flat = _flat(("a", NORMAL), ("b", NORMAL), ("ab", NORMAL), pre=pre)
    assert _ids(_document(Tokenizer(flat)), "ab") == expected


@pytest.mark.parametrize(("prefix", "expected"), [(True, "▁a"), (False, "a")])
def test_sentencepiece_puts_a_space_in_front_unless_told_not_to(
    prefix: bool, expected: str
) -> None:
    flat = _flat(
        *(("<unk>", UNKNOWN), ("<s>", CONTROL), ("</s>", CONTROL)),
        *(("a", NORMAL), ("▁", NORMAL), ("▁a", NORMAL)),
        model="llama",
    )
    tokenizer = Tokenizer(flat, add_space_prefix=prefix, add_bos=False)

    program = Program.from_str(json.dumps(_document(tokenizer)))

    assert program.encode("a").tokens == [expected]
    assert program.decode(program.encode("a a").ids) == "a a"


def test_sentencepiece_merges_what_scores_highest_first() -> None:
    words = ["<unk>", "a", "b", "c", "ab", "bc"]
    types = np.array([UNKNOWN, *[NORMAL] * 5], np.int32)
    for scores, expected in (([-1, -2], ["ab", "c"]), ([-2, -1], ["a", "bc"])):
        values = np.array([0, 0, 0, 0, *scores], np.float32)
        flat = FlatVocabulary("llama", words, scores=values, types=types)
        tokenizer = Tokenizer(flat, add_space_prefix=False, add_bos=False)
        program = Program.from_str(json.dumps(_document(tokenizer)))
        assert program.encode("abc").tokens == expected


def test_real_spaces_of_a_users_token_become_symbols_again() -> None:
    flat = _flat(("<unk>", UNKNOWN), ("▁", NORMAL), ("  ", USER_DEFINED), model="llama")
    added = _document(Tokenizer(flat))["added_tokens"]
    assert [each["content"] for each in added] == ["<unk>", "▁▁"]


def test_a_word_that_two_tokens_become_is_listed_once() -> None:
    many = [(f"{number}", NORMAL) for number in range(40_000)]
    words = (("<unk>", UNKNOWN), ("▁", NORMAL), *many, (" ", USER_DEFINED))

    text = assembled(Tokenizer(_flat(*words, model="llama"))).json

    assert text is not None
    assert '"vocab":{"<unk>":0,"▁":40002,"0":2,' in text
    assert text.count('"▁":') == 2  # the other one is the BOS of the template


def test_the_roles_that_ggml_takes_for_granted_are_taken() -> None:
    flat = _flat(
        *(("<unk>", UNKNOWN), ("<s>", CONTROL), ("</s>", CONTROL), ("a", NORMAL)),
        model="llama",
    )
    document = _document(Tokenizer(flat, add_space_prefix=False))
    assert _ids(document, "a") == [1, 3]


def test_a_program_that_is_there_is_kept() -> None:
    text = changed(byte_level())
    assert assembled(from_json(text)).json == text


@pytest.mark.parametrize(
    ("flat", "complaint"),
    [
        (_flat(("a", NORMAL), merges=None), "a gpt2 vocabulary without merge rules"),
        (_flat(("a", NORMAL), merges=["ab"]), "the merge rule 'ab' has one token"),
        (_flat(("a", NORMAL), merges=["a b"]), "'ab' is in a merge rule"),
        (_flat(("a", NORMAL), model="llama", scores=None), "without a score"),
        (
            _flat(("a", NORMAL), model="t5", scores=np.array([np.nan], np.float32)),
            r"the score of token 0 \('a'\) is nan, a finite number expected",
        ),
        (_flat(("a", NORMAL), model="bert"), "without an unknown token"),
        (
            FlatVocabulary("gpt2", ["a", "b"], types=np.ones(1, np.int32)),
            "1 types for 2 tokens",
        ),
        (None, "neither a vocabulary nor a program"),
    ],
)
def test_a_vocabulary_that_lacks_something_is_refused(
    flat: FlatVocabulary | None, complaint: str
) -> None:
    with pytest.raises(ModelCheckError, match=complaint):
        assembled(Tokenizer(flat))


def test_a_kind_that_is_not_known_is_refused() -> None:
    with pytest.raises(UnrepresentableError, match="'rwkv' vocabulary"):
        assembled(Tokenizer(_flat(("a", NORMAL), model="rwkv")))
