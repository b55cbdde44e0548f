"""GPTQ: codes packed along the inputs, with a scale and a zero point for each group.

    qweight  (inputs * bits / 32, outputs)   words
    qzeros   (groups, outputs * bits / 32)   words
    scales   (groups, outputs)               floats
    g_idx    (inputs,)                       the group of each input, where stored

A value is `scale * (code - zero)`. The format `gptq_v2` stores zero points as they are,
`gptq` less one: GPTQModel subtracts ones from whole words, so that a zero borrows from
the code above it. Source: `qlinear_cuda.py` of AutoGPTQ, and `utils/model.py`
(`convert_gptq_v1_to_v2_format`) of GPTQModel.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from aprhub.api import Tensor
from aprhub_packed.bits import period, unpacked, word_count
from aprhub_packed.parts import FLOATS, Parts
from aprhub_packed.settings import Settings
from aprhub_packed.turned import Span, Values, turned, window

PARTS: Final = ("qweight", "qzeros", "scales", "g_idx")
BITS: Final = (2, 3, 4, 8)
FORMATS: Final = ("gptq", "gptq_v2")


def reader(settings: Settings) -> Callable[[Parts], Tensor]:
    """Return what makes a weight of its parts."""
    bits = settings.choice("bits", BITS, 0)
    if not bits:
        listed = ", ".join(map(str, BITS))
        raise settings.unsupported("bits", f"take a checkpoint with one of {listed}")
    key = "checkpoint_format" if "checkpoint_format" in settings.values else "format"
    form = settings.choice(key, FORMATS, FORMATS[0])
    ordered = settings.choice("desc_act", (False, True), default=False)
    settings.choice("pack_dtype", ("int32",), "int32")
    if bits == 3 and form == FORMATS[0]:
        _refuse_swapped_words(settings)
    group = settings.size("group_size")

    def weight(parts: Parts) -> Tensor:
        if ordered and "g_idx" not in parts:
            raise parts.fault("g_idx", "missing, expected since desc_act is true")
        packing = _Packing.of(parts, bits, group, form)
        name = f"{form} {bits}-bit, group {group or packing.inputs}"
        values = turned(packing.outputs, packing.inputs, packing.band)
        return parts.weight(name, values)

    return weight


def _refuse_swapped_words(settings: Settings) -> None:
    """Refuse 3-bit zero points of a tool that subtracts other numbers than ones.

    The constants that GPTQModel takes from the first and the third word are swapped.
    """
    meta = settings.section("meta")
    if meta and "gptqmodel" in str(meta.values.get("quantizer")).lower():
        raise settings.unsupported(
            "meta", "take a checkpoint of 3 bits in the format gptq_v2"
        )


@frozen
class _Packing:
    """The checked parts of one weight."""

    parts: Parts
    bits: int
    offset: int
    inputs: int
    outputs: int
    group: int

    @classmethod
    def of(cls, parts: Parts, bits: int, group: int | None, form: str) -> "_Packing":
        """Return a packing of parts that fit together."""
        words, outputs = parts.take("qweight", ("i32",)).shape
        inputs = words * 32 // bits
        height, _ = period(bits)
        if words % height or outputs * bits % 32:
            what = f"has shape {(words, outputs)}, expected words full of codes"
            raise parts.fault("qweight", what)
        groups = -(-inputs // (group or inputs))
        parts.shaped("qzeros", ("i32",), (groups, word_count(outputs, bits)))
        parts.shaped("scales", FLOATS, (groups, outputs))
        if "g_idx" in parts:
            parts.shaped("g_idx", ("i32", "i64"), (inputs,))
        offset = 1 if form == FORMATS[0] else 0
        return cls(parts, bits, offset, inputs, outputs, group or inputs)

    def band(self, inputs: Span, outputs: Span) -> Values:
        """Return some values, all exact: codes and zero points are small numbers."""
        words, codes = period(self.bits)
        tensors = self.parts.tensors
        rows = inputs[0] // codes * words, -(-inputs[1] // codes) * words
        stored = window(tensors["qweight"], rows, outputs).view("<u4")
        values = unpacked(stored, self.bits).astype(np.float32)
        groups = self._groups()[slice(*inputs)]
        scales = tensors["scales"]
        span = int(groups.min()), int(groups.max()) + 1
        values -= self._zeros(span, outputs)[groups - span[0]]
        values *= window(scales, span, outputs).astype(np.float32)[groups - span[0]]
        return values

    def _zeros(self, groups: Span, outputs: Span) -> Values:
        """Return the zero points of some groups, (groups, outputs)."""
        words, codes = period(self.bits)
        low, high = outputs[0] // codes, -(-outputs[1] // codes)
        columns = low * words, high * words
        stored = window(self.parts.tensors["qzeros"], groups, columns).view("<u4")
        if self.offset and words == 1:
            stored = stored + np.uint32(sum(1 << at for at in range(0, 32, self.bits)))
        zeros = unpacked(stored.T, self.bits)
        zeros = zeros[outputs[0] - low * codes : outputs[1] - low * codes]
        if self.offset and words > 1:
            zeros = (zeros + np.uint8(1)) & np.uint8((1 << self.bits) - 1)
        return zeros.T.astype(np.float32)

    def _groups(self) -> NDArray[np.int64]:
        if "g_idx" in self.parts:
            return self.parts.index("g_idx", self.parts.tensors["scales"].shape[0])
        return np.arange(self.inputs) // self.group
