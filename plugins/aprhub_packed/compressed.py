"""compressed-tensors: integers or floats with scales, plain or packed into words.

    weight, or weight_packed   (rows, columns) i8 or f8, or (rows, words of codes) i32
    weight_scale               one, or one for each row, group of a row, or block
    weight_zero_point          the same as i8, or as words packed along the rows
    weight_g_idx               (columns,): the group of each column, where stored
    weight_shape               (2,): the rows and columns of what is packed

A value is `scale * (code - zero)`; packed numbers are stored plus half of their range.
The parts of a weight say which kind it is of. Source: `compressors/` of the
compressed-tensors package.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from attrs import evolve, field, frozen
from numpy.typing import NDArray

from aprhub.api import Tensor
from aprhub_packed import fp4
from aprhub_packed.bits import period, unpacked, word_count
from aprhub_packed.grid import Block, Grid, Rows, Scaled, stored_grid, stored_rows
from aprhub_packed.parts import FLOATS, Parts
from aprhub_packed.settings import Settings

PARTS: Final = (
    "weight",
    "weight_packed",
    "weight_scale",
    "weight_zero_point",
    "weight_g_idx",
    "weight_shape",
    "weight_global_scale",
)
SPARE: Final = (
    *("input_scale", "input_zero_point", "input_global_scale"),
    *("output_scale", "output_zero_point"),
    *("q_scale", "k_scale", "v_scale"),
)
FORMATS: Final = (
    *("pack-quantized", "int-quantized", "float-quantized", "naive-quantized"),
    *("nvfp4-pack-quantized", "mxfp4-pack-quantized", "mixed-precision"),
)
BITS: Final = (2, 4, 8)
"""Widths of which the package has never changed the packing."""

_NUMBERS: Final = ("i8", "i32", "i64")
_PLAIN: Final = {"i8": "int8", "f8_e4m3": "fp8 e4m3", "f8_e5m2": "fp8 e5m2"}


def reader(settings: Settings) -> Callable[[Parts], Tensor]:
    """Return what makes a weight of its parts."""
    settings.choice("format", FORMATS, FORMATS[0])
    settings.choice("quantization_status", ("compressed", "frozen"), "compressed")
    sparsity = settings.section("sparsity_config")
    if sparsity:
        sparsity.choice("format", ("dense",), "dense")
    if settings.values.get("transform_config"):
        raise settings.unsupported("transform_config", "take a checkpoint without")
    schemes = [
        _Scheme.of(weights)
        for group in settings.sections("config_groups")
        if (weights := group.section("weights"))
    ]

    def weight(parts: Parts) -> Tensor:
        return _Compressed(parts, schemes).weight()

    return weight


@frozen
class _Scheme:
    """How the weights of some modules may be quantised."""

    bits: int
    block: Block | None
    needs: frozenset[str]

    @classmethod
    def of(cls, weights: Settings) -> "_Scheme":
        """Return what the settings of a group of modules say."""
        kind = weights.choice("type", ("int", "float"), "int")
        width = weights.size("group_size")
        block = weights.sizes("block_structure") or (width and (1, width))
        needs = set()
        if kind == "int" and not weights.choice("symmetric", (True, False), True):
            needs.add("weight_zero_point")
        if weights.values.get("actorder") == "group":
            needs.add("weight_g_idx")
        return cls(weights.size("num_bits") or 8, block or None, frozenset(needs))


@frozen
class _Compressed:
    """The parts of one weight, and the schemes of which one is its own."""

    parts: Parts
    schemes: Sequence[_Scheme] = field(repr=False)

    def weight(self) -> Tensor:
        """Return the weight, by the kind that its parts show."""
        needs = [scheme.needs for scheme in self.schemes]
        for name in frozenset.intersection(*needs) if needs else ():
            self.parts.take(name, _NUMBERS, ranks=(0, 1, 2))
        packed = self.parts.tensors.get("weight_packed")
        if packed is None:
            return self._plain()
        if packed.encoding.name == "u8":
            return fp4.weight(self.parts)
        return self._words()

    def _plain(self) -> Tensor:
        codes = self.parts.take("weight", tuple(_PLAIN))
        shape = (codes.shape[0], codes.shape[1])
        name = _PLAIN[codes.encoding.name]
        return self._scaled(name, shape, stored_rows(codes), self._plain_zeros)

    def _words(self) -> Tensor:
        words = self.parts.take("weight_packed", ("i32",))
        stated = self.parts.shaped("weight_shape", ("i64", "i32"), (2,)).numpy()
        shape = (int(stated[0]), int(stated[1]))
        fitting = {
            scheme.bits
            for scheme in self.schemes
            if words.shape == (shape[0], word_count(shape[1], scheme.bits))
        }
        if len(fitting) != 1:
            known = ", ".join(str(scheme.bits) for scheme in self.schemes) or "none"
            what = (
                f"has shape {words.shape} for {shape} codes, expected that of one of"
                f" the num_bits in config_groups: {known}"
            )
            raise self.parts.fault("weight_packed", what)
        bits = fitting.pop()
        if bits not in BITS:
            listed = ", ".join(map(str, BITS))
            what = f"has codes of {bits} bits; take a checkpoint with one of {listed}"
            raise self.parts.unsupported("weight_packed", what)

        def codes(first: int, stop: int) -> NDArray[np.float32]:
            rows = words.sliced(first, stop).numpy().view("<u4")
            return _centred(unpacked(rows.T, bits).T[:, : shape[1]], bits)

        def zeros(scales: Grid) -> Grid | None:
            return self._packed_zeros(scales, bits)

        return self._scaled(f"int{bits}", shape, codes, zeros)

    def _scaled(
        self,
        name: str,
        shape: tuple[int, int],
        codes: Rows,
        zeros: Callable[[Grid], Grid | None],
    ) -> Tensor:
        parts = self.parts
        parts.take("weight_scale", FLOATS, ranks=(0, 1, 2))
        scales = stored_grid(parts, "weight_scale", shape, *self._blocks(shape))
        if "weight_g_idx" in parts:
            parts.shaped("weight_g_idx", ("i32", "i64"), shape[1:])
            count = scales.size[1]
            scales = evolve(scales, groups=lambda: parts.index("weight_g_idx", count))
        named = f"compressed-tensors {name}, {scales}"
        return parts.weight(named, Scaled(codes, scales, zeros(scales)).values())

    def _blocks(self, shape: tuple[int, int]) -> list[Block]:
        """Return the sizes of blocks that the schemes have; groups must be whole."""
        blocks = [scheme.block for scheme in self.schemes if scheme.block]
        return [each for each in blocks if each[0] > 1 or not shape[1] % each[1]]

    def _plain_zeros(self, scales: Grid) -> Grid | None:
        if "weight_zero_point" not in self.parts:
            return None
        self.parts.take("weight_zero_point", tuple(_PLAIN), ranks=(0, 1, 2))
        zeros = stored_grid(self.parts, "weight_zero_point", scales.shape, scales.block)
        return evolve(zeros, groups=scales.groups)

    def _packed_zeros(self, scales: Grid, bits: int) -> Grid | None:
        stored = self.parts.tensors.get("weight_zero_point")
        if stored is None or stored.encoding.name != "i32":
            return self._plain_zeros(scales)
        rows, columns = scales.size
        size = (word_count(rows, bits), columns)
        words = self.parts.shaped("weight_zero_point", ("i32",), size)
        height, codes = period(bits)

        def numbers(first: int, stop: int) -> NDArray[np.float32]:
            low, high = first // codes, -(-stop // codes)
            found = words.sliced(low * height, high * height).numpy().view("<u4")
            unpadded = unpacked(found, bits)[first - low * codes : stop - low * codes]
            return _centred(unpadded, bits)

        return evolve(scales, numbers=numbers)


def _centred(codes: NDArray[np.uint8], bits: int) -> NDArray[np.float32]:
    """Return packed codes as the signed numbers that they stand for."""
    return codes.astype(np.float32) - np.float32(1 << (bits - 1))
