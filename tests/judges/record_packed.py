"""Records weights that the programs of each packing packed, and what they mean there.

`python -m tests.judges.record_packed` writes `tests/plugins/packed/recorded/`: a file
of safetensors for each case, with the parts of one weight, the configuration that says
how they are packed, and the values that the same program computes from them. It needs
`bitsandbytes` 0.50.2 and `compressed-tensors` 0.20.0; of `auto-gptq` and `autoawq` it
takes the modules that pack, without what they load besides.
"""

import importlib
import itertools
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import torch
from attrs import frozen
from safetensors.torch import save_file

from tests.judges.archives import Archive, unpack

FOLDER: Final = Path(__file__).parents[1] / "plugins/packed/recorded"
ROWS, COLUMNS, GROUP = 64, 96, 32

_GPTQ: Final = Archive(
    "wheel",
    "auto-gptq",
    "0.7.1",
    "a372d81d523b8d2f98639bbca63c0c427cab0ed55b8a57bb96706b0942aa01c9",
)
_AWQ: Final = Archive(
    "wheel",
    "autoawq",
    "0.2.7.post3",
    "02e09d71ca961ca131ac9963a2635fe8c34eb52d6b6a104b8574056aef8f2efe",
)

Tensors = dict[str, torch.Tensor]


@frozen
class Case:
    """The parts of a weight, the settings of a model of such, and the values."""

    name: str
    tool: str
    settings: dict[str, Any]
    parts: Tensors
    expected: torch.Tensor


def main() -> None:
    """Write all cases."""
    FOLDER.mkdir(exist_ok=True)
    torch.manual_seed(7)
    with tempfile.TemporaryDirectory() as name:
        _fetch(Path(name))
        for case in itertools.chain(
            *(_gptq(), _awq(), _compressed(), _bitsandbytes(), _fp8(), _mxfp4())
        ):
            _save(case)


def _fetch(folder: Path) -> None:
    """Make modules of the two packages importable, but not what their packages load."""
    unpack(_GPTQ.fetch(folder), ("auto_gptq/nn_modules/qlinear/*.py",), 0, folder)
    unpack(_AWQ.fetch(folder), ("awq/modules/linear/gem*.py", "awq/utils/*"), 0, folder)
    for path in ("auto_gptq/nn_modules/qlinear", "awq/modules/linear", "awq/utils"):
        parts = Path(path).parts
        for depth in range(1, len(parts) + 1):
            package = ModuleType(".".join(parts[:depth]))
            package.__path__ = [str(folder.joinpath(*parts[:depth]))]
            sys.modules.setdefault(package.__name__, package)
    machine = ModuleType("awq.utils.utils")
    machine.__dict__["get_best_device"] = lambda: "cpu"
    sys.modules[machine.__name__] = machine


def _save(case: Case) -> None:
    dtype = str(case.expected.dtype).removeprefix("torch.")
    config = {"torch_dtype": dtype, "quantization_config": case.settings}
    tensors = {f"layer.{name}": part for name, part in case.parts.items()}
    metadata = {"aprhub.config.json": json.dumps(config), "tool": case.tool}
    tensors["expected"] = case.expected
    contiguous = {name: each.contiguous() for name, each in tensors.items()}
    save_file(contiguous, FOLDER / f"{case.name}.safetensors", metadata)


