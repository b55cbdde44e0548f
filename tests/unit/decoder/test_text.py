"""How texts are cut into chunks."""

from pathlib import Path

import numpy as np
import pytest
from attrs import evolve

from aprhub import open_model
from aprhub.api import Tokenizer
from aprhub.decoder.text import token_chunks
from aprhub.errors import (
    CorruptFileError,
    InputError,
    MissingFileError,
    ModelCheckError,
)
from tests.judges import hf
from tests.judges.pico import pico

BOS = 1
WORDS = "The hub reads a model, </s> and <s> writes another. " * 8


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    found = open_model(pico("llama-spm")).tokenizer
    assert found
    return found


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "words.txt"
    path.write_text(WORDS, "utf-8")
    return path


def test_chunks_follow_each_other_each_with_a_bos_in_place_of_its_first_token(
    tokenizer: Tokenizer, text: Path
) -> None:
    ids = [BOS, *hf.tokenize(pico("llama-spm"), WORDS, special=False)]
    count = len(ids) // 32

    found = token_chunks(text, tokenizer, 32)

    assert count > 2
    assert found.shape == (count, 32)
    assert (found[:, 0] == BOS).all()
    cut = np.array(ids[: count * 32]).reshape(count, 32)
    assert np.array_equal(found[:, 1:], cut[:, 1:])
    assert BOS not in found[:, 1:]


def test_a_tokenizer_without_a_bos_keeps_every_token(
    tokenizer: Tokenizer, text: Path
) -> None:
    ids = hf.tokenize(pico("llama-spm"), WORDS, special=False)

    found = token_chunks(text, evolve(tokenizer, add_bos=False), 32)

    assert np.array_equal(found.reshape(-1), ids[: found.size])


def test_only_so_many_chunks_are_taken(tokenizer: Tokenizer, text: Path) -> None:
    every = token_chunks(text, tokenizer, 16)

    assert np.array_equal(token_chunks(text, tokenizer, 16, 2), every[:2])
    assert np.array_equal(token_chunks(text, tokenizer, 16, 999), every)


def test_a_text_that_fills_no_chunk_is_refused(
    tokenizer: Tokenizer, text: Path
) -> None:
    with pytest.raises(InputError, match=r"words\.txt: \d+ tokens are less than one"):
        token_chunks(text, tokenizer, 4096)


def test_a_text_that_is_none_is_refused(tokenizer: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(b"ok \xff\xd8")

    with pytest.raises(CorruptFileError, match="at byte 3: not UTF-8"):
        token_chunks(tmp_path / "image", tokenizer, 4)
    with pytest.raises(MissingFileError):
        token_chunks(tmp_path / "absent", tokenizer, 4)


def test_a_tokenizer_that_lacks_the_token_it_adds_is_refused(text: Path) -> None:
    with pytest.raises(ModelCheckError, match="names none"):
        token_chunks(text, _without_bos(), 4)


def _without_bos() -> Tokenizer:
    found = open_model(pico("qwen2")).tokenizer
    assert found
    return evolve(found, add_bos=True, special_ids={})
