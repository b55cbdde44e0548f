"""Vocabularies that llama.cpp tests itself with, and the ids that it expects.

All that have expected ids are here. `gemma-4` is a kind of its own, the rest is
byte-level, SentencePiece or WordPiece. Those without ids are only loaded.
"""

import unicodedata

import pytest
from tokenizers import Tokenizer as Program

from aprhub.api import assembled
from tests.judges import assets
from tests.unit.tokenizer import vocabularies

JUDGED = (
    *("bert-bge", "command-r", "deepseek-coder", "deepseek-llm", "falcon", "gemma-4"),
    *("gpt-2", "llama-bpe", "llama-spm", "mpt", "phi-3", "qwen2", "qwen35", "refact"),
    "starcoder",
)
LOADED = ("aquila", "baichuan", "gpt-neox", "nomic-bert-moe")


def _program(name: str) -> Program:
    text = assembled(vocabularies.read(assets.vocabularies()[name])).json
    assert text is not None
    program: Program = Program.from_str(text)
    return program


def test_no_vocabulary_is_left_out() -> None:
    assert set(assets.vocabularies()) == {*JUDGED, *LOADED}


@pytest.mark.parametrize("name", JUDGED)
def test_a_vocabulary_gives_the_ids_that_are_expected_of_it(name: str) -> None:
    program = _program(name)
    cases = vocabularies.vectors(assets.vocabularies()[name])

    differ = [
        text
        for text, expected in cases
        if program.encode(text, add_special_tokens=False).ids != expected
    ]

    assert len(cases) > 40
    # llama.cpp leaves it to its callers to compose characters; Qwen's own tokenizer
    # does it, so there they differ for text that is not composed, and only there.
    assert [text for text in differ if unicodedata.is_normalized("NFC", text)] == []
    assert differ == [] or name == "qwen35"


@pytest.mark.parametrize("name", LOADED)
def test_a_vocabulary_without_expected_ids_keeps_its_own(name: str) -> None:
    tokenizer = vocabularies.read(assets.vocabularies()[name])
    ids = _program(name).get_vocab(with_added_tokens=True)
    assert tokenizer.flat is not None
    assert {tokenizer.flat.tokens[n]: n for n in ids.values()} == ids
