"""`aprhub quantize` to the schemes of compressed-tensors, read back by it and by us."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

import aprhub
from aprhub.errors import UnrepresentableError, UsageError
from aprhub_safetensors import SAFETENSORS
from tests.judges import deep, hf
from tests.unit.cli.program import refused, succeed

SCHEMES = {"w4a16": 0.12, "w8a16": 0.008, "w8a8": 0.008, "fp8_dynamic": 0.03}
"""And the largest relative error that each leaves in a weight."""
QUERY = "model.layers.0.self_attn.q_proj"


def _packed(source: Path, target: Path, scheme: str, **more: Any) -> aprhub.Report:
    options = aprhub.ConvertOptions(quantize=scheme, **more)
    return aprhub.convert(source, target, options)


def _weights(folder: Path) -> dict[str, NDArray[Any]]:
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_matrices_of_layers_are_packed_and_read_back(
    scheme: str, tmp_path: Path
) -> None:
    source, target = deep.deep("grouped"), tmp_path / "packed"

    text = succeed("quantize", source, target, "--type", scheme, "--verify").out
    aprhub.convert(target, tmp_path / "plain")

    assert f"119 quantised to {scheme}" in text
    assert "verified by values" in text
    claim = json.loads((target / "config.json").read_text())["quantization_config"]
    assert claim["quant_method"] == "compressed-tensors"
    assert claim["ignore"] == ["lm_head", "model.embed_tokens"]
    before, after = _weights(source), _weights(tmp_path / "plain")
    assert before.keys() == after.keys()
    for name, values in before.items():
        error = np.linalg.norm(after[name] - values) / np.linalg.norm(values)
        assert error <= (SCHEMES[scheme] if "proj" in name else 0), name
    config = json.loads((tmp_path / "plain/config.json").read_text())
    assert "quantization_config" not in config


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:You passed `quantization_config`:UserWarning")
@pytest.mark.parametrize("dtype", ["f32", "bf16"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_transformers_reads_the_values_that_we_read(
    scheme: str, dtype: str, tmp_path: Path
) -> None:
    transformers = hf.transformers()
    options = aprhub.ConvertOptions(dtype=dtype)
    aprhub.convert(deep.deep("grouped"), tmp_path / "source", options)
    _packed(tmp_path / "source", tmp_path / "packed", scheme)
    aprhub.convert(tmp_path / "packed", tmp_path / "plain")

    config = transformers.CompressedTensorsConfig(dequantize=True)
    load = transformers.AutoModelForCausalLM.from_pretrained
    judged = load(tmp_path / "packed", quantization_config=config, dtype="auto")
    plain = load(tmp_path / "plain", dtype="auto").state_dict()

    found = judged.state_dict()
    assert plain.keys() <= found.keys()
    for name, values in plain.items():
        assert found[name].dtype == values.dtype
        assert found[name].equal(values), name


@pytest.mark.slow
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_presets_are_those_of_the_package(scheme: str, tmp_path: Path) -> None:
    package = import_module("compressed_tensors.quantization")
    _packed(deep.deep("grouped"), tmp_path / "packed", scheme, dry_run=False)

    text = (tmp_path / "packed/config.json").read_text()
    read = package.QuantizationConfig.model_validate(
        json.loads(text)["quantization_config"]
    )

    ours = read.config_groups["group_0"].model_dump(exclude={"format"})
    preset = package.preset_name_to_scheme(scheme.upper(), ["Linear"])
    assert ours == preset.model_dump(exclude={"format"})


def test_the_same_scheme_again_is_a_copy(tmp_path: Path) -> None:
    _packed(deep.deep("grouped"), tmp_path / "one", "w4a16")

    _packed(tmp_path / "one", tmp_path / "two", "w4a16", no_requantize=True)

    one, two = (tmp_path / each / "model.safetensors" for each in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_what_is_quantised_already_is_decoded_for_it_and_says_so(
    tmp_path: Path,
) -> None:
    _packed(deep.deep("grouped"), tmp_path / "m.gguf", "q8_0")

    report = _packed(tmp_path / "m.gguf", tmp_path / "packed", "w8a8")

    kind = "compressed-tensors int8, per channel"
    what = f"requantised: 119 tensors were decoded from q8_0 to {kind}"
    assert what in report.notes
    with pytest.raises(UnrepresentableError, match="q8_0 and would have to be"):
        _packed(tmp_path / "m.gguf", tmp_path / "no", "w8a8", no_requantize=True)


def test_any_number_of_workers_and_a_dry_run_agree(tmp_path: Path) -> None:
    source = deep.deep("grouped")
    planned = _packed(source, tmp_path / "1", "w4a16", dry_run=True)
    for workers in (1, 3):
        _packed(source, tmp_path / str(workers), "w4a16", workers=workers)

    one, three = (tmp_path / each / "model.safetensors" for each in ("1", "3"))
    assert one.read_bytes() == three.read_bytes()
    assert planned.nbytes == sum(
        each.stat().st_size for each in (tmp_path / "1").iterdir()
    )
    packed = [each for each in planned.tensors if "_proj" in each.target]
    assert {each.encoding for each in packed} == {"compressed-tensors int4, group 128"}


@pytest.mark.parametrize("model", ["eight", "two", "fused"])
def test_experts_and_fused_projections_are_packed_as_they_are_stored(
    model: str, tmp_path: Path
) -> None:
    report = _packed(deep.deep(model), tmp_path / "out", "w8a8", verify="values")

    kinds = {each.target: each.encoding for each in report.tensors}
    assert report.verified == "values"
    for name, kind in kinds.items():
        layer = name.startswith("model.layers.") and "norm" not in name
        chooser = name.endswith(("mlp.gate.weight", "moe.gate.weight", "_gate.weight"))
        packed = layer and name.endswith(".weight") and not chooser
        assert kind.startswith("compressed-tensors int8") == packed, name


def test_named_tensors_are_left_as_they_are(tmp_path: Path) -> None:
    types = ("*.attn.q.weight=bf16",)

    _packed(deep.deep("grouped"), tmp_path / "out", "w8a8", tensor_types=types)

    config = json.loads((tmp_path / "out/config.json").read_text())
    assert QUERY in config["quantization_config"]["ignore"]
    weight = SAFETENSORS.opened(tmp_path / "out").tensors[f"{QUERY}.weight"]
    assert weight.encoding.name == "bf16"


def test_groups_that_do_not_divide_rows_are_refused_by_name(tmp_path: Path) -> None:
    text = refused(1, "quantize", deep.deep("odd"), tmp_path / "o", "--type", "w4a16")

    assert "groups of 128 do not divide rows of 288; choose one of w8a8" in text
    assert f"{QUERY}.weight" in text
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("target", ["o.gguf", "o.apr"])
def test_a_target_without_parts_is_told_what_it_holds(
    target: str, tmp_path: Path
) -> None:
    with pytest.raises(
        UnrepresentableError, match=r"does not hold w8a8 .* only .*q4_k"
    ):
        _packed(deep.deep("grouped"), tmp_path / target, "w8a8")


def test_a_folder_is_told_the_schemes_where_blocks_are_asked(tmp_path: Path) -> None:
    with pytest.raises(UnrepresentableError, match="only w4a16, w8a16, w8a8, fp8"):
        _packed(deep.deep("grouped"), tmp_path / "o", "q4_k_m")


@pytest.mark.parametrize("scheme", ["w4a16", "fp8_dynamic"])
def test_values_without_number_are_refused_with_their_place(
    scheme: str, tmp_path: Path
) -> None:
    source = deep.deep("grouped")
    tensors = _weights(source)
    tensors[f"{QUERY}.weight"][3, 5] = np.inf
    for each in source.iterdir():
        (tmp_path / each.name).write_bytes(each.read_bytes())
    save_file(tensors, tmp_path / "model.safetensors")

    with pytest.raises(
        UnrepresentableError, match=r"q_proj.weight: is inf at \[3, 5\]"
    ):
        _packed(tmp_path, tmp_path / "out", scheme, allow_nan=True)


def test_importance_is_for_blocks_only(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="w4a16 takes no importance matrix"):
        aprhub.ConvertOptions(quantize="w4a16", imatrix=tmp_path / "any.gguf")
