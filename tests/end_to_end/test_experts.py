"""Experts and fused projections: other ways to store them, and their packed bytes."""

import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader, GGUFWriter
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

import aprhub
from aprhub.errors import ModelCheckError, UnrunnableError
from tests.end_to_end.roads import convert, stored_hashes
from tests.judges import deep
from tests.judges.pico import pico
from tests.unit.cli.program import succeed

Arrays = dict[str, NDArray[Any]]


def _stacked(tensors: Mapping[str, NDArray[Any]]) -> Arrays:
    """Return tensors as transformers 5 has them in memory, and saves when told to."""
    found: Arrays = {}
    for name, array in tensors.items():
        spelt = name.replace(".block_sparse_moe.", ".mlp.")
        expert = re.fullmatch(r"(.+\.experts)\.0\.(w1|gate_proj)\.weight", name)
        if expert:
            parts = {"w1": ("w1", "w3", "w2")}.get(
                expert[2], ("gate_proj", "up_proj", "down_proj")
            )
            count = sum(expert[1] in each and parts[0] in each for each in tensors)
            gate, up, down = (
                np.stack([tensors[f"{expert[1]}.{j}.{p}.weight"] for j in range(count)])
                for p in parts
            )
            block = expert[1].replace(".block_sparse_moe.", ".mlp.")
            found[f"{block}.gate_up_proj"] = np.concatenate((gate, up), axis=1)
            found[f"{block}.down_proj"] = down
        elif ".experts." not in name:
            found[spelt] = array
    return found


def _changed(source: Path, target: Path, change: Callable[[Arrays], Arrays]) -> Path:
    shutil.copytree(source, target)
    tensors = change(load_file(source / "model.safetensors"))
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    return target


@pytest.mark.parametrize("family", ["mixtral", "qwen2_moe", "qwen3_moe"])
def test_experts_stacked_in_a_folder_are_the_same_model(
    family: str, tmp_path: Path
) -> None:
    folder = _changed(pico(family), tmp_path / "stacked", _stacked)
    convert(folder, tmp_path / "a.gguf")
    convert(pico(family), tmp_path / "b.gguf")

    assert stored_hashes(tmp_path / "a.gguf") == stored_hashes(tmp_path / "b.gguf")
    succeed("diff", folder, tmp_path / "a.gguf")


def test_experts_by_themselves_in_a_gguf_file_are_read(tmp_path: Path) -> None:
    convert(pico("mixtral"), tmp_path / "new.gguf")
    _split_by_expert(tmp_path / "new.gguf", tmp_path / "old.gguf")

    convert(tmp_path / "old.gguf", tmp_path / "again.gguf")

    new, again = tmp_path / "new.gguf", tmp_path / "again.gguf"
    assert stored_hashes(again) == stored_hashes(new)


def _split_by_expert(source: Path, target: Path) -> None:
    """Write what llama.cpp wrote before it had stacks; no hint says Mixtral."""
    reader, writer = GGUFReader(source), GGUFWriter(target, "llama")
    for name, field in reader.fields.items():
        if name.startswith(("llama.", "tokenizer.ggml.")):
            inner = field.types[1] if len(field.types) > 1 else None
            writer.add_key_value(name, field.contents(), field.types[0], inner)
    for tensor in reader.tensors:
        if "_exps" not in tensor.name:
            writer.add_tensor(tensor.name, tensor.data)
            continue
        for expert, array in enumerate(tensor.data):
            name = tensor.name.replace("_exps.", f".{expert}.")
            writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize("model", ["two", "fused"])
def test_quantised_stacks_and_fused_rows_are_copied_apart_and_together(
    model: str, tmp_path: Path
) -> None:
    aprhub.convert(
        deep.deep(model), tmp_path / "q.gguf", aprhub.ConvertOptions(quantize="q4_k_m")
    )
    there = convert(tmp_path / "q.gguf", tmp_path / "q.apr", verify="bytes")
    convert(tmp_path / "q.apr", tmp_path / "back.gguf", verify="bytes")

    steps = there.steps()
    assert not [step for step in steps if step.startswith(("decoded", "quantised"))]
    assert steps["experts stacked undone"] + steps["rows joined undone"] > 0
    back, first = tmp_path / "back.gguf", tmp_path / "q.gguf"
    assert stored_hashes(back) == stored_hashes(first)


def test_every_weight_of_a_stack_has_a_fate(tmp_path: Path) -> None:
    report = convert(pico("qwen3_moe"), tmp_path / "m.gguf")

    stack = [
        fate for fate in report.tensors if fate.target == "blk.1.ffn_up_exps.weight"
    ]
    assert [fate.source for fate in stack] == [
        f"model.layers.1.mlp.experts.{expert}.up_proj.weight" for expert in range(6)
    ]
    assert {fate.shape for fate in stack} == {(40, 64)}
    assert all("experts stacked" in fate.steps for fate in stack)


def test_the_list_of_tensors_says_what_is_in_a_stack(tmp_path: Path) -> None:
    convert(pico("phi3"), tmp_path / "m.gguf")

    rows = succeed("tensors", tmp_path / "m.gguf", "--json").json["tensors"]

    names = {row["name"]: row["canonical"] for row in rows}
    assert names["blk.0.ffn_up.weight"] == (
        "layers.0.ffn.gate.weight + layers.0.ffn.up.weight"
    )


def _dense_first(tensors: Arrays) -> Arrays:
    layer = "model.layers.0.mlp."
    kept = {name: each for name, each in tensors.items() if not name.startswith(layer)}
    return kept | {
        f"{layer}{part}_proj.weight": np.ones(shape, np.float32)
        for part, shape in {
            "gate": (112, 64),
            "up": (112, 64),
            "down": (64, 112),
        }.items()
    }


def test_layers_without_experts_are_refused_by_name(tmp_path: Path) -> None:
    folder = _changed(pico("qwen3_moe"), tmp_path / "mixed", _dense_first)

    with pytest.raises(ModelCheckError, match=r"layers\.0\.mlp\.gate_proj\.weight"):
        convert(folder, tmp_path / "m.gguf")


def test_a_routing_that_llama_cpp_does_otherwise_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "other"
    shutil.copytree(pico("qwen3_moe"), folder)
    text = (folder / "config.json").read_text("utf-8")
    changed = text.replace('"norm_topk_prob": true', '"norm_topk_prob": false')
    (folder / "config.json").write_text(changed, "utf-8")

    with pytest.raises(UnrunnableError, match="norm_topk_prob: false, where llama"):
        convert(folder, tmp_path / "m.gguf")
    convert(folder, tmp_path / "m.apr")
