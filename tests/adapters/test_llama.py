"""llama.cpp judges: a base with a GGUF adapter computes what our merged GGUF does."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from aprhub import ModelIR
from aprhub.adapters.making import AdapterConversion, converted
from aprhub.adapters.operations import AdapterMerge
from aprhub.adapters.writing import WriteOptions
from aprhub.errors import UnrepresentableError
from aprhub.front import merge_adapters
from tests.adapters.makers import REGISTRY, Pairs, model, pairs, peft, saved
from tests.judges import peft as judge
from tests.judges.llama import Llama

IDS = (1, 2, 3, 40, 50, 60)


def _assert_same(base: Path, adapter: Path, folder: Path) -> None:
    """Convert an adapter for llama.cpp, and compare it with the merge of the first."""
    lora, merged = folder / "adapter.gguf", folder / "merged.gguf"
    request = AdapterConversion(base, [adapter], "gguf")
    converted(request, lora, WriteOptions(), REGISTRY)
    merge_adapters(AdapterMerge(base, [adapter]), merged, registry=REGISTRY)
    again = folder / "again.gguf"
    merge_adapters(AdapterMerge(base, [lora]), again, registry=REGISTRY)

    with Llama.load(base) as plain:
        before = plain.logits(IDS)
        plain.apply(lora)
        expected = plain.logits(IDS)
    spread = np.abs(expected).max()
    assert np.abs(expected - before).max() > 2e-3 * spread
    for path in (merged, again):
        with Llama.load(path) as found:
            np.testing.assert_allclose(found.logits(IDS), expected, atol=1e-4 * spread)


# llama pairs the rotary rows of q and k otherwise than Hugging Face does.
@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "gemma3", "mistral"])
def test_an_applied_adapter_and_the_merged_model_compute_the_same(
    family: str, tmp_path: Path
) -> None:
    chosen = {"tie_embeddings": True} if family == "gemma3" else {}
    base = saved(model(family, **chosen), tmp_path / "base.gguf")
    found = pairs(targets=("q_proj", "k_proj", "v_proj"))

    _assert_same(base, peft(found, tmp_path / "adapter"), tmp_path)


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_a_merged_gguf_computes_what_peft_computes_with_the_original(
    family: str, tmp_path: Path
) -> None:
    found = model(family)
    base, original = (saved(found, tmp_path / name) for name in ("base.gguf", "hf"))
    adapter = tmp_path / "adapter"
    targets = ["q_proj", "k_proj", "up_proj"]
    judge.trained(original, adapter, r=4, target_modules=targets)

    target = tmp_path / "merged.gguf"
    merge_adapters(AdapterMerge(base, [adapter]), target, registry=REGISTRY)

    expected = judge.judged(original, adapter, IDS).logits
    with Llama.load(target) as merged:
        spread = np.abs(expected).max()
        np.testing.assert_allclose(merged.logits(IDS), expected, atol=1e-4 * spread)


def test_different_ranks_and_alphas_come_out_under_one_alpha(tmp_path: Path) -> None:
    base = saved(model(), tmp_path / "base.gguf")
    found = {**pairs(4, 1), **dict(list(pairs(6).items())[2:])}
    pattern = {"layers.0.self_attn.q_proj": 3}
    adapter = peft(found, tmp_path / "adapter", alpha_pattern=pattern, use_rslora=True)

    _assert_same(base, adapter, tmp_path)


def _of_experts(base: ModelIR, experts: int) -> Pairs:
    """Return pairs for some experts of each layer, under the names of mixtral."""
    random = np.random.default_rng(3)
    found = {}
    for layer, expert in itertools.product(range(2), range(experts)):
        for name, role in (("w1", "gate"), ("w2", "down"), ("w3", "up")):
            weight = f"layers.{layer}.experts.{expert}.ffn.{role}.weight"
            rows, columns = base.tensors[weight].shape
            a = random.normal(0, 0.2, (3, columns)).astype(np.float32)
            b = random.normal(0, 0.2, (rows, 3)).astype(np.float32)
            found[f"layers.{layer}.block_sparse_moe.experts.{expert}.{name}"] = a, b
    return found


def test_an_adapter_of_experts_is_applied_to_their_stack(tmp_path: Path) -> None:
    before = model("mixtral")
    base = saved(before, tmp_path / "base.gguf")

    _assert_same(base, peft(_of_experts(before, 4), tmp_path / "adapter"), tmp_path)


@pytest.mark.parametrize(
    ("experts", "config", "what"),
    [
        (3, {}, "no change of layers.0.experts.3"),
        (4, {"alpha_pattern": {"experts.2.w1": 3}}, "differ in rank or scale"),
    ],
)
def test_experts_that_make_no_one_stack_are_refused(
    experts: int, config: Mapping[str, Any], what: str, tmp_path: Path
) -> None:
    before = model("mixtral")
    base = saved(before, tmp_path / "base.gguf")
    adapter = peft(_of_experts(before, experts), tmp_path / "adapter", **config)

    with pytest.raises(UnrepresentableError, match=what):
        converted(
            AdapterConversion(base, [adapter]),
            tmp_path / "a.gguf",
            WriteOptions(),
            REGISTRY,
        )


def test_an_adapter_of_the_embedding_is_applied_to_its_rows(tmp_path: Path) -> None:
    found = model()
    base, folder = saved(found, tmp_path / "base.gguf"), saved(found, tmp_path / "hf")
    adapter = tmp_path / "adapter"
    judge.trained(folder, adapter, r=4, target_modules=["embed_tokens", "v_proj"])
    # PEFT saves copies of embeddings besides, which GGUF adapters have no form for.
    file = adapter / "adapter_model.safetensors"
    halves = {name: each for name, each in load_file(file).items() if "lora_" in name}
    save_file(halves, file)

    _assert_same(base, adapter, tmp_path)
