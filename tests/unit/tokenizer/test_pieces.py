"""A folder with a `tokenizer.model` alone, judged by SentencePiece and llama.cpp."""

import io
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from tokenizers import Tokenizer as Program

from aprhub.api import (
    CorruptFileError,
    Tokenizer,
    assembled,
    described_pieces,
    flattened,
    read_sentencepiece,
)
from tests.judges import corpus
from tests.judges.llama import Llama
from tests.unit.tokenizer import vocabularies

SIZE = 1200
ADDED = {
    "1": {"content": "<s>", "special": True},
    str(SIZE): {"content": "<|turn|>", "special": True},
    str(SIZE + 1): {"content": "<tool>", "special": False},
}


@pytest.fixture(scope="module")
def model() -> bytes:
    """Train a model of Llama 2's kind."""
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus.TEXTS),
        model_writer=written,
        model_type="bpe",
        vocab_size=SIZE,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return written.getvalue()


def _described(model: bytes, **config: Any) -> Tokenizer:
    return described_pieces(read_sentencepiece(model), config, None, None, None)


def test_ids_are_those_of_sentencepiece(model: bytes) -> None:
    judge = sentencepiece.SentencePieceProcessor(model_proto=model)
    text = assembled(_described(model, add_bos_token=False)).json
    assert text is not None
    program = Program.from_str(text)

    for each in corpus.STRINGS:
        # The names of control tokens are text to SentencePiece, tokens to a program.
        if not any(mark in each for mark in ("<s>", "</s>", "<unk>")):
            ids = program.encode(each, add_special_tokens=False).ids
            assert ids == judge.encode(each)


def test_llama_cpp_finds_the_added_tokens(model: bytes, tmp_path: Path) -> None:
    tokenizer = flattened(_described(model, added_tokens_decoder=ADDED), None)
    path = vocabularies.write(tokenizer, tmp_path / "vocab.gguf")

    with Llama.load(path, vocab_only=True) as llama:
        ids = llama.tokenize("<|turn|>a<tool>", add_special=True)

    assert tokenizer.special_ids["bos"] == ids[0] == 1
    assert ids[1] == SIZE
    assert ids[-1] == SIZE + 1


def test_what_the_folder_says_goes_before_the_pieces(model: bytes) -> None:
    found = _described(
        model,
        add_bos_token=False,
        add_eos_token=True,
        eos_token="<|turn|>",
        chat_template="{{ x }}",
        added_tokens_decoder=ADDED,
    )

    assert (found.add_bos, found.add_eos) == (False, True)
    assert found.special_ids["eos"] == SIZE
    assert found.chat_template == "{{ x }}"
    assert found.flat is not None
    assert found.flat.tokens[SIZE:] == ["<|turn|>", "<tool>"]


@pytest.mark.parametrize(
    ("decoder", "complaint"),
    [
        ({str(SIZE + 1): {"content": "x"}}, "where nothing is; its own id expected"),
        ({"1": {"content": "x"}}, "where '<s>' is"),
        ({"1": {}}, "tokens by id expected"),
        (["x"], "tokens by id expected"),
    ],
)
def test_added_tokens_that_do_not_fit_are_refused(
    model: bytes, decoder: Any, complaint: str
) -> None:
    with pytest.raises(CorruptFileError, match=complaint):
        _described(model, added_tokens_decoder=decoder)
