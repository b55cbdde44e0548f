"""Models that cannot be merged are refused by name before a tensor is read."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import evolve

from aprhub import ConvertOptions, ModelIR, Registry, Tensor, save_model
from aprhub.errors import ModelCheckError, UsageError
from aprhub.ir.model import Provenance
from aprhub.ir.source import FileRange
from aprhub.merging.operation import merged
from aprhub.merging.parameters import Choice
from aprhub.merging.recipe import (
    Ingredient,
    Recipe,
    Slice,
    TokenizerPolicy,
    TokenRule,
)
from tests.judges.tuned import tuned

REGISTRY = Registry.load()


def recipe(*paths: Path, **more: Any) -> Recipe:
    parts = tuple(Ingredient(path) for path in paths)
    return Recipe(
        "linear", (Slice(parts),), parameters={"weight": (Choice((1,)),)}, **more
    )


def result(*paths: Path, **more: Any) -> ModelIR:
    return merged(recipe(*paths, **more), ConvertOptions(), REGISTRY).found.model


def saved(folder: Path, name: str, model: ModelIR) -> Path:
    save_model(model, folder / name, registry=REGISTRY)
    return folder / name


@pytest.fixture
def one(tmp_path: Path) -> Path:
    return saved(tmp_path, "one", tuned("llama", 1))


DIFFERENT: dict[str, tuple[str, dict[str, Any]]] = {
    "family: mistral, but llama": ("mistral", {}),
    "hidden_size: 128, but 64": ("llama", {"hidden_size": 128}),
    "intermediate_size: 112, but 96": ("llama", {"intermediate_size": 112}),
    "rope_theta: 500000.0, but 10000.0": ("llama", {"rope_theta": 5e5}),
    "norm_eps: 1e-06, but 1e-05": ("llama", {"norm_eps": 1e-6}),
    "attention_bias: True, but False": ("llama", {"attention_bias": True}),
    "num_kv_heads: 4, but 2": ("llama", {"num_kv_heads": 4}),
    "has 3 layers and": ("llama", {"num_layers": 3}),
    "vocab_size: 300, but 288": ("llama", {"vocab_size": 300}),
}


@pytest.mark.parametrize("said", DIFFERENT)
def test_models_that_mean_something_else_are_refused(
    said: str, one: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    family, chosen = DIFFERENT[said]
    other = saved(tmp_path, "other", tuned(family, 2, **chosen))
    monkeypatch.setattr(FileRange, "read_into", unread)

    with pytest.raises(ModelCheckError) as caught:
        result(one, other)

    assert str(caught.value).startswith(str(other))
    assert said in str(caught.value)


def unread(*_arguments: object) -> None:
    pytest.fail("a tensor was read")


def test_a_longer_context_is_noted(one: Path, tmp_path: Path) -> None:
    longer = tuned("llama", 2, max_position_embeddings=4096)
    other = saved(tmp_path, "other", longer)

    found = merged(recipe(one, other), ConvertOptions(), REGISTRY).found

    assert found.model.config.max_position_embeddings == 128
    assert (
        f"max_position_embeddings: 128 of {one} is kept; {other} has 4096"
        in found.notes
    )


def test_a_tied_head_is_merged_with_one_that_is_not(one: Path, tmp_path: Path) -> None:
    tied = saved(tmp_path, "tied", tuned("llama", 2, tie_embeddings=True))

    found = result(one, tied)

    assert found.config.tie_embeddings is False
    head, embedding = (
        tuned("llama", seed, tie_embeddings=seed == 2).tensors for seed in (1, 2)
    )
    meant = (head["head.weight"].numpy() + embedding["embed.weight"].numpy()) / 2
    np.testing.assert_allclose(found.tensors["head.weight"].numpy(), meant, atol=1e-6)


def test_tied_models_stay_tied(tmp_path: Path) -> None:
    paths = [
        saved(tmp_path, f"tied-{seed}", tuned("llama", seed, tie_embeddings=True))
        for seed in (1, 2)
    ]

    found = result(*paths)

    assert found.config.tie_embeddings is True
    assert "head.weight" not in found.tensors


def test_terms_that_differ_are_left_out_and_said(one: Path, tmp_path: Path) -> None:
    provenance = Provenance(name="Pico", license="cc-by-nc-4.0")
    model = evolve(tuned("llama", 2), provenance=provenance)
    other = saved(tmp_path, "other", model)

    found = merged(recipe(one, other), ConvertOptions(), REGISTRY).found

    assert found.model.provenance.name == "Pico"
    assert found.model.provenance.license is None
    assert any(note.startswith("license is left out") for note in found.notes)


def with_token(model: ModelIR, token: str, number: int) -> ModelIR:
    """Return a model whose tokenizer has another token."""
    assert model.tokenizer is not None
    assert model.tokenizer.json is not None
    program = json.loads(model.tokenizer.json)
    last = program["added_tokens"][-1]
    program["added_tokens"].append({**last, "id": number, "content": token})
    text = json.dumps(program, ensure_ascii=False)
    return evolve(model, tokenizer=evolve(model.tokenizer, json=text, flat=None))


@pytest.fixture
def wordy(tmp_path: Path) -> Path:
    return saved(tmp_path, "wordy", with_token(tuned("llama", 2), "<more>", 268))


def test_other_tokens_are_refused_without_a_policy(one: Path, wordy: Path) -> None:
    with pytest.raises(ModelCheckError, match="token '<more>': id 268, but missing in"):
        result(one, wordy)


def rows(model: ModelIR) -> np.ndarray[Any, Any]:
    values: np.ndarray[Any, Any] = model.tensors["embed.weight"].numpy()
    return values


@pytest.mark.parametrize(("source", "count"), [("base", 268), ("union", 269)])
def test_a_policy_says_which_tokens_there_are(
    source: str, count: int, one: Path, wordy: Path
) -> None:
    found = result(one, wordy, tokenizer=TokenizerPolicy(source))

    first, second = rows(tuned("llama", 1)), rows(tuned("llama", 2))
    assert found.config.vocab_size == count
    meant = (first[:268] + second[:268]) / 2
    np.testing.assert_allclose(rows(found)[:268], meant, atol=1e-6)
    np.testing.assert_array_equal(rows(found)[268:], second[268:count])


def test_a_row_that_is_missing_is_that_of_the_base(
    one: Path, wordy: Path, tmp_path: Path
) -> None:
    third = saved(tmp_path, "third", with_token(tuned("llama", 3), "<more>", 268))

    found = result(wordy, third, one, base=wordy, tokenizer=TokenizerPolicy("base"))

    second, last = (rows(tuned("llama", seed))[268] for seed in (2, 3))
    meant = (second + last + second) / 3
    np.testing.assert_allclose(rows(found)[268], meant, atol=1e-6)


def test_rules_say_where_a_row_comes_from(one: Path, wordy: Path) -> None:
    rules = {
        "<tool>": TokenRule(wordy, None, True),
        "<new>": TokenRule(one, "<tool>"),
        "<zero>": TokenRule("zero"),
    }
    policy = TokenizerPolicy(wordy, rules, 16)

    found = result(one, wordy, tokenizer=policy)

    first, second = rows(tuned("llama", 1)), rows(tuned("llama", 2))
    values = rows(found)
    assert values.shape == (272, 64)
    np.testing.assert_array_equal(values[267], second[267])
    np.testing.assert_array_equal(values[269], first[267])
    assert not values[270].any()
    np.testing.assert_allclose(values[271], values[:271].mean(axis=0), atol=1e-6)
    assert found.tokenizer is not None
    assert '"<zero>"' in str(found.tokenizer.json)


def test_a_rule_about_a_token_that_is_not_there_is_refused(
    one: Path, wordy: Path
) -> None:
    policy = TokenizerPolicy("base", {"<new>": TokenRule(one, "<none>")})

    with pytest.raises(UsageError, match="has no token '<none>'"):
        result(one, wordy, tokenizer=policy)


def test_a_model_with_infinite_values_is_refused_when_read(
    one: Path, tmp_path: Path
) -> None:
    model = tuned("llama", 2)
    values = model.tensors["norm.weight"].numpy().copy()
    values[3] = np.inf
    tensors = {**model.tensors, "norm.weight": Tensor.of(values)}
    other = saved(tmp_path, "other", evolve(model, tensors=tensors))

    found = result(one, other)

    with pytest.raises(ModelCheckError, match=r"norm.weight: linear gives infinite"):
        found.tensors["norm.weight"].numpy()
