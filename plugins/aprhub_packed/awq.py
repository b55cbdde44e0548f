"""AWQ: 4-bit codes packed along the outputs, with a scale and a zero point per group.

    qweight  (inputs, outputs / 8)   words
    qzeros   (groups, outputs / 8)   words
    scales   (groups, outputs)       floats

A value is `scale * (code - zero)`. Nibble i of a word, from the lowest, belongs to
column `ORDER[i]` of eight. Source: `awq/modules/linear/gemm.py` of AutoAWQ.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from aprhub.api import Tensor
from aprhub_packed import awq_gemv
from aprhub_packed.parts import FLOATS, Parts
from aprhub_packed.settings import Settings
from aprhub_packed.turned import Span, Values, turned, window

PARTS: Final = ("qweight", "qzeros", "scales")
ORDER: Final = (0, 2, 4, 6, 1, 3, 5, 7)
_PER_WORD: Final = 8


def reader(settings: Settings) -> Callable[[Parts], Tensor]:
    """Return what makes a weight of its parts."""
    settings.choice("bits" if "bits" in settings.values else "w_bit", (4,), 4)
    version = settings.choice("version", ("gemm", "GEMM", "gemv", "GEMV"), "gemm")
    settings.choice("zero_point", (True,), default=True)
    group = settings.size(
        "group_size" if "group_size" in settings.values else "q_group_size"
    )
    if version.lower() == "gemv":
        return awq_gemv.reader(group)

    def weight(parts: Parts) -> Tensor:
        packing = _Packing.of(parts, group)
        name = f"awq 4-bit, group {packing.group}"
        values = turned(packing.outputs, packing.inputs, packing.band)
        return parts.weight(name, values)

    return weight


@frozen
class _Packing:
    """The checked parts of one weight."""

    parts: Parts
    inputs: int
    outputs: int
    group: int

    @classmethod
    def of(cls, parts: Parts, group: int | None) -> "_Packing":
        """Return a packing of parts that fit together."""
        inputs, words = parts.take("qweight", ("i32",)).shape
        group = group or inputs
        if inputs % group:
            what = f"has {inputs} rows, expected a multiple of the group size {group}"
            raise parts.fault("qweight", what)
        parts.shaped("qzeros", ("i32",), (inputs // group, words))
        parts.shaped("scales", FLOATS, (inputs // group, words * _PER_WORD))
        return cls(parts, inputs, words * _PER_WORD, group)

    def band(self, inputs: Span, outputs: Span) -> Values:
        """Return some values, all exact: codes and zero points are small numbers."""
        groups = np.arange(*inputs) // self.group
        span = int(groups[0]), int(groups[-1]) + 1
        values = self._codes("qweight", inputs, outputs).astype(np.float32)
        values -= self._codes("qzeros", span, outputs)[groups - span[0]]
        scales = window(self.parts.tensors["scales"], span, outputs)
        values *= scales.astype(np.float32)[groups - span[0]]
        return values

    def _codes(self, name: str, rows: Span, outputs: Span) -> NDArray[np.uint8]:
        low, high = outputs[0] // _PER_WORD, -(-outputs[1] // _PER_WORD)
        words = window(self.parts.tensors[name], rows, (low, high)).view("<u4")
        codes = np.empty((*words.shape, _PER_WORD), np.uint8)
        for nibble, column in enumerate(ORDER):
            codes[..., column] = words >> np.uint32(4 * nibble) & np.uint32(15)
        start = low * _PER_WORD
        flat = codes.reshape(len(words), -1)
        return flat[:, outputs[0] - start : outputs[1] - start]
