"""Random numbers by position: the same whatever is computed first, and by whom.

Element `i` gets the i-th output of SplitMix64 (Steele, Lea and Flood, "Fast splittable
pseudorandom number generators", 2014), whose state is a multiple of a constant.
"""

import hashlib
from typing import Final

import numpy as np

from aprhub.api import Group, Numbers, Piece

_STEP: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)


def start(group: Group, model: int) -> np.uint64:
    """Return where the numbers of a tensor in one model begin."""
    digest = hashlib.sha256(group.key + model.to_bytes(4, "little")).digest()
    return np.uint64(int.from_bytes(digest[:8], "little"))


def uniform(seed: np.uint64, piece: Piece) -> Numbers:
    """Return a number from 0 to below 1 for each element of a piece."""
    with np.errstate(over="ignore"):
        state = seed + (piece.positions() + np.uint64(1)) * _STEP
        state = (state ^ state >> np.uint64(30)) * _FIRST
        state = (state ^ state >> np.uint64(27)) * _SECOND
    bits = (state ^ state >> np.uint64(31)) >> np.uint64(11)
    return bits.astype(np.float64) * 2.0**-53
