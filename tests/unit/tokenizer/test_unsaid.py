from typing import Any

import numpy as np
import pytest

from aprhub.api import FlatVocabulary, Tokenizer, described
from aprhub.tokenizer.unsaid import guessed, unsaid
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


@pytest.mark.parametrize(
    ("model", "scores", "types", "told"),
    [
        ("llama", [0, -5, -5, -5], [3, 1, 1, 1], True),
        ("llama", [0, -5, -5, -5], None, False),
        ("llama", [0, -5, -6, -5], [3, 1, 1, 1], False),
        ("llama", [0, 0, 0, -5], [3, 4, 4, 1], False),
        ("t5", [0, -5, -5, -5], [3, 1, 1, 1], False),
    ],
)
def test_rules_that_no_score_puts_in_order_are_said_to_be_guessed(
    model: str, scores: list[float], types: list[int] | None, *, told: bool
) -> None:
    flat = FlatVocabulary(
        model,
        ["<s>", "a", "b", "ab"],
        scores=np.array(scores, np.float32),
        types=None if types is None else np.array(types, np.int32),
    )

    notes = list(guessed(flat))

    assert [each for each in notes if "order of the ids" in each] == notes
    assert bool(notes) is told
