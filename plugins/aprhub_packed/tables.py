"""bitsandbytes in 4 bits: codes of a stored table, with a scale for each block.

A weight is one run of codes, two to a byte, the higher half first:

    weight                                (n / 2, 1)
    weight.absmax                         f32 scales of blocks, or u8 codes of scales
    weight.quant_map                      (16,) f32: what a code of the weight means
    weight.nested_absmax                  f32 scales of blocks of codes of scales
    weight.nested_quant_map               (256,) f32: what a code of a scale means
    weight.quant_state.bitsandbytes__nf4  JSON: shape, blocksize, nested_offset, …

Source: `QuantState` in `bitsandbytes/functional.py`.
"""

import json
import math
from typing import Any, Final

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from aprhub.api import ComputedRows, Tensor
from aprhub_packed.parts import Parts

_STATE: Final = "weight.quant_state.bitsandbytes__"
_KINDS: Final = ("nf4", "fp4")
PARTS: Final = (
    "weight.absmax",
    "weight.quant_map",
    "weight.nested_absmax",
    "weight.nested_quant_map",
    *(_STATE + kind for kind in _KINDS),
)
_STORAGE: Final = ("u8", "bf16", "f16", "f32")
"""What the bytes of the codes may be called, so that shards of them can be."""

_MAX_STATE: Final = 1 << 16
_MAX_SIZE: Final = 1 << 40


def weight(parts: Parts) -> Tensor:
    """Return the weight that the parts mean."""
    kind = next((each for each in _KINDS if _STATE + each in parts), _KINDS[0])
    state = _State.of(parts, _STATE + kind)
    codes = parts.take("weight", _STORAGE, ranks=(1, 2))
    rows, columns = state.shape
    if codes.nbytes != -(-rows * columns // 2):
        what = f"has {codes.nbytes} bytes, expected half of {state.shape} codes"
        raise parts.fault("weight", what)
    parts.shaped("weight.quant_map", ("f32",), (16,))
    nested = state.nested_block is not None
    count = -(-rows * columns // state.block)
    parts.shaped("weight.absmax", ("u8",) if nested else ("f32",), (count,))
    if state.nested_block is not None:
        parts.shaped("weight.nested_quant_map", ("f32",), (256,))
        above = -(-count // state.nested_block)
        parts.shaped("weight.nested_absmax", ("f32",), (above,))
    name = f"bitsandbytes {kind}, blocks of {state.block}" + ", nested" * nested
    return parts.weight(name, ComputedRows(*state.shape, _Codes(parts, state).rows))


@frozen
class _State:
    """What the JSON part says; a nested block is one of codes of scales."""

    shape: tuple[int, int]
    block: int
    nested_block: int | None
    offset: float

    @classmethod
    def of(cls, parts: Parts, name: str) -> "_State":
        """Return what a part says; this reads it, since it has the weight's shape."""
        document = parts.take(name, ("u8",), ranks=(1,))
        if document.nbytes > _MAX_STATE:
            what = f"has {document.nbytes} bytes, expected at most {_MAX_STATE}"
            raise parts.fault(name, what)
        try:
            values = json.loads(document.tobytes())
        except (ValueError, RecursionError) as error:
            raise parts.fault(name, f"not JSON: {error}") from error
        if not isinstance(values, dict):
            raise parts.fault(name, f"found {values!r:.80}, expected a JSON object")
        found = _Values(parts, name, values)
        nested = "nested_blocksize" in values
        return cls(
            found.shape("shape"),
            found.size("blocksize"),
            found.size("nested_blocksize") if nested else None,
            found.number("nested_offset") if nested else 0.0,
        )


@frozen
class _Values:
    """Typed access to the JSON part."""

    parts: Parts
    name: str
    values: dict[str, Any]

    def shape(self, key: str) -> tuple[int, int]:
        """Return a key's two positive numbers."""
        value = self.values.get(key)
        pair = tuple(value) if isinstance(value, list) else ()
        if len(pair) != 2 or not all(map(_is_size, pair)):
            what = f"{key} is {value!r:.80}, expected two sizes"
            raise self.parts.fault(self.name, what)
        return pair

    def size(self, key: str) -> int:
        """Return a key's positive number."""
        value = self.values.get(key)
        if not isinstance(value, int) or not _is_size(value):
            what = f"{key} is {value!r:.80}, expected a size"
            raise self.parts.fault(self.name, what)
        return value

    def number(self, key: str) -> float:
        """Return a key's finite number."""
        value = self.values.get(key)
        if not isinstance(value, float | int) or not math.isfinite(value):
            what = f"{key} is {value!r:.80}, expected a number"
            raise self.parts.fault(self.name, what)
        return float(value)


def _is_size(value: object) -> bool:
    return type(value) is int and 0 < value < _MAX_SIZE


@frozen
class _Codes:
    """The parts of one weight, which fit together."""

    parts: Parts
    state: _State

    def rows(self, first: int, stop: int) -> NDArray[np.float32]:
        """Return rows of the weight; its blocks need not begin where rows do."""
        columns, block = self.state.shape[1], self.state.block
        start, end = first * columns, stop * columns
        low, high = start // block, -(-end // block)
        scales = np.repeat(self._scales(low, high), block)
        values = self._values(start, end)
        values *= scales[start - low * block : end - low * block]
        return values.reshape(stop - first, columns)

    def _values(self, start: int, end: int) -> NDArray[np.float32]:
        packed = np.empty(-(-end // 2) - start // 2, np.uint8)
        self.parts.tensors["weight"].read_into(start // 2, packed)
        codes = np.stack((packed >> 4, packed & 15), axis=1).reshape(-1)
        skipped = start % 2
        return self._table("weight.quant_map")[codes[skipped : skipped + end - start]]

    def _scales(self, low: int, high: int) -> NDArray[np.float32]:
        stored = self.parts.tensors["weight.absmax"].sliced(low, high)
        scales: NDArray[Any] = stored.numpy()
        block = self.state.nested_block
        if block is None:
            return scales
        first, last = low // block, -(-high // block)
        above = self.parts.tensors["weight.nested_absmax"].sliced(first, last).numpy()
        spread = np.repeat(above, block)[low - first * block : high - first * block]
        table = self._table("weight.nested_quant_map")
        values: NDArray[np.float32] = table[scales] * spread
        values += np.float32(self.state.offset)
        return values

    def _table(self, name: str) -> NDArray[np.float32]:
        table: NDArray[np.float32] = self.parts.tensors[name].numpy()
        return table
