"""Statistics of a tensor's values, in one pass and bounded memory."""

from typing import Any

import numpy as np
from attrs import asdict, evolve, frozen

from aprhub.ir.encoding import F32
from aprhub.ir.tensor import Decoder, Tensor


@frozen
class Statistics:
    """Extremes and mean of the finite values; counts of zeros, NaNs and infinities.

    Without a finite value there are no extremes and no mean.
    """

    minimum: float | None
    maximum: float | None
    mean: float | None
    zeros: int
    nans: int
    infinities: int

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers by name."""
        return asdict(self)


def statistics(tensor: Tensor, decoder: Decoder | None = None) -> Statistics:
    """Return the statistics of a tensor; a quantised one needs its decoder."""
    if decoder is not None:
        tensor = evolve(tensor, decoder=decoder)
    low, high, total, count = np.inf, -np.inf, 0.0, 0
    zeros = nans = infinities = 0
    for piece in tensor.cast(F32).pieces():
        values = piece.view("<f4")
        finite = values[np.isfinite(values)]
        nans += int(np.isnan(values).sum())
        infinities += int(np.isinf(values).sum())
        zeros += int((values == 0).sum())
        low = min(low, float(finite.min(initial=np.inf)))
        high = max(high, float(finite.max(initial=-np.inf)))
        total += float(finite.sum(dtype=np.float64))
        count += finite.size
    if not count:
        return Statistics(None, None, None, zeros, nans, infinities)
    return Statistics(low, high, total / count, zeros, nans, infinities)
