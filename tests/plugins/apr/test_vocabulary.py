import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import fields

from aprhub.api import (
    CorruptFileError,
    FlatVocabulary,
    StoredModel,
    Tokenizer,
    assembled,
)
from tests.hostile.apr_file import AprFile
from tests.plugins.apr import disk

BYTE_LEVEL = FlatVocabulary(
    "gpt2",
    ["<|end|>", "a", "b", "ab"],
    pre="qwen2",
    types=np.array([3, 1, 1, 1], np.int32),
    merges=["a b"],
)
PIECES = FlatVocabulary(
    "llama",
    ["<unk>", "<0x0A>", "▁a", "b"],
    scores=np.array([0, -0.1, -1000, 3.5], np.float32),
    types=np.array([2, 6, 1, 1], np.int32),
)


def _open(keys: Mapping[str, Any], folder: Path) -> StoredModel:
    text = json.dumps({"model_type": "x", **keys}).encode()
    return disk.opened(AprFile(text, (), b"").write(folder))


def _there_and_back(tokenizer: Tokenizer, folder: Path) -> Tokenizer | None:
    return disk.reopened(disk.model({}, tokenizer=tokenizer), folder).tokenizer


def _keys(flat: FlatVocabulary, **parts: Any) -> dict[str, Any]:
    stored = disk.model({}, tokenizer=Tokenizer(flat, **parts))
    return disk.described(disk.laid_out(stored))


@pytest.mark.parametrize("flat", [BYTE_LEVEL, PIECES], ids=["bytes", "pieces"])
def test_a_tokenizer_comes_back(flat: FlatVocabulary, tmp_path: Path) -> None:
    tokenizer = Tokenizer(
        flat,
        special_ids={"bos": 0, "eos": 1, "unk": 2, "pad": 3, "eot": 0, "fim_pre": 1},
        add_bos=True,
        add_eos=False,
        add_sep=False,
        add_space_prefix=True,
        clean_up_spaces=False,
        chat_template="{{ 'é' }}",
        chat_templates={"tool_use": "{{ 1 }}"},
    )

    assert _there_and_back(tokenizer, tmp_path) == tokenizer


def test_every_field_of_a_vocabulary_comes_back(tmp_path: Path) -> None:
    flat = FlatVocabulary(
        "t5",
        PIECES.tokens,
        "pre",
        PIECES.scores,
        PIECES.types,
        ["▁a b"],
        bytes(range(256)),
        remove_extra_spaces=True,
        lowercase=False,
        strip_accents=True,
    )
    unset = [
        each.name for each in fields(type(flat)) if getattr(flat, each.name) is None
    ]
    assert unset == []

    assert _there_and_back(Tokenizer(flat), tmp_path) == Tokenizer(flat)


def test_a_vocabulary_says_everything_that_programs_look_for() -> None:
    keys = _keys(BYTE_LEVEL, special_ids={"bos": 0, "eos": 0}, chat_template="{{ 1 }}")

    assert keys["tokenizer.vocabulary"] == ["<|end|>", "a", "b", "ab"]
    assert keys["tokenizer.vocab_size"] == 4
    assert keys["tokenizer.merges"] == ["a b"]
    assert keys["tokenizer.model"] == "gpt2"
    assert keys["tokenizer.model_type"] == "BPE"
    assert keys["tokenizer.pre_type"] == "qwen2"
    assert keys["tokenizer.bos_token_id"] == keys["tokenizer.eos_token_id"] == 0
    assert keys["chat_template"] == keys["tokenizer.chat_template"] == "{{ 1 }}"


def test_pieces_with_merges_are_not_taken_for_bytes(tmp_path: Path) -> None:
    """A file with both would be run as byte-level BPE."""
    tokens, scores, types = PIECES.tokens, PIECES.scores, PIECES.types
    flat = FlatVocabulary("llama", tokens, None, scores, types, ["▁a b"])

    keys = _keys(flat)

    assert "tokenizer.merges" not in keys
    assert keys["tokenizer.model_type"] == "unigram"
    assert _there_and_back(Tokenizer(flat), tmp_path) == Tokenizer(flat)


def test_a_program_comes_back(tmp_path: Path) -> None:
    program: dict[str, Any] = {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False},
        "model": {
            "type": "BPE",
            "vocab": {token: place for place, token in enumerate(BYTE_LEVEL.tokens)},
            "merges": ["a b"],
        },
    }
    tokenizer = Tokenizer(BYTE_LEVEL, json.dumps(program))

    found = _there_and_back(tokenizer, tmp_path)

    assert found is not None
    assert found.json is None
    text = assembled(found).json
    assert text is not None
    assert json.loads(text) == program


def test_a_program_that_nobody_asked_for_is_passed_on(tmp_path: Path) -> None:
    tokenizer = Tokenizer(BYTE_LEVEL, skeleton="kept as it is")

    assert _there_and_back(tokenizer, tmp_path) == tokenizer


def test_a_file_without_tokenizer_keys_has_none(tmp_path: Path) -> None:
    assert _open({}, tmp_path).tokenizer is None


