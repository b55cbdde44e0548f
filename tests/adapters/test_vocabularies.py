"""Adapters that bring new tokens, judged by PEFT with an embedding of as many rows."""

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from aprhub import open_model
from aprhub.adapters.making import AdapterConversion, converted
from aprhub.adapters.operations import AdapterMerge
from aprhub.adapters.writing import WriteOptions
from aprhub.errors import ModelCheckError, UnrepresentableError
from aprhub.front import merge_adapters
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
    file = tmp_path / "adapter" / "tokenizer.json"
    program = json.loads(file.read_text())
    vocabulary = program["model"]["vocab"]
    one, other = [*vocabulary][40:42]
    vocabulary[one], vocabulary[other] = vocabulary[other], vocabulary[one]
    file.write_text(json.dumps(program))

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
