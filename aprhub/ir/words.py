"""The bytes of many texts, eight at a time."""

from typing import Any, Final

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

Places = NDArray[np.signedinteger[Any]]

_FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)
"""An odd number with bits all over: 2^64 divided by the golden ratio."""

_MOST_WORDS: Final = 128

WORD: Final = 8
"""How many bytes are looked at in one go."""


def hashes_of(data: bytes, starts: Places, lengths: Places) -> NDArray[np.uint64]:
    """Return a hash of each text: of its length, and of eight bytes at a time.

    What is behind a thousand bytes does not count, so that one long text does not
    make it last.
    """
    words = words_of(np.frombuffer(data + bytes(WORD), np.uint8))
    hashes = lengths.astype(np.uint64)
    rest, places, left = np.arange(len(hashes)), starts, lengths
    for _ in range(_MOST_WORDS):
        kept = np.minimum(left, WORD).astype(np.uint64) * np.uint64(8)
        found = (hashes[rest] ^ (words[places] & _low_bits(kept))) * _FACTOR
        hashes[rest] = found ^ (found >> np.uint64(32))
        goes_on = np.flatnonzero(left > WORD)
        rest, places = rest[goes_on], places[goes_on] + WORD
        left = left[goes_on] - WORD
    return hashes


def words_of(letters: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return the eight bytes from each place on, where so many are, as a number."""
    count = max(len(letters) - WORD + 1, 0)
    first = letters[: WORD if count else 0].view("<u8")
    return as_strided(first, (count,), (1,), writeable=False)


def _low_bits(counts: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return numbers with so many bits set, from the lowest on; up to 64."""
    ones = np.uint64((1 << 64) - 1)
    shifted: NDArray[np.uint64] = ones >> ((np.uint64(64) - counts) % np.uint64(64))
    return np.where(counts == 0, np.uint64(0), shifted)
