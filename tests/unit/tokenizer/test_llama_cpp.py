"""Flat vocabularies judged by llama.cpp, which turns text into ids by them."""

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import evolve
from tokenizers import Tokenizer as Program

from aprhub.api import (
    Tokenizer,
    assembled,
    completed_program,
    described,
    flattened,
)
from tests.judges import assets, corpus
from tests.judges.llama import Llama
from tests.unit.tokenizer import vocabularies
from tests.unit.tokenizer.samples import from_json, learnt


def _real(name: str) -> Tokenizer:
    folder = assets.tokenizer(name)
    text = (folder / "tokenizer.json").read_text("utf-8")
    config = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    return described(text, config, None, None, None)


def _differences(tokenizer: Tokenizer, path: Path) -> set[str]:
    text = assembled(tokenizer).json
    assert text is not None
    program = Program.from_str(text)
    with Llama.load(path, vocab_only=True) as llama:
        return {
            each
            for each in corpus.STRINGS
            if program.encode(each).ids != llama.tokenize(each, add_special=True)
        }


def _not_composed(text: str) -> bool:
    """Return whether llama.cpp and Qwen differ: it does not compose characters.

    And it takes every `</s>` for an end, Qwen's ordinary one too.
    """
    return "</s>" in text or not unicodedata.is_normalized("NFC", text)


def _literal_mark(text: str) -> bool:
    """Return whether llama.cpp and Gemma differ.

    Gemma's tokens for runs of spaces match the mark that stands for a space in the
    text; in a flat vocabulary they match the spaces.
    """
    return "▁" in text


def _never(_text: str) -> bool:
    return False


@pytest.mark.parametrize(
    ("name", "rows", "excused"),
    [
        ("qwen3", 151936, _not_composed),
        ("llama3_1", 128256, _never),
        ("mistral", 32000, _never),
        ("gemma3", 262144, _literal_mark),
    ],
)
def test_llama_cpp_gives_the_ids_of_the_original(
    name: str, rows: int, excused: Callable[[str], bool], tmp_path: Path
) -> None:
    original = _real(name)
    path = vocabularies.write(flattened(original, rows), tmp_path / "v.gguf")
    differ = _differences(original, path)
    assert [text for text in differ if not excused(text)] == []


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_llama_cpp_gives_the_ids_of_a_small_tokenizer(
    kind: str, tmp_path: Path
) -> None:
    original = from_json(learnt()[kind], add_bos=kind == "llama")
    path = vocabularies.write(flattened(original, 2100), tmp_path / "v.gguf")
    assert _differences(original, path) == set()


def test_a_token_that_only_the_settings_call_special_is_one(tmp_path: Path) -> None:
    folder = assets.tokenizer("llama3_1")
    program = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    settings = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    words = {each["content"]: each["id"] for each in program["added_tokens"]}
    words["[TURN]"] = words.pop("<|reserved_special_token_0|>")
    program["model"]["vocab"] |= words
    settings["added_tokens_decoder"][str(words["[TURN]"])]["content"] = "[TURN]"
    program["added_tokens"] = []
    text, _ = completed_program(json.dumps(program), settings, None)
    original = described(text, settings, None, None, None)

    path = vocabularies.write(flattened(original, 128256), tmp_path / "v.gguf")

    with Llama.load(path, vocab_only=True) as llama:
        assert llama.tokenize("a[TURN]b")[1:-1] == [words["[TURN]"]]


def test_a_byte_level_file_made_by_others_gives_the_ids_of_llama_cpp() -> None:
    path = assets.smollm2()
    assert _differences(vocabularies.read(path), path) == set()


def test_a_file_that_names_no_pre_tokenizer_gives_the_ids_of_llama_cpp(
    tmp_path: Path,
) -> None:
    found = vocabularies.read(assets.vocabularies()["gpt-2"])
    assert found.flat is not None
    unnamed = evolve(found, flat=evolve(found.flat, pre=None))

    path = vocabularies.write(unnamed, tmp_path / "v.gguf")

    assert _differences(unnamed, path) == set()


@pytest.mark.slow
def test_a_sentencepiece_file_made_by_others_gives_the_ids_of_llama_cpp() -> None:
    path = assets.gemma3()
    differ = _differences(vocabularies.read(path), path)
    assert [text for text in differ if not _literal_mark(text)] == []
