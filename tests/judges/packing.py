"""Packs the weights of an HF folder, as the descriptions of each packing say.

What a packed weight means is computed on the way, from its codes before they are
packed. Nothing here is how aprhub reads them: codes become bits one by one.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import ml_dtypes
import numpy as np
import torch
from attrs import frozen
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

Array = NDArray[Any]
Parts = dict[str, Array]

GROUP: Final = 16
_AWQ_ORDER: Final = (0, 2, 4, 6, 1, 3, 5, 7)


@frozen
class Packer:
    """A packing: its settings, and what makes parts and values of a weight."""

    settings: Mapping[str, Any]
    pack: Callable[[Array], tuple[Parts, Array]]


@frozen
class Quantised:
    """Codes with a scale and a zero point for each group of inputs, (rows, groups)."""

    codes: Array
    scales: Array
    zeros: Array
    index: Array

    @classmethod
    def of(cls, weight: Array, bits: int, *, shuffled: bool = False) -> "Quantised":
        """Return a weight quantised in groups of inputs, which may be shuffled."""
        index = np.arange(weight.shape[1]) // GROUP
        if shuffled:
            index = np.random.default_rng(3).permutation(index)
        groups = [weight[:, index == group] for group in range(index.max() + 1)]
        low = np.stack([group.min(1) for group in groups], 1)
        high = np.stack([group.max(1) for group in groups], 1)
        most = 2**bits - 1
        scales = ((high - low) / most).astype(np.float16).astype(np.float32)
        zeros = np.clip(np.rint(-low / scales), 0, most)
        codes = np.rint(weight / scales[:, index]) + zeros[:, index]
        return cls(np.clip(codes, 0, most), scales, zeros, index)

    @property
    def values(self) -> Array:
        """What the codes mean."""
        scales, zeros = self.scales[:, self.index], self.zeros[:, self.index]
        values: Array = scales * (self.codes - zeros)
        return values.astype(np.float32)


def words(codes: Array, bits: int) -> Array:
    """Return codes packed along the last dimension into words, lowest bits first."""
    single = np.unpackbits(
        codes.astype(np.uint8)[..., None], axis=-1, bitorder="little"
    )
    stream = single[..., :bits].reshape(*codes.shape[:-1], -1)
    stream = np.pad(stream, ((0, 0), (0, -stream.shape[-1] % 32)))
    return np.packbits(stream, axis=-1, bitorder="little").view(np.int32)


def _gptq(form: str, bits: int) -> Packer:
    def pack(weight: Array) -> tuple[Parts, Array]:
        found = Quantised.of(weight, bits, shuffled=True)
        zeros = words(found.zeros.T, bits).view(np.uint32)
        if form == "gptq":
            zeros = zeros - words(np.ones((1, 32 // bits)), bits).view(np.uint32)
        parts = {
            "qweight": words(found.codes, bits).T,
            "qzeros": zeros.view(np.int32),
            "scales": found.scales.T.astype(np.float16),
            "g_idx": found.index.astype(np.int32),
        }
        return parts, found.values

    settings = {"bits": bits, "group_size": GROUP, "desc_act": True}
    return Packer({"quant_method": "gptq", "checkpoint_format": form, **settings}, pack)


def _awq(weight: Array) -> tuple[Parts, Array]:
    found = Quantised.of(weight, 4)

    def packed(codes: Array) -> Array:
        eights = codes.T.reshape(codes.shape[1], -1, 8)[..., _AWQ_ORDER]
        return words(eights.reshape(codes.shape[1], -1), 4)

    parts = {
        "qweight": packed(found.codes),
        "qzeros": packed(found.zeros),
        "scales": found.scales.T.astype(np.float16),
    }
    return parts, found.values


def _compressed_words(weight: Array) -> tuple[Parts, Array]:
    found = Quantised.of(weight, 4)
    parts = {
        "weight_packed": words(found.codes, 4),
        "weight_scale": found.scales,
        "weight_zero_point": words(found.zeros.T, 4).T,
        "weight_shape": np.array(weight.shape),
    }
    return parts, found.values


def _compressed_rows(weight: Array) -> tuple[Parts, Array]:
    scale = np.abs(weight).max(1, keepdims=True) / np.float32(127)
    codes = np.rint(weight / scale)
    parts = {"weight": codes.astype(np.int8), "weight_scale": scale}
    return parts, (codes * scale).astype(np.float32)


def _fp8(weight: Array) -> tuple[Parts, Array]:
    rows, columns = weight.shape
    scale = np.ones((-(-rows // 32), -(-columns // 48)), np.float32)
    scale *= 0.01 * (1 + np.arange(scale.size).reshape(scale.shape))
    spread = np.kron(scale, np.ones((32, 48), np.float32))[:rows, :columns]
    codes = (weight / spread).clip(-448, 448).astype(ml_dtypes.float8_e4m3fn)
    parts = {"weight": codes, "weight_scale_inv": scale}
    return parts, codes.astype(np.float32) * spread


def _int8(weight: Array) -> tuple[Parts, Array]:
    largest = np.abs(weight).max(1)
    codes = np.rint(weight / largest[:, None] * 127)
    parts = {
        "weight": codes.astype(np.int8),
        "SCB": largest,
        "weight_format": np.array(0, np.uint8),
    }
    values = codes.astype(np.float32) * largest[:, None]
    return parts, values * np.float32(1 / 127)


def _nf4(weight: Array) -> tuple[Parts, Array]:
    table = np.sort(np.random.default_rng(4).uniform(-1, 1, 16)).astype(np.float32)
    flat = weight.reshape(-1, 64)
    nested = np.linspace(0.01, 1, 256, dtype=np.float32)
    above = np.full(-(-len(flat) // 256), 4, np.float32)
    scales = np.abs(nested - (np.abs(flat).max(1)[:, None] - 0.5) / 4).argmin(1)
    largest = nested[scales] * np.float32(4) + np.float32(0.5)
    codes = np.abs(flat[..., None] / largest[:, None, None] - table).argmin(-1)
    halves = codes.reshape(-1, 2)
    state = {
        "shape": weight.shape,
        "blocksize": 64,
        "quant_type": "nf4",
        "dtype": "float32",
        "nested_blocksize": 256,
        "nested_offset": 0.5,
    }
    parts = {
        "weight": (halves[:, :1] << 4 | halves[:, 1:]).astype(np.uint8),
        "weight.absmax": scales.astype(np.uint8),
        "weight.quant_map": table,
        "weight.nested_absmax": above,
        "weight.nested_quant_map": nested,
        "weight.quant_state.bitsandbytes__nf4": np.frombuffer(
            json.dumps(state).encode(), np.uint8
        ),
    }
    return parts, (table[codes] * largest[:, None]).reshape(weight.shape)


def _compressed(form: str, weights: Mapping[str, Any]) -> dict[str, Any]:
    groups = {"group_0": {"targets": ["Linear"], "weights": weights}}
    return {
        "quant_method": "compressed-tensors",
        "format": form,
        "config_groups": groups,
        "ignore": ["lm_head"],
    }


PACKERS: Final[Mapping[str, Packer]] = {
    "gptq": _gptq("gptq", 4),
    "gptq_v2": _gptq("gptq_v2", 8),
    "awq": Packer({"quant_method": "awq", "bits": 4, "group_size": GROUP}, _awq),
    "compressed-tensors": Packer(
        _compressed("pack-quantized", {"num_bits": 4, "group_size": GROUP}),
        _compressed_words,
    ),
    "int-quantized": Packer(
        _compressed("int-quantized", {"num_bits": 8, "strategy": "channel"}),
        _compressed_rows,
    ),
    "fp8": Packer({"quant_method": "fp8", "weight_block_size": [32, 48]}, _fp8),
    "bitsandbytes-int8": Packer({"quant_method": "bitsandbytes"}, _int8),
    "bitsandbytes-nf4": Packer({"quant_method": "bitsandbytes"}, _nf4),
}


def pack(source: Path, name: str, packed: Path, plain: Path) -> None:
    """Write a folder with all projections packed, and one with what they mean."""
    packer = PACKERS[name]
    for folder in (packed, plain):
        shutil.copytree(source, folder)
    path = packed / "config.json"
    config = {**json.loads(path.read_text()), "quantization_config": packer.settings}
    path.write_text(json.dumps(config))
    tensors = load_file(source / "model.safetensors")
    parts: dict[str, torch.Tensor] = {}
    for each, tensor in tensors.items():
        if not each.endswith("_proj.weight"):
            parts[each] = tensor
            continue
        found, values = packer.pack(tensor.float().numpy())
        tensors[each] = torch.from_numpy(values)
        module = each.removesuffix("weight")
        parts.update({module + part: _tensor(array) for part, array in found.items()})
    save_file(parts, packed / "model.safetensors", metadata={"format": "pt"})
    save_file(tensors, plain / "model.safetensors", metadata={"format": "pt"})


def _tensor(array: Array) -> torch.Tensor:
    if array.dtype == ml_dtypes.float8_e4m3fn:
        return torch.from_numpy(array.view(np.uint8)).view(torch.float8_e4m3fn)
    return torch.from_numpy(np.array(array, order="C"))
