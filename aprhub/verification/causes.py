"""Causes: what was done to a tensor that has not the values of its source."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

import numpy as np
from attrs import frozen

from aprhub.difference import has_same_rows
from aprhub.ir.config import ModelConfig
from aprhub.ir.encoding import ENCODINGS
from aprhub.ir.joining import combined
from aprhub.ir.tensor import Tensor
from aprhub.pairs import paired_values
from aprhub.verification.bounds import deviation
from aprhub.verification.hypotheses import GLANCE, Encoders, holds, holds_exactly
from aprhub.verification.neighbours import cause_of_swap, likely
from aprhub.verification.orders import wrong_orders
from aprhub.verification.remainder import Remainder

Outcome = tuple[str, str]
"""A cause or an outcome of `aprhub.verification.verdict`, and what was found."""

BLOCKS: Final = (
    *("q8_0", "q4_0", "q4_1", "q5_0", "q5_1"),
    *("q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl", "mxfp4"),
)
"""Block types that values are likely to have been in; all have fast encoders."""
NARROW: Final = ("bf16", "f16", "f8_e4m3", "f8_e5m2")
"""Floats that values are likely to have been rounded to."""

_OFFSETS: Final = (
    (-1.0, "the one that the target's norms need is missing"),
    (1.0, "one was added twice, or not taken off"),
)


@frozen
class Causes:
    """Finds the cause by testing hypotheses on values, the most specific first.

    `tensors` are those of the source.
    """

    tensors: Mapping[str, Tensor]
    config: ModelConfig
    encoders: Encoders

    def of(self, name: str, source: Tensor, found: Tensor) -> Outcome:
        """Return why a tensor differs in values from its source, of the same shape."""
        tests: tuple[Callable[[str, Tensor, Tensor], Iterator[Outcome]], ...] = (
            _constant,
            _cast,
            _offset,
            self._ordered,
            _transposed,
            self._swapped,
            self._requantised,
            self._scaled,
            _unexplained,
        )
        return next(cause for test in tests for cause in test(name, source, found))

    def _ordered(self, name: str, source: Tensor, found: Tensor) -> Iterator[Outcome]:
        if not source.shape:
            return
        rows = source.decoded()
        cause = "experts" if name.endswith("router.weight") else "permuted"
        for order, what in wrong_orders(name, source.shape[0], self.config):
            if holds(rows.taken(order), found):
                yield cause, what
        comparable = found.encoding.is_plain and len(found.shape) > 1
        if comparable and has_same_rows(rows.cast(found.encoding), found):
            yield cause, "the same rows in another order"

    def _swapped(self, name: str, _source: Tensor, found: Tensor) -> Iterator[Outcome]:
        for other in likely(name, self.tensors):
            if holds(self.tensors[other], found):
                yield cause_of_swap(name, other), f"the values are those of {other}"

    def _requantised(
        self, _name: str, source: Tensor, found: Tensor
    ) -> Iterator[Outcome]:
        again = source.encoding == found.encoding and found.encoding.is_quantized
        if again and deviation(source, found).is_within:
            yield "requantised", f"decoded from {found.encoding.name}, encoded again"
        yield from self.by_way_of(source, found)

    def by_way_of(self, source: Tensor, found: Tensor) -> Iterator[Outcome]:
        """Yield the block types that the values have been in on their way."""
        for name in BLOCKS:
            between = self.encoders.encoded(source, ENCODINGS[name])
            if between is None or name == found.encoding.name:
                continue
            there: Tensor | None = between.decoded()
            if found.encoding.is_quantized:
                there = self.encoders.encoded(between, found.encoding)
            elif found.encoding.is_float:
                there = between.cast(found.encoding)
            if there is not None and holds_exactly(there, found):
                yield "requantised", f"by way of {name}"

    def _scaled(self, _name: str, source: Tensor, found: Tensor) -> Iterator[Outcome]:
        scale = _ratio(source, found)
        if scale in (0, 1) or not np.isfinite(scale):
            return
        factor = np.float32(scale)
        if holds(combined(lambda values: values * factor, [source]), found):
            yield "scaled", f"by {scale:.6g}{_root(scale, self.config.hidden_size)}"


def cause_of_shape(source: Tensor, found: Tensor) -> Outcome:
    """Return why a tensor has not the shape of its source."""
    shapes = f"{list(found.shape)} for {list(source.shape)}"
    turned = len(source.shape) == 2 and found.shape == source.shape[::-1]
    if turned and source.is_readable and holds(source.transposed(), found):
        return "transposed", shapes
    beyond = found.shape[0] - source.shape[0] if source.shape and found.shape else 0
    if not beyond or source.shape[1:] != found.shape[1:]:
        return "shape", shapes
    rows = min(source.shape[0], found.shape[0])
    if _first_rows_alike(source, found, rows):
        which = f"{abs(beyond)} rows {'more' if beyond > 0 else 'fewer'}"
        return "padded", f"{shapes}: {which}, the others alike"
    return "shape", shapes


def _first_rows_alike(source: Tensor, found: Tensor, rows: int) -> bool:
    if not (source.is_readable and found.is_readable):
        return False
    kept = found.decoded() if found.encoding.flat else found
    return holds(source.decoded().sliced(0, rows), kept.sliced(0, rows))


def _constant(name: str, _source: Tensor, found: Tensor) -> Iterator[Outcome]:
    low, high = np.inf, -np.inf
    for values, _ in paired_values(found, found):
        low = min(low, float(values.min()))
        high = max(high, float(values.max()))
        if low != high:
            return
    cause = "bias" if low == 0 and name.endswith(".bias") else "constant"
    yield cause, f"every value is {low:g}"


def _cast(_name: str, source: Tensor, found: Tensor) -> Iterator[Outcome]:
    plain = source.decoded()
    if not (plain.encoding.is_float and found.encoding.is_float):
        return
    for narrow in (found.encoding.name, *NARROW):
        rounded = plain.cast(ENCODINGS[narrow]).cast(found.encoding)
        if holds_exactly(rounded, found):
            yield "cast", f"rounded from {source.encoding.name} to {narrow}"


def _offset(_name: str, source: Tensor, found: Tensor) -> Iterator[Outcome]:
    for offset, what in _OFFSETS:
        if len(source.shape) == 1 and holds(source.affine(offset), found):
            yield "offset", f"every value is {offset:+g} off: {what}"


def _transposed(_name: str, source: Tensor, found: Tensor) -> Iterator[Outcome]:
    if len(source.shape) == 2:
        turned = source.transposed().reshaped(*source.shape)
        if holds(turned, found):
            yield "transposed", "the values are in the order of the columns"


def _unexplained(_name: str, source: Tensor, found: Tensor) -> Iterator[Outcome]:
    remainder = Remainder.of(source, found)
    what = remainder.described(source.shape)
    if remainder.broken:
        yield "not finite", f"{remainder.broken} of them; {what}"
    if found.encoding.is_quantized:
        yield "values", f"{what}; {deviation(source, found)}"
    yield ("rounding" if holds(source, found) else "values"), what


def _ratio(source: Tensor, found: Tensor) -> float:
    """Return what the values at the front are multiplied by, by least squares."""
    for left, right in paired_values(source, found, GLANCE):
        exact = left.astype(np.float64)
        power = float(exact @ exact)
        return float(exact @ right) / power if power else 0.0
    return 0.0


def _root(scale: float, size: int | None) -> str:
    """Say so if a scale is the root of the hidden size, or its inverse."""
    for value, what in (((size or 0) ** 0.5, "the"), ((size or 1) ** -0.5, "1 / the")):
        if abs(scale - value) < 1e-3 * value:
            return f", {what} root of the hidden size {size}"
    return ""
