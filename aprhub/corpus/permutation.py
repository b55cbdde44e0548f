"""Shuffling without memory: where one index goes, without the order of the others."""

from hashlib import blake2b
from typing import Final

import numpy as np
from numpy.typing import NDArray

_ROUNDS: Final = 8
_MIX: Final = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
"""The multipliers of splitmix64 (Steele, Lea, Flood: Fast Splittable PRNGs, 2014)."""


def permuted(
    indices: NDArray[np.int64], size: int, seed: int, epoch: int
) -> NDArray[np.int64]:
    """Return where a permutation of `range(size)` takes some indices.

    The permutation depends on size, seed and epoch alone, on no library's generator.
    It is a Feistel network over the next power of four, walked along its cycles until
    it is back in the range (Black, Rogaway: Ciphers with Arbitrary Finite Domains).
    """
    half = np.uint64(max(1, ((size - 1).bit_length() + 1) // 2))
    digest = blake2b(f"{seed} {epoch}".encode(), digest_size=8 * _ROUNDS).digest()
    keys = np.frombuffer(digest, "<u8")
    found = _encrypted(indices.astype(np.uint64), keys, half)
    while (outside := found >= size).any():
        found[outside] = _encrypted(found[outside], keys, half)
    return found.astype(np.int64)


def _encrypted(
    values: NDArray[np.uint64], keys: NDArray[np.uint64], half: np.uint64
) -> NDArray[np.uint64]:
    mask = (np.uint64(1) << half) - np.uint64(1)
    left, right = values >> half, values & mask
    for key in keys:
        left, right = right, left ^ (_mixed(right ^ key) & mask)
    return (left << half) | right


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    first, second = map(np.uint64, _MIX)
    values = (values ^ (values >> np.uint64(30))) * first
    values = (values ^ (values >> np.uint64(27))) * second
    return values ^ (values >> np.uint64(31))
