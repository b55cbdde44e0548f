"""Models of each family, too small to be clever and too lively to be uniform.

A model with random weights of the usual scale gives almost the same logits for
every token and agrees with anything. These are scaled so that one token usually
takes most of the probability, attention is sharp, biases are large and norm
weights far from one, so that leaving out any one transform shows.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.judges import assets, cache, hf, spm
from tests.judges.pico_recipes import EXPERT_NAMES, RECIPES, ExpertNames, Recipe

DType = Literal["float32", "bfloat16"]

PROMPTS: Final = (
    "The hub reads a model from one file and writes it to another. Nothing is lost "
    "on the way: every tensor keeps its bytes, and every key is kept, renamed or "
    "carried. What the judges compare is the numbers that come out, token by token.",
    "def mean(values):\n    total = 0.0\n    for i, value in enumerate(values):\n"
    "        total += value * 1.5\n    return total / max(1, len(values))\n\n"
    'print(mean([1, 2, 3]), "done")  # 3.0\n',
    "Съешь же ещё этих мягких французских булок! 我能吞下玻璃而不伤身体。"
    " Árvíztűrő tükörfúrógép, 12345 * 67 = 827115 👍🏽",
)

FAMILIES: Final = tuple(RECIPES)

PATIENT: Final = ("gemma3", "llama", "llama-tied", "qwen2", "qwen2_moe", "qwen3_moe")
"""Families with large vocabularies; of such ones qwen3 and llama-rope are left."""

QUICK_FIRST: Final = [
    pytest.param(family, id=family, marks=[pytest.mark.slow] * (family in PATIENT))
    for family in FAMILIES
]
"""All families as parameters; those that take long marked slow."""


def pico(family: str, dtype: DType = "float32") -> Path:
    """Return the HF folder of a model: weights, configuration, tokenizer, template.

    The folder is shared by all tests: copy it before changing anything.
    """
    recipe = RECIPES[family]
    origin = f"{_REVISION} {recipe} {dtype} {_tokenizer_origin(recipe)}"
    key = hashlib.sha256(origin.encode()).hexdigest()[:12]
    return cache.made(f"pico-{family}-{key}", partial(_build, recipe, dtype))


# The number of the weights' formulas below: a change is a new model.
_REVISION: Final = 1


def _tokenizer_origin(recipe: Recipe) -> str:
    trained = recipe.tokenizer == "trained"
    return spm.trained() if trained else assets.tokenizer(recipe.tokenizer).name


def _build(recipe: Recipe, dtype: DType, folder: Path) -> None:
    config = {**recipe.config, "torch_dtype": dtype}
    _write_json(folder / "config.json", config)
    _write_json(folder / "generation_config.json", recipe.generation)
    _write_tokenizer(recipe, folder)
    _write_weights(recipe, dtype, folder)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    text = json.dumps(content, indent=2, ensure_ascii=False)
    path.write_text(f"{text}\n", "utf-8")


def _write_tokenizer(recipe: Recipe, folder: Path) -> None:
    if recipe.tokenizer == "trained":
        (folder / "tokenizer.json").write_text(spm.trained(), "utf-8")
        _write_json(folder / "tokenizer_config.json", spm.CONFIG)
        if recipe.pieces:
            (folder / "tokenizer.model").write_bytes(spm.pieces())
    else:
        for path in assets.tokenizer(recipe.tokenizer).iterdir():
            shutil.copy(path, folder)
    if recipe.jinja_file:
        _move_template(folder)


def _move_template(folder: Path) -> None:
    """Keep the chat template where newer folders have it, in a file of its own."""
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text("utf-8"))
    template = config.pop("chat_template")
    (folder / "chat_template.jinja").write_text(template, "utf-8")
    _write_json(path, config)


def _write_weights(recipe: Recipe, dtype: DType, folder: Path) -> None:
    import torch
    from safetensors.torch import save_file

    names = EXPERT_NAMES.get(recipe.config["model_type"])
    tensors = {
        name: torch.from_numpy(_values(recipe, name, shape)).to(getattr(torch, dtype))
        for parameter, whole in _parameters(folder)
        for name, shape in _published(parameter, whole, names)
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _parameters(folder: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Return names and shapes as transformers itself has them; ties appear once."""
    import torch

    transformers = hf.transformers()
    with torch.device("meta"):
        config = transformers.AutoConfig.from_pretrained(folder)
        model = transformers.AutoModelForCausalLM.from_config(config)
    for name, parameter in model.named_parameters():
        yield name, tuple(parameter.shape)


def _published(
    parameter: str, shape: tuple[int, ...], names: ExpertNames | None
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the tensors that checkpoints have in place of a parameter."""
    block, _, rest = parameter.partition(".mlp.")
    if names is None or not rest.startswith(("experts.", "gate.")):
        yield parameter, shape
    elif rest == "gate.weight":
        yield f"{block}.{names.block}.gate.weight", shape
    else:
        experts, rows, columns = shape
        joined = rest.endswith("gate_up_proj")
        parts = (names.gate, names.up) if joined else (names.down,)
        for expert in range(experts):
            for part in parts:
                name = f"{block}.{names.block}.experts.{expert}.{part}.weight"
                yield name, (rows // len(parts), columns)


def _values(recipe: Recipe, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])
    random = np.random.default_rng(seed)
    if name.endswith("norm.weight"):
        low, high = next(recipe.norms[part] for part in recipe.norms if part in name)
        return random.uniform(low, high, shape).astype(np.float32)
    return random.standard_normal(shape, np.float32) * _scale(recipe, name, shape)


def _scale(recipe: Recipe, name: str, shape: tuple[int, ...]) -> np.float32:
    fixed = {
        "model.embed_tokens.weight": recipe.embedding,
        "lm_head.weight": recipe.head,
    }
    if name.endswith(".bias"):
        return np.float32(1.0)
    return np.float32(fixed.get(name, 1.5 / shape[-1] ** 0.5))
