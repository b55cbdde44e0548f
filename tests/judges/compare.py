"""How far two runtimes are apart on one prompt."""

import numpy as np
from numpy.typing import NDArray

from aprhub.judges.agreement import Agreement, agreement

__all__ = ["Agreement", "agreement", "divergences", "top_probabilities"]

Array = NDArray[np.float32]


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
