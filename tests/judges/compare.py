"""How far two runtimes are apart on one prompt."""

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

Array = NDArray[np.float32]


@frozen
class Agreement:
    """The distance between the logits of two runtimes, both (tokens, vocabulary).

    `difference` is the largest absolute difference relative to the spread of the
    second runtime's logits, `same_choices` the share of positions where both
    prefer the same token, `divergences` the Kullback-Leibler divergence of the
    first from the second at each position, in nats.
    """

    difference: float
    same_choices: float
    divergences: NDArray[np.float64]

    def within(self, tolerance: float) -> bool:
        """Whether the logits are that close and every choice is the same."""
        return self.difference <= tolerance and self.same_choices == 1


def agreement(found: Array, expected: Array) -> Agreement:
    """Compare the logits over the vocabulary of `expected`.

    Columns that `found` has beyond it are padding and left out.
    """
    found = found[:, : expected.shape[1]]
    spread = float(expected.max() - expected.min())
    return Agreement(
        difference=float(np.abs(found - expected).max()) / spread,
        same_choices=float(np.mean(found.argmax(-1) == expected.argmax(-1))),
        divergences=_divergences(_log_softmax(expected), _log_softmax(found)),
    )


def _divergences(
    p: NDArray[np.float64], q: NDArray[np.float64]
) -> NDArray[np.float64]:
    divergences: NDArray[np.float64] = (np.exp(p) * (p - q)).sum(-1)
    return divergences


def _log_softmax(logits: Array) -> NDArray[np.float64]:
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    scores: NDArray[np.float64] = shifted - np.log(
        np.exp(shifted).sum(-1, keepdims=True)
    )
    return scores
