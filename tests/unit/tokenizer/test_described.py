import json
from collections.abc import Mapping
from typing import Any

import pytest

from aprhub.api import CorruptFileError, Tokenizer, described
from tests.unit.tokenizer.samples import added, byte_level, changed, learnt, template

END: Mapping[str, Any] = {"eos_token": "<|end|>"}


def _described(
    config: Mapping[str, Any] | None = None,
    *,
    text: str = "",
    special_map: Mapping[str, Any] | None = None,
    model: Mapping[str, Any] | None = None,
    generation: Mapping[str, Any] | None = None,
) -> Tokenizer:
    return described(text or _text(), config, special_map, model, generation)


def _text(**parts: Any) -> str:
    tokens = [added(6, "<|end|>"), added(7, "<tool>", special=False), added(8, "<x>")]
    return changed(byte_level(), added_tokens=tokens, **parts)


def test_a_name_in_the_tokenizer_config_gives_the_id() -> None:
    assert _described(END).special_ids == {"eos": 6}


def test_a_name_may_be_an_object_with_a_content() -> None:
    assert _described({"pad_token": {"content": "<x>"}}).special_ids == {"pad": 8}


def test_a_name_that_is_not_added_is_looked_up_in_the_vocabulary() -> None:
    assert _described({"unk_token": "ab"}).special_ids == {"unk": 4}


def test_a_name_that_no_token_has_gives_no_id() -> None:
    assert _described({"pad_token": "[PAD]"}).special_ids == {}


def test_names_beat_the_special_tokens_map_and_that_beats_numbers() -> None:
    found = _described(
        END,
        special_map={"eos_token": "<x>", "pad_token": "<x>"},
        model={"eos_token_id": 1, "pad_token_id": 2, "bos_token_id": 3},
        generation={"bos_token_id": 4},
    )

    assert found.special_ids == {"eos": 6, "pad": 8, "bos": 3, "eot": 1}


def test_the_numbers_of_a_text_part_count() -> None:
    found = _described(model={"text_config": {"bos_token_id": 5}})
    assert found.special_ids == {"bos": 5}


def test_minus_one_is_no_id() -> None:
    assert _described(model={"pad_token_id": -1}).special_ids == {}


def test_of_several_ends_the_first_is_the_eos_and_the_next_ends_a_turn() -> None:
    assert _described(model={"eos_token_id": [7, 8]}).special_ids == {
        "eos": 7,
        "eot": 8,
    }


def test_ends_of_the_generation_config_count_besides_the_named_one() -> None:
    found = _described(END, generation={"eos_token_id": [6, 8]})
    assert found.special_ids == {"eos": 6, "eot": 8}


def test_the_end_of_a_message_is_known_by_its_text() -> None:
    tokens = [added(6, "<|end|>"), added(7, "<|eom_id|>"), added(8, "<x>")]
    text = changed(byte_level(), added_tokens=tokens)

    found = _described(END, text=text, model={"eos_token_id": [7, 6, 8]})

    assert found.special_ids == {"eos": 6, "eom": 7, "eot": 8}


def test_a_byte_level_post_processor_adds_nothing_whatever_the_flags_say() -> None:
    found = _described({"add_bos_token": True, "add_eos_token": True})
    assert (found.add_bos, found.add_eos) == (False, False)


def test_without_a_post_processor_the_flags_count() -> None:
    text = _text(post_processor=None)

    found = _described({"add_bos_token": True}, text=text)

    assert (found.add_bos, found.add_eos, found.add_sep) == (True, False, False)


def test_a_template_says_what_is_put_around_a_text() -> None:
    text = _text(post_processor=template("<x>", "A", "<|end|>"))

    found = _described({"bos_token": "<x>", **END}, text=text)

    assert (found.add_bos, found.add_eos) == (True, True)


def test_a_template_names_the_bos_when_nobody_else_does() -> None:
    text = _text(post_processor=template("<x>", "A"))

    found = _described(END, text=text)

    assert found.special_ids == {"eos": 6, "bos": 8}
    assert found.add_bos is True


def test_a_template_in_a_sequence_is_found() -> None:
    steps = [byte_level()["post_processor"], template("<x>", "A")]
    text = _text(post_processor={"type": "Sequence", "processors": steps})
    assert _described(text=text).add_bos is True


def test_the_last_token_of_a_template_is_the_eos_and_the_old_one_ends_a_turn() -> None:
    text = _text(post_processor=template("A", "<x>"))

    found = _described(END, text=text)

    assert found.special_ids == {"eos": 8, "eot": 6}


