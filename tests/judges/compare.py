"""How far two runtimes are apart on one prompt."""

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

Array = NDArray[np.float32]


@frozen
class Agreement:
    """The distance between the logits of two runtimes.

    `difference` is the largest absolute difference relative to the spread of the
    expected logits, `same_choices` the share of positions where both prefer the
    same token.
    """

    difference: float
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
    return Agreement(
        difference=float(np.abs(found - expected).max()) / spread,
        same_choices=float(np.mean(found.argmax(-1) == expected.argmax(-1))),
    )


def divergences(found: Array, expected: Array) -> NDArray[np.float64]:
    """Return the Kullback-Leibler divergence from `expected` at each position.

    In nats; both arguments are logits, (tokens, vocabulary).
    """
    p = _log_softmax(expected)
    q = _log_softmax(found[:, : expected.shape[1]])
    result: NDArray[np.float64] = (np.exp(p) * (p - q)).sum(-1)
    return result


def top_probabilities(logits: Array) -> NDArray[np.float64]:
    """Return the probability of the preferred token at each position."""
    top: NDArray[np.float64] = np.exp(_log_softmax(logits).max(-1))
    return top


def _log_softmax(logits: Array) -> NDArray[np.float64]:
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    scores: NDArray[np.float64] = shifted - np.log(
        np.exp(shifted).sum(-1, keepdims=True)
    )
    return scores
