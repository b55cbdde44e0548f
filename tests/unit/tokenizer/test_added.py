import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer as Program

from aprhub.api import CorruptFileError, completed_program, read_folder
from aprhub.pretraining.tokens import read_tokenizer
from aprhub.registry import Registry
from tests.judges import hf
from tests.unit.tokenizer.samples import added, byte_level, changed, learnt

FLAGS: Mapping[str, Any] = {
    "single_word": False,
    "lstrip": False,
    "rstrip": False,
    "normalized": False,
    "special": True,
}
PLAIN = {**FLAGS, "normalized": True, "special": False}


def _text() -> str:
    return json.dumps(byte_level())


def _decoder(number: int, content: str, **flags: Any) -> dict[str, Any]:
    return {
        "added_tokens_decoder": {str(number): {**FLAGS, "content": content, **flags}}
    }


def _added(text: str | bytes) -> dict[int, dict[str, Any]]:
    entries = json.loads(text)["added_tokens"]
    return {each.pop("id"): each for each in entries}


@pytest.mark.parametrize(
    "config",
    [
        None,
        {},
        {"eos_token": "<|end|>", "pad_token": None},
        _decoder(6, "<|end|>"),
        {"additional_special_tokens": ["<|end|>"]},
        {"eos_token": "<tool>", "extra_special_tokens": ["<tool>"]},
    ],
)
def test_a_program_that_lacks_nothing_stays_to_the_letter(
    config: Mapping[str, Any] | None,
) -> None:
    assert completed_program(_text(), config, None) == (_text().encode(), ())


