"""Recipes are read in mergekit's words; errors say the line."""

import re
from pathlib import Path

import pytest

from aprhub.errors import MissingFileError, UsageError
from aprhub.merging.reading import read_recipe
from aprhub.merging.recipe import TokenizerPolicy, TokenRule
from aprhub.merging.short import ShortForm
from tests.unit.merging.conftest import Write

WHOLE = """
merge_method: ties
base_model: base
models:
  - model: one
    parameters: {weight: [0.1, 1e-1], density: [{filter: mlp, value: 0.5}, {value: 1}]}
  - model: two
parameters: {normalize: true, weight: {value: 2}}
dtype: bfloat16
out_dtype: float32
tokenizer:
  source: two
  tokens:
    a: {source: one, force: true}
    b: {source: {kind: zero}}
    c: {source: {kind: model_token, model: two, token_id: 5}}
    d: {source: {kind: model_token, model: two, token: e}}
  pad_to_multiple_of: 8
chat_template: auto
"""


def test_every_key_of_a_recipe_is_understood(recipe: Write) -> None:
    found = read_recipe(recipe(WHOLE), seed=3)
    (one,) = found.slices
    first = one.ingredients[0]

    assert (found.method, found.base, found.seed) == ("ties", Path("base"), 3)
    assert found.models == (Path("base"), Path("one"), Path("two"))
    assert (found.dtype, found.chat_template) == ("float32", "auto")
    assert [c.values for c in first.parameters["weight"]] == [(0.1, "1e-1")]
    assert [c.filter for c in first.parameters["density"]] == ["mlp", None]
    assert [c.values for c in found.parameters["weight"]] == [(2,)]
    assert found.tokenizer == TokenizerPolicy(
        Path("two"),
        {
            "a": TokenRule(Path("one"), None, True),
            "b": TokenRule("zero"),
            "c": TokenRule(Path("two"), 5),
            "d": TokenRule(Path("two"), "e"),
        },
        8,
    )


def test_layers_of_slices_are_ranges(recipe: Write) -> None:
    text = """
merge_method: passthrough
slices:
  - sources: [{model: one, layer_range: [0, 3]}]
  - sources: [{model: two, layer_range: [1, 4]}]
    parameters: {scale: 0.5}
"""
    first, second = read_recipe(recipe(text)).slices

    assert first.ingredients[0].layers == range(3)
    assert second.ingredients[0].layers == range(1, 4)
    assert second.parameters["scale"][0].values == (0.5,)


HEAD = "merge_method: linear\nmodels:\n  - model: one\n"

REFUSED = {
    "": "the recipe is empty",
    "merge_method: [": "this is not YAML",
    "a: *b": "this is not YAML",
    "- 1": "line 1: a list found; write keys and values",
    "models: [{model: a}]": "merge_method is missing",
    "merge_method: linear": "give one of models, slices, modules; found none of them",
    HEAD + "slices: []": "modules; found models and slices",
    HEAD + "modules: {default: {models: [{model: a}]}}": "found models and modules",
    "merge_method: linear\nmodules: {vision: {}}": "vision: unknown key; choose from",
    "merge_method: linear\nmodules: {default: {}}": "give one of models, slices; found",
    HEAD + "dtpye: float32": "line 4: dtpye: unknown key; choose from merge_method,",
    HEAD + "    paramters: {}": "line 4: models[0].paramters: unknown key",
    HEAD + "merge_method: ties": "line 4: merge_method: this key stands twice",
    HEAD + "dtype: int8": "dtype: found 'int8'; give one of float32, float16",
    HEAD + "dtype: 5": "line 4: dtype: 5 found; write a text",
    HEAD + "parameters: {t: []}": "line 4: parameters.t: the list is empty",
    HEAD + "parameters: {t: [[1]]}": "t[0]: found a list; give a single value",
    HEAD + "parameters: {t: [{filter: a}]}": "parameters.t[0]: value is missing",
    HEAD + "parameters: {t: [{value: 1, fitler: a}]}": "t[0].fitler: unknown key",
    HEAD + "parameters: {t: &a [1], u: *a}": "line 4: parameters.u: an alias",
    HEAD + "tokenizer: {source: base, tokens: {a: {source: {kind: x}}}}": (
        "source.kind: found 'x'; give zero or model_token"
    ),
    HEAD + "tokenizer: {tokens: {a: {source: {kind: model_token, model: b}}}}": (
        "tokens.a.source: give one of token, token_id; found none"
    ),
    HEAD
    + "tokenizer: {tokens: {a: {force: 1}}}": "a.force: 1 found; write true or false",
    HEAD + "tokenizer: {}\ntokenizer_source: base": "two ways to say one thing",
    "merge_method: linear\nmodels: []": "line 2: models: the list is empty",
    "merge_method: linear\nmodels: [{}]": "models[0]: model is missing",
    "merge_method: linear\nslices: [{sources: [{model: a}]}]": "layer_range is missing",
    "merge_method: linear\nslices: [{sources: [{model: a, layer_range: [2, 2]}]}]": (
        "layer_range: found [2, 2]; give the number of the first layer"
    ),
    "merge_method: linear\nslices: [{sources: [{model: a, layer_range: [-1, 2]}]}]": (
        "layer_range[0]: -1 found; write a whole number from 0 on"
    ),
    "merge_method: linear\nslices: [{sources: [{model: a, layer_range: [0, 2]},"
    " {model: b, layer_range: [0, 3]}]}]": "sources have 2, 3 layers; give all",
    "merge_method: !!python/object/apply:os.getcwd []": "the tag tag:yaml",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_wrong_is_said_with_its_place(text: str, recipe: Write) -> None:
    with pytest.raises(UsageError, match=re.escape(REFUSED[text])) as caught:
        read_recipe(recipe(text))

    assert "recipe.yaml" in str(caught.value)


def test_a_recipe_that_is_not_there_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="cannot be read as a recipe"):
        read_recipe(tmp_path / "none.yaml")


def test_a_short_form_gives_each_model_its_value() -> None:
    paths = (Path("a"), Path("b"), Path("c"))
    short = ShortForm("ties", paths, Path("a"), {"weight": ("1", "2"), "density": (1,)})

    found = short.recipe()

    owners = {each.model.name: each.parameters for each in found.slices[0].ingredients}
    assert [owners[name]["weight"][0].values for name in "bc"] == [("1",), ("2",)]
    assert owners["a"] == {}
    assert found.parameters["density"][0].values == (1,)


def test_a_short_form_with_too_few_values_is_refused() -> None:
    short = ShortForm(
        "linear", (Path("a"), Path("b"), Path("c")), None, {"weight": (1, 2)}
    )

    with pytest.raises(UsageError, match="weight: 2 values for 3 models"):
        short.recipe()
