"""What transformers needs is asked for by name."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import evolve

from aprhub.api import (
    Identity,
    ModelConfig,
    RopeScaling,
    StoredModel,
    Tensor,
    Tokenizer,
)
from aprhub_families import provide_families
from aprhub_safetensors import SAFETENSORS

LLAMA = next(each for each in provide_families() if each.name == "llama")

CONFIG = ModelConfig(
    family="llama",
    identity=Identity(hf_class="LlamaForCausalLM", hf_model_type="llama"),
    hidden_size=32,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_dim=8,
    vocab_size=64,
    intermediate_size=48,
    tie_embeddings=True,
)
TOKENIZER = Tokenizer(json=json.dumps({"model": {"type": "BPE"}}))
WEIGHTS = {"model.embed_tokens.weight": Tensor.of(np.zeros((64, 32), "f4"))}


def stored(**fields: Any) -> StoredModel:
    model = StoredModel(
        "safetensors", Path("m"), WEIGHTS, CONFIG, TOKENIZER, family=LLAMA
    )
    return evolve(model, **fields)


def subjects(model: StoredModel) -> list[str]:
    return [fault.subject for fault in SAFETENSORS.runnable(model)]


def test_a_sound_model_has_no_faults() -> None:
    assert subjects(stored()) == []


@pytest.mark.parametrize(
    ("change", "subject"),
    [
        ({"hidden_size": None}, "hidden_size"),
        ({"hidden_size": 30}, "hidden_size"),
        ({"num_layers": 0}, "num_layers"),
        ({"num_kv_heads": 3}, "num_kv_heads"),
        ({"num_kv_heads": 0}, "num_kv_heads"),
        ({"head_dim": 7}, "head_dim"),
        ({"rotary_dim": 4}, "rotary_dim"),
        ({"num_experts": 4, "num_experts_per_tok": 5}, "num_experts_per_tok"),
        ({"num_experts": 4}, "num_experts_per_tok"),
        ({"vocab_size": 65}, "model.embed_tokens.weight"),
        ({"tie_embeddings": False}, "lm_head.weight"),
    ],
)
def test_a_size_that_does_not_work_is_a_fault(
    change: dict[str, Any], subject: str
) -> None:
    assert subjects(stored(config=evolve(CONFIG, **change))) == [subject]


@pytest.mark.parametrize(
    ("family", "change", "subject"),
    [
        ("phi3", {"rope_scaling": RopeScaling("linear", 4.0)}, "rope_scaling"),
        ("phi3", {"rope_scaling": RopeScaling("factors")}, ""),
        ("llama", {"rope_scaling": RopeScaling("linear", 4.0)}, ""),
        ("gemma2", {"rope_local_theta": 5.0}, "rope_local_theta"),
        ("gemma2", {"rope_local_theta": 1e4}, ""),
        ("gemma3", {"rope_local_theta": 5.0}, ""),
        ("llama", {"rope_local_theta": 5.0, "layer_kinds": None}, ""),
    ],
)
def test_what_a_class_does_not_compute_is_a_fault(
    family: str, change: dict[str, Any], subject: str
) -> None:
    kinds = ("sliding", "full")
    values = {"rope_theta": 1e4, "layer_kinds": kinds, "rotary_dim": None, **change}
    model = evolve(CONFIG, family=family, identity=Identity(), **values)
    table = next(each for each in provide_families() if each.name == family)

    found = subjects(stored(config=model, family=table))

    assert found == [subject] * bool(subject)


def test_a_missing_embedding_is_a_fault() -> None:
    assert subjects(stored(tensors={})) == ["model.embed_tokens.weight"]


@pytest.mark.parametrize(
    "tokenizer",
    [
        None,
        Tokenizer(),
        Tokenizer(json="[]"),
        Tokenizer(json='{"model": '),
        Tokenizer(json="{}"),
    ],
)
def test_a_missing_tokenizer_is_a_fault(tokenizer: Tokenizer | None) -> None:
    assert subjects(stored(tokenizer=tokenizer)) == ["tokenizer.json"]


def test_a_model_that_nobody_can_name_is_a_fault() -> None:
    anonymous = evolve(CONFIG, identity=Identity())

    assert subjects(stored(config=anonymous, family=None)) == ["config.json"]
    assert subjects(stored(config=anonymous)) == []
