"""The transformers judge never lets a missing weight pass."""

import json
import shutil
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file

from tests.judges import hf
from tests.judges.errors import JudgeError
from tests.judges.pico import pico


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(pico("mistral"), tmp_path / "model"))


def test_a_missing_weight_is_refused_by_name(folder: Path) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(JudgeError, match="up_proj"):
        hf.logits(folder, [1, 2, 3])


def test_a_weight_that_nobody_asked_for_is_refused_by_name(folder: Path) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    tensors["model.layers.2.mlp.up_proj.weight"] = tensors["model.norm.weight"]
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(JudgeError, match=r"layers\.2"):
        hf.logits(folder, [1, 2, 3])


def test_a_tie_that_is_not_declared_leaves_the_head_missing(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(pico("llama-tied"), tmp_path / "model"))
    config = json.loads((folder / "config.json").read_text())
    config["tie_word_embeddings"] = False
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(JudgeError, match="lm_head"):
        hf.logits(folder, [1, 2, 3])


def test_special_tokens_are_recognised_only_when_asked_for() -> None:
    folder = pico("mistral")
    assert hf.tokenize(folder, "</s>") == [2]
    assert len(hf.tokenize(folder, "</s>", special=False)) > 1
    assert hf.tokenize(folder, "a", add_special=True)[0] == 1
