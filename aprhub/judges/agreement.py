"""How far two runtimes are apart on one prompt."""

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

Array = NDArray[np.float32]


@frozen
class Agreement:
    """The distance between the logits of two runtimes.

    `difference` is the largest absolute difference relative to the spread of the
    expected logits, `typical` that of the median position, `same_choices` the share of
    positions where both prefer the same token.
    """

    difference: float
    typical: float
    same_choices: float

    def within(self, tolerance: float) -> bool:
        """Whether the logits are that close and every choice is the same."""
        return self.difference <= tolerance and self.same_choices == 1


def agreement(found: Array, expected: Array) -> Agreement:
    """Compare logits, both (tokens, vocabulary).

    Columns that `found` has beyond those expected are padding and left out.
    """
    found = found[:, : expected.shape[1]]
    spread = float(expected.max() - expected.min())
    largest = np.abs(found - expected).max(-1) / spread
    return Agreement(
        difference=float(largest.max()),
        typical=float(np.median(largest)),
        same_choices=float(np.mean(found.argmax(-1) == expected.argmax(-1))),
    )
