"""GGUF's tokenizer keys, there and back."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import evolve
from gguf import GGUFReader

from aprhub.api import FlatVocabulary, Tokenizer
from tests.plugins.gguf.disk import opened, reopened, written
from tests.plugins.gguf.models import VOCABULARY, model
from tests.plugins.gguf.raw import I32, LLAMA, STRING, U32, Entry, File, array, entry

IDS = (
    "bos",
    "eos",
    "eot",
    "eom",
    "unk",
    "sep",
    "pad",
    "cls",
    "mask",
    "fim_pre",
    "fim_suf",
    "fim_mid",
    "fim_pad",
    "fim_rep",
    "fim_sep",
)

FULL = Tokenizer(
    flat=evolve(
        VOCABULARY,
        merges=("a b",),
        charsmap=bytes(range(256)),
        remove_extra_spaces=True,
        lowercase=False,
        strip_accents=True,
    ),
    json='{"version": "1.0", "é": "🦙"}',
    special_ids={name: place % 6 for place, name in enumerate(IDS)},
    add_bos=True,
    add_eos=False,
    add_sep=True,
    add_space_prefix=False,
    clean_up_spaces=True,
    chat_template="{% for m in messages %}",
    skeleton="{}",
    chat_templates={"tool_use": "{{ tools }}", "rag": ""},
)


def read(tmp_path: Path, *more: Entry) -> Any:
    new = {each[0] for each in more}
    kept = [each for each in LLAMA if each[0] not in new]
    return opened(File((*kept, *more)).write(tmp_path / "a.gguf"))


def test_a_full_tokenizer_comes_back(tmp_path: Path) -> None:
    assert reopened(model(tokenizer=FULL), tmp_path).tokenizer == FULL


def test_a_bare_vocabulary_comes_back(tmp_path: Path) -> None:
    bare = Tokenizer(flat=FlatVocabulary("gpt2", ("a", "b"), merges=()))

    assert reopened(model(tokenizer=bare), tmp_path).tokenizer == bare


def test_keys_have_the_names_that_llama_cpp_knows(tmp_path: Path) -> None:
    (path,) = written(model(tokenizer=FULL), tmp_path / "a.gguf")

    fields = GGUFReader(path).fields

    kinds = {key: [kind.name for kind in each.types] for key, each in fields.items()}
    assert kinds["tokenizer.ggml.seperator_token_id"] == ["UINT32"]
    assert kinds["tokenizer.ggml.add_bos_token"] == ["BOOL"]
    assert kinds["tokenizer.ggml.precompiled_charsmap"] == ["ARRAY", "UINT8"]
    assert kinds["tokenizer.ggml.remove_extra_whitespaces"] == ["BOOL"]
    assert kinds["tokenizer.huggingface.json"] == ["STRING"]
    assert fields["tokenizer.chat_templates"].contents() == ["tool_use", "rag"]
    assert fields["tokenizer.chat_template.tool_use"].contents() == "{{ tools }}"


def test_the_other_spelling_of_the_separator_is_read(tmp_path: Path) -> None:
    found = read(tmp_path, entry("tokenizer.ggml.separator_token_id", U32, 2))

    assert found.tokenizer.special_ids["sep"] == 2
    assert "gguf" not in found.carried


def test_the_old_names_of_the_infill_tokens_are_read(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        entry("tokenizer.ggml.prefix_token_id", U32, 1),
        entry("tokenizer.ggml.suffix_token_id", U32, 2),
        entry("tokenizer.ggml.middle_token_id", U32, 3),
    )

    ids = found.tokenizer.special_ids
    assert (ids["fim_pre"], ids["fim_suf"], ids["fim_mid"]) == (1, 2, 3)


def test_two_spellings_that_disagree_are_noted(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        entry("tokenizer.ggml.seperator_token_id", U32, 1),
        entry("tokenizer.ggml.separator_token_id", U32, 2),
    )

    assert found.tokenizer.special_ids["sep"] == 1
    assert any("separator_token_id" in note for note in found.notes)


def test_scores_may_be_whole_numbers(tmp_path: Path) -> None:
    found = read(tmp_path, array("tokenizer.ggml.scores", I32, [0, -1, -2, -3]))

    scores = found.tokenizer.flat.scores
    assert scores.dtype == np.float32
    assert scores.tolist() == [0.0, -1.0, -2.0, -3.0]


def test_templates_that_are_not_there_are_noted(tmp_path: Path) -> None:
    found = read(tmp_path, array("tokenizer.chat_templates", STRING, ["rag"]))

    assert any("tokenizer.chat_templates" in note for note in found.notes)


def test_a_tokenizer_may_be_nothing_but_a_json(tmp_path: Path) -> None:
    kept = [each for each in LLAMA if not each[0].startswith(b"tokenizer.")]
    json = entry("tokenizer.huggingface.json", STRING, "{}")

    found = opened(File((*kept, json)).write(tmp_path / "a.gguf"))

    assert found.tokenizer == Tokenizer(json="{}")


@pytest.mark.parametrize("word", ["none", "no_vocab"])
def test_a_file_may_say_that_it_has_no_tokenizer(tmp_path: Path, word: str) -> None:
    kept = [each for each in LLAMA if not each[0].startswith(b"tokenizer.")]
    said = entry("tokenizer.ggml.model", STRING, word)

    found = opened(File((*kept, said)).write(tmp_path / "a.gguf"))

    assert found.tokenizer is None
    assert found.config.vocab_size == 4


def test_tokens_from_a_file_are_sequences_like_any_other(tmp_path: Path) -> None:
    tokens = read(tmp_path).tokenizer.flat.tokens

    assert len(tokens) == 4
    assert tokens[3] == "a"
    assert tokens[-2:] == ["</s>", "a"]
    assert "<s>" in tokens
    assert tokens == ["<unk>", "<s>", "</s>", "a"]
    expected = ("<unk>", "<s>", "</s>", "a")
    assert expected == tokens
    assert tokens != ["<unk>"]
    assert tokens != "<unk>"
    assert [*tokens].index("a") == 3
