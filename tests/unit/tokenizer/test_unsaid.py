from typing import Any

import pytest

from aprhub.api import Tokenizer, described
from aprhub.tokenizer.unsaid import unsaid
from tests.unit.tokenizer.samples import added, byte_level, changed, from_json, template

TOKENS = [added(6, "<|end|>"), added(7, "<|turn|>"), added(8, "<x>")]


def _unsaid(config: dict[str, str], **parts: Any) -> list[str]:
    text = changed(byte_level(), added_tokens=TOKENS, **parts)
    return list(unsaid(described(text, config, None, None, None)))


def test_what_a_flat_vocabulary_says_is_not_said_again() -> None:
    frame = template("<x>", "A", "<|end|>")
    config = {"bos_token": "<x>", "eos_token": "<|end|>"}
    assert _unsaid(config, post_processor=frame) == []
    assert _unsaid({}) == []
    assert list(unsaid(Tokenizer())) == []


def test_the_composing_of_characters_is_left_to_whoever_gives_the_text() -> None:
    (note,) = _unsaid({}, normalizer={"type": "NFC"})
    assert "composes characters first (NFC)" in note


@pytest.mark.parametrize(
    ("single", "left"),
    [
        (("<x>", "A", "<|turn|>", "<|end|>"), "'<|turn|>'"),
        (("<x>", "<|turn|>", "A", "<|end|>"), "'<|turn|>'"),
        (("<|turn|>", "A"), "'<|turn|>'"),
        (("<|turn|>", "<x>", "A", "<|turn|>"), "'<|turn|>', '<x>'"),
    ],
)
def test_tokens_around_a_text_that_no_flag_says_are_named(
    single: tuple[str, ...], left: str
) -> None:
    config = {"bos_token": "<x>", "eos_token": "<|end|>"}
    (note,) = _unsaid(config, post_processor=template(*single))
    assert f"puts {left} around a text, too" in note


def test_older_processors_are_read_alike() -> None:
    step = {"type": "BertProcessing", "cls": ["<x>", 8], "sep": ["<|end|>", 6]}
    config = {"cls_token": "<x>", "sep_token": "<|end|>"}
    assert _unsaid(config, post_processor=step) == []
    tokenizer = from_json(changed(byte_level(), post_processor=step))
    (note,) = unsaid(tokenizer)
    assert "puts '<x>', '<|end|>' around a text, too" in note
