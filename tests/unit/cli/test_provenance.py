"""`aprhub provenance`: the recorded lineage against the inputs."""

import json
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from attrs import evolve
from safetensors.numpy import save_file

from aprhub import ConvertOptions, ModelIR, Tensor, save_model
from tests.unit.cli.conftest import Models
from tests.unit.cli.program import run, succeed

SUFFIXES = (".gguf", ".apr", "")


def _changed(model: ModelIR) -> ModelIR:
    values = model.tensors["embed.weight"].numpy() * np.float32(2)
    return evolve(model, tensors={**model.tensors, "embed.weight": Tensor.of(values)})


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("words", [[], ["--hash"]], ids=["table", "hash"])
def test_an_output_of_any_format_knows_its_input(
    suffix: str, words: list[str], gguf: Path, tmp_path: Path
) -> None:
    target = tmp_path / f"out{suffix}"
    succeed("convert", gguf, target, *words)

    found = succeed("provenance", "verify", target, gguf, "--json").json

    last = found["traces"][-1]
    assert (last["outcome"], last["name"], found["true"]) == ("same", gguf.name, True)
    assert last["recorded"] == last["found"]
    assert last["recorded"].startswith(
        "aprhub-model-1:" if words else "sha256-of-table:"
    )


def test_the_hash_of_an_input_is_that_of_its_model(gguf: Path, tmp_path: Path) -> None:
    succeed("convert", gguf, tmp_path / "out.apr", "--hash")

    steps = succeed("provenance", "show", tmp_path / "out.apr", "--json").json[
        "lineage"
    ]

    expected = succeed("hash", gguf, "--json").json["model"]
    assert steps[-1]["inputs"] == {gguf.name: expected}


def test_an_input_is_known_by_its_hash_whatever_its_name(
    gguf: Path, tmp_path: Path
) -> None:
    succeed("convert", gguf, tmp_path / "out.apr")
    shutil.copy(gguf, tmp_path / "renamed.gguf")

    out = succeed(
        "provenance", "verify", tmp_path / "out.apr", tmp_path / "renamed.gguf"
    ).out

    assert "same    step 2, convert: llama.gguf (" in out


def test_a_chain_is_followed_and_a_changed_link_is_found(
    models: Models, tmp_path: Path
) -> None:
    files = [
        tmp_path / name for name in ("first.gguf", "second.apr", "third", "last.gguf")
    ]
    model = models.pico("llama")
    save_model(model, files[0], registry=models.registry)
    for source, target in pairwise(files):
        succeed("convert", source, target, "--hash")
    words = ("provenance", "verify", files[-1], *files[:-1], "--json")

    sound = succeed(*words).json
    force = ConvertOptions(force=True)
    save_model(_changed(model), files[1], force, registry=models.registry)
    altered = run(*words)

    assert [each["outcome"] for each in sound["traces"]][-3:] == ["same"] * 3
    assert sound["unrecorded"] == []
    outcomes = [each["outcome"] for each in altered.json["traces"]][-3:]
    assert (altered.code, outcomes) == (1, ["same", "differs", "same"])


def test_changed_weights_are_found_where_the_hash_was_recorded(
    models: Models, tmp_path: Path
) -> None:
    source, target = tmp_path / "in.gguf", tmp_path / "out.apr"
    model = models.pico("llama")
    save_model(model, source, registry=models.registry)
    succeed("convert", source, target, "--hash")
    force = ConvertOptions(force=True)
    save_model(_changed(model), source, force, registry=models.registry)

    done = run("provenance", "verify", target, source)

    recorded = succeed("provenance", "show", target, "--json").json["lineage"][-1]
    assert done.code == 1
    lines = done.out.splitlines()
    assert lines[-3] == f"differs step 2, convert: in.gguf ({source})"
    assert lines[-2].split() == ["recorded", recorded["inputs"]["in.gguf"]]
    found = succeed("hash", source, "--json").json["model"]
    assert lines[-1].split() == ["found", found]


def test_a_file_that_no_step_records_is_none_of_the_inputs(
    models: Models, gguf: Path, tmp_path: Path
) -> None:
    succeed("convert", gguf, tmp_path / "out.apr")
    stranger = models.file("qwen2", ".gguf")

    done = run("provenance", "verify", tmp_path / "out.apr", gguf, stranger)

    assert done.code == 1
    assert done.out.splitlines()[-1].strip() == f"{stranger}: no step records it"


def test_inputs_of_each_step_are_told_apart_and_missing_ones_said(
    gguf: Path, tmp_path: Path
) -> None:
    middle, target = tmp_path / "middle.apr", tmp_path / "target"
    succeed("convert", gguf, middle)
    succeed("convert", middle, target)

    found = succeed("provenance", "verify", target, middle, "--json").json

    outcomes = [
        (each["step"], each["name"], each["outcome"]) for each in found["traces"]
    ]
    assert outcomes == [
        (1, "seed", "unknown"),
        (2, gguf.name, "missing"),
        (3, "middle.apr", "same"),
    ]


def test_inputs_of_one_name_are_told_apart(models: Models, tmp_path: Path) -> None:
    paths = [tmp_path / name / "m.gguf" for name in ("a", "b")]
    model = models.pico("llama")
    for path, each in zip(paths, (model, _changed(model)), strict=True):
        path.parent.mkdir()
        save_model(each, path, registry=models.registry)
    target = tmp_path / "out.gguf"
    linear = ("--method", "linear", "--weights", "0.5,0.5")
    succeed("merge", *linear, *paths, "-o", target, "--hash")

    second = succeed("provenance", "verify", target, paths[1], "--json").json

    outcomes = {each["name"]: each["outcome"] for each in second["traces"]}
    assert outcomes == {"seed": "unknown", "m.gguf": "missing", "m.gguf (1)": "same"}


@pytest.mark.parametrize("words", [[], ["--hash"]], ids=["table", "hash"])
def test_an_adapter_is_an_input(words: list[str], folder: Path, tmp_path: Path) -> None:
    adapter, target = tmp_path / "adapter", tmp_path / "out.gguf"
    adapter.mkdir()
    stem = "base_model.model.model.layers.0.self_attn.q_proj.lora_"
    random = np.random.default_rng(0)
    pair = {
        f"{stem}A.weight": random.standard_normal((2, 64), np.float32),
        f"{stem}B.weight": random.standard_normal((96, 2), np.float32),
    }
    save_file(pair, adapter / "adapter_model.safetensors")
    config = {
        "peft_type": "LORA",
        "r": 2,
        "lora_alpha": 4,
        "target_modules": ["q_proj"],
    }
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    succeed("adapter", "merge", folder, adapter, "-o", target, *words)

    found = succeed("provenance", "verify", target, folder, adapter, "--json").json

    outcomes = {each["name"]: each["outcome"] for each in found["traces"][1:]}
    assert outcomes == {"llama": "same", "adapter": "same"}


def test_the_lineage_is_shown_step_by_step(gguf: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.apr"
    succeed("convert", gguf, target, "--dtype", "bf16")

    lines = succeed("provenance", "show", target).out.splitlines()

    assert "license          apache-2.0" in lines
    assert lines[-3].startswith("step 2: convert (aprhub ")
    assert lines[-2].split()[:2] == ["input", "llama.gguf"]
    assert lines[-1].split() == ["option", "dtype", "bf16"]
