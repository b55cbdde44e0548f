"""Casts between plain dtypes, and what they lose."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from aprhub.errors import UnrepresentableError
from aprhub.ir.encoding import ENCODINGS, F32, FLOATS, Encoding
from aprhub.ir.source import Bytes


@frozen
class Loss:
    """What a cast did to some values beyond ordinary rounding.

    `overflowed` counts finite values that became infinite, or the largest number of an
    encoding without infinities, `flushed` non-zero values that became zero, `rounded`
    all that are not equal to what they were.
    """

    overflowed: int = 0
    flushed: int = 0
    rounded: int = 0

    def __add__(self, other: "Loss") -> "Loss":
        """Return the sum of both."""
        return Loss(
            self.overflowed + other.overflowed,
            self.flushed + other.flushed,
            self.rounded + other.rounded,
        )


Observer = Callable[[Loss], None]


def widens(narrow: Encoding, wide: Encoding) -> bool:
    """Return whether every value of one float encoding exists in the other."""
    return (narrow.name, wide.name) in _WIDENINGS or narrow == wide


_WIDENINGS = frozenset(
    (narrow, wide)
    for wide, narrower in {
        "f64": ("f32", "f16", "bf16", "f8_e4m3", "f8_e5m2", "f8_e8m0"),
        "f32": ("f16", "bf16", "f8_e4m3", "f8_e5m2", "f8_e8m0"),
        "f16": ("f8_e4m3", "f8_e5m2"),
        "bf16": ("f8_e4m3", "f8_e5m2", "f8_e8m0"),
    }.items()
    for narrow in narrower
)


_BF16 = ENCODINGS["bf16"].dtype
_F16 = ENCODINGS["f16"].dtype
_TABLED = [
    ENCODINGS[name].dtype for name in FLOATS if name == "f16" or name.startswith("f8")
]
"""Types of which a table of all values is small."""
_SATURATING = {"f8_e4m3": 448.0}
"""Encodings without infinities, in which larger numbers become the largest."""

_ELEMENTS = 1 << 16
"""How many values are cast at a time, so that what is between stays in the cache."""
_F16_NORMAL = (np.uint32(0x38800000), np.uint32(0x477FEFFF))
"""The bits, as f32, of what becomes a normal f16 without overflow: least, greatest."""
_F16_REBIAS = np.uint32((15 - 127 << 23) % (1 << 32))
"""What turns the exponent of an f32 into that of an f16, still at its place."""


def caster(
    source: Encoding, target: Encoding, observe: Observer | None
) -> Callable[[Bytes, Bytes], NDArray[Any]]:
    """Return the kernel of a cast between two plain encodings.

    Values round to nearest, ties to even; `observe` is told of every piece's loss.
    """
    before, after = source.dtype, target.dtype
    largest = _SATURATING.get(target.name)
    if before is None or after is None:
        raise UnrepresentableError(
            source.name,
            f"cannot be cast to {target.name}, only to a plain encoding; cast to f32,"
            " or quantise with 'Tensor.encoded'",
        )

    width = before.itemsize

    def kernel(packed: Bytes, _header: Bytes) -> NDArray[Any]:
        result = np.empty(packed.size // width, after)
        loss = Loss()
        for start in range(0, result.size, _ELEMENTS):
            stop = start + _ELEMENTS
            values = _widened(packed[start * width : stop * width], before)
            with np.errstate(over="ignore", under="ignore", invalid="ignore"):
                narrowed = _narrowed(_saturated(values, largest), after)
            result[start:stop] = narrowed
            if observe is not None:
                loss += _loss(values, narrowed, largest)
        if observe is not None:
            observe(loss)
        return result

    return kernel


def _widened(packed: Bytes, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the values; those of one or two bytes become f32.

    bf16 does so by a shift, the others by a table: numpy converts f16 at a third of
    the speed, and not all types of one byte can be cast to each other.
    """
    if dtype == _BF16:
        wide = packed.view("<u2").astype("<u4")
        wide <<= np.uint32(16)
        return wide.view("<f4")
    if dtype in _TABLED:
        return _values(dtype).take(packed.view(f"<u{dtype.itemsize}"), mode="wrap")
    return packed.view(dtype)


