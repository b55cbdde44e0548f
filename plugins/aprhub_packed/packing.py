"""Weights as the schemes of compressed-tensors store them.

The scales are those of its observers: the largest absolute value of a group over half
of the range of the codes, rounded to the float type of the model; codes are then of the
rounded scale. Source: `calculate_qparams` in `quantization/utils/helpers.py` and the
presets in `quantization/quant_scheme.py` of the compressed-tensors package.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import ml_dtypes
import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from aprhub.api import (
    ENCODINGS,
    Encoding,
    PackingClaim,
    Tensor,
    UnrepresentableError,
    computed_part,
)
from aprhub_packed import compressed
from aprhub_packed.parts import FLOATS, Parts
from aprhub_packed.settings import Settings

METHOD: Final = "compressed-tensors"
_SMALLEST: Final = {"f32": 2.0**-23, "f16": 2.0**-10, "bf16": 2.0**-7}
"""The scale of a group of zeros: the epsilon of each type, as the package has it."""

HEAD: Final = "lm_head"
"""Left as it is; a tied one is there as a module, without a tensor of its own."""

Values = NDArray[np.float32]


@frozen
class _Scheme:
    """A preset: codes of so many bits, and a scale for each group of a row.

    Without `group`, each row has one scale. With `dynamic`, activations are quantised
    in the same way when the model runs, token by token.
    """

    bits: int
    format: str
    group: int | None = None
    kind: str = "int"
    dynamic: bool = False

    @property
    def half_range(self) -> float:
        """Half of the distance between the smallest and the largest code."""
        return 448.0 if self.kind == "float" else (2**self.bits - 1) / 2

    def settings(self, kept: Sequence[str]) -> dict[str, Any]:
        """Return the section of a `config.json`; modules in `kept` are not packed."""
        weights = self._arguments(
            "group" if self.group else "channel", self.group, dynamic=False
        )
        inputs = self._arguments("token", None, dynamic=True) if self.dynamic else None
        group = {
            "targets": ["Linear"],
            "weights": weights,
            "input_activations": inputs,
            "output_activations": None,
            "format": self.format,
        }
        return {
            "quant_method": METHOD,
            "format": self.format,
            "quantization_status": "compressed",
            "config_groups": {"group_0": group},
            "ignore": sorted({HEAD, *kept}),
            "kv_cache_scheme": None,
        }

    def _arguments(
        self, strategy: str, group: int | None, *, dynamic: bool
    ) -> dict[str, Any]:
        return {
            "num_bits": self.bits,
            "type": self.kind,
            "symmetric": True,
            "strategy": strategy,
            "group_size": group,
            "dynamic": dynamic,
        }


_SCHEMES: Final[Mapping[str, _Scheme]] = {
    "w4a16": _Scheme(4, "pack-quantized", group=128),
    "w8a16": _Scheme(8, "pack-quantized", group=128),
    "w8a8": _Scheme(8, "int-quantized", dynamic=True),
    "fp8_dynamic": _Scheme(8, "float-quantized", kind="float", dynamic=True),
}


def claim(scheme: str, kept: Sequence[str]) -> PackingClaim:
    """Return what a model says whose weights are packed by a scheme, but for some."""
    modules = [name.removesuffix(".weight") for name in kept]
    return PackingClaim(METHOD, _SCHEMES[scheme].settings(modules))


def pack(name: str, weight: Tensor) -> Tensor:
    """Return a weight as the parts that a scheme makes of it.

    Raises UnrepresentableError for what is no matrix of whole groups.
    """
    scheme = _SCHEMES[name]
    if len(weight.shape) != 2:
        raise UnrepresentableError(
            name,
            f"is for matrices, not for shape {weight.shape}; give this weight another"
            " encoding with --tensor-type",
        )
    if scheme.group and weight.shape[1] % scheme.group:
        whole = ", ".join(each for each, it in _SCHEMES.items() if not it.group)
        what = f"groups of {scheme.group} do not divide rows of {weight.shape[1]}"
        raise UnrepresentableError(name, f"{what}; choose one of {whole}")
    native = weight.encoding if weight.encoding.name in FLOATS else ENCODINGS["f32"]
    packing = _Packing(scheme, native)
    parts = Parts(Path(name), "", packing.parts(weight), native)
    settings = Settings(Path(name), "", scheme.settings(()))
    return compressed.reader(settings)(parts)


@frozen
class _Packing:
    """The arithmetic of a scheme, for scales of the model's own float type."""

    scheme: _Scheme
    native: Encoding

    def parts(self, weight: Tensor) -> dict[str, Tensor]:
        rows, columns = weight.shape
        groups = columns // (self.scheme.group or columns)
        scales = computed_part(weight, groups, self.native, self.scales)
        kept = {"weight_scale": scales}
        if self.scheme.format != "pack-quantized":
            name, compute = _CODES[self.scheme.kind]
            codes = ENCODINGS[name]
            part = computed_part(weight, columns, codes, self._codes(compute))
            return {"weight": part, **kept}
        words = columns * self.scheme.bits // 32
        part = computed_part(weight, words, ENCODINGS["i32"], self._codes(self.words))
        shape = Tensor.of(np.array([rows, columns], np.int64))
        return {"weight_packed": part, **kept, "weight_shape": shape}

    def scales(self, values: Values) -> NDArray[Any]:
        """Return a scale for each group of some rows; a group of zeros has one, too."""
        dtype = np.dtype(self.native.dtype)
        largest = np.abs(self._grouped(values)).max(axis=2)
        scales = (largest / np.float32(self.scheme.half_range)).astype(dtype)
        return np.where(scales == 0, _SMALLEST[self.native.name], scales).astype(dtype)

    def words(self, codes: Values) -> NDArray[Any]:
        """Return codes plus half their range in words, the first in the lowest bits."""
        whole = (codes + np.float32(2 ** (self.scheme.bits - 1))).astype(np.uint8)
        if self.scheme.bits == 4:
            whole = np.bitwise_or(whole[:, ::2], np.left_shift(whole[:, 1::2], 4))
        return np.ascontiguousarray(whole).view("<i4")

    def _codes(
        self, compute: Callable[[Values], NDArray[Any]]
    ) -> Callable[[Values], NDArray[Any]]:
        """Return what makes numbers within the range of the codes, and stores them."""
        floats, half = self.scheme.kind == "float", self.scheme.half_range
        low, high = (-half, half) if floats else (-half - 0.5, half - 0.5)

        def codes(values: Values) -> NDArray[Any]:
            scales = self.scales(values).astype(np.float32)[:, :, None]
            scaled = (self._grouped(values) / scales).reshape(values.shape)
            whole = scaled if floats else np.rint(scaled)
            return compute(whole.clip(low, high))

        return codes

    def _grouped(self, values: Values) -> Values:
        rows, columns = values.shape
        return values.reshape(rows, -1, self.scheme.group or columns)


_CODES: Final[Mapping[str, tuple[str, Callable[[Values], NDArray[Any]]]]] = {
    "int": ("i8", lambda codes: codes.astype(np.int8)),
    "float": ("f8_e4m3", lambda codes: codes.astype(ml_dtypes.float8_e4m3fn)),
}
