"""PEFT judges merged models: its own merged weights, and its logits before merging."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from aprhub import open_model
from aprhub.adapters.operations import AdapterMerge
from aprhub.front import merge_adapters
from tests.adapters.makers import REGISTRY, model, saved
from tests.judges import hf, peft

IDS: Final = (1, 2, 3, 40, 50, 60)
ATTENTION: Final = ["q_proj", "v_proj"]

KINDS: Final[Mapping[str, Mapping[str, Any]]] = {
    "plain": {"target_modules": ATTENTION},
    "modules by expression": {"target_modules": r".*\.1\.(self_attn|mlp)\..*_proj"},
    "rank-stabilised": {"use_rslora": True, "target_modules": "all-linear"},
    "DoRA": {"use_dora": True, "target_modules": ["q_proj", "down_proj"]},
    "patterns": {
        "rank_pattern": {"q_proj": 2, "layers.1.self_attn.k_proj": 6},
        "alpha_pattern": {"k_proj": 3, "layers.0.self_attn.v_proj": 5},
        "target_modules": ["q_proj", "k_proj", "v_proj"],
    },
    "whole modules": {
        "target_modules": ["q_proj"],
        "modules_to_save": ["lm_head", "norm"],
    },
    "embedding": {"target_modules": ["q_proj", "embed_tokens"]},
    "DoRA of an embedding": {"use_dora": True, "target_modules": ["embed_tokens"]},
    "head": {"target_modules": ["lm_head", "o_proj"]},
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(model(), tmp_path_factory.mktemp("peft") / "base")


def _trained(base: Path, folder: Path, **config: Any) -> Path:
    peft.trained(base, folder, **{"r": 4, "lora_alpha": 8, **config})
    return folder


def _assert_judged(base: Path, adapter: Path, merged: Path) -> None:
    expected = peft.judged(base, adapter, IDS)
    found = load_file(merged / "model.safetensors")
    assert found.keys() == expected.weights.keys()
    for name, values in found.items():
        tolerance = 1e-6 * np.abs(expected.weights[name]).max()
        np.testing.assert_allclose(
            values, expected.weights[name], rtol=1e-6, atol=tolerance, err_msg=name
        )
    spread = np.abs(expected.logits).max()
    np.testing.assert_allclose(
        hf.logits(merged, IDS), expected.logits, atol=1e-5 * spread
    )


@pytest.mark.parametrize("kind", KINDS)
def test_merged_weights_and_logits_are_those_of_peft(
    kind: str, base: Path, tmp_path: Path
) -> None:
    adapter = _trained(base, tmp_path / "adapter", **KINDS[kind])

    merge_adapters(
        AdapterMerge(base, [adapter]), tmp_path / "merged", registry=REGISTRY
    )

    _assert_judged(base, adapter, tmp_path / "merged")


@pytest.mark.parametrize("bias", ["lora_only", "all"])
def test_trained_biases_and_biases_of_b_come_with_the_adapter(
    bias: str, tmp_path: Path
) -> None:
    base = saved(model(attention_bias=True, mlp_bias=True), tmp_path / "base")
    adapter = _trained(base, tmp_path / "adapter", bias=bias, target_modules=ATTENTION)
    plain = _trained(
        base, tmp_path / "plain", lora_bias=True, target_modules=["q_proj"]
    )

    for each in (adapter, plain):
        target = tmp_path / f"{each.name}-merged"
        merge_adapters(AdapterMerge(base, [each]), target, registry=REGISTRY)
        _assert_judged(base, each, target)


def test_a_bias_counts_where_the_product_is_zero(tmp_path: Path) -> None:
    base = saved(model(attention_bias=True), tmp_path / "base")
    adapter = _trained(
        base, tmp_path / "adapter", lora_bias=True, target_modules=["q_proj"]
    )
    file = adapter / "adapter_model.safetensors"
    tensors = load_file(file)
    for name in tensors:
        if name.endswith("lora_B.weight"):
            tensors[name][:] = 0
    save_file(tensors, file)

    report = merge_adapters(
        AdapterMerge(base, [adapter]), tmp_path / "merged", registry=REGISTRY
    )

    assert len(report.merged) == 2
    _assert_judged(base, adapter, tmp_path / "merged")


def test_fan_in_fan_out_changes_nothing_for_a_base_with_ordinary_matrices(
    base: Path, tmp_path: Path
) -> None:
    adapter = _trained(base, tmp_path / "adapter", target_modules=ATTENTION)
    config = adapter / "adapter_config.json"
    said = {**json.loads(config.read_text()), "fan_in_fan_out": True}
    config.write_text(json.dumps(said))

    report = merge_adapters(
        AdapterMerge(base, [adapter]), tmp_path / "merged", registry=REGISTRY
    )

    _assert_judged(base, adapter, tmp_path / "merged")
    assert "fan_in_fan_out" in report.adapters[0].notes[0]


@pytest.mark.parametrize("family", ["mixtral", "qwen2_moe", "qwen3_moe"])
@pytest.mark.parametrize("parameters", [("gate_up_proj", "down_proj"), ("down_proj",)])
def test_adapters_of_stacked_experts_are_merged_as_by_peft(
    family: str, parameters: tuple[str, ...], tmp_path: Path
) -> None:
    base = saved(model(family), tmp_path / "base")
    adapter = _trained(
        base,
        tmp_path / "adapter",
        target_modules=["q_proj"],
        target_parameters=[f"mlp.experts.{each}" for each in parameters],
        alpha_pattern={"experts.down_proj": 3},
    )

    report = merge_adapters(
        AdapterMerge(base, [adapter]), tmp_path / "merged", registry=REGISTRY
    )

    expected = peft.judged(base, adapter, IDS)
    judged = tmp_path / "judged"
    shutil.copytree(tmp_path / "merged", judged)
    save_file({**expected.weights}, judged / "model.safetensors")
    found, other = open_model(tmp_path / "merged"), open_model(judged)
    assert found.tensors.keys() == other.tensors.keys()
    for name, tensor in found.tensors.items():
        values = other.tensors[name].numpy()
        tolerance = 1e-6 * np.abs(values).max()
        np.testing.assert_allclose(tensor.numpy(), values, rtol=1e-6, atol=tolerance)
    changed = [name for name in report.merged if ".experts." in name]
    experts = found.config.num_experts or 0
    assert len(changed) == experts * (3 if len(parameters) > 1 else 1) * 2
    spread = np.abs(expected.logits).max()
    np.testing.assert_allclose(
        hf.logits(tmp_path / "merged", IDS), expected.logits, atol=1e-5 * spread
    )


@pytest.mark.parametrize("family", ["mixtral", "qwen3_moe"])
@pytest.mark.parametrize("modules", ["all-linear", ["v_proj", "down_proj"], ["gate"]])
def test_modules_that_are_parameters_of_today_are_merged_as_by_peft(
    family: str, modules: str | list[str], tmp_path: Path
) -> None:
    base = saved(model(family), tmp_path / "base")
    if family == "mixtral" and isinstance(modules, list):
        modules = ["w2" if each == "down_proj" else each for each in modules]
    adapter = _trained(base, tmp_path / "adapter", target_modules=modules)
    said = json.loads((adapter / "adapter_config.json").read_text())

    merge_adapters(AdapterMerge(base, [adapter]), tmp_path / "merged")

    # PEFT names them by their last words, which fit any module.
    assert {*said["target_parameters"]} <= {"gate.weight", "gate_up_proj", "down_proj"}
    expected = peft.judged(base, adapter, IDS).logits
    found = hf.logits(tmp_path / "merged", IDS)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("target", ["embed_tokens", "lm_head"])
def test_a_tied_model_computes_what_it_did_while_the_adapter_was_applied(
    target: str, tmp_path: Path
) -> None:
    base = saved(model(tie_embeddings=True), tmp_path / "base")
    adapter = _trained(base, tmp_path / "adapter", target_modules=[target])
    # A copy of the tied embedding that PEFT saves, too, is not what this is about.
    file = adapter / "adapter_model.safetensors"
    halves = {name: each for name, each in load_file(file).items() if "lora_" in name}
    save_file(halves, file)

    report = merge_adapters(
        AdapterMerge(base, [adapter]), tmp_path / "merged", registry=REGISTRY
    )

    expected = peft.judged(base, adapter, IDS).logits
    spread = np.abs(expected).max()
    found = hf.logits(tmp_path / "merged", IDS)
    np.testing.assert_allclose(found, expected, atol=1e-5 * spread)
    assert "no longer tied" in report.notes[0]


def test_a_tied_embedding_that_is_trained_whole_is_no_longer_the_head(
    tmp_path: Path,
) -> None:
    base = saved(model(tie_embeddings=True), tmp_path / "base")
    config = {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]}
    adapter = _trained(base, tmp_path / "adapter", **config)

    merge_adapters(AdapterMerge(base, [adapter]), tmp_path / "merged")

    expected = peft.judged(base, adapter, IDS).logits
    found = hf.logits(tmp_path / "merged", IDS)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    assert open_model(tmp_path / "merged").config.tie_embeddings is False
