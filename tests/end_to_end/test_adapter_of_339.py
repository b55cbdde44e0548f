"""The shape of a real case, at reduced width: 339 tensors, of which 56 are changed.

28 layers of Qwen2.5-1.5B with an adapter of q and v as its trainer writes it. Once such
a merge changed nothing and reported success.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from aprhub import ConvertOptions, ModelIR, open_model
from aprhub.adapters.operations import AdapterMerge
from aprhub.front import merge_adapters
from tests.adapters.makers import (
    REGISTRY,
    Pairs,
    assert_merged,
    entrenar,
    model,
    oracle,
    pairs,
    saved,
)
from tests.judges import apr_checker
from tests.judges.llama import Llama

RANK = 16
ALPHA = 32.0
IDS = (1, 2, 3, 40, 50, 60)


@pytest.fixture(scope="module")
def before() -> ModelIR:
    return model("qwen2", "f16", num_layers=28, attention_bias=True)


@pytest.fixture(scope="module")
def found() -> Pairs:
    return pairs(RANK, layers=28)


@pytest.fixture(scope="module")
def folder(
    before: ModelIR, found: Pairs, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("339")
    saved(before, path / "hf")
    saved(before, path / "base.gguf")
    # The sidecar's rank is wrong on purpose: that of the matrices counts.
    sidecar = {"task": "instruct", "lora_rank": 2 * RANK, "lora_alpha": ALPHA}
    entrenar(found, path / "adapter", sidecar=sidecar)
    return path


@pytest.fixture(scope="module")
def expected(before: ModelIR, found: Pairs) -> Mapping[str, np.ndarray]:
    return oracle(before, found, ALPHA)


@pytest.mark.parametrize("target", ["merged.apr", "merged.gguf", "merged"])
@pytest.mark.parametrize("base", ["hf", "base.gguf"])
def test_56_of_339_layers_are_merged_and_come_out_right(
    base: str,
    target: str,
    folder: Path,
    before: ModelIR,
    expected: Mapping[str, np.ndarray],
) -> None:
    path = folder / f"{base.partition('.')[0]}-{target}"
    request = AdapterMerge(folder / base, [folder / "adapter"], encoding="f32")

    report = merge_adapters(
        request, path, ConvertOptions(verify="values"), registry=REGISTRY
    )

    assert report.summary == "Layers merged 56/339"
    assert report.as_json()["merge"]["layers_merged"] == 56
    assert_merged(path, before, expected)


def test_both_bases_give_the_same_bytes_and_llama_cpp_runs_them(folder: Path) -> None:
    models = []
    for base in ("hf", "base.gguf"):
        path = folder / f"{base}-same.gguf"
        request = AdapterMerge(folder / base, [folder / "adapter"])
        merge_adapters(request, path, registry=REGISTRY)
        models.append(open_model(path))

    one, other = models
    assert all(
        tensor.tobytes() == other.tensors[name].tobytes()
        for name, tensor in one.tensors.items()
    )
    with Llama.load(folder / "hf-same.gguf") as found:
        logits = found.logits(IDS)
    with Llama.load(folder / "base.gguf") as found:
        assert np.abs(found.logits(IDS) - logits).max() > 1e-2 * np.abs(logits).max()
    assert np.isfinite(logits).all()


def test_the_apr_file_stands_before_another_reader(folder: Path) -> None:
    path = folder / "judged.apr"
    request = AdapterMerge(folder / "base.gguf", [folder / "adapter"])

    merge_adapters(request, path, registry=REGISTRY)

    assert apr_checker.check(path) == []
    assert apr_checker.runnable(path) == []