def _weights(dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return (torch.randn(ROWS, COLUMNS) * 0.05).to(dtype)


def _linear() -> torch.nn.Linear:
    linear = torch.nn.Linear(COLUMNS, ROWS, bias=False)
    linear.weight.data = _weights()
    return linear


def _asymmetric(weight: torch.Tensor, bits: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return scales and zero points of groups of a row, (rows, groups).

    No zero point is 0, which the tools disagree about.
    """
    grouped = weight.reshape(len(weight), -1, GROUP)
    low, high = grouped.amin(2).clamp(max=0), grouped.amax(2).clamp(min=0)
    scale = ((high - low) / (2**bits - 1)).half().float()
    return scale, (-low / scale).round().clamp(1, 2**bits - 1)


def _gptq() -> Iterator[Case]:
    module = importlib.import_module("auto_gptq.nn_modules.qlinear.qlinear_cuda")
    for bits, ordered in itertools.product((2, 3, 4, 8), (False, True)):
        linear = _linear()
        scale, zero = _asymmetric(linear.weight.data, bits)
        groups = torch.arange(COLUMNS, dtype=torch.int32) // GROUP
        if ordered:
            groups = groups[torch.randperm(COLUMNS)]
        layer = module.QuantLinear(bits, GROUP, COLUMNS, ROWS, bias=False)
        layer.pack(linear.half(), scale, zero, groups)
        settings = {
            "quant_method": "gptq",
            "bits": bits,
            "group_size": GROUP,
            "desc_act": ordered,
            "sym": False,
        }
        name = f"gptq-{bits}" + "-act-order" * ordered
        values = layer(torch.eye(COLUMNS, dtype=torch.float16)).T
        parts = dict(layer.state_dict())
        yield Case(name, "auto-gptq 0.7.1", settings, parts, values)


def _awq() -> Iterator[Case]:
    gemm = importlib.import_module("awq.modules.linear.gemm")
    packing = importlib.import_module("awq.utils.packing_utils")
    linear = _linear()
    scale, zero = (each.T.contiguous() for each in _asymmetric(linear.weight.data, 4))
    layer = gemm.WQLinear_GEMM.from_linear(
        linear, 4, GROUP, init_only=False, scales=scale, zeros=zero
    )
    parts = dict(layer.state_dict())
    values = packing.dequantize_gemm(
        parts["qweight"], parts["qzeros"], parts["scales"], 4, GROUP
    ).T
    settings = {
        "quant_method": "awq",
        "bits": 4,
        "group_size": GROUP,
        "version": "gemm",
        "zero_point": True,
    }
    yield Case("awq-gemm", "autoawq 0.2.7.post3", settings, parts, values)
    gemv = importlib.import_module("awq.modules.linear.gemv")
    scale, zero = scale.T.contiguous(), zero.T.contiguous()
    other = gemv.WQLinear_GEMV.from_linear(linear, 4, GROUP, scales=scale, zeros=zero)
    # What it computes, it computes on a GPU: the same weight in other words.
    settings = {**settings, "version": "gemv"}
    parts = dict(other.state_dict())
    yield Case("awq-gemv", "autoawq 0.2.7.post3", settings, parts, values)


def _mxfp4() -> Iterator[Case]:
    module = importlib.import_module("transformers.integrations.mxfp4")
    parts = {
        "weight_blocks": torch.randint(0, 256, (ROWS, 6, 2, 16), dtype=torch.uint8),
        "weight_scales": torch.randint(110, 140, (ROWS, 6, 2), dtype=torch.uint8),
    }
    values = module.convert_moe_packed_tensors(*parts.values())
    settings = {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}
    yield Case("mxfp4-experts", "transformers 5.23.0", settings, parts, values)


_COMPRESSED: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "int4-group": ("pack-quantized", {"num_bits": 4, "group_size": GROUP}),
    "int4-zeros": (
        "pack-quantized",
        {"num_bits": 4, "group_size": GROUP, "symmetric": False},
    ),
    "int8-packed": ("pack-quantized", {"num_bits": 8, "strategy": "channel"}),
    "int8": ("int-quantized", {"num_bits": 8, "strategy": "channel"}),
    "int8-zeros": (
        "int-quantized",
        {"num_bits": 8, "strategy": "channel", "symmetric": False},
    ),
    "fp8-channel": (
        "float-quantized",
        {"num_bits": 8, "type": "float", "strategy": "channel"},
    ),
    "fp8-tensor": (
        "float-quantized",
        {"num_bits": 8, "type": "float", "strategy": "tensor"},
    ),
    "fp8-block": (
        "float-quantized",
        {
            "num_bits": 8,
            "type": "float",
            "strategy": "block",
            "block_structure": [32, 48],
        },
    ),
    "nvfp4": (
        "nvfp4-pack-quantized",
        {
            "num_bits": 4,
            "type": "float",
            "strategy": "tensor_group",
            "group_size": 16,
            "scale_dtype": "torch.float8_e4m3fn",
        },
    ),
    "mxfp4": (
        "mxfp4-pack-quantized",
        {
            "num_bits": 4,
            "type": "float",
            "strategy": "group",
            "group_size": 32,
            "scale_dtype": "torch.uint8",
        },
    ),
}


def _compressed() -> Iterator[Case]:
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme

    for name, (form, weights) in _COMPRESSED.items():
        args = QuantizationArgs(**weights)
        scheme = QuantizationScheme(targets=["Linear"], weights=args)
        compressor = BaseCompressor.get_value_from_registry(form)
        state = {"weight": _weights(torch.bfloat16), **_qparams(args)}
        parts = compressor.compress(state, scheme)
        values = compressor.decompress(parts, scheme)["weight"].bfloat16()
        group = {"targets": ["Linear"], "weights": json.loads(args.model_dump_json())}
        settings = {
            "quant_method": "compressed-tensors",
            "format": form,
            "quantization_status": "compressed",
            "config_groups": {"group_0": group},
            "ignore": ["lm_head"],
        }
        tool = "compressed-tensors 0.20.0"
        yield Case(f"compressed-{name}", tool, settings, dict(parts), values)


def _qparams(args: Any) -> Tensors:
    """Return scales and zero points that suit weights of the usual size."""
    group = args.group_size or COLUMNS
    shape = {
        "tensor": (1,),
        "channel": (ROWS, 1),
        "block": (ROWS // 32, COLUMNS // 48),
    }.get(args.strategy, (ROWS, COLUMNS // group))
    steps = {"int": 2 ** (args.num_bits - 1), "float": 448 if args.num_bits == 8 else 6}
    scale = (0.1 + 0.1 * torch.rand(shape)) / steps[args.type]
    params = {"weight_scale": scale.bfloat16()}
    if not args.symmetric:
        half = 2 ** (args.num_bits - 2)
        params["weight_zero_point"] = torch.randint(-half, half, shape).to(torch.int8)
    if args.strategy == "tensor_group":
        params["weight_global_scale"] = torch.tensor([6.0 * 448 / 0.2])
        params["weight_scale"] = scale * params["weight_global_scale"]
    return params


def _bitsandbytes() -> Iterator[Case]:
    import bitsandbytes
    from bitsandbytes.backends.default.ops import _dequantize_4bit_compute
    from bitsandbytes.functional import dequantize_blockwise, int8_vectorwise_dequant

    settings = {"quant_method": "bitsandbytes", "load_in_8bit": True}
    codes, largest, _ = bitsandbytes.functional.int8_vectorwise_quant(
        _weights(torch.float16)
    )
    parts = {
        "weight": codes,
        "SCB": largest,
        "weight_format": torch.tensor(0, dtype=torch.uint8),
    }
    values = int8_vectorwise_dequant(codes, largest)
    tool = "bitsandbytes 0.50.2"
    yield Case("bitsandbytes-int8", tool, settings, parts, values)
    for kind, nested in itertools.product(("nf4", "fp4"), (False, True)):
        settings = {
            "quant_method": "bitsandbytes",
            "load_in_4bit": True,
            "bnb_4bit_quant_type": kind,
            "bnb_4bit_use_double_quant": nested,
        }
        codes, state = bitsandbytes.functional.quantize_4bit(
            _weights(torch.bfloat16),
            blocksize=64,
            quant_type=kind,
            compress_statistics=nested,
        )
        packed = state.as_dict(packed=True)
        parts = {"weight": codes, **{f"weight.{key}": packed[key] for key in packed}}
        absmax = state.absmax
        if nested:
            absmax = dequantize_blockwise(absmax, state.state2) + state.offset
        # The kernel for CPUs is wrong where blocks do not end with rows.
        values = _dequantize_4bit_compute(
            codes.reshape(-1), absmax, state.code, 64, state.shape, torch.bfloat16
        )
        name = f"bitsandbytes-{kind}" + "-nested" * nested
        yield Case(name, tool, settings, parts, values)


def _fp8() -> Iterator[Case]:
    from transformers.integrations.finegrained_fp8 import Fp8Dequantize

    for name, block in {"block": (32, 48), "tensor": None}.items():
        height, width = block or (ROWS, COLUMNS)
        grid = (ROWS // height, COLUMNS // width) if block else ()
        weight = (torch.randn(ROWS, COLUMNS) * 100).to(torch.float8_e4m3fn)
        scale = 0.001 * (1 + torch.rand(grid))
        values = Fp8Dequantize(None)._dequantize_one(weight, scale, torch.bfloat16)
        settings = {
            "quant_method": "fp8",
            "activation_scheme": "dynamic",
            "weight_block_size": list(block) if block else None,
        }
        parts = {"weight": weight, "weight_scale_inv": scale}
        yield Case(f"fp8-{name}", "transformers 5.23.0", settings, parts, values)


if __name__ == "__main__":
    main()
