"""Keys become the canonical model and back, and what has no meaning is carried."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import evolve

from aprhub.api import (
    ENCODINGS,
    Family,
    Identity,
    KeyFate,
    LineageStep,
    ModelConfig,
    Provenance,
    RopeScaling,
    StoredModel,
    Tensor,
)
from tests.hostile.apr_file import AprFile
from tests.plugins.apr import disk

LLAMA = Family(
    "llama",
    slug="llama",
    ggml_architecture="llama",
    hf_classes=("LlamaForCausalLM",),
    hf_model_types=("llama",),
    weights=(),
    rope_pairs="interleaved",
)
QWEN3 = evolve(LLAMA, name="qwen3", slug="qwen3", rope_pairs="halves")

CONFIG = ModelConfig(
    identity=Identity("qwen3", "Qwen3ForCausalLM", "qwen3"),
    hidden_size=64,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_dim=16,
    vocab_size=100,
    intermediate_size=128,
    max_position_embeddings=512,
    norm_eps=1e-6,
    rope_theta=1e6,
    rope_local_theta=1e4,
    rope_scaling=RopeScaling("longrope", 2.0, 256, long_factor=(1.0, 2.5)),
    sliding_window=32,
    layer_kinds=("full", "sliding"),
    tie_embeddings=False,
    attention_bias=True,
    mlp_bias=False,
    activation="silu",
    query_scale=256.0,
    attention_softcap=50.0,
    final_softcap=30.0,
    num_experts=4,
    num_experts_per_tok=2,
    moe_intermediate_size=16,
    extra={"anything": [1, None]},
)

PROVENANCE = Provenance(
    "name",
    "description",
    "author",
    "version",
    "MIT",
    "teacher-only",
    "CC0-1.0",
    "hf://org/repo",
    "safetensors",
    "2026-01-02",
    (
        LineageStep("convert", {"a.gguf": "sha256:00"}, {"dtype": "f32"}, {"x": "1"}),
        LineageStep("merge", {}),
    ),
)


def _open(keys: Mapping[str, Any], folder: Path) -> StoredModel:
    text = json.dumps({"model_type": "x", **keys}).encode()
    return disk.opened(AprFile(text, (), b"").write(folder))


def _keys(**parts: Any) -> dict[str, Any]:
    tensors = parts.pop("tensors", {})
    return disk.described(disk.laid_out(disk.model(tensors, **parts)))


def _head(name: str) -> dict[str, Tensor]:
    return {name: Tensor.of(np.zeros((2, 2), "<f4"))}


def test_every_field_of_a_configuration_comes_back(tmp_path: Path) -> None:
    found = disk.reopened(disk.model({}, config=CONFIG), tmp_path)

    assert found.config == CONFIG


def test_every_field_of_a_scaling_comes_back(tmp_path: Path) -> None:
    numbers: dict[str, Any] = {"attention_factor": 1.5, "beta_fast": 16.0}
    scaling = RopeScaling("yarn", 4.0, 256, **numbers, truncate=False)
    config = evolve(CONFIG, rope_scaling=scaling)

    found = disk.reopened(disk.model({}, config=config), tmp_path)

    assert found.config.rope_scaling == scaling


def test_the_origin_of_a_model_comes_back(tmp_path: Path) -> None:
    found = disk.reopened(disk.model({}, provenance=PROVENANCE), tmp_path)

    assert found.provenance == PROVENANCE


def test_what_other_formats_carry_comes_back(tmp_path: Path) -> None:
    carried: dict[str, dict[str, Any]] = {
        "hf": {"config.json": '{"a": "é"}'},
        "gguf": {"general.tags": ["a", "b"], "n": 1.5},
        "apr": {"merge_strategy": "slerp", "nested": {"a": [1, 2.5, None, True]}},
    }
    native = {"norm.weight": "bf16"}

    found = disk.reopened(disk.model({}, carried=carried, native=native), tmp_path)

    own = {"model_type": "transformer_lm", **carried["apr"]}
    assert found.carried == {**carried, "apr": own}
    assert found.native == native


def test_values_of_other_classes_are_written_as_json() -> None:
    carried = {"gguf": {"tokens": np.arange(3), "pair": (1, 2), "f32": np.float32(0.5)}}

    keys = _keys(carried=carried)

    expected = {"tokens": [0, 1, 2], "pair": [1, 2], "f32": 0.5}
    assert keys["aprhub.carried"] == {"gguf": expected}


def test_the_family_names_the_architecture() -> None:
    identity = Identity("gemma3_text", "Qwen3Model")

    keys = _keys(config=ModelConfig(identity=identity), family=QWEN3)

    assert keys["architecture"] == "qwen3"
    assert keys["hf_architecture"] == "Qwen3Model"
    assert "hf_model_type" not in keys


@pytest.mark.parametrize(
    ("family", "naming", "expected"),
    [
        (LLAMA, "apr", 2),
        (LLAMA, "hf", 2),
        (LLAMA, "ggml", 0),
        (QWEN3, "apr", 2),
        (QWEN3, "ggml", 2),
        (None, None, None),
    ],
)
def test_the_rope_type_follows_the_order_of_the_rows(
    family: Family | None, naming: str | None, expected: int | None
) -> None:
    keys = _keys(family=family, naming=naming)

    assert keys.get("rope_type") == expected
    assert keys.get("aprhub.naming") == naming


def test_a_rope_type_of_unknown_names_is_kept(tmp_path: Path) -> None:
    stored = _open({"rope_type": 0}, tmp_path)

    assert disk.described(disk.laid_out(stored))["rope_type"] == 0


@pytest.mark.parametrize("head", ["lm_head.weight", "output.weight"])
def test_a_tied_head_is_marked(head: str, tmp_path: Path) -> None:
    config = ModelConfig(tie_embeddings=True)
    stored = disk.model(_head(head), config=config)

    assert disk.described(disk.laid_out(stored))["tied_embeddings"] is True
    assert disk.reopened(stored, tmp_path).config.tie_embeddings is True


@pytest.mark.parametrize("tied", [True, False, None])
def test_a_tie_without_a_copy_comes_back(tied: bool | None, tmp_path: Path) -> None:
    stored = disk.model({}, config=ModelConfig(tie_embeddings=tied))

    assert "tied_embeddings" not in disk.described(disk.laid_out(stored))
    assert disk.reopened(stored, tmp_path).config.tie_embeddings is tied


def test_custom_keys_never_spell_a_typed_one() -> None:
    carried = {"apr": {"n_layer": 3, "num_layers": 4, "d_model": 5, "mine": 6}}

    keys = _keys(carried=carried, config=ModelConfig(num_layers=2))

    assert keys["num_layers"] == 2
    assert keys["mine"] == 6
    assert {"n_layer", "d_model", "hidden_size"}.isdisjoint(keys)


def test_a_date_is_not_made_up() -> None:
    assert "created_at" not in _keys()


def test_typed_keys_come_first_and_custom_keys_are_sorted() -> None:
    carried = {"apr": {"zeta": 1, "alpha": 2, "chat_format": "chatml"}}

    keys = list(_keys(carried=carried, config=ModelConfig(num_layers=2)))

    assert keys == [
        "model_type",
        "license",
        "data_source",
        "data_license",
        "total_size",
        "param_count",
        "chat_format",
        "num_layers",
        "alpha",
        "zeta",
    ]


QUANTIZATION = {"quant_type": "int8", "bits": 8, "block_size": None, "symmetric": True}


@pytest.mark.parametrize(("encoding", "kept"), [("apr_q8", True), ("f32", False)])
def test_a_quantization_is_said_of_quantised_tensors_only(
    encoding: str, kept: bool
) -> None:
    found = ENCODINGS[encoding]
    tensor = disk.packed((2, 2), found, bytes(found.nbytes((2, 2))))

    keys = _keys(tensors={"a": tensor}, carried={"apr": {"quantization": QUANTIZATION}})

    assert ("quantization" in keys) is kept


@pytest.mark.parametrize(
    ("key", "value", "fate"),
    [
        ("num_layers", 2, KeyFate("num_layers", "kept", "config.num_layers")),
        ("n_layer", 2, KeyFate("n_layer", "renamed", "config.num_layers")),
        ("rms_norm_eps", 1, KeyFate("rms_norm_eps", "renamed", "config.norm_eps")),
        ("license", None, KeyFate("license", "kept", "provenance.license")),
        ("mine", 1, KeyFate("mine", "carried", "carried.apr.mine")),
        (
            "tensor_shapes",
            {},
            KeyFate("tensor_shapes", "dropped", "", "recomputed from the tensors"),
        ),
    ],
)
def test_a_key_says_what_became_of_it(
    key: str, value: Any, fate: KeyFate, tmp_path: Path
) -> None:
    stored = _open({key: value}, tmp_path)

    assert fate in stored.fates
    assert len(stored.fates) == 2
