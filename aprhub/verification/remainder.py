"""The remainder: which values differ, where no cause is known."""

import numpy as np
from attrs import frozen

from aprhub.ir.tensor import Tensor
from aprhub.pairs import Values, paired_values


@frozen
class Remainder:
    """How many values differ, and where the first does.

    `broken` counts the finite values that became infinite or NaN; `first` is the
    place of the first that differs among all, `largest` the largest difference.
    """

    count: int = 0
    broken: int = 0
    seen: int = 0
    first: int | None = None
    largest: float = 0.0

    @classmethod
    def of(cls, source: Tensor, found: Tensor) -> "Remainder":
        """Count, in bounded memory."""
        total = cls()
        for left, right in paired_values(source, found):
            total = total._with(left, right)
        return total

    def _with(self, left: Values, right: Values) -> "Remainder":
        with np.errstate(invalid="ignore", over="ignore"):
            gaps = np.nan_to_num(np.abs(right - left), nan=np.inf)
        other = ~((left == right) | (np.isnan(left) & np.isnan(right)))
        broken = np.isfinite(left) & ~np.isfinite(right)
        here = self.seen + int(other.argmax()) if other.any() else None
        return Remainder(
            self.count + int(np.count_nonzero(other)),
            self.broken + int(np.count_nonzero(broken)),
            self.seen + left.size,
            self.first if self.first is not None else here,
            max(self.largest, float(gaps[other].max(initial=0.0))),
        )

    def described(self, shape: tuple[int, ...]) -> str:
        """Say it, for a tensor of a shape."""
        place = [int(each) for each in np.unravel_index(self.first or 0, shape)]
        counted = f"{self.count} of {self.seen} values, the first at {place}"
        return f"{counted}, off by up to {self.largest:g}"