def test_a_template_alone_is_a_tokenizer(tmp_path: Path) -> None:
    found = _open({"tokenizer.chat_template": "x"}, tmp_path).tokenizer

    assert found == Tokenizer(chat_template="x")


@pytest.mark.parametrize(
    ("keys", "model"),
    [
        ({"tokenizer.model": "gpt2"}, "gpt2"),
        ({"tokenizer.model": "bpe"}, "gpt2"),
        ({"tokenizer.model": "llama", "tokenizer.model_type": "BPE"}, "llama"),
        ({"tokenizer.model_type": "BPE", "tokenizer.merges": ["a b"]}, "gpt2"),
        ({"tokenizer.merges": ["a b"]}, "gpt2"),
        ({"tokenizer.scores": [0, 0, 0]}, "llama"),
        ({"tokenizer.model_type": "unigram"}, "llama"),
        ({"tokenizer.model_type": "Unigram"}, "t5"),
        ({"tokenizer.model_type": "WordPiece"}, "bert"),
    ],
)
def test_the_model_is_what_the_file_says_or_implies(
    keys: Mapping[str, Any], model: str, tmp_path: Path
) -> None:
    found = _open({"tokenizer.vocabulary": ["a", "b", "ab"], **keys}, tmp_path)

    assert found.tokenizer is not None
    assert found.tokenizer.flat is not None
    assert found.tokenizer.flat.model == model


def test_pieces_with_bytes_are_not_byte_level(tmp_path: Path) -> None:
    keys = {"tokenizer.vocabulary": ["<0x0A>", "a"], "tokenizer.merges": ["a a"]}

    found = _open({**keys, "tokenizer.model_type": "BPE"}, tmp_path).tokenizer

    assert found is not None
    assert found.flat is not None
    assert found.flat.model == "llama"


def test_merges_in_pairs_are_joined(tmp_path: Path) -> None:
    keys = {"tokenizer.vocabulary": ["a"], "tokenizer.merges": [["a", "b"], "c d"]}

    found = _open(keys, tmp_path)

    assert found.tokenizer is not None
    assert found.tokenizer.flat is not None
    assert found.tokenizer.flat.merges == ["a b", "c d"]
    assert any("pairs" in note for note in found.notes)


def test_a_vocabulary_of_another_size_than_said_is_noted(tmp_path: Path) -> None:
    keys = {"tokenizer.vocabulary": ["a"], "tokenizer.vocab_size": 2}

    assert "tokenizer.vocab_size is 2" in _open(keys, tmp_path).notes[0]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("vocabulary", ["a", 7], "a list of strings"),
        ("vocabulary", ["a", None], "a list of strings"),
        ("vocabulary", {"a": 0}, "a list of strings"),
        ("vocabulary", ["a", "\ud800"], "surrogate"),
        ("merges", ["a b", 7], "a list of strings"),
        ("merges", ["a b", "ab"], "a space"),
        ("merges", [["a", "b", "c"]], "two strings"),
        ("merges", [["a b", "c"]], "without spaces"),
        ("merges", [["a", 1]], "two strings"),
        ("scores", [0.5], "found 1 values, expected one for each of 2 tokens"),
        ("scores", [0.5, 1e39], "found 1e+39, expected at most 3.4"),
        ("scores", [0.5, 10**400], "large"),
        ("scores", [0.5, None], "a list of numbers"),
        ("scores", [0.5, True], "a list of numbers"),
        ("token_type", [1, 1, 1], "found 3 values, expected one for each of 2 tokens"),
        ("token_type", [1, 2**31], "found 2147483648, expected at most 2147483647"),
        ("token_type", [1, 2**63], "large"),
        ("token_type", [1, 1.0], "a list of integers"),
        ("bos_token_id", 2, "expected the id of one of 2 tokens"),
        ("eos_token_id", -1, "an integer"),
        ("padding_token_id", "1", "an integer"),
        ("unknown_token_id", 1.0, "an integer"),
        ("add_bos_token", 1, "true or false"),
        ("chat_template", ["a"], "a string"),
        ("pre_type", 1, "a string"),
        ("remove_extra_whitespaces", 1, "true or false"),
    ],
)
def test_a_tokenizer_that_is_not_strict_is_refused(
    key: str, value: Any, message: str, tmp_path: Path
) -> None:
    keys = {"tokenizer.vocabulary": ["a", "b"], f"tokenizer.{key}": value}

    with pytest.raises(CorruptFileError, match=rf"tokenizer\.{key}") as refusal:
        _open(keys, tmp_path)

    assert message in str(refusal.value)


def test_a_character_map_that_is_not_base64_is_refused(tmp_path: Path) -> None:
    keys = {"tokenizer.vocabulary": ["a"], "aprhub.charsmap": "é"}

    with pytest.raises(CorruptFileError, match="base64"):
        _open(keys, tmp_path)


def test_two_templates_are_refused(tmp_path: Path) -> None:
    keys = {"chat_template": "a", "tokenizer.chat_template": "b"}

    with pytest.raises(CorruptFileError, match='"a"'):
        _open(keys, tmp_path)
