"""Whole models merged: as mergekit does by the recipe, and so that they run."""

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

import aprhub
from tests.judges import hf
from tests.judges.merge_recipes import RECIPES, digest, written

RECORDED: Final = json.loads(Path(__file__).with_name("merged.json").read_text())

TOLERANCE: Final = 1e-6
"""Largest difference from mergekit, relative to the largest number of a tensor."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models")
    written(path)
    return path


@pytest.mark.parametrize("title", RECIPES)
def test_a_recipe_gives_what_mergekit_gives(
    title: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPES[title])

    aprhub.merge(recipe, tmp_path / "merged")

    found, meant = digest(aprhub.open_model(tmp_path / "merged")), RECORDED[title]
    assert found.keys() == meant.keys()
    for name, (rows, *numbers) in meant.items():
        assert found[name][0] == rows
        size = max(map(abs, numbers))
        apart = np.abs(np.subtract(found[name][1:], numbers)).max()
        assert apart <= TOLERANCE * size, name


def test_a_merge_runs_as_the_mean_of_its_models_does(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    aprhub.convert("two", tmp_path / "two.gguf")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "merge_method: linear\nparameters: {weight: 1}\n"
        f"models: [{{model: one}}, {{model: {tmp_path}/two.gguf}}]\n"
    )

    aprhub.merge(recipe, tmp_path / "merged")

    ids = [5, 40, 99, 200, 7]
    np.testing.assert_allclose(
        hf.logits(tmp_path / "merged", ids), mean_logits(tmp_path, ids), atol=1e-4
    )


def mean_logits(target: Path, ids: list[int]) -> Any:
    """Return what transformers computes with weights that torch has averaged."""
    library = hf.transformers()
    one, two = (
        library.AutoModelForCausalLM.from_pretrained(name, dtype="float32")
        for name in ("one", "two")
    )
    other = two.state_dict()
    one.load_state_dict({k: (v + other[k]) / 2 for k, v in one.state_dict().items()})
    one.save_pretrained(target / "mean")
    return hf.logits(target / "mean", ids)