CHANGES: Mapping[str, tuple[Mapping[str, Any], dict[int, tuple[str, bool]]]] = {
    "one that the vocabulary has": (_decoder(4, "ab"), {4: ("ab", True)}),
    "one that it has not": (_decoder(8, "<new>"), {8: ("<new>", True)}),
    "one with the id of nobody": (_decoder(99, "<new>"), {8: ("<new>", True)}),
    "one that becomes special": (_decoder(7, "<tool>"), {7: ("<tool>", True)}),
    "one that is no longer": (
        _decoder(6, "<|end|>", special=False),
        {6: ("<|end|>", False)},
    ),
    "one with a role": ({"pad_token": "<pad>"}, {8: ("<pad>", True)}),
    "one with a role, as an object": (
        {"pad_token": {"__type": "AddedToken", "content": "<pad>", "lstrip": True}},
        {8: ("<pad>", True)},
    ),
    "one with a role and flags": (
        {**_decoder(8, "<pad>", special=False), "pad_token": "<pad>"},
        {8: ("<pad>", True)},
    ),
    "one without a role": (
        {"additional_special_tokens": ["<x>", "<|end|>", "<y>"]},
        {8: ("<x>", True), 9: ("<y>", True)},
    ),
    "one of the model's own": (
        {"extra_special_tokens": {"image_token": "<image>"}},
        {8: ("<image>", True)},
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_tokens_are_those_of_transformers(change: str, tmp_path: Path) -> None:
    config, expected = CHANGES[change]
    (tmp_path / "tokenizer.json").write_text(_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    fast = hf.transformers().PreTrainedTokenizerFast.from_pretrained(tmp_path)
    theirs = json.loads(fast.backend_tokenizer.to_str())["added_tokens"]

    text, notes = completed_program(_text(), config, None)

    ours = json.loads(Program.from_buffer(text).to_str())["added_tokens"]
    assert ours == theirs == json.loads(text)["added_tokens"]
    found = {each["id"]: (each["content"], each["special"]) for each in theirs}
    assert expected.items() <= found.items()
    assert all(repr(content) in notes[0] for content, _ in expected.values())


def test_a_token_without_a_row_is_left_out_and_named() -> None:
    config = {**_decoder(8, "<new>"), "pad_token": "<pad>"}

    text, notes = completed_program(_text(), config, {"vocab_size": 9})

    assert _added(text).keys() == {6, 7, 8}
    assert "'<new>'" in notes[0]
    assert "nor have a row in the embedding: '<pad>'; they are left out" in notes[1]


def test_a_token_of_the_vocabulary_needs_no_row_of_its_own() -> None:
    text, _ = completed_program(_text(), _decoder(4, "ab"), {"vocab_size": 2})
    assert _added(text)[4] == {**FLAGS, "content": "ab"}


@pytest.mark.parametrize(
    "model", [{"text_config": {"vocab_size": 8}}, {"vocab_size": 8, "text_config": {}}]
)
def test_the_rows_are_those_of_the_text_part(model: Mapping[str, Any]) -> None:
    text, notes = completed_program(_text(), {"pad_token": "<pad>"}, model)
    assert _added(text).keys() == {6, 7}
    assert "left out" in notes[0]


def test_the_flags_that_nothing_is_said_of_are_those_of_transformers() -> None:
    config = {"added_tokens_decoder": {"4": {"content": "ab"}}}
    text, _ = completed_program(_text(), config, None)
    assert _added(text)[4] == {**PLAIN, "content": "ab"}


def test_the_pieces_of_a_unigram_model_are_numbered_by_their_place() -> None:
    program = learnt()["t5"]
    piece = json.loads(program)["model"]["vocab"][5][0]

    text, _ = completed_program(program, _decoder(5, piece), None)

    assert _added(text)[5]["content"] == piece


def test_a_folder_is_read_with_what_its_settings_add(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(_text())
    (tmp_path / "tokenizer_config.json").write_text('{"pad_token": "<pad>"}')

    tokenizers = read_folder(tmp_path), read_tokenizer(tmp_path, Registry.load())

    for tokenizer in tokenizers:
        assert tokenizer.special_ids == {"pad": 8}
        assert _added(tokenizer.json or "").keys() == {6, 7, 8}


def test_a_folder_whose_program_is_not_utf8_is_refused(tmp_path: Path) -> None:
    data = _text().encode().replace(b'"ab"', b'"a\xff"')
    (tmp_path / "tokenizer.json").write_bytes(data)
    place = data.index(b"\xff")
    with pytest.raises(CorruptFileError, match=f"at byte {place}: not UTF-8"):
        read_folder(tmp_path)


def test_of_many_tokens_some_are_shown() -> None:
    config = {"additional_special_tokens": [f"<{n}>" for n in range(8)]}
    _, (note,) = completed_program(_text(), config, None)
    assert "'<4>' and 3 more;" in note


@pytest.mark.parametrize(
    "config",
    [
        {"added_tokens_decoder": [8]},
        {"added_tokens_decoder": {"x": {"content": "<x>"}}},
        {"added_tokens_decoder": {"8": {}}},
        {"added_tokens_decoder": {"8": {"content": 8}}},
        {"added_tokens_decoder": {"8": "<x>"}},
        {"added_tokens_decoder": {"8": {"content": "<x>", "special": 1}}},
        {"pad_token": {"content": "<x>", "lstrip": None}},
        {"pad_token": 8},
        {"pad_token": {"id": 8}},
        {"additional_special_tokens": "<x>"},
        {"additional_special_tokens": [8]},
        {"extra_special_tokens": {"image_token": 8}},
    ],
)
def test_what_is_no_token_is_refused(config: Mapping[str, Any]) -> None:
    key = next(iter(config))
    with pytest.raises(CorruptFileError, match=f"tokenizer_config.json: {key}: "):
        completed_program(_text(), config, None)


def test_an_older_program_without_added_tokens_is_completed() -> None:
    text = changed(byte_level(), added_tokens=None)
    found, _ = completed_program(text, {"eos_token": "ab"}, None)
    assert _added(found) == {4: {**FLAGS, "content": "ab"}}


def test_the_order_is_that_of_the_ids() -> None:
    document = changed(byte_level(), added_tokens=[added(6, "<|end|>")])
    config = {**_decoder(4, "ab"), "additional_special_tokens": ["<x>"]}
    text, _ = completed_program(document, config, None)
    assert list(_added(text)) == [4, 6, 7]
