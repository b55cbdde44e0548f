"""Recipes that mergekit has followed too, on small models that any seed gives again."""

import json
from pathlib import Path
from typing import Final

from attrs import evolve

from aprhub import ModelIR, save_model
from tests.adapters.makers import pairs, peft
from tests.judges.tuned import saved, tuned

RECIPES: Final = {
    "a gradient over layers, by parts of a layer": """
merge_method: slerp
base_model: one
slices:
  - sources:
      - {model: one, layer_range: [0, 4]}
      - {model: two, layer_range: [0, 4]}
parameters:
  t:
    - {filter: self_attn, value: [0, 0.5, 0.3, 0.7, 1]}
    - {filter: mlp, value: [1, 0.5, 0.7, 0.3, 0]}
    - {value: 0.5}
dtype: float32
""",
    "parameters of models, of all, as texts": """
merge_method: ties
base_model: base
models:
  - model: one
    parameters: {weight: [0.3, 1.0], density: 0.5}
  - model: two
    parameters:
      weight:
        - {filter: mlp, value: 0.25}
        - {filter: layernorm, value: [0.1, 0.9]}
        - value: 0.6
      density: [1, 0.2]
parameters: {normalize: true, lambda: 1e-1}
dtype: float32
""",
    "stacked layers": """
merge_method: passthrough
slices:
  - sources: [{model: one, layer_range: [0, 3]}]
  - sources:
      - model: two
        layer_range: [1, 4]
        parameters: {scale: [{filter: o_proj, value: 0.0}, {value: 1.0}]}
dtype: float32
""",
    "a model with an adapter, in a module": """
merge_method: ties
base_model: base
modules:
  default:
    models:
      - model: one+adapter
        parameters: {weight: 0.6, density: 0.5}
      - {model: two}
    parameters: {weight: [{filter: mlp, value: 0.3}, {filter: norm, value: 0.8}]}
parameters: {weight: 0.5, density: 0.8, normalize: true}
dtype: float32
""",
    "the union of tokens": """
merge_method: linear
models:
  - {model: one, parameters: {weight: 1.0}}
  - {model: odd, parameters: {weight: 3.0}}
tokenizer: {source: union}
dtype: float32
""",
    "a token that one of three lacks": """
merge_method: linear
models:
  - {model: odd, parameters: {weight: 1.0}}
  - {model: other, parameters: {weight: 2.0}}
  - {model: one, parameters: {weight: 0.5}}
tokenizer: {source: union}
dtype: float32
""",
    "a token that one of three lacks, with a base in a slice": """
merge_method: task_arithmetic
slices:
  - base_model: odd
    sources:
      - {model: odd, layer_range: [0, 4]}
      - {model: other, layer_range: [0, 4], parameters: {weight: 0.75}}
      - {model: one, layer_range: [0, 4], parameters: {weight: 0.5}}
tokenizer: {source: odd}
dtype: float32
""",
    "the tokens of the base": """
merge_method: ties
base_model: base
models:
  - {model: one, parameters: {weight: 1.0, density: 0.7}}
  - {model: odd, parameters: {weight: 3.0, density: 0.6}}
tokenizer_source: base
dtype: float32
""",
    "the tokens of a model, and rules": """
merge_method: linear
models:
  - {model: one, parameters: {weight: 1.0}}
  - {model: odd, parameters: {weight: 3.0}}
tokenizer:
  source: odd
  tokens:
    "<tool>": {source: odd, force: true}
    "<new>": {source: {kind: model_token, model: one, token: "A"}}
    "<zero>": {source: {kind: zero}}
  pad_to_multiple_of: 16
dtype: float32
""",
}


def written(folder: Path) -> None:
    """Write the models of the recipes into a folder."""
    saved(folder, num_layers=4)
    save_model(odd(5), folder / "odd")
    save_model(odd(6), folder / "other")
    peft(pairs(layers=4), folder / "adapter", target_modules=["q_proj", "v_proj"])


def odd(seed: int) -> ModelIR:
    """Return a model with a token more, and two that have changed places."""
    model = tuned("llama", seed, num_layers=4)
    if model.tokenizer is None or model.tokenizer.json is None:
        raise ValueError("pico models have a tokenizer.json")
    program = json.loads(model.tokenizer.json)
    entry = {**program["added_tokens"][-1], "id": 268, "content": "<extra>"}
    program["added_tokens"].append({**entry, "special": True, "normalized": False})
    words = program["model"]["vocab"]
    words["A"], words["B"] = words["B"], words["A"]
    text = json.dumps(program, ensure_ascii=False)
    return evolve(model, tokenizer=evolve(model.tokenizer, json=text, flat=None))


def digest(model: ModelIR) -> dict[str, list[float]]:
    """Return of each tensor how many rows it has, its mean, its size, some values."""
    found = {}
    for name, tensor in model.tensors.items():
        values = tensor.numpy().astype(float).ravel()
        some = values[:: max(values.size // 4, 1)]
        size = float((values**2).mean() ** 0.5)
        found[name] = [tensor.shape[0], float(values.mean()), size, *some.tolist()]
    return found
