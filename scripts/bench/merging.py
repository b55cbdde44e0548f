"""Measures merging models against mergekit on the same models, in the same run.

All are bf16 folders of one shape, the merged ones tuned from the base. mergekit merges
on the CPU, with as many threads as aprhub. Its rows are there where it is installed.
"""

import json
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from scripts.bench.models import SHAPES, make_model
from scripts.bench.timing import alternated, remove
from tests.judges import assets

_MODELS = ("base", "one", "two")


def _recipe(method: str, paths: Mapping[str, Path]) -> dict[str, object]:
    """Return a recipe in the words of mergekit; JSON is YAML."""
    one, two = ({"model": str(paths[name])} for name in _MODELS[1:])
    recipe: dict[str, object] = {"merge_method": method, "dtype": "bfloat16"}
    if method == "slerp":
        parameters = {"t": 0.3}
        both = {"models": [one, two], "parameters": parameters}
        return recipe | both | {"base_model": one["model"]}
    own = {"weight": 0.5} | ({"density": 0.5} if method == "ties" else {})
    recipe["models"] = [{**each, "parameters": own} for each in (one, two)]
    return recipe | ({"base_model": str(paths["base"])} if method == "ties" else {})


def merges(work: Path, runs: int) -> list[list[str]]:
    """Return who merges by which method, median seconds and peak MiB."""
    tokenizer = assets.tokenizer("qwen3")
    paths = {
        name: make_model(work / name, SHAPES["1 GB"], tokenizer, tuning)
        for tuning, name in enumerate(_MODELS)
    }
    found: list[list[str]] = []
    for method in ("linear", "slerp", "ties"):
        recipe = work / f"{method}.yaml"
        recipe.write_text(json.dumps(_recipe(method, paths)))
        commands = _commands(method, recipe, work / "merged")
        found += alternated(commands, [*paths.values()], work / "merged", runs)
    for path in paths.values():
        remove(path)
    return found


def _commands(method: str, recipe: Path, target: Path) -> dict[str, list[str | Path]]:
    ours: list[str | Path] = ["-m", "aprhub", "merge", "-q", recipe, "-o", target]
    commands: dict[str, list[str | Path]]
    commands = {f"aprhub merge, {method}": [sys.executable, *ours]}
    if find_spec("mergekit"):
        # The card of a model is looked up on the net.
        options = ("--quiet", "--no-write-model-card")
        program = (sys.executable, "-m", "mergekit.scripts.run_yaml")
        commands[f"mergekit, {method}"] = [*program, recipe, target, *options]
    return commands
