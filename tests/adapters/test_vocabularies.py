"""Adapters that bring new tokens, judged by PEFT with an embedding of as many rows."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from aprhub import convert, open_model
from aprhub.adapters.making import AdapterConversion, converted
from aprhub.adapters.operations import AdapterMerge, applied
from aprhub.adapters.writing import WriteOptions
from aprhub.conversion import opened
from aprhub.errors import ModelCheckError, UnrepresentableError
from aprhub.front import merge_adapters
from aprhub.lift import LiftOptions
from tests.adapters.makers import REGISTRY, model, saved
from tests.judges import hf, peft

IDS: Final = (1, 2, 3, 40, 50, 60)
NEW: Final = ("<|one|>", "<|two|>", "<|three|>")


def _grown(base: Path, folder: Path, tokens: tuple[str, ...], **config: Any) -> int:
    """Save an adapter of a base with three rows more, and a tokenizer beside it."""
    program = json.loads((base / "tokenizer.json").read_text())
    first = open_model(base).config.vocab_size or 0
    rows = first + len(NEW)
    given: dict[str, Any] = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj"]}
    peft.trained(base, folder, rows=rows, **{**given, **config})
    known = Tokenizer.from_str(json.dumps(program)).get_vocab_size()
    spare = [f"<|{number}|>" for number in range(known, first)]
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    program["added_tokens"] += [
        {"id": known + place, "content": token, "special": True, **flags}
        for place, token in enumerate([*spare, *tokens])
    ]
    (folder / "tokenizer.json").write_text(json.dumps(program))
    return rows


def _swap_two(file: Path) -> None:
    """Give two tokens of a vocabulary each other's id."""
    program = json.loads(file.read_text())
    vocabulary = program["model"]["vocab"]
    one, other = [*vocabulary][40:42]
    vocabulary[one], vocabulary[other] = vocabulary[other], vocabulary[one]
    file.write_text(json.dumps(program))


def _merged(base: Path, adapter: Path, target: Path) -> Any:
    return merge_adapters(AdapterMerge(base, [adapter]), target, registry=REGISTRY)


@pytest.mark.parametrize(
    ("tied", "config"),
    [
        (False, {}),
        (True, {}),
        (False, {"modules_to_save": ["embed_tokens", "lm_head"]}),
        (True, {"modules_to_save": ["embed_tokens", "lm_head"]}),
        (True, {"target_modules": ["q_proj", "embed_tokens"]}),
    ],
)
def test_new_tokens_come_with_their_rows_and_their_names(
    tied: bool, config: dict[str, Any], tmp_path: Path
) -> None:
    base = saved(model(tie_embeddings=tied), tmp_path / "base")
    rows = _grown(base, tmp_path / "adapter", NEW, **config)
    _settle(tmp_path / "adapter", eos_token=NEW[1])
    ids = (*IDS, rows - 1, rows - 3)

    report = _merged(base, tmp_path / "adapter", tmp_path / "merged")
    _merged(base, tmp_path / "adapter", tmp_path / "merged.gguf")

    expected = peft.judged(base, tmp_path / "adapter", ids, rows).logits
    found = hf.logits(tmp_path / "merged", ids)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    weights = load_file(tmp_path / "merged" / "model.safetensors")
    assert weights["model.embed_tokens.weight"].shape[0] == rows
    said = json.loads((tmp_path / "merged" / "config.json").read_text())
    assert said["vocab_size"] == rows
    program = Tokenizer.from_file(str(tmp_path / "merged" / "tokenizer.json"))
    assert [program.token_to_id(each) for each in NEW] == [*range(rows - 3, rows)]
    assert any("the vocabulary grows" in note for note in report.notes)
    flat = open_model(tmp_path / "merged.gguf").tokenizer
    assert flat is not None
    assert flat.flat is not None
    assert tuple(flat.flat.tokens[-3:]) == NEW
    for target in ("merged", "merged.gguf"):
        assert _ids(tmp_path / target) == {**_ids(base), "eos": rows - 2}


def test_rows_without_a_token_are_refused(tmp_path: Path) -> None:
    base = saved(model(), tmp_path / "base")
    whole = ["embed_tokens", "lm_head"]
    _grown(base, tmp_path / "adapter", NEW[:1], modules_to_save=whole)

    with pytest.raises(ModelCheckError, match="2 of 3 new rows have no token"):
        _merged(base, tmp_path / "adapter", tmp_path / "merged")

    (tmp_path / "adapter" / "tokenizer.json").unlink()
    with pytest.raises(ModelCheckError, match=r"no tokenizer\.json beside it"):
        _merged(base, tmp_path / "adapter", tmp_path / "merged")