@pytest.mark.parametrize(
    ("kind", "separates"), [("RobertaProcessing", True), ("BertProcessing", False)]
)
def test_older_processors_put_tokens_around_and_between(
    kind: str, separates: bool
) -> None:
    step = {"type": kind, "cls": ["<x>", 8], "sep": ["<|end|>", 6]}

    found = _described(text=_text(post_processor=step))

    assert found.special_ids == {"bos": 8, "eos": 6}
    assert (found.add_bos, found.add_eos, found.add_sep) == (True, True, separates)


def test_a_separator_between_two_texts_is_seen() -> None:
    pair = ("A", "<|end|>", "B")
    text = _text(post_processor=template("A", pair=pair))
    assert _described({"sep_token": "<|end|>"}, text=text).add_sep is True


def test_a_classifier_and_a_separator_serve_as_bos_and_eos() -> None:
    config = {"cls_token": "[CLS]", "sep_token": "[SEP]"}

    found = _described(config, text=learnt()["bert"])

    assert found.special_ids == {"cls": 2, "sep": 3, "bos": 2, "eos": 3}
    assert (found.add_bos, found.add_eos, found.add_sep) == (True, True, False)


def test_a_prefix_space_is_told_for_sentencepiece_and_moot_for_bytes() -> None:
    assert _described(text=learnt()["llama"]).add_space_prefix is True
    assert _described(text=learnt()["t5"]).add_space_prefix is True
    assert _described().add_space_prefix is None


def test_one_chat_template_or_several_are_taken_as_text() -> None:
    several = [
        {"name": "default", "template": "{{ 1 }}"},
        {"name": "rag", "template": "2"},
    ]

    one = _described({"chat_template": "{{ 1 }}"})
    more = _described({"chat_template": several})

    assert (one.chat_template, dict(one.chat_templates)) == ("{{ 1 }}", {})
    assert (more.chat_template, dict(more.chat_templates)) == ("{{ 1 }}", {"rag": "2"})


def test_clean_up_is_what_the_config_says() -> None:
    said = _described({"clean_up_tokenization_spaces": False})
    assert said.clean_up_spaces is False
    assert _described().clean_up_spaces is None


def test_a_post_processor_behind_the_vocabulary_counts_too() -> None:
    document = json.loads(_text())
    document["post_processor"] = template("<x>", "A")
    late = {"model": document.pop("model")} | document
    assert _described(text=json.dumps(late)).add_bos is True


@pytest.mark.parametrize(
    ("config", "place"),
    [
        ({"eos_token": 6}, "eos_token"),
        ({"eos_token": {"content": ["<|end|>"]}}, "eos_token"),
        ({"clean_up_tokenization_spaces": "no"}, "clean_up_tokenization_spaces"),
        ({"chat_template": {"default": "x"}}, "chat_template"),
        ({"chat_template": [{"name": "default"}]}, "chat_template"),
    ],
)
def test_a_wrong_tokenizer_config_names_the_key(
    config: Mapping[str, Any], place: str
) -> None:
    with pytest.raises(CorruptFileError, match=f"tokenizer_config.json: {place}"):
        _described(config)


def test_a_wrong_id_names_the_file_and_the_key() -> None:
    with pytest.raises(CorruptFileError, match=r"config\.json: eos_token_id"):
        _described(model={"eos_token_id": ["</s>"]})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "this is not JSON"),
        ("[" * 100_000, "this is not JSON"),
        ("[1]", "an object expected"),
        ('{"model": 3}', "model: 3 found"),
        ('{"model": {}, "added_tokens": {}}', "added_tokens: {} found"),
        ('{"model": {}, "added_tokens": [1]}', r"added_tokens\[0\]"),
        ('{"model": {}, "added_tokens": [{"id": -1}]}', r"added_tokens\[0\]\.id"),
        ('{"model": {}, "added_tokens": [{"id": true}]}', r"added_tokens\[0\]\.id"),
        ('{"model": {}, "added_tokens": [{"id": 1}]}', r"added_tokens\[0\]\.content"),
        ('{"model": {}, "post_processor": []}', "post_processor"),
        (
            '{"model": {}, "post_processor": {}}',
            "{} found, a step with a type expected",
        ),
        (
            '{"model": {}, "post_processor": {"type": "Sequence"}}',
            "a sequence with processors expected",
        ),
        (
            '{"model": {}, "post_processor": {"type": "TemplateProcessing"}}',
            "a template with a list single expected",
        ),
        (
            '{"model": {}, "post_processor": {"type": "BertProcessing"}}',
            "a cls with a token and its id expected",
        ),
    ],
)
def test_a_wrong_tokenizer_json_names_the_place(text: str, complaint: str) -> None:
    with pytest.raises(CorruptFileError, match=complaint):
        described(text, None, None, None, None)
