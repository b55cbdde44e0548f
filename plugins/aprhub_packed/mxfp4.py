"""MXFP4 of stacked experts: 4-bit floats in blocks of 32, with a power of two for each.

    NAME_blocks  (experts, outputs, groups, 16)  two codes to a byte, lower half first
    NAME_scales  (experts, outputs, groups)      exponents, plus 127

A weight is `(experts, inputs, outputs)`, as the model multiplies it. Source:
`integrations/mxfp4.py` of transformers.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

import numpy as np
from attrs import frozen

from aprhub.api import ComputedRows, Tensor
from aprhub_packed.fp4 import VALUES
from aprhub_packed.parts import Parts
from aprhub_packed.settings import Settings
from aprhub_packed.turned import Span, Values, turned, window

PARTS: Final = ("blocks", "scales")

_BLOCK: Final = 32
_BIAS: Final = 127


def reader(_settings: Settings) -> Callable[[Parts], Tensor]:
    """Return what makes a weight of its parts, which say all that there is to know."""
    return _weight


def _weight(parts: Parts) -> Tensor:
    blocks = parts.take("blocks", ("u8",), ranks=(4,))
    experts, outputs, groups, width = blocks.shape
    if 2 * width != _BLOCK:
        what = f"has blocks of {2 * width} codes, expected {_BLOCK}"
        raise parts.fault("blocks", what)
    scales = parts.shaped("scales", ("u8",), (experts, outputs, groups))
    rows = experts * outputs
    stack = _Stack(
        blocks.reshaped(rows, groups * width), scales.reshaped(rows, groups), outputs
    )
    inputs = groups * _BLOCK
    height = turned(inputs, outputs, partial(stack.band, 0)).height
    values = ComputedRows(experts * inputs, outputs, stack.rows, height)
    weight = parts.weight("mxfp4, blocks of 32, experts", values)
    return weight.reshaped(experts, inputs, outputs)


@frozen
class _Stack:
    """The parts of all experts below each other."""

    blocks: Tensor
    scales: Tensor
    outputs: int

    def rows(self, first: int, stop: int) -> Values:
        """Return some rows of the weights below each other, expert by expert."""
        inputs = self.scales.shape[1] * _BLOCK
        found = []
        while first < stop:
            expert, row = divmod(first, inputs)
            count = min(inputs - row, stop - first)
            one = turned(inputs, self.outputs, partial(self.band, expert))
            found.append(one.compute(row, row + count))
            first += count
        return np.concatenate(found)

    def band(self, expert: int, outputs: Span, inputs: Span) -> Values:
        """Return some values of an expert, (outputs, inputs)."""
        below = expert * self.outputs
        rows = below + outputs[0], below + outputs[1]
        low, high = inputs[0] // _BLOCK, -(-inputs[1] // _BLOCK)
        pairs = window(self.blocks, rows, (low * _BLOCK // 2, high * _BLOCK // 2))
        codes = np.stack((pairs & 15, pairs >> 4), axis=2).reshape(len(pairs), -1)
        powers = window(self.scales, rows, (low, high)).astype(np.int32) - _BIAS
        values = np.ldexp(VALUES[codes], np.repeat(powers, _BLOCK, axis=1))
        return values[:, inputs[0] - low * _BLOCK : inputs[1] - low * _BLOCK]