def test_a_token_of_the_base_with_another_id_is_refused(tmp_path: Path) -> None:
    base = saved(model(), tmp_path / "base")
    whole = ["embed_tokens", "lm_head"]
    _grown(base, tmp_path / "adapter", NEW, modules_to_save=whole)
    _swap_two(tmp_path / "adapter" / "tokenizer.json")

    with pytest.raises(ModelCheckError, match=r"id 4[01] in the base, 4[01] there"):
        _merged(base, tmp_path / "adapter", tmp_path / "merged")


def test_an_embedding_does_not_grow_without_the_head(tmp_path: Path) -> None:
    base = saved(model(), tmp_path / "base")
    whole = ["q_proj", "embed_tokens"]
    _grown(base, tmp_path / "adapter", NEW, target_modules=whole)

    with pytest.raises(ModelCheckError, match="and no head"):
        _merged(base, tmp_path / "adapter", tmp_path / "merged")


def test_new_tokens_are_merged_and_not_converted(tmp_path: Path) -> None:
    base = saved(model(), tmp_path / "base")
    whole = ["embed_tokens", "lm_head"]
    _grown(base, tmp_path / "adapter", NEW, modules_to_save=whole)
    request = AdapterConversion(base, [tmp_path / "adapter"], "peft")

    with pytest.raises(UnrepresentableError, match="can be merged"):
        converted(request, tmp_path / "out", WriteOptions(), REGISTRY)


TEMPLATE: Final = "{% for message in messages %}{{ message.content }}{% endfor %}"


def _spare(base: Path, folder: Path, *tokens: str) -> None:
    """Save an adapter with a tokenizer that names rows of the base without a token."""
    peft.trained(base, folder, r=4, lora_alpha=8, target_modules=["q_proj"])
    program = json.loads((base / "tokenizer.json").read_text())
    known = Tokenizer.from_file(str(base / "tokenizer.json")).get_vocab_size()
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    program["added_tokens"] += [
        {"id": known + place, "content": token, "special": True, **flags}
        for place, token in enumerate(tokens)
    ]
    (folder / "tokenizer.json").write_text(json.dumps(program))


def _ids(path: Path) -> Mapping[str, int]:
    tokenizer = open_model(path).tokenizer
    assert tokenizer is not None
    return tokenizer.special_ids


def _settle(folder: Path, **values: Any) -> None:
    (folder / "tokenizer_config.json").write_text(json.dumps(values))


@pytest.mark.parametrize("suffix", ["", ".gguf", ".apr"])
def test_tokens_and_a_template_come_with_an_adapter_that_changes_no_row(
    suffix: str, tmp_path: Path
) -> None:
    base, merged = saved(model(), tmp_path / "base"), tmp_path / f"merged{suffix}"
    _spare(base, tmp_path / "adapter", *NEW[:2])
    said = {"eos_token": NEW[1], "bos_token": "<|end|>"}
    _settle(tmp_path / "adapter", chat_template=TEMPLATE, **said)
    known = Tokenizer.from_file(str(base / "tokenizer.json")).get_vocab_size()

    report = _merged(base, tmp_path / "adapter", merged)
    convert(merged, tmp_path / "back")

    (note,) = report.adapters[0].notes
    assert "which has 2 more tokens, such as '<|one|>' and another chat" in note
    judge = hf.transformers().AutoTokenizer.from_pretrained(tmp_path / "back")
    assert judge.convert_tokens_to_ids([*NEW[:2]]) == [known, known + 1]
    assert judge("a<|two|>").input_ids[-1] == known + 1
    assert (judge.chat_template, judge.eos_token_id) == (TEMPLATE, known + 1)
    assert judge.bos_token_id == _ids(base)["bos"]


def test_the_tokenizer_of_the_base_stays_where_the_other_has_no_more(
    tmp_path: Path,
) -> None:
    base = saved(model(), tmp_path / "base")
    _spare(base, tmp_path / "adapter")
    _settle(tmp_path / "adapter", eos_token="<|begin|>")

    report = _merged(base, tmp_path / "adapter", tmp_path / "merged")

    assert report.adapters[0].notes == ()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        one, other = (tmp_path / each / name for each in ("base", "merged"))
        assert one.read_bytes() == other.read_bytes()


def test_an_added_token_may_have_got_another_name(tmp_path: Path) -> None:
    base = saved(model(), tmp_path / "base")
    _spare(base, tmp_path / "adapter")
    file = tmp_path / "adapter" / "tokenizer.json"
    file.write_text(file.read_text().replace("<|begin|>", "<|tool|>"))

    _merged(base, tmp_path / "adapter", tmp_path / "merged")

    program = Tokenizer.from_file(str(tmp_path / "merged" / "tokenizer.json"))
    before = Tokenizer.from_file(str(base / "tokenizer.json"))
    assert program.token_to_id("<|tool|>") == before.token_to_id("<|begin|>")
    assert program.token_to_id("<|begin|>") is None


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('"<|begin|>"', '"<|end|>"', "id 265 in the base, 266 there"),
        ('"a"', '"another"', "id 97 in the base, no id there"),
    ],
)
def test_a_token_that_moved_or_is_gone_is_refused(
    old: str, new: str, problem: str, tmp_path: Path
) -> None:
    base = saved(model(), tmp_path / "base")
    _spare(base, tmp_path / "adapter")
    file = tmp_path / "adapter" / "tokenizer.json"
    text = file.read_text().replace(old, "\0").replace(new, old).replace("\0", new)
    file.write_text(text)

    with pytest.raises(ModelCheckError) as caught:
        _merged(base, tmp_path / "adapter", tmp_path / "merged")
    assert problem in {each.problem for each in caught.value.faults}