@cache
def _values(dtype: np.dtype[Any]) -> NDArray[np.float32]:
    """Return the value of every pattern of bits."""
    patterns = np.arange(1 << 8 * dtype.itemsize, dtype=f"<u{dtype.itemsize}")
    return patterns.view(dtype).astype(np.float32)


def _narrowed(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    if dtype == _F16 and values.dtype == np.float32:
        return _narrowed_to_f16(values)
    return values.astype(dtype, copy=False)


def _narrowed_to_f16(values: NDArray[np.float32]) -> NDArray[np.float16]:
    """Round f32 to f16 as `astype` does, in arithmetic of whole numbers.

    Adding what is below half of the last place that stays, or half of it where that
    place is odd, carries exactly when rounding to nearest, ties to even, goes up. That
    holds for what becomes a normal number; the few others are left to numpy.
    """
    bits = values.view("<u4")
    half = bits >> np.uint32(13)
    half &= np.uint32(1)
    half += bits
    half += _F16_REBIAS + np.uint32(0xFFF)
    half >>= np.uint32(13)
    half &= np.uint32(0x7FFF)
    other = bits >> np.uint32(16)
    other &= np.uint32(0x8000)
    half |= other
    result = half.astype("<u2").view("<f2")
    least, greatest = _F16_NORMAL
    np.bitwise_and(bits, np.uint32(0x7FFFFFFF), out=other)
    other -= least
    odd = np.flatnonzero(other > greatest - least)
    # Of a pruned tensor most values are zeros: then picking them takes longest.
    if 4 * odd.size > values.size:
        return values.astype("<f2")
    result[odd] = values[odd]
    return result


def _saturated(values: NDArray[Any], largest: float | None) -> NDArray[Any]:
    if largest is None:
        return values
    return np.where(np.isinf(values), values, values.clip(-largest, largest))


def _loss(
    values: NDArray[Any], result: NDArray[Any], largest: float | None = None
) -> Loss:
    """Return what a cast lost, by counting: infinities, zeros and NaNs stay such."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        back = _widened(result.view(np.uint8), result.dtype)
        changed = back != values
        # Where both ends are finite, so is all between, before and after the cast.
        finite = bool(np.isfinite(back.min()) and np.isfinite(back.max()))
        rounded = _count(changed) - (0 if finite else _count(np.isnan(values)))
        if not rounded:
            return Loss()
        changed &= back == 0
        certain = finite and largest is None
        overflowed = 0 if certain else _overflowed(values, back, largest)
        return Loss(overflowed, _count(changed), rounded)


def _overflowed(values: NDArray[Any], back: NDArray[Any], largest: float | None) -> int:
    beyond = np.isinf(back) if largest is None else np.abs(values) > largest
    return _count(beyond) - _count(np.isinf(values))


def _count(flags: NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(flags))


def lost(before: NDArray[Any], after: NDArray[Any]) -> Loss:
    """Return what is lost when `after` is all that is left of `before`."""
    with np.errstate(invalid="ignore"):
        changed = _count(before != after) - _count(np.isnan(before))
    return Loss(rounded=changed)


def fits(ends: NDArray[np.float32], encoding: Encoding) -> bool:
    """Return whether finite values can be rounded to an encoding without overflow.

    Rounding keeps the order, so that the least and the greatest tell of all between.
    """
    losses: list[Loss] = []
    packed = ends.view(np.uint8)
    caster(F32, encoding, losses.append)(packed, packed[:0])
    return not losses[0].overflowed


def refuse_rounding(name: str, encoding: Encoding) -> Observer:
    """Return an observer that accepts exact casts only."""

    def observe(loss: Loss) -> None:
        if loss.rounded:
            raise UnrepresentableError(
                name,
                f"{loss.rounded} values are not exact in {encoding.name}, though the"
                " file says that the tensor came from there; convert with --dtype f32",
            )

    return observe


def refuse_overflow(name: str, encoding: Encoding) -> Observer:
    """Return an observer that accepts rounding, but no new infinities."""

    def observe(loss: Loss) -> None:
        if loss.overflowed:
            raise UnrepresentableError(
                name,
                f"{loss.overflowed} values are too large for {encoding.name};"
                " choose f32 or bf16 instead",
            )

    return observe
