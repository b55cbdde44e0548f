import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from aprhub.api import (
    CorruptFileError,
    described,
    flattened,
    read_folder,
    token_ids,
)
from aprhub.errors import UnsupportedFileError
from aprhub.tokenizer import joined_files

VOCAB = json.dumps({"a": 0, "b": 1, "ab": 2, "Ġ": 3, "1": 4})
MERGES = "#version: 0.2\na b\n"
GPT2: Mapping[str, Any] = {"tokenizer_class": "GPT2Tokenizer"}
ADDED = {"5": {"content": "<|end|>", "special": True, "normalized": False}}


def test_the_two_files_become_a_tokenizer() -> None:
    config = {**GPT2, "added_tokens_decoder": ADDED, "eos_token": "<|end|>"}

    text = joined_files(VOCAB, MERGES, config)

    tokenizer = described(text, config, None, None, None)
    assert token_ids(tokenizer, ["ab a<|end|>"]) == [[2, 3, 0, 5]]
    assert tokenizer.special_ids == {"eos": 5}


@pytest.mark.parametrize(
    ("name", "pre"), [("GPT2TokenizerFast", "gpt-2"), ("Qwen2Tokenizer", "qwen2")]
)
def test_the_class_tells_how_text_is_split(name: str, pre: str) -> None:
    config = {"tokenizer_class": name, "clean_up_tokenization_spaces": pre == "gpt-2"}
    text = joined_files(VOCAB, MERGES, config)
    flat = flattened(described(text, config, None, None, None), None).flat
    assert flat is not None
    assert flat.pre == pre


def test_a_class_that_is_not_known_is_refused() -> None:
    with pytest.raises(UnsupportedFileError, match="tokenizer_class is 'MyTokenizer'"):
        joined_files(VOCAB, MERGES, {"tokenizer_class": "MyTokenizer"})


def test_the_folder_of_a_class_that_is_not_known_is_named(tmp_path: Path) -> None:
    (tmp_path / "vocab.json").write_text(VOCAB, "utf-8")
    (tmp_path / "merges.txt").write_text(MERGES, "utf-8")

    with pytest.raises(UnsupportedFileError) as caught:
        read_folder(tmp_path)

    assert caught.value.__notes__ == [f"while working on {tmp_path}"]


@pytest.mark.parametrize("vocab", ["", "[1]", "[" * 100_000])
def test_a_vocabulary_that_is_none_is_refused(vocab: str) -> None:
    with pytest.raises(CorruptFileError, match=r"vocab\.json"):
        joined_files(vocab, MERGES, GPT2)


@pytest.mark.parametrize("decoder", [[1], {"x": {}}, {"1": 3}])
def test_added_tokens_that_are_none_are_refused(decoder: Any) -> None:
    with pytest.raises(CorruptFileError, match="added_tokens_decoder"):
        joined_files(VOCAB, MERGES, {**GPT2, "added_tokens_decoder": decoder})


def test_rules_about_unknown_tokens_are_found_where_the_text_is_read() -> None:
    text = joined_files(VOCAB, "a x\n", GPT2)
    with pytest.raises(CorruptFileError, match=r"model\.merges"):
        flattened(described(text, GPT2, None, None, None), None)