@pytest.mark.parametrize("converted", [False, True])
def test_a_tokenizer_of_another_model_beside_an_adapter_is_refused(
    converted: bool, tmp_path: Path
) -> None:
    base = saved(model(), tmp_path / "base")
    _spare(base, tmp_path / "adapter")
    _swap_two(tmp_path / "adapter" / "tokenizer.json")
    if converted:
        convert(base, tmp_path / "base.gguf")
        base = tmp_path / "base.gguf"

    with pytest.raises(ModelCheckError, match="is not for this base") as caught:
        _merged(base, tmp_path / "adapter", tmp_path / "merged")
    assert {each.problem for each in caught.value.faults} == {
        "id 40 in the base, 41 there",
        "id 41 in the base, 40 there",
    }


@pytest.mark.parametrize("special", [False, True])
def test_a_token_without_a_row_is_refused_or_never_used(
    special: bool, tmp_path: Path
) -> None:
    base = saved(model(), tmp_path / "base")
    rows = open_model(base).config.vocab_size or 0
    known = Tokenizer.from_file(str(base / "tokenizer.json")).get_vocab_size()
    names = (f"<|{number}|>" for number in range(known, rows + 1))
    _spare(base, tmp_path / "adapter", *names)
    file = tmp_path / "adapter" / "tokenizer.json"
    program = json.loads(file.read_text())
    program["added_tokens"][-1]["special"] = special
    file.write_text(json.dumps(program))

    if special:
        (note,) = (
            _merged(base, tmp_path / "adapter", tmp_path / "m.gguf").adapters[0].notes
        )
        assert f"has {rows - known} more tokens" in note
    else:
        with pytest.raises(ModelCheckError, match=f"has id {rows}, of {rows} rows"):
            _merged(base, tmp_path / "adapter", tmp_path / "m.gguf")


def test_a_tokenizer_is_left_out_of_a_layout_with_a_note(tmp_path: Path) -> None:
    base = saved(model(), tmp_path / "base")
    _spare(base, tmp_path / "adapter", *NEW)
    request = AdapterConversion(base, [tmp_path / "adapter"], "gguf")

    report = converted(request, tmp_path / "out.gguf", WriteOptions(), REGISTRY)

    assert "left out: the tokenizer beside it, which has 3 more tokens" in " ".join(
        report.notes
    )


def test_adapters_made_one_have_one_tokenizer_at_most(tmp_path: Path) -> None:
    base = saved(model(), tmp_path / "base")
    for name, tokens in {"one": NEW[:1], "other": NEW[1:], "none": ()}.items():
        _spare(base, tmp_path / name, *tokens)
    one, other, none = (tmp_path / name for name in ("one", "other", "none"))

    with pytest.raises(UnrepresentableError, match="tokens or a template of its own"):
        merge_adapters(AdapterMerge(base, [one, other]), tmp_path / "no")
    merge_adapters(AdapterMerge(base, [none, one]), tmp_path / "merged")

    program = Tokenizer.from_file(str(tmp_path / "merged" / "tokenizer.json"))
    assert program.token_to_id(NEW[0]) is not None


def test_new_rows_are_not_made_one_with_other_adapters(tmp_path: Path) -> None:
    base = saved(model(), tmp_path / "base")
    _grown(base, tmp_path / "one", NEW, modules_to_save=["embed_tokens", "lm_head"])
    peft.trained(base, tmp_path / "other", r=4, target_modules=["q_proj"])
    both = [tmp_path / "one", tmp_path / "other"]

    with pytest.raises(UnrepresentableError, match="tokens or a template of its own"):
        merge_adapters(AdapterMerge(base, both), tmp_path / "no")


def test_a_model_that_an_adapter_is_applied_to_has_its_tokenizer(
    tmp_path: Path,
) -> None:
    base = saved(model(), tmp_path / "base")
    _spare(base, tmp_path / "adapter", *NEW)
    before = opened(base, REGISTRY, LiftOptions())

    found = applied(before, tmp_path / "adapter", REGISTRY, hashed=False).found

    assert any("has 3 more tokens" in note for note in found.notes)
    assert found.model.tokenizer is not None
    assert NEW[2] in (found.model.tokenizer.json or "")
