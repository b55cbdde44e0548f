"""What is unknown, missing, or does not fit together is refused by its name."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from aprhub.api import AprhubError, CorruptFileError, UnsupportedFileError
from tests.plugins.packed.changes import CASES, Parts, opened, recorded, written

Change = Callable[[dict[str, Any], Parts], None]


def setting(**values: Any) -> Change:
    return lambda settings, _parts: settings.update(values)


def weights(**values: Any) -> Change:
    def change(settings: dict[str, Any], _parts: Parts) -> None:
        settings["config_groups"]["group_0"]["weights"].update(values)

    return change


def part(name: str, value: torch.Tensor) -> Change:
    return lambda _settings, parts: parts.update({name: value})


def without(name: str) -> Change:
    def change(_settings: dict[str, Any], parts: Parts) -> None:
        del parts[name]

    return change


def state(**values: Any) -> Change:
    def change(_settings: dict[str, Any], parts: Parts) -> None:
        name = "weight.quant_state.bitsandbytes__nf4"
        found = {**json.loads(bytes(parts[name].tolist())), **values}
        parts[name] = torch.tensor(list(json.dumps(found).encode()), dtype=torch.uint8)

    return change


NF4 = "weight.quant_state.bitsandbytes__nf4"
WORDS = torch.zeros(1, 1, dtype=torch.int32)

UNKNOWN: dict[str, tuple[str, Change, str]] = {
    "method": ("fp8-block", setting(quant_method="hqq"), "'hqq' are not read"),
    "gptq bits": (
        "gptq-4",
        setting(bits=5),
        "bits is 5, which is not read; take a checkpoint with one of 2, 3, 4, 8",
    ),
    "no gptq bits": ("gptq-4", setting(bits=None), "bits is None"),
    "true bits": ("gptq-4", setting(bits=True), "bits is True"),
    "gptq format": (
        "gptq-4",
        setting(checkpoint_format="marlin"),
        "checkpoint_format is 'marlin'",
    ),
    "gptq words": ("gptq-4", setting(pack_dtype="int64"), "pack_dtype is 'int64'"),
    "swapped words": (
        "gptq-3",
        setting(meta={"quantizer": ["gptqmodel:1.4.2"]}),
        "gptq_v2",
    ),
    "awq version": ("awq-gemm", setting(version="marlin"), "version is 'marlin'"),
    "awq bits": ("awq-gemm", setting(bits=8), "bits is 8"),
    "no zeros": ("awq-gemm", setting(zero_point=False), "zero_point is False"),
    "sparse": ("compressed-int8", setting(format="marlin-24"), "'marlin-24'"),
    "sparsity": (
        "compressed-int8",
        setting(sparsity_config={"format": "sparse-24-bitmask"}),
        "quantization_config.sparsity_config: format is 'sparse-24-bitmask'",
    ),
    "transforms": (
        "compressed-int8",
        setting(transform_config={"config_groups": {"u": {}}}),
        "transform_config",
    ),
    "not compressed": (
        "compressed-int8",
        setting(quantization_status="calibration"),
        "quantization_status is 'calibration'",
    ),
    "dense bits": (
        "compressed-int4-group",
        lambda settings, parts: (
            weights(num_bits=3)(settings, parts),
            part("weight_packed", torch.zeros(64, 9, dtype=torch.int32))(
                settings, parts
            ),
        )[0],
        "codes of 3 bits",
    ),
    "int8 layout": (
        "bitsandbytes-int8",
        part("weight_format", torch.tensor(2, dtype=torch.uint8)),
        "weight_format: is 2; take a checkpoint with 0",
    ),
    "part type": (
        "gptq-4",
        part("scales", WORDS),
        "scales: is i32; take a checkpoint with f32 or",
    ),
}

UNSOUND: dict[str, tuple[str, Change, str]] = {
    "no method": ("gptq-4", setting(quant_method=None), "quant_method: found None"),
    "settings": ("gptq-4", setting(group_size=0), "group_size is 0"),
    "no order": (
        "gptq-4-act-order",
        without("g_idx"),
        "layer.g_idx: missing, expected since desc_act",
    ),
    "no scales": ("gptq-4", without("scales"), "layer.scales: missing; there are only"),
    "orphan": ("gptq-4", without("qweight"), "layer.qweight: missing"),
    "other groups": ("gptq-4", setting(group_size=48), "expected (2, 8)"),
    "both": (
        "gptq-4",
        part("weight", torch.zeros(64, 96)),
        "layer.weight: is there, and its packed parts as well",
    ),
    "not filled": (
        "gptq-3",
        part("qweight", torch.zeros(8, 64, dtype=torch.int32)),
        "expected words full of codes",
    ),
    "uneven groups": (
        "awq-gemm",
        setting(group_size=36),
        "multiple of the group size 36",
    ),
    "two scales": (
        "fp8-block",
        part("weight_scale", torch.ones(2, 2)),
        "weight_scale_inv: is there, and weight_scale as well",
    ),
    "other blocks": ("fp8-block", setting(weight_block_size=[16, 16]), "sizes: 16x16"),
    "no blocks": ("fp8-block", setting(weight_block_size=None), "sizes: none"),
    "odd blocks": ("fp8-block", setting(weight_block_size=[0, 128]), "two positive"),
    "code alone": (
        "fp8-block",
        part("other.weight", torch.zeros(4, 4, dtype=torch.float8_e4m3fn)),
        "other.weight: is f8_e4m3, expected a float or parts",
    ),
    "scale alone": (
        "fp8-block",
        part("other.weight_scale_inv", torch.ones(1)),
        "other.weight: missing",
    ),
    "other shape": (
        "compressed-int4-group",
        part("weight_shape", torch.tensor([64, 80])),
        "has shape (64, 12) for (64, 80) codes",
    ),
    "no zero points": (
        "compressed-int4-zeros",
        without("weight_zero_point"),
        "weight_zero_point: missing",
    ),
    "no groups": (
        "compressed-int4-group",
        weights(actorder="group"),
        "weight_g_idx: missing",
    ),
    "group of 64": ("compressed-int4-group", weights(group_size=64), "sizes: none"),
    "nvfp4 groups": (
        "compressed-nvfp4",
        part("weight_packed", torch.zeros(64, 20, dtype=torch.uint8)),
        "expected a multiple of 16",
    ),
    "no JSON": (
        "bitsandbytes-nf4",
        part(NF4, torch.zeros(4, dtype=torch.uint8)),
        "JSON",
    ),
    "no object": (
        "bitsandbytes-nf4",
        part(NF4, torch.tensor(list(b"[]"), dtype=torch.uint8)),
        "found [], expected a JSON object",
    ),
    "long": (
        "bitsandbytes-nf4",
        part(NF4, torch.zeros(1 << 17, dtype=torch.uint8)),
        "expected at most 65536",
    ),
    "state shape": ("bitsandbytes-nf4", state(shape=[64, -96]), "expected two sizes"),
    "larger shape": ("bitsandbytes-nf4", state(shape=[64, 128]), "has 3072 bytes"),
    "no block": ("bitsandbytes-nf4", state(blocksize=0), "blocksize is 0"),
    "other block": ("bitsandbytes-nf4", state(blocksize=128), "expected (48,)"),
    "no offset": (
        "bitsandbytes-nf4-nested",
        state(nested_offset="0"),
        "nested_offset is '0'",
    ),
}


def changed(case: str, change: Change, folder: Path) -> Path:
    settings, parts = recorded(case)
    change(settings, parts)
    return written(folder, settings, parts)


REFUSED = {
    **{name: (*each, UnsupportedFileError) for name, each in UNKNOWN.items()},
    **{name: (*each, CorruptFileError) for name, each in UNSOUND.items()},
}


@pytest.mark.parametrize(
    ("case", "change", "what", "error"), REFUSED.values(), ids=REFUSED
)
def test_what_is_unknown_or_does_not_fit_is_refused(
    case: str, change: Change, what: str, error: type[AprhubError], tmp_path: Path
) -> None:
    path = changed(case, change, tmp_path)

    with pytest.raises(error) as caught:
        opened(path)

    assert what in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("index", [-1, 3])
def test_a_group_that_is_not_there_is_refused_when_it_is_read(
    index: int, tmp_path: Path
) -> None:
    groups = torch.arange(96, dtype=torch.int32) // 32
    groups[5] = index
    path = changed("gptq-4", part("g_idx", groups), tmp_path)

    weight = opened(path).tensors["layer.weight"]

    with pytest.raises(CorruptFileError, match=r"layer\.g_idx: has numbers from"):
        weight.numpy()


def test_a_model_without_any_packed_weight_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, {"quant_method": "awq"}, {"weight": torch.zeros(4, 4)})

    with pytest.raises(UnsupportedFileError, match="no tensor is packed in this way"):
        opened(path)


OPTIONAL = ("g_idx", "weight_format")


@pytest.mark.parametrize("case", CASES)
def test_no_part_can_be_missing_cut_or_of_another_type(
    case: str, tmp_path: Path
) -> None:
    settings, parts = recorded(case)
    expected = opened(written(tmp_path, settings, parts)).tensors["layer.weight"]
    accepted = []
    for name, kept in parts.items():
        rest = {other: each for other, each in parts.items() if other != name}
        cut = {name: kept[:-1].clone()} if kept.ndim else {}
        for what, other in (
            ("none", {}),
            ("cut", cut),
            ("type", {name: kept.double()}),
        ):
            path = written(tmp_path, settings, {**rest, **other})
            try:
                found = opened(path).tensors["layer.weight"]
            except AprhubError:
                continue
            if found.shape == expected.shape:
                accepted.append((name, what))

    assert {name for name, _ in accepted} <= set(OPTIONAL)
    assert all(what in ("none", "cut") for _, what in accepted)
