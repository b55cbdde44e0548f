"""Adapters read from every layout and written in every other, exactly."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader, GGUFWriter
from safetensors.numpy import load_file, save_file

from aprhub import open_model
from aprhub.adapters.inspection import inspected
from aprhub.adapters.making import AdapterConversion, AdapterReport, converted
from aprhub.adapters.matching import MatchOptions
from aprhub.adapters.opening import open_adapter
from aprhub.adapters.operations import AdapterMerge
from aprhub.adapters.writing import WriteOptions
from aprhub.errors import (
    AmbiguousFormatError,
    CorruptFileError,
    MissingFileError,
    ModelCheckError,
    TargetExistsError,
    UnknownFormatError,
    UnrepresentableError,
    UnsupportedFileError,
    UsageError,
)
from aprhub.front import merge_adapters
from tests.adapters.makers import (
    REGISTRY,
    assert_merged,
    entrenar,
    model,
    oracle,
    pairs,
    peft,
    saved,
)
from tests.judges import peft as judge

SUFFIXES = {
    "peft": "",
    "entrenar": "",
    "names": ".safetensors",
    "apr": ".apr",
    "gguf": ".gguf",
}
IDS = (1, 2, 3, 40, 50, 60)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(model(), tmp_path_factory.mktemp("layouts") / "base")


def convert(
    base: Path, adapter: Path, target: Path, layout: str | None = None, **options: Any
) -> AdapterReport:
    request = AdapterConversion(base, [adapter], layout)
    return converted(request, target, WriteOptions(**options), REGISTRY)


@pytest.mark.parametrize(
    ("one", "other"), list(itertools.permutations(SUFFIXES, 2)), ids="-".join
)
def test_there_and_back_between_any_two_layouts_every_bit_is_the_same(
    one: str, other: str, base: Path, tmp_path: Path
) -> None:
    start = peft(pairs(), tmp_path / "start")
    first, second = (tmp_path / f"{each}{SUFFIXES[each]}" for each in (one, other))
    convert(base, start, first, one)

    convert(base, first, second, other)
    convert(base, second, tmp_path / "back", "peft")

    file = "adapter_model.safetensors"
    before, after = load_file(start / file), load_file(tmp_path / "back" / file)
    assert before.keys() == after.keys()
    for name, values in before.items():
        assert values.tobytes() == after[name].tobytes(), name
    config = json.loads((tmp_path / "back" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"]) == (4, 8)


@pytest.mark.parametrize(
    "kind",
    [
        {"use_rslora": True, "target_modules": "all-linear"},
        {"use_dora": True, "target_modules": ["q_proj"]},
        {
            "rank_pattern": {"q_proj": 2},
            "alpha_pattern": {"layers.1.self_attn.v_proj": 3},
            "target_modules": ["q_proj", "v_proj"],
        },
        {"target_modules": ["q_proj"], "modules_to_save": ["lm_head", "norm"]},
        {"target_modules": ["embed_tokens", "o_proj"]},
    ],
)
def test_peft_computes_the_same_with_what_it_saved_and_what_was_written(
    kind: dict[str, Any], base: Path, tmp_path: Path
) -> None:
    adapter, written = tmp_path / "adapter", tmp_path / "written"
    judge.trained(base, adapter, r=4, lora_alpha=8, **kind)

    convert(base, adapter, written, "peft")

    one, other = (judge.judged(base, each, IDS) for each in (adapter, written))
    np.testing.assert_array_equal(one.logits, other.logits)
    for name, values in one.weights.items():
        np.testing.assert_array_equal(values, other.weights[name], err_msg=name)


@pytest.mark.parametrize("dora", [False, True], ids=["plain", "DoRA"])
def test_an_adapter_of_fused_weights_is_fused_again(dora: bool, tmp_path: Path) -> None:
    base = saved(model("phi3"), tmp_path / "base")
    adapter, written = tmp_path / "adapter", tmp_path / "written"
    fused = ["qkv_proj", "gate_up_proj", "down_proj"]
    judge.trained(base, adapter, r=4, lora_alpha=8, target_modules=fused, use_dora=dora)

    if dora:
        convert(base, adapter, written, "peft")
    else:
        convert(base, adapter, tmp_path / "adapter.gguf")
        convert(base, tmp_path / "adapter.gguf", written, "peft")

    file = "adapter_model.safetensors"
    before, after = load_file(adapter / file), load_file(written / file)
    assert before.keys() == after.keys()
    for name, values in before.items():
        assert values.tobytes() == after[name].tobytes(), name
    one, other = (judge.judged(base, each, IDS) for each in (adapter, written))
    np.testing.assert_array_equal(one.logits, other.logits)


@pytest.mark.parametrize(
    ("targets", "what"),
    [(("q_proj", "v_proj"), "no change of layers.0.attn.k"), (None, "differ in A")],
)
def test_changes_that_are_no_single_one_of_a_fused_weight_are_refused(
    targets: tuple[str, ...] | None, what: str, tmp_path: Path
) -> None:
    base = saved(model("phi3"), tmp_path / "base")
    found = pairs(targets=targets or ("q_proj", "k_proj", "v_proj"))
    adapter = entrenar(found, tmp_path / "adapter")

    with pytest.raises(UnrepresentableError, match=what):
        convert(base, adapter, tmp_path / "written", "peft")
    assert not (tmp_path / "written").exists()


def test_biases_come_to_peft_and_back(tmp_path: Path) -> None:
    base = saved(model(attention_bias=True), tmp_path / "base")
    for kind in ({"bias": "all"}, {"lora_bias": True}):
        (name,) = kind
        adapter, written = tmp_path / name, tmp_path / f"{name}-written"
        judge.trained(base, adapter, r=4, target_modules=["q_proj"], **kind)

        convert(base, adapter, written, "peft")

        one, other = (judge.judged(base, each, IDS) for each in (adapter, written))
        np.testing.assert_array_equal(one.logits, other.logits)


@pytest.mark.parametrize("layout", ["entrenar", "names", "apr", "gguf"])
@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ({"use_dora": True, "target_modules": ["q_proj"]}, "DoRA"),
        (
            {"target_modules": ["q_proj"], "modules_to_save": ["norm"]},
            "is replaced|has no name",
        ),
    ],
    ids=["DoRA", "whole module"],
)
def test_what_a_layout_has_no_form_for_is_refused(
    layout: str, kind: dict[str, Any], what: str, base: Path, tmp_path: Path
) -> None:
    judge.trained(base, tmp_path / "adapter", r=4, **kind)
    target = tmp_path / f"out{SUFFIXES[layout]}"

    with pytest.raises(UnrepresentableError, match=what):
        convert(base, tmp_path / "adapter", target, layout)
    assert not target.exists()


@pytest.mark.parametrize("layout", ["entrenar", "names", "apr", "gguf"])
def test_a_rarer_alpha_is_put_into_b_and_said(
    layout: str, base: Path, tmp_path: Path
) -> None:
    pattern = {"layers.0.self_attn.q_proj": 5}
    adapter = peft(pairs(), tmp_path / "adapter", alpha_pattern=pattern)
    target = tmp_path / f"out{SUFFIXES[layout]}"

    report = convert(base, adapter, target, layout)

    assert report.notes == ("1 pairs have another alpha than 8: their B is scaled",)
    one, other = tmp_path / "one.apr", tmp_path / "other.apr"
    merge_adapters(AdapterMerge(base, [adapter]), one, registry=REGISTRY)
    merge_adapters(AdapterMerge(base, [target]), other, registry=REGISTRY)
    left, right = open_model(one), open_model(other)
    for name, tensor in left.tensors.items():
        np.testing.assert_allclose(
            right.tensors[name].numpy(), tensor.numpy(), atol=1e-6
        )


def test_a_gguf_adapter_has_the_keys_that_llama_cpp_asks_for(
    base: Path, tmp_path: Path
) -> None:
    convert(base, peft(pairs(), tmp_path / "adapter"), tmp_path / "out.gguf")

    fields = GGUFReader(tmp_path / "out.gguf").fields
    said = {
        "general.architecture": "llama",
        "general.type": "adapter",
        "adapter.type": "lora",
        "adapter.lora.alpha": 8.0,
    }
    assert {key: fields[key].contents() for key in said} == said


@pytest.mark.parametrize("suffix", [".weight", ""])
@pytest.mark.parametrize("naming", ["hf", "ggml"])
def test_pairs_are_named_as_the_base_is_with_or_without_weight(
    naming: str, suffix: str, tmp_path: Path
) -> None:
    before = model("qwen2")
    base = saved(before, tmp_path / "base.gguf")
    tensors: dict[str, Any] = {}
    for name, (a, b) in pairs().items():
        _, layer, _, projection = name.split(".")
        ggml = f"blk.{layer}.attn_{projection[0]}"
        weight = {"hf": f"model.{name}", "ggml": ggml}[naming] + suffix
        tensors |= {f"{weight}.lora_a": a, f"{weight}.lora_b": b}
    adapter = tmp_path / "pairs.safetensors"
    save_file(tensors, adapter, {"lora_alpha": "8"})

    merge_adapters(
        AdapterMerge(base, [adapter]), tmp_path / "m.gguf", registry=REGISTRY
    )

    assert_merged(tmp_path / "m.gguf", before, oracle(before, pairs()))


def _gguf(path: Path, alpha: float | None, kind: str = "lora") -> Path:
    writer = GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", kind)
    if alpha is not None:
        writer.add_float32("adapter.lora.alpha", alpha)
    for half, shape in (("a", (4, 64)), ("b", (32, 4))):
        values = np.ones(shape, np.float32)
        writer.add_tensor(f"blk.0.attn_v.weight.lora_{half}", values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("alpha", [None, 0.0])
def test_a_gguf_adapter_that_does_not_say_alpha_needs_to_be_told(
    alpha: float | None, base: Path, tmp_path: Path
) -> None:
    adapter = _gguf(tmp_path / "adapter.gguf", alpha)

    with pytest.raises(ModelCheckError, match=r"adapter\.lora\.alpha"):
        convert(base, adapter, tmp_path / "out", "peft")

    request = AdapterConversion(base, [adapter], "peft", match=MatchOptions(4.0))
    converted(request, tmp_path / "out", WriteOptions(), REGISTRY)


def test_a_gguf_adapter_of_another_kind_is_refused(tmp_path: Path) -> None:
    adapter = _gguf(tmp_path / "adapter.gguf", 1.0, "control")

    with pytest.raises(UnsupportedFileError, match="'control'"):
        open_adapter(adapter, REGISTRY)


def test_flat_matrices_are_refused_since_their_order_is_not_known(
    base: Path, tmp_path: Path
) -> None:
    flat = {name: (a.reshape(-1), b.reshape(-1)) for name, (a, b) in pairs().items()}
    adapter = entrenar(flat, tmp_path / "adapter")

    with pytest.raises(UnsupportedFileError, match="flat ones disagree"):
        convert(base, adapter, tmp_path / "out", "peft")


def test_a_header_with_no_number_for_alpha_is_refused(
    base: Path, tmp_path: Path
) -> None:
    adapter = entrenar(pairs(), tmp_path / "adapter", header={"lora_alpha": "lots"})

    with pytest.raises(CorruptFileError, match="lora_alpha"):
        convert(base, adapter, tmp_path / "out", "peft")


def test_a_damaged_adapter_is_refused_where_its_file_has_a_checksum(
    base: Path, tmp_path: Path
) -> None:
    adapter = tmp_path / "adapter.apr"
    convert(base, peft(pairs(), tmp_path / "start"), adapter)
    data = bytearray(adapter.read_bytes())
    data[-100] ^= 1
    adapter.write_bytes(data)

    with pytest.raises(ModelCheckError, match="damaged"):
        convert(base, adapter, tmp_path / "out", "peft")


def test_a_model_is_no_adapter(base: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownFormatError, match="known layouts: peft"):
        open_adapter(base, REGISTRY)
    with pytest.raises(MissingFileError):
        open_adapter(tmp_path / "nothing", REGISTRY)


def test_a_folder_with_two_adapters_is_asked_about(base: Path, tmp_path: Path) -> None:
    adapter = peft(pairs(), tmp_path / "adapter")
    other = entrenar(pairs(), tmp_path / "other")
    (other / "model.safetensors").rename(adapter / "model.safetensors")

    with pytest.raises(AmbiguousFormatError, match="peft and entrenar"):
        convert(base, adapter, tmp_path / "out", "peft")

    layout, _ = open_adapter(adapter, REGISTRY, "entrenar")
    assert layout.name == "entrenar"


def test_the_layout_to_write_is_never_guessed(base: Path, tmp_path: Path) -> None:
    adapter = peft(pairs(), tmp_path / "adapter")

    with pytest.raises(UsageError, match="entrenar, peft"):
        convert(base, adapter, tmp_path / "out")
    with pytest.raises(UsageError, match="belongs to apr"):
        convert(base, adapter, tmp_path / "out.apr", "gguf")


def test_an_adapter_that_stands_there_is_kept_unless_forced(
    base: Path, tmp_path: Path
) -> None:
    adapter = peft(pairs(), tmp_path / "adapter")
    target = tmp_path / "out.gguf"
    target.write_bytes(b"mine")

    plan = convert(base, adapter, target, dry_run=True, force=True)
    assert target.read_bytes() == b"mine"
    with pytest.raises(TargetExistsError):
        convert(base, adapter, target)
    done = convert(base, adapter, target, force=True)

    assert plan.files == done.files
    assert target.stat().st_size == done.files[0].nbytes


def test_an_adapter_says_what_it_holds_without_a_base(tmp_path: Path) -> None:
    found = inspected(peft(pairs(), tmp_path / "adapter"), REGISTRY, None)

    assert (found["layout"], found["ranks"]) == ("peft", [4])
    assert found["alpha"] == [
        {"where": "the header of adapter_model.safetensors", "value": None},
        {"where": "lora_alpha of adapter_config.json", "value": 8.0},
    ]
    assert found["tensors"][0] == {
        "name": "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
        "weight": "model.layers.0.self_attn.q_proj.weight",
        "part": "lora A",
        "shape": [4, 64],
        "encoding": "f32",
        "alpha": None,
    }
