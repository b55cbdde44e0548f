"""Hypotheses: whether a tensor is what some mistake makes of another."""

from typing import Final

import numpy as np
from attrs import evolve, frozen

from aprhub.ir.encoding import Encoding
from aprhub.ir.fitting import fitted
from aprhub.ir.tensor import Tensor
from aprhub.pairs import Values, paired_values
from aprhub.registry import Registry
from aprhub.verification.bounds import deviation

GLANCE: Final = 1 << 14
"""Bytes of values that are looked at before a whole tensor is."""

_SLACK: Final = {"f16": 2.0**-9, "bf16": 2.0**-6}
_LEAST_SLACK: Final = 2.0**-20
"""How far values may be off, relative to the largest, when a mistake is told."""


def holds(candidate: Tensor, found: Tensor) -> bool:
    """Return whether the values found are those of a candidate, but for rounding.

    A quantised tensor may be off by the bound of its type. Most candidates fail at a
    glance; memory is bounded.
    """
    if not candidate.is_readable or candidate.shape != found.shape:
        return False
    if found.encoding.is_quantized:
        glance = deviation(candidate, found, GLANCE)
        return glance.is_within and deviation(candidate, found).is_within
    slack = _SLACK.get(found.encoding.name, _LEAST_SLACK)
    plain = candidate.cast(found.encoding)
    return _alike(plain, found, slack, GLANCE) and _alike(plain, found, slack)


def holds_exactly(candidate: Tensor, found: Tensor) -> bool:
    """Return whether the values found are those of a candidate, to the last bit."""
    return _alike(candidate, found, 0.0, GLANCE) and _alike(candidate, found, 0.0)


def _alike(
    candidate: Tensor, found: Tensor, slack: float, limit: int | None = None
) -> bool:
    pairs = paired_values(candidate, found, limit)
    return all(_close(left, right, slack) for left, right in pairs)


def _close(left: Values, right: Values, slack: float) -> bool:
    with np.errstate(invalid="ignore", over="ignore"):
        far = np.abs(left - right) > slack * np.abs(left).max(initial=0.0)
    same = (left == right) | (np.isnan(left) & np.isnan(right))
    return bool((same | (np.isfinite(left) & np.isfinite(right) & ~far)).all())


@frozen
class Encoders:
    """The installed codecs."""

    registry: Registry

    def encoded(
        self, source: Tensor, encoding: Encoding, importance: Tensor | None = None
    ) -> Tensor | None:
        """Return a tensor as the codec of an encoding makes it, or None if none can."""
        codec = self.registry.codec(encoding.name)
        if codec is None:
            return None
        if codec.fit is not None:
            again = fitted(source.decoded(), encoding, codec.fit)
            return evolve(again, decoder=codec.decode)
        columns = source.shape[-1] if source.shape else 0
        whole = columns and encoding.fits(columns)
        lacking = codec.needs_importance and importance is None
        if codec.encode is None or lacking or not whole:
            return None
        again = source.decoded().encoded(encoding, codec.encode, importance)
        return evolve(again, decoder=codec.decode)
