"""Casts between plain dtypes, and what they lose."""

from collections.abc import Callable
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
_BYTES = [ENCODINGS[name].dtype for name in FLOATS if name.startswith("f8")]
_SATURATING = {"f8_e4m3": 448.0}
"""Encodings without infinities, in which larger numbers become the largest."""


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

    def kernel(packed: Bytes, _header: Bytes) -> NDArray[Any]:
        values = _widened(packed, before)
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            result = _saturated(values, largest).astype(after, copy=False)
        if observe is not None:
            observe(_loss(values, result, largest))
        return result

    return kernel


def _widened(packed: Bytes, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the values; bf16 becomes f32 by a shift, which numpy does fast.

    The types of one byte become f32, since not all of them can be cast to each other.
    """
    if dtype == _BF16:
        wide = packed.view("<u2").astype("<u4")
        wide <<= np.uint32(16)
        return wide.view("<f4")
    values = packed.view(dtype)
    return values.astype(np.float32) if dtype in _BYTES else values


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
        rounded = _count(back != values) - _count(np.isnan(values))
        if not rounded:
            return Loss()
        beyond = np.isinf(back) if largest is None else np.abs(values) > largest
        overflowed = _count(beyond) - _count(np.isinf(values))
        return Loss(overflowed, _count(back == 0) - _count(values == 0), rounded)


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
